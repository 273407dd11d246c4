//! All parameters of a network as views of one flat tensor; their gradients likewise.
//!
//! So an optimiser, a reduction and a moving average see one vector, and a network sees named tensors. Knows nothing of
//! what the network computes.

use crate::learner::Sum;
use sumac_common::{
    device,
    random::{self, ChaCha8Rng},
    spec::model::TensorShape,
};
use tch::{Device, Kind, TchError, Tensor};

/// Where tensors live and in which precision: f32 for a run, f64 for the tests of its gradients.
pub(crate) type Place = (Kind, Device);

/// Of a run on that device.
pub(crate) fn place(device: device::Device) -> Place {
    let lies = match device {
        device::Device::Cpu => Device::Cpu,
        device::Device::Cuda(card) => Device::Cuda(card as usize),
    };
    (Kind::Float, lies)
}

/// A network's parameters, in the network's order.
pub(crate) struct Flat {
    pub(crate) parameters: Vec<TensorShape>,
    /// `[len]`; its base is aligned alike on every machine, and so are the views.
    pub(crate) values: Tensor,
}

impl Flat {
    pub(crate) fn zeros(parameters: Vec<TensorShape>, place: Place) -> Result<Self, TchError> {
        let len: usize = parameters.iter().map(TensorShape::len).sum();
        Ok(Self { values: Tensor::f_zeros([len as i64], place)?, parameters })
    }

    /// Uniform in ±1/sqrt(fan in), weights and biases alike: what PyTorch's `Conv2d` starts with. Drawn in the order of the
    /// tensors' logical indices, so that the layout in memory is no part of a run's identity.
    pub(crate) fn uniform(parameters: Vec<TensorShape>, place: Place, rng: &mut ChaCha8Rng) -> Result<Self, TchError> {
        let flat = Self::zeros(parameters, place)?;
        for (parameter, mut view) in flat.parameters.iter().zip(flat.views()?) {
            let bound = 1.0 / (parameter.fan_in as f32).sqrt();
            let drawn: Vec<f32> = (0..parameter.len()).map(|_| (2.0 * random::uniform(rng) - 1.0) * bound).collect();
            view.f_copy_(&Tensor::f_from_slice(&drawn)?.f_view(extents(parameter).as_slice())?)?;
        }
        Ok(flat)
    }

    /// Another vector of the same parameters, holding the same values.
    pub(crate) fn copy(&self) -> Result<Self, TchError> {
        let mut values = self.values.f_zeros_like()?;
        values.f_copy_(&self.values)?;
        Ok(Self { parameters: self.parameters.clone(), values })
    }

    /// The parameters as constants: no gradient reaches them.
    pub(crate) fn views(&self) -> Result<Vec<Tensor>, TchError> {
        views(&self.parameters, &self.values)
    }

    /// The parameters as leaves that a backward pass ends in.
    pub(crate) fn leaves(&self) -> Result<Vec<Tensor>, TchError> {
        self.views()?.iter().map(|view| view.f_set_requires_grad(true)).collect()
    }

    /// The gradients of `loss`, a scalar, with respect to `leaves`, as one freshly allocated vector.
    pub(crate) fn backward(&self, loss: &Tensor, leaves: &[Tensor]) -> Result<Gradient, TchError> {
        let gradients = Tensor::f_run_backward(&[loss], leaves, false, false)?;
        let flat = self.values.f_zeros_like()?;
        for (mut view, gradient) in views(&self.parameters, &flat)?.into_iter().zip(&gradients) {
            view.f_copy_(gradient)?;
        }
        Ok(Gradient(flat))
    }

    pub(crate) fn zero_gradient(&self) -> Gradient {
        Gradient(self.values.zeros_like())
    }
}

fn views(parameters: &[TensorShape], flat: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let mut offset = 0;
    parameters
        .iter()
        .map(|parameter| {
            let view = flat.f_as_strided(extents(parameter).as_slice(), strides(parameter).as_slice(), offset)?;
            offset += parameter.len() as i64;
            view.f_detach()
        })
        .collect()
}

fn extents(parameter: &TensorShape) -> Vec<i64> {
    parameter.shape.iter().map(|&extent| extent as i64).collect()
}

/// Channels last inside the flat vector: with such weights oneDNN lays the maps between convolutions out the same way,
/// which is the fastest there is on a CPU.
fn strides(parameter: &TensorShape) -> Vec<i64> {
    match extents(parameter)[..] {
        [_, maps_in, height, width] => vec![maps_in * height * width, 1, width * maps_in, maps_in],
        [_, inputs] => vec![inputs, 1],
        _ => vec![1],
    }
}

/// A network's gradient, or a lane's or subtree's part of it: `[len]`, in the order of the network's flat vector.
#[derive(Debug)]
pub struct Gradient(pub Tensor);

impl Sum for Gradient {
    fn plus(mut self, other: Self) -> Self {
        assert_eq!(self.0.size(), other.0.size(), "two parts of one gradient have one length");
        let sum = self.0.f_add_(&other.0).expect("vectors of one length, kind and device can be added");
        Self(sum)
    }
}

//! Gradients that are written where we want them. Refuses to know networks and optimisers.

use tch::Tensor;

use super::{
    NativeError,
    abi::{self, check, lend},
};

/// From now on `backward` adds the gradient of `parameter` into `view`, in place: a slice of one flat gradient, say.
/// `view` has the parameter's shape, kind and device, and is zeroed by whoever owns the flat tensor, never by dropping it.
///
/// # Errors
/// [`NativeError::Gradient`] when the two do not fit.
pub fn preset(parameter: &Tensor, view: &Tensor) -> Result<(), NativeError> {
    let fits =
        parameter.size() == view.size() && parameter.kind() == view.kind() && parameter.device() == view.device();
    if !fits {
        let describe = |tensor: &Tensor| format!("{:?} {:?} on {:?}", tensor.size(), tensor.kind(), tensor.device());
        return Err(NativeError::Gradient { parameter: describe(parameter), gradient: describe(view) });
    }
    // SAFETY: both live through the call; autograd takes a reference of its own to the view.
    check("preset a gradient", unsafe { abi::sumac_gradient_preset(lend(parameter), lend(view)) })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn backward_adds_into_the_preset_view() {
        let flat = Tensor::zeros([5], (Kind::Float, Device::Cpu));
        let parameter = Tensor::from_slice(&[2f32, 3.0]).set_requires_grad(true);
        preset(&parameter, &flat.narrow(0, 1, 2)).unwrap();

        for _ in 0..2 {
            (&parameter * &parameter).sum(Kind::Float).backward();
        }
        assert_eq!(Vec::<f32>::try_from(&flat).unwrap(), [0.0, 8.0, 12.0, 0.0, 0.0]);
    }

    #[test]
    fn a_view_of_another_shape_is_refused() {
        let parameter = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let view = Tensor::zeros([6], (Kind::Float, Device::Cpu));
        assert!(matches!(preset(&parameter, &view), Err(NativeError::Gradient { .. })));
    }
}

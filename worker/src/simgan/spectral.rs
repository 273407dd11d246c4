//! Spectral normalisation: a convolution's weight divided by its largest singular value (Miyato et al. 2018).
//!
//! The singular vectors are followed by power iteration, one per committed discriminator step, so that they are a function
//! of the step like the weights and travel with them. Knows nothing of the network around the convolution.

use sumac_common::random::{self, ChaCha8Rng};
use tch::{TchError, Tensor};

/// Iterations before step 0: the start vectors are random.
const WARM_UP: usize = 15;
/// Below this length a vector is not stretched to unit length.
const TINY: f64 = 1e-12;

/// The singular pair of one weight `[o, i, k, k]`, read as a matrix of o rows. Constants to the backward pass.
pub(crate) struct SingularPair {
    /// `[o]`, of unit length.
    pub(crate) u: Tensor,
    /// `[i k k]`, of unit length.
    pub(crate) v: Tensor,
}

impl SingularPair {
    /// From a random start, after a few iterations.
    pub(crate) fn warmed_up(weight: &Tensor, rng: &mut ChaCha8Rng) -> Result<Self, TchError> {
        let start: Vec<f32> = (0..weight.size()[0]).map(|_| 2.0 * random::uniform(rng) - 1.0).collect();
        let u = Tensor::f_from_slice(&start)?.f_to_device(weight.device())?.f_to_kind(weight.kind())?;
        let mut pair = Self { v: matrix(weight)?.f_tr()?.f_mv(&u)?, u };
        for _ in 0..WARM_UP {
            pair = pair.iterated(weight)?;
        }
        Ok(pair)
    }

    /// The pair after one power iteration on the present weight.
    pub(crate) fn iterated(&self, weight: &Tensor) -> Result<Self, TchError> {
        let matrix = matrix(weight)?;
        let v = unit(&matrix.f_tr()?.f_mv(&self.u)?)?;
        let u = unit(&matrix.f_mv(&v)?)?;
        Ok(Self { u, v })
    }

    /// weight / (u . W v). The gradient flows through both occurrences of the weight.
    pub(crate) fn normalised(&self, weight: &Tensor) -> Result<Tensor, TchError> {
        weight.f_div(&self.u.f_dot(&matrix(weight)?.f_mv(&self.v)?)?)
    }
}

fn matrix(weight: &Tensor) -> Result<Tensor, TchError> {
    weight.f_reshape([weight.size()[0], -1])
}

fn unit(vector: &Tensor) -> Result<Tensor, TchError> {
    vector.f_div(&vector.f_norm()?.f_clamp_min(TINY)?)
}

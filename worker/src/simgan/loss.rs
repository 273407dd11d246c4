//! Losses as sums over images, patches and pixels (the paper, section 2). Knows nothing of networks, lanes and divisors.
//!
//! Every sum is taken in f64; dividing by the whole batch's counts is the caller's, so that lanes add up to the batch.

use sumac_common::spec::Psi;
use tch::{Kind, TchError, Tensor};

/// What a patch is taken for: the number of its map among the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Real = 0,
    Refined = 1,
}

/// -log of the probability that each patch is of this class, added over images and patches. Logits are `[b, 2, h, w]`;
/// the softmax pairs the two maps of one patch, never two patches of one map.
pub(crate) fn cross_entropy(logits_b2hw: &Tensor, class: Class) -> Result<Tensor, TchError> {
    logits_b2hw.f_log_softmax(1, None)?.f_select(1, class as i64)?.f_sum(Kind::Double)?.f_neg()
}

/// How many patches the discriminator takes for this class, a scalar. A patch it cannot decide on is right for neither.
pub(crate) fn taken_for(logits_b2hw: &Tensor, class: Class) -> Result<Tensor, TchError> {
    let refined_over_real = logits_b2hw.f_select(1, 1)?.f_sub(&logits_b2hw.f_select(1, 0)?)?;
    let right = match class {
        Class::Real => refined_over_real.f_lt(0.0)?,
        Class::Refined => refined_over_real.f_gt(0.0)?,
    };
    right.f_sum(Kind::Int64)
}

/// |psi(y) - psi(x)|, added over images and values of psi; images are `[b, c, h, w]`.
pub(crate) fn distance(psi: Psi, y_bchw: &Tensor, x_bchw: &Tensor) -> Result<Tensor, TchError> {
    let total =
        |of: fn(&Tensor) -> Result<Tensor, TchError>| of(y_bchw)?.f_sub(&of(x_bchw)?)?.f_abs()?.f_sum(Kind::Double);
    match psi {
        Psi::Identity => total(|image| Ok(image.shallow_clone())),
        Psi::Gradients => total(|image| differences(image, 2))?.f_add(&total(|image| differences(image, 3))?),
        Psi::ChannelMean => total(grey),
        Psi::LowPass => total(squares),
        Psi::Standardised => total(standardised),
    }
}

fn grey(images_bchw: &Tensor) -> Result<Tensor, TchError> {
    images_bchw.f_mean_dim([1].as_slice(), true, None)
}

/// Each square counts the pixels that it has.
fn squares(images_bchw: &Tensor) -> Result<Tensor, TchError> {
    let side = [i64::from(Psi::SQUARE); 2];
    images_bchw.f_avg_pool2d(side, side, [0, 0], true, false, None)
}

/// Half of what an image's grey is away from its mean, in deviations. The constants keep flat images from becoming all noise,
/// and their slope finite.
fn standardised(images_bchw: &Tensor) -> Result<Tensor, TchError> {
    const FLAT: f64 = 0.1;
    let grey_b1hw = grey(images_bchw)?;
    let centred_b1hw = grey_b1hw.f_sub(&grey_b1hw.f_mean_dim([2, 3].as_slice(), true, None)?)?;
    let variance = centred_b1hw.f_square()?.f_mean_dim([2, 3].as_slice(), true, None)?;
    let deviation = variance.f_add_scalar(1e-6)?.f_sqrt()?;
    centred_b1hw.f_div(&deviation.f_add_scalar(FLAT)?)?.f_mul_scalar(0.5)
}

/// Forward differences between neighbours along rows (`dim` 2) or columns (3).
fn differences(images_bchw: &Tensor, dim: i64) -> Result<Tensor, TchError> {
    let pairs = (images_bchw.size()[dim as usize] - 1).max(0);
    let first = images_bchw.size()[dim as usize] - pairs;
    images_bchw.f_narrow(dim, first, pairs)?.f_sub(&images_bchw.f_narrow(dim, 0, pairs)?)
}

//! A convolution and what follows it at once: Sumac's own for 3x3 where there is one, libtorch's elsewhere. Knows nothing of networks.

use super::orderly;
use crate::native;
use sumac_common::spec::model::Padding;
use tch::{TchError, Tensor};

/// What follows.
#[derive(Clone, Copy)]
pub(super) enum Then<'a> {
    Nothing,
    Relu,
    /// Plus this, then ReLU: the end of a residual block.
    AddRelu(&'a Tensor),
}

/// `[b, in, h, w]` by `[out, in, k, k]` at stride 1 to `[b, out, h, w]`.
pub(super) fn convolve(
    images_bchw: &Tensor,
    [weight, bias]: [&Tensor; 2],
    padding: Padding,
    then: Then<'_>,
) -> Result<Tensor, TchError> {
    let reach = weight.size()[2] / 2;
    let is_continued = padding == Padding::Replicate && reach > 0;
    let continued = if is_continued { Some(orderly::continued(images_bchw, reach)?) } else { None };
    let (seen, pad) = continued.as_ref().map_or((images_bchw, reach), |continued| (continued, 0));
    if native::convolution::is_for(seen, weight) {
        let (added, rectified) = match then {
            Then::Nothing => (None, false),
            Then::Relu => (None, true),
            Then::AddRelu(added) => (Some(added), true),
        };
        return native::convolution::convolve(seen, weight, bias, added, rectified, pad)
            .map_err(|error| TchError::Torch(error.to_string()));
    }
    let mut sums = seen.f_conv2d(weight, Some(bias), [1, 1], [pad; 2], [1, 1], 1)?;
    match then {
        Then::Nothing => Ok(sums),
        Then::Relu => sums.f_relu_(),
        Then::AddRelu(added) => sums.f_add_(added)?.f_relu_(),
    }
}

//! Two operations whose backward pass adds up in no fixed order on a card, made of others that have one. On the CPU they are libtorch's
//! own, which have one there. Knows nothing of networks.

use tch::{Device, TchError, Tensor};

/// Images `[b, c, h, w]` with `reach` more pixels at each side, which repeat the border.
pub(super) fn continued(images_bchw: &Tensor, reach: i64) -> Result<Tensor, TchError> {
    if images_bchw.device() == Device::Cpu {
        return images_bchw.f_replication_pad2d([reach; 4]);
    }
    continued_by_pieces(images_bchw, reach)
}

/// The largest of each `kernel` x `kernel` values, as PyTorch's `MaxPool2d` with a padding of half the kernel.
pub(super) fn pooled(maps: &Tensor, kernel: i64, stride: i64) -> Result<Tensor, TchError> {
    if maps.device() == Device::Cpu {
        return maps.f_max_pool2d([kernel; 2], [stride; 2], [kernel / 2; 2], [1, 1], false);
    }
    pooled_by_shifts(maps, kernel, stride)
}

fn continued_by_pieces(images_bchw: &Tensor, reach: i64) -> Result<Tensor, TchError> {
    let mut continued = images_bchw.shallow_clone();
    for dim in [2, 3] {
        let mut border = continued.size();
        let last = border[dim] - 1;
        border[dim] = reach;
        let repeated = |at: i64| continued.f_narrow(dim as i64, at, 1)?.f_expand(&border, false);
        continued = Tensor::f_cat(&[&repeated(0)?, &continued, &repeated(last)?], dim as i64)?;
    }
    Ok(continued)
}

/// Where two values are the largest, each gets half of the gradient; libtorch's own gives all to the first.
fn pooled_by_shifts(maps: &Tensor, kernel: i64, stride: i64) -> Result<Tensor, TchError> {
    let within = maps.f_constant_pad_nd([kernel / 2; 4])?;
    let outside = Tensor::f_ones_like(&maps.f_detach()?)?.f_constant_pad_nd([kernel / 2; 4])?.f_eq(0.0)?;
    let within = within.f_masked_fill(&outside, f64::NEG_INFINITY)?;
    let size = within.size();
    let steps = |extent: i64| (extent - kernel) / stride + 1;
    let shifted = |down: i64, right: i64| {
        let rows = within.f_slice(2, down, down + (steps(size[2]) - 1) * stride + 1, stride)?;
        rows.f_slice(3, right, right + (steps(size[3]) - 1) * stride + 1, stride)
    };
    let mut largest = shifted(0, 0)?;
    for at in 1..kernel * kernel {
        largest = largest.f_maximum(&shifted(at / kernel, at % kernel)?)?;
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// Values of which no two are equal, in double precision.
    fn maps(size: [i64; 4]) -> Tensor {
        let count: i64 = size.iter().product();
        let waves = (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 12.9898).sin();
        waves.reshape(size).set_requires_grad(true)
    }

    /// Outputs, and the gradients of a sum in which every output has another weight.
    fn both(maps: &Tensor, operation: impl Fn(&Tensor) -> Tensor) -> [Tensor; 2] {
        let made = operation(maps);
        let weights = (Tensor::arange(made.numel() as i64, (Kind::Double, Device::Cpu)) + 1.0).reshape(made.size());
        let loss = (&made * weights).sum(Kind::Double);
        [made.detach(), Tensor::run_backward(&[&loss], &[maps], false, false).remove(0)]
    }

    fn near(one: &[Tensor; 2], other: &[Tensor; 2]) {
        for (one, other) in one.iter().zip(other) {
            assert_eq!(one.size(), other.size());
            assert!((one - other).abs().max().double_value(&[]) < 1e-9);
        }
    }

    #[test]
    fn a_border_made_of_pieces_is_libtorchs() {
        for (size, reach) in [([2, 3, 5, 7], 1), ([1, 2, 4, 3], 3), ([1, 1, 1, 1], 2)] {
            let maps = maps(size);
            let pieces = both(&maps, |maps| continued_by_pieces(maps, reach).unwrap());
            near(&pieces, &both(&maps, |maps| continued(maps, reach).unwrap()));
        }
    }

    #[test]
    fn a_pool_made_of_shifts_is_libtorchs() {
        for (kernel, stride) in [(3, 1), (3, 2), (2, 2), (5, 3), (1, 1)] {
            for size in [[2, 3, 9, 14], [1, 2, 6, 5]] {
                let maps = maps(size);
                let shifts = both(&maps, |maps| pooled_by_shifts(maps, kernel, stride).unwrap());
                near(&shifts, &both(&maps, |maps| pooled(maps, kernel, stride).unwrap()));
            }
        }
    }
}

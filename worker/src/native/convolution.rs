//! Convolutions of 3x3 by Winograd's minimal filtering (see `winograd/winograd.h`), with what follows them, for networks whose time goes
//! there: 2.5 times as fast as libtorch's own, whose weight gradient is slower still. Refuses to know networks.
//!
//! It rounds by 1e-5 of the largest value, a few times as much as libtorch's, far less than TF32 or an optimiser's step.
//! An image's outputs are the same bits in any company, for any number of threads, and on any processor that has a kernel; so are
//! gradients of weights, which are summed in one order.

use std::ptr;

use tch::{Device, Kind, Tensor};

use super::{
    NativeError,
    abi::{self, check, lend},
};

/// Numbers of channels are multiples of this.
const CHANNELS: i64 = 16;

/// Whether [`convolve`] can: f32 on a CPU with AVX2 or AVX-512, 3x3, and channels in sixteens.
#[must_use]
pub fn is_for(images_bchw: &Tensor, weight: &Tensor) -> bool {
    // SAFETY: takes nothing and changes nothing.
    let is_there = || unsafe { abi::sumac_convolution_is_there() } != 0;
    let is_here = |tensor: &Tensor| tensor.kind() == Kind::Float && tensor.device() == Device::Cpu;
    let has_channels = |channels: i64| channels > 0 && channels % CHANNELS == 0;
    let fits =
        matches!(weight.size()[..], [maps_out, maps_in, 3, 3] if has_channels(maps_out) && has_channels(maps_in));
    fits && is_here(images_bchw) && is_here(weight) && is_there()
}

/// Images `[b, in, h, w]` by `weight` `[out, in, 3, 3]` at stride 1 within a border of `pad` zeros; plus `bias` `[out]`, plus `added` of
/// the output's shape, rectified if so wanted. It has gradients with respect to all four.
///
/// # Errors
/// [`NativeError::Shapes`] if they do not fit each other or [`is_for`] says no; [`NativeError::Call`] if libtorch has no memory.
pub fn convolve(
    images_bchw: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    added: Option<&Tensor>,
    rectified: bool,
    pad: i64,
) -> Result<Tensor, NativeError> {
    let made = made_of(images_bchw, weight, bias, pad);
    let made = made.filter(|made| added.is_none_or(|added| is_like(added, made)));
    if made.is_none() || !is_for(images_bchw, weight) {
        let describe = |tensor: &Tensor| format!("{:?} {:?}", tensor.size(), tensor.kind());
        let input = format!("{} and {}", describe(images_bchw), added.map_or("nothing added".to_owned(), describe));
        let output = format!("{} with a bias of {}", describe(weight), describe(bias));
        return Err(NativeError::Shapes { attempt: "a convolution", size: 1, input, output });
    }
    let mut out = ptr::null_mut();
    let added = added.map_or(ptr::null(), lend);
    // SAFETY: all tensors live through the call, which takes references of its own to what it needs longer; their shapes, kinds and
    // devices were looked at above; `out` is valid for one pointer.
    check("a convolution", unsafe {
        abi::sumac_convolution(lend(images_bchw), lend(weight), lend(bias), added, rectified.into(), pad, &raw mut out)
    })?;
    // SAFETY: there was no fault, so this is a tensor on the heap that is ours alone.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// The output's shape, if the others fit each other.
fn made_of(images_bchw: &Tensor, weight: &Tensor, bias: &Tensor, pad: i64) -> Option<[i64; 4]> {
    let &[images, channels, height, width] = &images_bchw.size()[..] else { return None };
    let &[maps_out, maps_in, ..] = &weight.size()[..] else { return None };
    let made = [images, maps_out, height + 2 * pad - 2, width + 2 * pad - 2];
    let fits = channels == maps_in && (0..=2).contains(&pad) && made.iter().all(|extent| *extent > 0);
    (fits && bias.size() == [maps_out] && bias.kind() == Kind::Float && bias.device() == Device::Cpu).then_some(made)
}

fn is_like(added: &Tensor, made: &[i64; 4]) -> bool {
    added.size() == made && added.kind() == Kind::Float && added.device() == Device::Cpu
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// Of the largest value: up to 2.2e-5 was measured, in the gradient of a weight.
    const ROUNDING: f64 = 5e-5;
    const ATTEMPT: &str = "a convolution";

    /// The same numbers each time, about as large as a standard normal's.
    fn drawn(size: &[i64], seed: i64) -> Tensor {
        let count: i64 = size.iter().product();
        let wave = (Tensor::arange(count, (Kind::Double, Device::Cpu)) + 1) * (12.9898 + seed as f64);
        let scattered = (wave.sin() * 43_758.545_3).frac() * 2.0;
        scattered.to_kind(Kind::Float).reshape(size)
    }

    struct Case {
        size: [i64; 4],
        maps: i64,
        pad: i64,
        adds: bool,
        rectified: bool,
    }

    const EYES: Case = Case { size: [3, 64, 35, 55], maps: 64, pad: 1, adds: true, rectified: true };

    /// The output, and the gradients of images, weight, bias and what was added. In double precision libtorch's; then `passes` is
    /// where the rectifier lets something through, which is a matter of rounding near 0.
    fn computed(case: &Case, kind: Kind, passes: Option<&Tensor>) -> Vec<Tensor> {
        let [images, channels, height, width] = case.size;
        let leaf =
            |size: &[i64], seed, scale: f64| (drawn(size, seed) * scale).to_kind(kind).detach().set_requires_grad(true);
        let made = [images, case.maps, height + 2 * case.pad - 2, width + 2 * case.pad - 2];
        let x = leaf(&case.size, 1, 1.0);
        let weight = leaf(&[case.maps, channels, 3, 3], 2, 0.06);
        let bias = leaf(&[case.maps], 3, 0.3);
        let added = case.adds.then(|| leaf(&made, 4, 1.0));
        let output = if kind == Kind::Float {
            convolve(&x, &weight, &bias, added.as_ref(), case.rectified, case.pad).unwrap()
        } else {
            let sums = x.conv2d(&weight, Some(&bias), [1, 1], [case.pad; 2], [1, 1], 1);
            let sums = added.as_ref().map_or(sums.shallow_clone(), |added| &sums + added);
            passes.map_or(sums.shallow_clone(), |passes| sums * passes)
        };
        let loss = (&output * drawn(&made, 5).to_kind(kind)).sum(kind);
        let leaves: Vec<&Tensor> = [&x, &weight, &bias].into_iter().chain(&added).collect();
        let gradients = Tensor::run_backward(&[&loss], &leaves, false, false);
        std::iter::once(output.detach()).chain(gradients).collect()
    }

    fn bits(tensors: &[Tensor]) -> Vec<u32> {
        let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.contiguous().flatten(0, -1)).unwrap();
        tensors.iter().flat_map(values).map(f32::to_bits).collect()
    }

    #[test]
    fn it_and_its_gradients_are_those_of_a_convolution_in_double_precision() {
        let sizes = [[3, 64, 35, 55], [2, 16, 7, 5], [1, 32, 1, 1], [9, 48, 12, 16]];
        for (size, maps) in sizes.into_iter().zip([64, 48, 16, 80]) {
            for (pad, adds, rectified) in [(1, true, true), (1, false, false), (0, false, true), (2, true, false)] {
                if size[2] + 2 * pad < 3 {
                    continue;
                }
                let case = Case { size, maps, pad, adds, rectified };
                let ours = computed(&case, Kind::Float, None);
                let passes = rectified.then(|| ours[0].gt(0.0).to_kind(Kind::Double));
                let exact = computed(&case, Kind::Double, passes.as_ref());
                for (at, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
                    let apart = (ours.to_kind(Kind::Double) - exact).abs().max().double_value(&[]);
                    let scale = exact.abs().max().double_value(&[]).max(1e-3);
                    assert!(apart / scale < ROUNDING, "part {at} of {size:?} to {maps}, pad {pad}: {apart} of {scale}");
                }
            }
        }
    }

    #[test]
    fn its_gradients_say_by_how_much_it_changes() {
        // It is linear in its images and in its weight, so that a step may be large.
        let (size, weight_size) = ([2, 16, 9, 11], [32, 16, 3, 3]);
        let (x, weight, bias) = (drawn(&size, 1), drawn(&weight_size, 2) * 0.1, drawn(&[32], 3));
        let pull = drawn(&[2, 32, 9, 11], 4);
        let loss = |x: &Tensor, weight: &Tensor| {
            (convolve(x, weight, &bias, None, false, 1).unwrap() * &pull).sum(Kind::Double)
        };
        let leaves = [&x, &weight].map(|tensor| tensor.detach().set_requires_grad(true));
        let gradients = Tensor::run_backward(&[loss(&leaves[0], &leaves[1])], &leaves.each_ref()[..], false, false);
        let (to_x, to_weight) = (drawn(&size, 6), drawn(&weight_size, 7) * 0.1);
        let changes = [
            (loss(&(&x + &to_x), &weight) - loss(&x, &weight), (&gradients[0] * &to_x).sum(Kind::Double)),
            (loss(&x, &(&weight + &to_weight)) - loss(&x, &weight), (&gradients[1] * &to_weight).sum(Kind::Double)),
        ];
        for (seen, said) in changes {
            let (seen, said) = (seen.double_value(&[]), said.double_value(&[]));
            assert!((seen - said).abs() < 1e-4 * said.abs().max(1.0), "it changed by {seen}, its gradient says {said}");
        }
    }

    #[test]
    fn its_bits_are_the_same_for_any_number_of_threads() {
        let of = |threads| {
            tch::set_num_threads(threads);
            bits(&computed(&EYES, Kind::Float, None))
        };
        let one = of(1);
        assert!(one == of(2) && one == of(3));
        tch::set_num_threads(1);
    }

    #[test]
    fn an_image_is_the_same_in_any_company() {
        let images = drawn(&EYES.size, 1);
        let (weight, bias) = (drawn(&[64, 64, 3, 3], 2) * 0.06, drawn(&[64], 3));
        let of = |images: &Tensor| convolve(images, &weight, &bias, None, true, 1).unwrap();
        let together = of(&images);
        for at in 0..3 {
            assert_eq!(bits(&[of(&images.narrow(0, at, 1))]), bits(&[together.narrow(0, at, 1)]));
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let images = drawn(&[1, 16, 8, 8], 1).set_requires_grad(true);
        let mut broken = images.detach();
        let _ = broken.narrow(2, 3, 1).fill_(f64::NAN);
        broken = broken.set_requires_grad(true);
        let (weight, bias) = (drawn(&[16, 16, 3, 3], 2), drawn(&[16], 3));
        let output = convolve(&broken, &weight, &bias, None, true, 1).unwrap();
        let loss = output.sum(Kind::Float);
        assert!(loss.double_value(&[]).is_nan());
        let gradient = Tensor::run_backward(&[&(&loss * &loss)], &[&broken], false, false).remove(0);
        assert!(gradient.isnan().any().int64_value(&[]) == 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (images, weight, bias) = (drawn(&[1, 16, 8, 8], 1), drawn(&[16, 16, 3, 3], 2), drawn(&[16], 3));
        assert!(is_for(&images, &weight));
        assert!(!is_for(&images.to_kind(Kind::Double), &weight) && !is_for(&images, &drawn(&[16, 16, 5, 5], 2)));
        assert!(!is_for(&images, &drawn(&[16, 3, 3, 3], 2)));
        for refused in [
            convolve(&drawn(&[1, 32, 8, 8], 1), &weight, &bias, None, true, 1),
            convolve(&images, &weight, &drawn(&[8], 3), None, true, 1),
            convolve(&images, &weight, &bias, Some(&images.narrow(2, 0, 4)), true, 1),
            convolve(&images, &weight, &bias, None, true, 3),
        ] {
            assert!(matches!(refused, Err(NativeError::Shapes { attempt: ATTEMPT, .. })));
        }
    }

    const SHOWS: &str = "SUMAC_TEST_SHOWS_BITS";

    #[test]
    fn its_bits_are_the_same_with_narrower_registers() {
        tch::set_num_threads(1);
        let digest = bits(&computed(&EYES, Kind::Float, None))
            .iter()
            .fold(0u64, |sum, bits| sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(*bits)));
        if env::var_os(SHOWS).is_some() {
            println!("bits {digest:x}");
            return;
        }
        let name = "native::convolution::tests::its_bits_are_the_same_with_narrower_registers";
        let narrower = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .envs([(SHOWS, "1"), ("ATEN_CPU_CAPABILITY", "avx2")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&narrower.stdout).into_owned();
        assert!(said.contains(&format!("bits {digest:x}")), "{said}");
    }
}

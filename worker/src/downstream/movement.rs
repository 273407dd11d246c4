//! By how much the content of images moved: what a refiner must not do where a label says where something is. Contours are
//! compared and not tones, so that another light is no movement. Knows nothing of networks.

use super::wasserstein::spread;
use tch::{Kind, TchError, Tensor};

/// Pixels each way beyond which no movement is found; of small images a quarter of their shorter side.
const REACH: i64 = 3;
const IMAGES_MAX: i64 = 1_024;
/// Side of the window around a point, in pixels.
const WINDOW: i64 = 19;
/// So much better than staying has a movement to fit.
const BETTER: f32 = 1e-4;
/// A correlation below this is that of nothing with something.
const FITS: f32 = 0.05;

/// Mean over images of the length, in pixels, of the translation that lays the contours of an image onto those of what became of
/// it: normalised cross-correlation of gradient magnitudes, with a parabola through its peak. Both are `[n, c, h, w]`, n at
/// least 1; an image without contours stays where it is.
///
/// Over at most 1,024 images, evenly spread.
pub(super) fn moved(before_nchw: &Tensor, after_nchw: &Tensor) -> Result<f64, TchError> {
    let n = before_nchw.size()[0].min(IMAGES_MAX);
    let (before, after) = (contours(&spread(before_nchw, n)), contours(&spread(after_nchw, n)));
    // How the edges of the window bend a peak is seen in images that stay.
    let (found, bent) = (translations(&before, &after)?, translations(&before, &before)?);
    let length = |(found, bent): (&Option<[f64; 2]>, &Option<[f64; 2]>)| match (found, bent) {
        (Some(found), Some(bent)) => (found[0] - bent[0]).hypot(found[1] - bent[1]),
        _ => 0.0,
    };
    Ok(found.iter().zip(&bent).map(length).sum::<f64>() / n as f64)
}

/// The same within a window around a point of each image, x and y in pixels; windows do not leave the image.
pub(super) fn moved_at(before_nchw: &Tensor, after_nchw: &Tensor, points: &[[f32; 2]]) -> Result<f64, TchError> {
    let (all, _, height, width) = before_nchw.size4()?;
    let n = all.min(IMAGES_MAX);
    let (high, wide) = (WINDOW.min(height), WINDOW.min(width));
    let windows = |of: &Tensor| -> Result<Tensor, TchError> {
        let window = |at: i64| {
            let image = at * all / n.max(1);
            let [x, y] = points.get(image as usize).copied().unwrap_or_default();
            let from = |point: f32, long: i64, side: i64| (point as i64 - long / 2).clamp(0, side - long);
            of.f_get(image)?.f_narrow(1, from(y, high, height), high)?.f_narrow(2, from(x, wide, width), wide)
        };
        Tensor::f_stack(&(0..n).map(window).collect::<Result<Vec<_>, _>>()?, 0)
    };
    moved(&windows(before_nchw)?, &windows(after_nchw)?)
}

/// Gradient magnitudes of the grey image, without its outermost pixels: `[n, h - 2, w - 2]`.
fn contours(images_nchw: &Tensor) -> Tensor {
    let grey = images_nchw.mean_dim([1_i64].as_slice(), false, Kind::Float);
    let (height, width) = (grey.size()[1] - 2, grey.size()[2] - 2);
    let part = |top: i64, left: i64| grey.narrow(1, top, height).narrow(2, left, width);
    let (down, right) = (part(2, 1) - part(0, 1), part(1, 2) - part(1, 0));
    (&down * &down + &right * &right).sqrt()
}

/// Down and right, of each image; `None` where nothing fits.
fn translations(before_nhw: &Tensor, after_nhw: &Tensor) -> Result<Vec<Option<[f64; 2]>>, TchError> {
    let (height, width) = (before_nhw.size()[1], before_nhw.size()[2]);
    let reach = REACH.min(height.min(width) / 4);
    let window = |of: &Tensor, down: i64, right: i64| {
        let inner = of.narrow(1, reach + down, height - 2 * reach).narrow(2, reach + right, width - 2 * reach);
        let inner = &inner - inner.mean_dim([1_i64, 2].as_slice(), true, Kind::Float);
        let length = (&inner * &inner).sum_dim_intlist([1_i64, 2].as_slice(), true, Kind::Float).sqrt();
        inner / length.clamp_min(1e-6)
    };
    let still = window(before_nhw, 0, 0);
    let side = 2 * reach + 1;
    let fits: Vec<Tensor> = (0..side * side)
        .map(|at| {
            let there = window(after_nhw, at / side - reach, at % side - reach);
            (&still * there).sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float)
        })
        .collect();
    let fits = Tensor::stack(&fits, 1).contiguous().view([-1]);
    let fits: Vec<f32> = Vec::try_from(fits)?;
    let side = side as usize;
    Ok(fits.chunks_exact(side * side).map(|fits| peak(fits, side)).collect())
}

/// Where a square of values, `side` a row, is largest, from its middle.
fn peak(fits: &[f32], side: usize) -> Option<[f64; 2]> {
    let middle = side / 2;
    let stays = middle * side + middle;
    let best = (0..fits.len()).fold(stays, |best, at| if fits[at] > fits[best] + BETTER { at } else { best });
    if fits[best] < FITS {
        return None;
    }
    let (row, column) = (best / side, best % side);
    let between = |at: usize, step: usize| {
        if at == 0 || at + 1 == side {
            return 0.0;
        }
        let [before, there, after] = [best - step, best, best + step].map(|at| f64::from(fits[at]));
        let bend = before - 2.0 * there + after;
        if bend < -1e-9 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
    };
    Some([row as f64 - middle as f64 + between(row, side), column as f64 - middle as f64 + between(column, 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eyes of a kind: a dark disc with soft edges on a bright ground that rises to the right; its centre varies with the image.
    fn drawn(down: f64, right: f64) -> Tensor {
        let side = 24;
        let images = (0..12).flat_map(|image| {
            let centre = (11.5 + f64::from(image % 4) - 1.5 + down, 11.5 + f64::from(image / 4) - 1.0 + right);
            (0..side * side).map(move |at| {
                let (y, x) = (f64::from(at / side) - centre.0, f64::from(at % side) - centre.1);
                (0.4 + 0.01 * f64::from(at % side) - 1.2 / (1.0 + (2.0 * (y.hypot(x) - 5.0)).exp())) as f32
            })
        });
        Tensor::from_slice(&images.collect::<Vec<f32>>()).view([12, 1, i64::from(side), i64::from(side)])
    }

    #[test]
    fn what_is_drawn_elsewhere_moved_by_as_much() {
        for (down, right) in [(1.0, 0.0), (0.0, -2.0), (0.5, 0.0), (-0.3, 0.4), (1.5, -1.5)] {
            let (found, meant) = (moved(&drawn(0.0, 0.0), &drawn(down, right)).unwrap(), f64::hypot(down, right));
            assert!((found - meant).abs() < 0.1, "{found} for {meant}");
        }
    }

    #[test]
    fn around_a_point_only_what_lies_there_counts() {
        // Two discs side by side, of which the right one moves.
        let beside = |moved: f64| Tensor::cat(&[drawn(0.0, 0.0), drawn(moved, 0.0)], 3);
        let (before, after) = (beside(0.0), beside(1.5));
        let at = |x: f32| moved_at(&before, &after, &[[x, 11.5]; 12]).unwrap();
        assert!(at(11.5) < 0.05, "{}", at(11.5));
        assert!((at(35.5) - 1.5).abs() < 0.2, "{}", at(35.5));
    }

    #[test]
    fn another_light_is_no_movement() {
        let images = drawn(0.0, 0.0);
        assert!(moved(&images, &images).unwrap() < 1e-9);
        for lit in [&images * 0.5 + 0.3, &images * -1.0, images.clamp(-0.5, 0.45)] {
            let found = moved(&images, &lit).unwrap();
            assert!(found < 0.1, "{found}");
        }
    }

    #[test]
    fn an_image_without_contours_stays() {
        let even = drawn(0.0, 0.0).zeros_like();
        assert_eq!(moved(&even, &even).unwrap(), 0.0);
        assert_eq!(moved(&drawn(0.0, 0.0), &even).unwrap(), 0.0);
    }
}

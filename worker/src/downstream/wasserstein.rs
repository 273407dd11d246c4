//! How differently two sets of images are drawn in the small: the sliced Wasserstein distance of 7x7 patches, at each level of a
//! Laplacian pyramid (Karras et al. 2018, section 5). Patches are scaled by the real ones' deviation, not each set by its own, so
//! that brightness and contrast count. Knows nothing of networks.

use sumac_common::{
    ids::{Lane, Step},
    random::{self, Stream},
};
use tch::{Kind, Tensor};

const PATCH: i64 = 7;
const PATCHES_OF_IMAGE: usize = 32;
const IMAGES_MAX: i64 = 1_024;
const DIRECTIONS: i64 = 128;
/// No level has a shorter side.
const SIDE_MIN: i64 = 16;

/// x 1000, the finest level first; of two sets `[n, c, h, w]` and `[m, c, h, w]`, as many images of each. `real_mchw` gives the scale.
pub(super) fn sliced(images_nchw: &Tensor, real_mchw: &Tensor) -> Vec<f64> {
    let n = images_nchw.size()[0].min(real_mchw.size()[0]).min(IMAGES_MAX);
    let (ours, theirs) = (levels(&spread(images_nchw, n)), levels(&spread(real_mchw, n)));
    let level = |(level, (ours, theirs)): (usize, (Tensor, Tensor))| {
        // The same places in both, so that equal sets are no way apart.
        let places = places(&ours, level);
        let (ours, theirs) = (patches(&ours, &places), patches(&theirs, &places));
        1000.0 * distance(&ours, &theirs, level)
    };
    ours.into_iter().zip(theirs).enumerate().map(level).collect()
}

/// `n` images, evenly spread over all.
pub(super) fn spread(images_nchw: &Tensor, n: i64) -> Tensor {
    let all = images_nchw.size()[0];
    let picked: Vec<i64> = (0..n).map(|at| at * all / n.max(1)).collect();
    images_nchw.index_select(0, &Tensor::from_slice(&picked))
}

/// What each halving loses, and at last what remains.
fn levels(images_nchw: &Tensor) -> Vec<Tensor> {
    let mut levels = Vec::new();
    let mut now = images_nchw.shallow_clone();
    loop {
        let size = now.size();
        if size[2].min(size[3]) / 2 < SIDE_MIN {
            levels.push(now);
            return levels;
        }
        let half = smoothed(&now).slice(2, 0, None::<i64>, 2).slice(3, 0, None::<i64>, 2);
        let back = half.upsample_bilinear2d([size[2], size[3]], false, None::<f64>, None::<f64>);
        levels.push(&now - back);
        now = half;
    }
}

/// By the binomial kernel 1 4 6 4 1, edges continued.
fn smoothed(images_nchw: &Tensor) -> Tensor {
    let channels = images_nchw.size()[1];
    let line = Tensor::from_slice(&[1.0_f32, 4.0, 6.0, 4.0, 1.0]) / 16.0;
    let kernel = line.outer(&line).expand([channels, 1, 5, 5], false);
    images_nchw.replication_pad2d([2; 4]).conv2d(&kernel, None::<Tensor>, [1; 2], [0; 2], [1; 2], channels)
}

/// (image, top, left) of each patch.
fn places(level_nchw: &Tensor, level: usize) -> Vec<[i64; 3]> {
    let size = level_nchw.size();
    let mut chance = random::stream(level as u64, Stream::Patches, Lane(0), Step(0));
    let mut draw = |side: i64| random::below(&mut chance, (side - PATCH + 1).max(1) as u64) as i64;
    let of_image =
        |image| -> Vec<[i64; 3]> { (0..PATCHES_OF_IMAGE).map(|_| [image, draw(size[2]), draw(size[3])]).collect() };
    (0..size[0]).flat_map(of_image).collect()
}

/// `[patches, c * 7 * 7]`
fn patches(level_nchw: &Tensor, places: &[[i64; 3]]) -> Tensor {
    let cut = |[image, top, left]: &[i64; 3]| {
        level_nchw.get(*image).slice(1, *top, *top + PATCH, 1).slice(2, *left, *left + PATCH, 1).flatten(0, -1)
    };
    Tensor::stack(&places.iter().map(cut).collect::<Vec<_>>(), 0)
}

/// Mean over random directions of how far the sorted projections are apart.
fn distance(ours_pd: &Tensor, theirs_pd: &Tensor, level: usize) -> f64 {
    let (mean, scale) = (theirs_pd.mean(Kind::Float), theirs_pd.std(false).clamp_min(1e-6));
    let d = ours_pd.size()[1];
    let mut chance = random::stream(level as u64, Stream::Patches, Lane(1), Step(0));
    let drawn: Vec<f32> = (0..d * DIRECTIONS).map(|_| random::normal(&mut chance)).collect();
    let directions = Tensor::from_slice(&drawn).view([d, DIRECTIONS]);
    let length = directions.square().sum_dim_intlist([0].as_slice(), true, Kind::Float).sqrt();
    let directions = directions / length;
    let sorted = |patches: &Tensor| {
        let (sorted, _) = ((patches - &mean) / &scale).matmul(&directions).sort(0, false);
        sorted
    };
    (sorted(ours_pd) - sorted(theirs_pd)).abs().mean(Kind::Double).double_value(&[])
}

/// `[n, 1, side, side]` of noise, for tests.
#[cfg(test)]
pub(super) fn noise(seed: u64, n: i64, side: i64) -> Tensor {
    let mut chance = random::stream(seed, Stream::Init, Lane(3), Step(0));
    let drawn: Vec<f32> = (0..n * side * side).map(|_| 2.0 * random::uniform(&mut chance) - 1.0).collect();
    Tensor::from_slice(&drawn).view([n, 1, side, side])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_no_way_from_itself() {
        let images = noise(1, 40, 32);
        assert_eq!(sliced(&images, &images), [0.0, 0.0]);
    }

    #[test]
    fn other_images_of_one_kind_are_near_and_blurred_ones_are_not() {
        let (one, other) = (noise(1, 200, 32), noise(2, 200, 32));
        let (near, far) = (sliced(&one, &other), sliced(&smoothed(&one), &other));
        assert!(near[0] < 30.0 && far[0] > 10.0 * near[0], "{near:?} {far:?}");
    }

    #[test]
    fn brightness_counts() {
        let (one, other) = (noise(1, 100, 16), noise(2, 100, 16));
        assert!(sliced(&(&one + 0.5), &other)[0] > 5.0 * sliced(&one, &other)[0]);
    }
}

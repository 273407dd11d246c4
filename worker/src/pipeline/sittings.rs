//! Which images are refined together: those of one shape, as many as the refiner takes at a time.
//!
//! Images of different shapes may alternate, so those that wait for company are held back while others overtake them, yet only
//! so far: what is in flight is limited, and what overtook them waits behind them to be written. Which images sit together is
//! a function of their order alone. Knows nothing of pixels.

use super::Limits;
use std::collections::VecDeque;
use sumac_common::spec::ImageShape;

pub(super) struct Sittings<T> {
    /// How far the image that waits longest may fall behind.
    most: Limits,
    groups: Vec<(ImageShape, VecDeque<Sitter<T>>)>,
    /// Everything that came along so far.
    passed: Passed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    images: usize,
    bytes: u64,
}

struct Sitter<T> {
    /// What had come along before it.
    before: Passed,
    it: T,
}

impl<T> Sittings<T> {
    pub(super) fn within(most: Limits) -> Self {
        Self { most, groups: Vec::new(), passed: Passed::default() }
    }

    pub(super) fn take_in(&mut self, shape: ImageShape, bytes: u64, it: T) {
        let sitter = Sitter { before: self.passed, it };
        self.pass(bytes);
        match self.groups.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, group)) => group.push_back(sitter),
            None => self.groups.push((shape, VecDeque::from([sitter]))),
        }
    }

    /// An image that is not to be refined came along.
    pub(super) fn pass(&mut self, bytes: u64) {
        self.passed.images += 1;
        self.passed.bytes += bytes;
    }

    /// Images to be refined now: a full sitting, or those for which the one that waits longest cannot wait any longer.
    pub(super) fn due(&mut self, sitting: impl Fn(ImageShape) -> usize) -> Option<(ImageShape, Vec<T>)> {
        let full = self.groups.iter().position(|(shape, group)| group.len() >= sitting(*shape));
        let group = full.or_else(|| self.oldest().filter(|&group| self.is_too_far_behind(group)))?;
        let (shape, sitters) = &mut self.groups[group];
        let (shape, n) = (*shape, sitting(*shape).clamp(1, sitters.len()));
        let sitters = sitters.drain(..n).map(|sitter| sitter.it).collect();
        self.groups.retain(|(_, group)| !group.is_empty());
        Some((shape, sitters))
    }

    /// What waits longest, and others of its shape; `None` if nothing waits.
    pub(super) fn flush(&mut self) -> Option<(ImageShape, Vec<T>)> {
        let group = self.oldest()?;
        let (shape, sitters) = self.groups.swap_remove(group);
        Some((shape, sitters.into_iter().map(|sitter| sitter.it).collect()))
    }

    fn oldest(&self) -> Option<usize> {
        (0..self.groups.len()).min_by_key(|&group| self.first_of(group).images)
    }

    fn first_of(&self, group: usize) -> Passed {
        self.groups[group].1.front().expect("a group that is empty is taken out").before
    }

    fn is_too_far_behind(&self, group: usize) -> bool {
        let before = self.first_of(group);
        self.passed.images - before.images >= self.most.images || self.passed.bytes - before.bytes >= self.most.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Limits = Limits { images: 10, bytes: 1_000 };

    fn wide(width: u32) -> ImageShape {
        ImageShape { channels: 1, height: 1, width }
    }

    /// Widths in, sittings of up to four out: the images' numbers.
    fn seated(widths: &[u32], bytes: u64) -> Vec<Vec<usize>> {
        let mut sittings = Sittings::within(MOST);
        let mut seated = Vec::new();
        for (number, width) in widths.iter().enumerate() {
            sittings.take_in(wide(*width), bytes, number);
            seated.extend(std::iter::from_fn(|| sittings.due(|_| 4)));
        }
        seated.extend(std::iter::from_fn(|| sittings.flush()));
        seated.into_iter().map(|(_, numbers)| numbers).collect()
    }

    #[test]
    fn images_of_one_shape_sit_in_fours() {
        assert_eq!(seated(&[7; 9], 1), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8]]);
    }

    #[test]
    fn shapes_that_alternate_make_full_sittings() {
        assert_eq!(seated(&[7, 9, 7, 9, 7, 9, 7, 9], 1), [[0, 2, 4, 6], [1, 3, 5, 7]]);
    }

    #[test]
    fn a_lone_image_is_overtaken_by_so_many_and_no_more() {
        let mut widths = [7; 14];
        widths[1] = 9;
        assert_eq!(seated(&widths, 1), [vec![0, 2, 3, 4], vec![5, 6, 7, 8], vec![1], vec![9, 10, 11, 12], vec![13]]);
    }

    #[test]
    fn large_images_wait_for_no_company() {
        assert_eq!(seated(&[7, 7, 7], 1_000), [[0], [1], [2]]);
        assert_eq!(seated(&[7, 7, 7], 500), [vec![0, 1], vec![2]]);
    }
}

//! The one order of addition.
//!
//! Floating-point sums depend on their order, so lane subtotals are added along one binary tree over the lane numbers, whoever
//! holds them: a node splits its lanes at the largest power of two below their number. A worker adds up the maximal
//! subtrees inside its run of lanes, and sends those instead of one gradient per lane. Knows nothing of what is added.

use crate::{
    ids::{Lane, Rank},
    lanes,
};
use std::ops::Range;

/// A node of the tree: the lanes `first..first + count`, added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    pub first: u32,
    /// At least 1.
    pub count: u32,
}

impl Node {
    /// The root: all lanes.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn whole(lanes: u32) -> Self {
        assert!(lanes > 0, "a sum over no lanes has no tree");
        Self { first: 0, count: lanes }
    }

    /// Its two children, the left one a power of two; `None` for a single lane.
    #[must_use]
    pub fn split(self) -> Option<(Self, Self)> {
        if self.count < 2 {
            return None;
        }
        let left = 1 << (self.count - 1).ilog2();
        Some((Self { first: self.first, count: left }, Self { first: self.first + left, count: self.count - left }))
    }

    #[must_use]
    pub fn lanes(self) -> Range<u32> {
        self.first..self.first + self.count
    }

    /// The lane, if it is a single one.
    #[must_use]
    pub fn lane(self) -> Option<Lane> {
        (self.count == 1).then_some(Lane(self.first))
    }
}

/// The fewest nodes of the tree over `lanes` that make up `range`, in lane order: what its owner sends.
#[must_use]
pub fn subtrees(range: Range<u32>, lanes: u32) -> Vec<Node> {
    let mut within = Vec::new();
    let mut open = if lanes > 0 { vec![Node::whole(lanes)] } else { vec![] };
    while let Some(node) = open.pop() {
        let lanes = node.lanes();
        if lanes.end <= range.start || range.end <= lanes.start {
            continue;
        }
        if range.start <= lanes.start && lanes.end <= range.end {
            within.push(node);
        } else if let Some((left, right)) = node.split() {
            open.extend([right, left]);
        }
    }
    within
}

/// The most subtrees any of `workers` sends, 0 without workers: to this number everybody pads.
#[must_use]
pub fn widest(lanes: u32, workers: usize) -> usize {
    let ranks = (0..workers).map(|rank| Rank(rank as u32));
    ranks.map(|rank| subtrees(lanes::owned(lanes, workers, rank), lanes).len()).max().unwrap_or(0)
}

/// The sum of `node`, depth first and left to right: taken from `leaf` where it has one, else added up from the children.
///
/// # Errors
/// The first error of `leaf` or `add`; nothing is asked after it.
///
/// # Panics
/// If `leaf` has no sum for a single lane. The caller looks for missing lanes before it adds.
pub fn fold<T, E>(
    node: Node,
    leaf: &mut impl FnMut(Node) -> Result<Option<T>, E>,
    add: &mut impl FnMut(T, T) -> Result<T, E>,
) -> Result<T, E> {
    if let Some(sum) = leaf(node)? {
        return Ok(sum);
    }
    let Some((left, right)) = node.split() else {
        panic!("lane {} has no subtotal: lanes are added only when all of them are there", node.first)
    };
    let left = fold(left, leaf, add)?;
    let right = fold(right, leaf, add)?;
    add(left, right)
}

//! How the members of one generation reach each other.
//!
//! A link is formed once, for one roster, and dies with it (C-1). Every call is made by all members in the same order, is polled
//! and never blocked in: while it waits it listens whether the coordinator calls for an end. It refuses to know what the bytes
//! mean, and who should be a member.

use crate::learner::Sum;
use sumac_common::{
    conversation::{Leaving, Opening},
    ids::{Rank, WorkerId},
    reduce::{self, Node},
};

#[cfg(feature = "torch")]
pub mod c10d;

/// Asked again and again while a call waits: must this generation be left at once?
pub trait Ear {
    fn called(&self) -> bool;
}

/// Why a call did not complete. The link is of no more use: drop it at once, which frees the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("called away by the coordinator")]
    Called,
    #[error("{attempt}: {reason}")]
    Failed { attempt: &'static str, reason: String },
}

impl From<Broken> for Leaving {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Called => Self::Told,
            Broken::Failed { .. } => Self::Broke(broken.to_string()),
        }
    }
}

/// One network's whole gradient, and every member's tail in rank order.
pub struct Reduced<S> {
    pub gradient: S,
    pub tails: Vec<Vec<u8>>,
}

pub trait Link<S> {
    fn rank(&self) -> Rank;

    fn size(&self) -> usize;

    /// Adds up the subtrees of all members along the one tree over `lanes`, and gathers the tails. `parts` are this member's
    /// maximal subtrees in lane order. `tail` is made when its own part of the sum is done and says whether that is free of
    /// infinities; all tails have one length.
    fn reduce(
        &mut self,
        lanes: u32,
        parts: Vec<S>,
        tail: &mut dyn FnMut(Finite) -> Vec<u8>,
        ear: &dyn Ear,
    ) -> Result<Reduced<S>, Broken>;

    /// Sends to the next member in the roster and receives from the one before.
    fn pass_on(&mut self, bytes: &[u8], ear: &dyn Ear) -> Result<Vec<u8>, Broken>;

    /// Everybody's bytes, in rank order.
    fn gather(&mut self, bytes: &[u8], ear: &dyn Ear) -> Result<Vec<Vec<u8>>, Broken>;

    /// `from`'s bytes to everybody; only `from` gives some.
    fn broadcast(&mut self, from: Rank, bytes: Option<&[u8]>, ear: &dyn Ear) -> Result<Vec<u8>, Broken>;

    /// `from`'s bytes to `to`; called by these two only.
    fn send(&mut self, to: Rank, bytes: &[u8], ear: &dyn Ear) -> Result<(), Broken>;

    fn receive(&mut self, from: Rank, ear: &dyn Ear) -> Result<Vec<u8>, Broken>;
}

/// Whether a sum is free of infinities and not-a-numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finite {
    Yes,
    No,
}

/// A gradient that a link can cut, send and look into.
pub trait Flat: Sum {
    fn finite(&self) -> Finite;
}

impl Flat for Vec<f32> {
    fn finite(&self) -> Finite {
        if self.iter().all(|value| value.is_finite()) { Finite::Yes } else { Finite::No }
    }
}

/// Forms links.
pub trait Dial<S> {
    fn form(&mut self, opening: &Opening, me: &WorkerId, ear: &dyn Ear) -> Result<Box<dyn Link<S>>, Leaving>;
}

/// The link of a generation of one: nobody to reach.
pub struct Alone;

impl<S: Flat> Link<S> for Alone {
    fn rank(&self) -> Rank {
        Rank(0)
    }

    fn size(&self) -> usize {
        1
    }

    fn reduce(
        &mut self,
        lanes: u32,
        parts: Vec<S>,
        tail: &mut dyn FnMut(Finite) -> Vec<u8>,
        _: &dyn Ear,
    ) -> Result<Reduced<S>, Broken> {
        let gradient = add_up(lanes, vec![parts]);
        let tails = vec![tail(gradient.finite())];
        Ok(Reduced { gradient, tails })
    }

    fn pass_on(&mut self, bytes: &[u8], _: &dyn Ear) -> Result<Vec<u8>, Broken> {
        Ok(bytes.to_vec())
    }

    fn gather(&mut self, bytes: &[u8], _: &dyn Ear) -> Result<Vec<Vec<u8>>, Broken> {
        Ok(vec![bytes.to_vec()])
    }

    fn broadcast(&mut self, _: Rank, bytes: Option<&[u8]>, _: &dyn Ear) -> Result<Vec<u8>, Broken> {
        Ok(bytes.unwrap_or_default().to_vec())
    }

    fn send(&mut self, to: Rank, _: &[u8], _: &dyn Ear) -> Result<(), Broken> {
        Err(Broken::Failed { attempt: "send", reason: format!("there is no rank {to} in a generation of one") })
    }

    fn receive(&mut self, from: Rank, _: &dyn Ear) -> Result<Vec<u8>, Broken> {
        Err(Broken::Failed { attempt: "receive", reason: format!("there is no rank {from} in a generation of one") })
    }
}

/// The sum over all lanes from everybody's subtrees, given by rank: the one order of addition, whoever brings which.
#[must_use]
pub fn add_up<S: Sum>(lanes: u32, parts: Vec<Vec<S>>) -> S {
    let workers = parts.len();
    let mut leaves: Vec<(Node, Option<S>)> = parts
        .into_iter()
        .enumerate()
        .flat_map(|(rank, parts)| {
            let range = sumac_common::lanes::owned(lanes, workers, Rank(rank as u32));
            reduce::subtrees(range, lanes).into_iter().zip(parts.into_iter().map(Some))
        })
        .collect();
    let mut leaf = |node: Node| -> Result<Option<S>, std::convert::Infallible> {
        Ok(leaves.iter_mut().find(|(known, _)| *known == node).and_then(|(_, part)| part.take()))
    };
    match reduce::fold(Node::whole(lanes), &mut leaf, &mut |a: S, b: S| Ok(a.plus(b))) {
        Ok(sum) => sum,
        Err(never) => match never {},
    }
}

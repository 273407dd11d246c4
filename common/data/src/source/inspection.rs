//! What `sumac data inspect` shows: what a source is, from its headers alone.

use super::{Kind, Place, Source, Unread};
use crate::{
    decode::{Header, header},
    label::LabelKind,
    manifest::Bad,
    picture::Depth,
};
use rayon::prelude::*;
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};

/// Images looked into at once.
const CHUNK: usize = 256;
/// How many keys are shown.
const EXAMPLES: usize = 5;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    pub path: PathBuf,
    pub kind: Kind,
    /// All that are listed, whether looked into or not.
    pub images: usize,
    /// How many headers were read.
    pub looked_into: usize,
    /// The most frequent first.
    pub sizes: Vec<SizeCount>,
    pub labels: LabelSummary,
    /// Names of the classes, by index.
    pub classes: Vec<String>,
    pub examples: Vec<String>,
    pub bad: Vec<Bad>,
}

/// So many images of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    pub width: u32,
    pub height: u32,
    pub channels: u32,
    /// Per value: 8, 16 or 32 (floating point).
    pub bits: u32,
    pub images: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelSummary {
    /// `None`: no image has a label.
    pub kind: Option<LabelKind>,
    pub present: usize,
    pub missing: usize,
}

impl Source {
    /// Reads the headers of all images, or of the first `at_most`. Pixels that are cut short are only found by freezing.
    #[must_use]
    pub fn inspect(&self, at_most: Option<usize>) -> Inspection {
        let looked_into = at_most.unwrap_or(usize::MAX).min(self.samples.len());
        // Some after others: those side by side lie side by side.
        let some = |begin: usize| (begin..(begin + CHUNK).min(looked_into)).into_par_iter().map(|at| self.header(at));
        let headers =
            (0..looked_into).step_by(CHUNK).flat_map(|begin| some(begin).collect::<Vec<Result<Header, Bad>>>());
        let mut sizes: BTreeMap<(u32, u32, u32, Depth), usize> = BTreeMap::new();
        let mut bad = self.bad.clone();
        for header in headers {
            match header {
                Ok(Header { width, height, channels, depth, .. }) => {
                    *sizes.entry((width, height, channels, depth)).or_default() += 1
                }
                Err(fault) => bad.push(fault),
            }
        }
        let size = |((width, height, channels, depth), images): ((u32, u32, u32, Depth), usize)| SizeCount {
            width,
            height,
            channels,
            bits: 8 * depth.bytes() as u32,
            images,
        };
        let mut sizes: Vec<SizeCount> = sizes.into_iter().map(size).collect();
        sizes.sort_by_key(|size| std::cmp::Reverse(size.images));
        let present = self.samples.iter().filter(|sample| sample.label.is_some()).count();
        Inspection {
            path: self.root.clone(),
            kind: self.kind,
            images: self.samples.len(),
            looked_into,
            sizes,
            labels: LabelSummary {
                kind: self.samples.iter().find_map(|sample| Some(sample.label.as_ref()?.kind())),
                present,
                missing: self.samples.len() - present,
            },
            classes: self.classes.clone(),
            examples: self.samples.iter().take(EXAMPLES).map(|sample| sample.key.clone()).collect(),
            bad,
        }
    }

    fn header(&self, at: usize) -> Result<Header, Bad> {
        let key = &self.samples[at].key;
        if let (Place::Record(_), Some(stack)) = (&self.samples[at].place, &self.stack) {
            return Ok(stack.header());
        }
        if matches!(self.samples[at].place, Place::Dataset(_)) {
            return self.dataset(at).map(|(stack, _)| stack.header()).map_err(|unread| bad(key, unread));
        }
        match self.image_bytes(at) {
            Ok(bytes) => header(&bytes).map_err(|fault| Bad::new(key, &fault)),
            Err(unread) => Err(bad(key, unread)),
        }
    }
}

fn bad(key: &str, unread: Unread) -> Bad {
    match unread {
        Unread::Fault(fault) => Bad::new(key, &fault),
        Unread::Io { source, .. } => Bad { key: key.to_owned(), reason: source.to_string(), size: None },
    }
}

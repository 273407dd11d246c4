//! A job in pieces: whoever is free is lent some of them, and any whole attempt of a piece will do. A refinement's pieces are runs of
//! its images, an evaluation's its cells.
//!
//! What all of them have in common is here; what becomes of each piece is in [`leases`](crate::leases).

use crate::{
    evaluation::Evaluation,
    ids::Digest,
    leases::Shard,
    refinement::Refinement,
    spec::{Workers, in_percent, plural},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piecework {
    Refine(Box<Refinement>),
    Evaluate(Box<Evaluation>),
}

impl Piecework {
    /// As in `kind = "refine"`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refine(_) => "refine",
            Self::Evaluate(_) => "evaluate",
        }
    }

    /// What its pieces are called.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Refine(_) => "shard",
            Self::Evaluate(_) => "cell",
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Refine(refinement) => &refinement.name,
            Self::Evaluate(evaluation) => &evaluation.name,
        }
    }

    /// Over everything that changes results, the fingerprint aside.
    #[must_use]
    pub fn identity(&self) -> Digest {
        match self {
            Self::Refine(refinement) => refinement.what.identity(),
            Self::Evaluate(evaluation) => evaluation.what.identity(),
        }
    }

    #[must_use]
    pub fn pieces(&self) -> u32 {
        match self {
            Self::Refine(refinement) => refinement.what.shards(),
            Self::Evaluate(evaluation) => u32::try_from(evaluation.what.cells().len()).unwrap_or(u32::MAX),
        }
    }

    /// What is counted in it: images, or cells.
    #[must_use]
    pub fn items(&self) -> u64 {
        match self {
            Self::Refine(refinement) => refinement.what.samples,
            Self::Evaluate(_) => self.pieces().into(),
        }
    }

    /// Of these, those in one piece.
    #[must_use]
    pub fn items_of(&self, piece: Shard) -> u64 {
        match self {
            Self::Refine(refinement) => {
                let samples = refinement.what.samples_of(piece);
                samples.end - samples.start
            }
            Self::Evaluate(_) => 1,
        }
    }

    #[must_use]
    pub fn workers(&self) -> &Workers {
        match self {
            Self::Refine(refinement) => &refinement.how.workers,
            Self::Evaluate(evaluation) => &evaluation.how.workers,
        }
    }

    pub(crate) fn workers_mut(&mut self) -> &mut Workers {
        match self {
            Self::Refine(refinement) => &mut refinement.how.workers,
            Self::Evaluate(evaluation) => &mut evaluation.how.workers,
        }
    }

    #[must_use]
    pub fn destination(&self) -> &Path {
        match self {
            Self::Refine(refinement) => &refinement.how.destination,
            Self::Evaluate(evaluation) => &evaluation.how.destination,
        }
    }

    /// Where work in progress is.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        match self {
            Self::Refine(refinement) => refinement.work(),
            Self::Evaluate(evaluation) => evaluation.work(),
        }
    }

    /// Why so many items that did not come out are one too many; `lost` is one of the pieces that nobody could do, with the reason.
    #[must_use]
    pub fn is_too_bad(&self, bad: u64, lost: Option<(Shard, &str)>) -> Option<String> {
        const AGAIN: &str = "and give the same command again";
        match self {
            Self::Refine(refinement) if refinement.what.is_too_bad(bad) => {
                let example = match lost {
                    Some((shard, why)) => format!("shard {shard} failed again and again ({why})"),
                    None => format!("their reasons are in {}", refinement.work().join("shards").display()),
                };
                let (images, most) = (plural(refinement.what.samples, "image"), refinement.what.max_bad);
                Some(format!(
                    "{bad} of {images} could not be refined, more than --max-bad {}% allows: {example}; mend them, or allow \
                     more, {AGAIN}",
                    in_percent(most)
                ))
            }
            Self::Evaluate(_) if bad > 0 => {
                let example = lost
                    .map_or_else(String::new, |(cell, why)| format!("cell {cell} failed again and again ({why}); "));
                Some(format!("{example}mend what it says, {AGAIN}"))
            }
            _ => None,
        }
    }

    /// For the wire and for the disk.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("piecework is plain data: its JSON cannot fail")
    }

    /// # Errors
    /// What is wrong with the text, in a sentence.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let piecework: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match &piecework {
            Self::Refine(refinement) => refinement.check()?,
            Self::Evaluate(evaluation) => evaluation.check()?,
        }
        Ok(piecework)
    }
}

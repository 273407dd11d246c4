//! One shard's output while it is written: a folder that holds what is to be published, and at last the receipt.
//!
//! Nobody else writes to it, and nothing of it is anybody's until it is published. Knows nothing of who refines, and of
//! other attempts.

use super::{
    RefinedError,
    named::{self, PROVENANCE, told_apart},
    places::{self, OUT, RECEIPT},
    receipt::{Fate, Header, Part, Receipt, Refined, Row, and, label_digest, line},
};
use crate::{
    Source,
    decode::Format as Form,
    source::{Kind, Piece, Sample},
    storage::{Draft, Unfinished},
};
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use sumac_common::{
    ids::Digest,
    leases::Shard,
    refinement::{Layout, Refinement, Trained},
};

/// What became of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Refined {
        /// SHA-256 of the image's bytes as they went in ([`Source::original`]).
        original_digest: Digest,
        /// As [`written`](super::written) made it.
        image: Vec<u8>,
        /// [`Source::label_pieces`].
        pieces: Vec<Piece>,
    },
    Bad {
        reason: String,
    },
}

/// A shard that is written and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub receipt: Digest,
    pub refined: u64,
    pub bad: u64,
    /// Of all files that were written.
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Attempt {
    shard: Shard,
    draft: Draft,
    samples: Vec<Expected>,
    rows: Vec<Row>,
    out: Out,
    about: About,
    labels: Digest,
    bytes: u64,
}

/// A sample as it is to come, and what its output is called.
#[derive(Debug)]
struct Expected {
    key: String,
    name: String,
    sidecars: Vec<String>,
}

enum Out {
    /// A file for each image and each of its sidecars; these were written.
    Files(BTreeSet<PathBuf>),
    Tar(tar::Builder<Hashed>),
    /// The records of a stack, each of so many bytes; the images of rows of parquet files, of any number.
    Records {
        file: Hashed,
        record_bytes: Option<u64>,
    },
}

/// What all images of a refinement have in common, as it is written beside each of them in a tar.
#[derive(Clone, Debug, Serialize)]
struct About {
    key: String,
    source_sha256: Digest,
    #[serde(flatten)]
    refiner: Option<By>,
}

/// What it was refined by.
#[derive(Clone, Debug, Serialize)]
struct By {
    weights_sha256: Digest,
    lambda: f64,
    seed: u64,
    run: String,
    step: u64,
}

impl Attempt {
    /// Begins with an empty folder. `input` is the shard; `name` is of this attempt alone: letters, digits, `-` and `_`.
    pub fn begin(order: &Refinement, input: &Source, shard: Shard, name: &str) -> Result<Self, RefinedError> {
        super::publish::check_name(name)?;
        let what = &order.what;
        named::check(input, what.layout, what.format, what.fit.map(|_| what.image))?;
        let place = places::attempt(&order.work(), shard, name);
        let unwritable = |error| RefinedError::unwritable(&place)(error);
        let draft = Draft::begin(place.clone()).map_err(unwritable)?;
        let out = draft.folder().join(OUT);
        let stack = input.stack_file();
        let out = match what.layout {
            Layout::Mirror if stack.is_some() || input.kind() == Kind::Parquet => {
                let file = Hashed::create(&out, places::records(shard)).map_err(unwritable)?;
                Out::Records { file, record_bytes: stack.as_ref().map(|(_, record_bytes)| *record_bytes) }
            }
            Layout::Mirror => {
                fs::create_dir_all(&out).map_err(unwritable)?;
                Out::Files(BTreeSet::new())
            }
            Layout::Shards => {
                Out::Tar(tar::Builder::new(Hashed::create(&out, named::part(shard)).map_err(unwritable)?))
            }
        };
        let stack = stack.and_then(|(stack, _)| Some(stack.file_name()?.to_string_lossy().into_owned()));
        let expected = |(at, sample): (usize, &Sample)| Expected {
            key: sample.key.clone(),
            name: match &out {
                Out::Files(_) => named::mirrored(sample, what.format),
                Out::Tar(_) => named::in_tar(sample),
                Out::Records { .. } => input.row(at).map(|row| row.file).or(stack.clone()).unwrap_or_default(),
            },
            sidecars: sample.sidecars.clone(),
        };
        let samples: Vec<Expected> = input.samples().iter().enumerate().map(expected).collect();
        let by = |Trained { weights, origin, .. }: &Trained| By {
            weights_sha256: *weights,
            lambda: origin.lambda,
            seed: origin.seed,
            run: origin.run.clone(),
            step: origin.step,
        };
        let refiner = what.refiner.as_ref().map(by);
        let about = About { key: String::new(), source_sha256: Digest::default(), refiner };
        let (rows, labels) = (Vec::new(), Digest::default());
        Ok(Self { shard, draft, samples, rows, out, about, labels, bytes: 0 })
    }

    /// What became of the next image, in the order of the shard.
    pub fn put(&mut self, outcome: Outcome) -> Result<(), RefinedError> {
        let Some(Expected { key, name, sidecars }) = self.samples.get(self.rows.len()) else {
            return Err(self.miscounted(self.rows.len() + 1));
        };
        let unwritable = |error| RefinedError::unwritable(self.draft.place())(error);
        let (original, image, pieces) = match outcome {
            Outcome::Refined { original_digest, image, pieces } => (original_digest, image, pieces),
            Outcome::Bad { reason } => {
                self.rows.push(Row { key: key.clone(), fate: Fate::Bad { bad: reason } });
                return Ok(());
            }
        };
        let (mut file, bytes, refined) = (name.clone(), image.len() as u64, Digest::of(&image));
        let mut pieces = pieces;
        match &mut self.out {
            Out::Files(written) => {
                let out = self.draft.folder().join(OUT);
                // What comes from files beside the image comes last; the rest lies in tables and names of folders.
                let beside = &pieces[pieces.len().saturating_sub(sidecars.len())..];
                let beside = sidecars.iter().zip(beside).map(|(name, piece)| (name, &piece.bytes));
                for (name, content) in [(name, &image)].into_iter().chain(beside) {
                    let path = out.join(name);
                    fs::create_dir_all(path.parent().unwrap_or(&out)).map_err(unwritable)?;
                    fs::write(&path, content).map_err(unwritable)?;
                    self.bytes += if written.insert(path) { content.len() as u64 } else { 0 };
                }
            }
            Out::Tar(tar) => {
                let ending = Form::of(&image).map_or("png", Form::ending);
                file = format!("{name}.{ending}");
                pieces = told_apart(pieces, ending);
                let about = About { key: key.clone(), source_sha256: original, ..self.about.clone() };
                let members = pieces.iter().map(|Piece { ending, bytes }| (format!("{name}.{ending}"), &bytes[..]));
                let about = line(&about);
                let about = (format!("{name}.{PROVENANCE}"), &about[..]);
                for (name, content) in [(file.clone(), &image[..])].into_iter().chain(members).chain([about]) {
                    append(tar, &name, content).map_err(unwritable)?;
                }
            }
            Out::Records { record_bytes: Some(wanted), .. } if bytes != *wanted => {
                return Err(RefinedError::Record { key: key.clone(), found: bytes, wanted: *wanted });
            }
            Out::Records { file, .. } => file.write_all(&image).map_err(unwritable)?,
        }
        let labels = label_digest(&pieces);
        self.labels = and(self.labels, key, labels);
        let refined = Refined { file, bytes, source: original, refined, labels };
        self.rows.push(Row { key: key.clone(), fate: Fate::Refined(refined) });
        Ok(())
    }

    /// All of it is there: makes it durable, and says so in a receipt, which comes last.
    pub fn finish(self) -> Result<Whole, RefinedError> {
        if self.rows.len() != self.samples.len() {
            return Err(self.miscounted(self.rows.len()));
        }
        let Self { shard, draft, rows, out, labels, mut bytes, .. } = self;
        let place = draft.place();
        let unwritable = |error| RefinedError::unwritable(place)(error);
        let files = match out {
            Out::Files(written) => {
                let durable = |path: &PathBuf| File::open(path)?.sync_all();
                written.par_iter().try_for_each(durable).map_err(unwritable)?;
                Vec::new()
            }
            Out::Tar(tar) => vec![tar.into_inner().and_then(Hashed::finish).map_err(unwritable)?],
            Out::Records { file, .. } => vec![file.finish().map_err(unwritable)?],
        };
        draft.settle().map_err(unwritable)?;
        bytes += files.iter().map(|part| part.bytes).sum::<u64>();
        let refined = rows.iter().filter(|row| matches!(row.fate, Fate::Refined(_))).count() as u64;
        let bad = rows.len() as u64 - refined;
        let receipt = Receipt { header: Header { shard, refined, bad, bytes, files, labels }, rows }.bytes();
        let keep = || {
            let mut file = Unfinished::create(place, RECEIPT)?;
            file.write_all(&receipt)?;
            file.finish(place, RECEIPT)
        };
        keep().map_err(unwritable)?;
        Ok(Whole { receipt: Digest::of(&receipt), refined, bad, bytes })
    }

    fn miscounted(&self, outcomes: usize) -> RefinedError {
        RefinedError::Outcomes { shard: self.shard, samples: self.samples.len(), outcomes }
    }
}

/// A member of a tar that is the same whenever and wherever it is written.
fn append(tar: &mut tar::Builder<Hashed>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, name, content)
}

/// A file that is hashed as it is written.
struct Hashed {
    file: BufWriter<File>,
    name: String,
    bytes: u64,
    sha256: Sha256,
}

impl Hashed {
    /// Under `name` below `folder`.
    fn create(folder: &Path, name: String) -> io::Result<Self> {
        let path = folder.join(&name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        Ok(Self { file: BufWriter::new(File::create(path)?), name, bytes: 0, sha256: Sha256::new() })
    }

    fn finish(mut self) -> io::Result<Part> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(Part { name: self.name, bytes: self.bytes, sha256: Digest(self.sha256.finalize().into()) })
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Files(_) => "files",
            Self::Tar(_) => "a tar",
            Self::Records { .. } => "records",
        })
    }
}

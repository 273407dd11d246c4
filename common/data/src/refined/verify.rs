//! Whether a refined data set is whole: each image once, every byte as it was written, every label as it was in the source.
//!
//! Believes nothing that it reads: what makes no sense is a finding, never an end. Knows nothing of refiners.

use super::{
    ERRORS, MANIFEST, Manifest, PROVENANCE, RefinedError, manifest,
    named::{PROVENANCE as ORIGIN, told_apart},
    receipt::{Fate, Refined, Row, label_digest},
};
use crate::{
    Source, SourceError,
    decode::Fault,
    source::{Kind, Piece, Unread, stem},
    storage,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};
use sumac_common::{ids::Digest, refinement::Layout};

const MISSED: &str = "it is in the source, and neither refined nor in the list of errors";
/// A line longer than this is no line of ours.
const LINE_MAX: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Images that are there, and images in the list of errors.
    pub images: u64,
    pub bad: u64,
    /// Of these images, labels that are what they were; with a source also what they are there.
    pub labels: u64,
    pub findings: Vec<Finding>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A file of the data set.
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) if *key != self.file => write!(f, "{}, image {key}: {}", self.file, self.what),
            _ => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

#[derive(Deserialize)]
struct Bad {
    key: String,
}

/// Reads all of `destination`; with `source` also that one's labels. `progress` is called with (done, total) images.
pub fn verify(
    destination: &Path,
    source: Option<&Source>,
    progress: &dyn Fn(u64, u64),
) -> Result<Verified, RefinedError> {
    let not = |what: &str| RefinedError::NotSealed { path: destination.to_owned(), what: what.to_owned() };
    let manifest = manifest::sealed(destination)?.ok_or_else(|| not("there is none"))?;
    let mut inspection = Inspection {
        destination,
        verified: Verified { images: 0, bad: 0, labels: 0, findings: Vec::new() },
        seen: HashMap::new(),
        manifest,
    };
    inspection.parts();
    inspection.errors();
    inspection.images(source.and_then(Source::column), progress);
    if let Some(source) = source {
        inspection.against(source);
    }
    Ok(inspection.verified)
}

struct Inspection<'a> {
    destination: &'a Path,
    manifest: Manifest,
    verified: Verified,
    /// By the digest of its key: an image that came out, `None` for one that did not.
    seen: HashMap<Digest, Option<Known>>,
}

struct Known {
    labels: Digest,
    /// Of its image.
    ending: String,
}

impl Inspection<'_> {
    fn finds(&mut self, file: &str, key: Option<&str>, what: impl fmt::Display) {
        let finding = Finding { file: file.to_owned(), key: key.map(str::to_owned), what: what.to_string() };
        self.verified.findings.push(finding);
    }

    /// The tars, whole.
    fn parts(&mut self) {
        for part in self.manifest.parts.clone() {
            let Some(file) = part.file else { continue };
            if file.name.contains('/') || file.name.contains("..") {
                self.finds(MANIFEST, None, format!("it names `{}`, which is no part", file.name));
                continue;
            }
            match sha256(&self.destination.join(&file.name)) {
                Ok(found) if found == file.sha256 => {}
                Ok(_) => self.finds(&file.name, None, "it is not what was written"),
                Err(error) => self.finds(&file.name, None, error),
            }
        }
    }

    fn errors(&mut self) {
        let wanted = self.manifest.errors_sha256;
        for line in self.list(ERRORS, wanted) {
            match serde_json::from_slice::<Bad>(&line) {
                Ok(Bad { key }) => {
                    self.verified.bad += 1;
                    self.notes(ERRORS, &key, None);
                }
                Err(error) => self.finds(ERRORS, None, format!("a line is no entry: {error}")),
            }
        }
        if self.verified.bad != self.manifest.bad {
            let what = format!("{} images, the manifest says {}", self.verified.bad, self.manifest.bad);
            self.finds(ERRORS, None, what);
        }
    }

    /// Each image once.
    fn notes(&mut self, list: &str, key: &str, known: Option<Known>) {
        if self.seen.insert(Digest::of(key.as_bytes()), known).is_some() {
            self.finds(list, Some(key), "it is there twice");
        }
    }

    /// The lines of a list, which must hash to this.
    fn list(&mut self, name: &str, wanted: Digest) -> Vec<Vec<u8>> {
        let path = self.destination.join(name);
        match sha256(&path) {
            Ok(found) if found == wanted => {}
            Ok(_) => self.finds(name, None, "it is not what was written"),
            Err(error) => self.finds(name, None, error),
        }
        match lines(&path) {
            Ok(lines) => lines,
            Err(error) => {
                self.finds(name, None, error);
                Vec::new()
            }
        }
    }

    fn images(&mut self, column: Option<&str>, progress: &dyn Fn(u64, u64)) {
        let rows = self.list(PROVENANCE, self.manifest.provenance_sha256);
        let looked = match (Source::look(self.destination), column) {
            // Which of them was meant is known from where they come from.
            (Err(SourceError::SeveralColumns { .. }), Some(column)) => Source::look(&self.destination.join(column)),
            (looked, _) => looked,
        };
        let there = match looked {
            Ok(there) => Some(there),
            Err(_) if self.manifest.images == 0 => None,
            Err(error) => return self.finds(".", None, error),
        };
        let tars: HashSet<String> =
            self.manifest.parts.iter().filter_map(|part| Some(part.file.as_ref()?.name.clone())).collect();
        let names: HashMap<String, usize> = there
            .iter()
            .flat_map(|there| there.samples().iter().enumerate())
            .map(|(at, sample)| (without_tar(&sample.key, &tars).to_owned(), at))
            .collect();
        let is_parquet = there.as_ref().is_some_and(|there| there.kind() == Kind::Parquet);
        let is_by_key = is_parquet || there.as_ref().is_some_and(|there| there.stack_file().is_some());
        let mut met = vec![false; names.len()];
        let total = rows.len() as u64;
        for line in rows {
            let (key, refined) = match serde_json::from_slice::<Row>(&line) {
                Ok(Row { key, fate: Fate::Refined(refined) }) => (key, refined),
                _ => {
                    self.finds(PROVENANCE, None, "a line is no entry");
                    continue;
                }
            };
            self.verified.images += 1;
            let ending = refined.file.rsplit_once('.').map_or("", |(_, ending)| ending).to_owned();
            self.notes(PROVENANCE, &key, Some(Known { labels: refined.labels, ending }));
            let name = match self.manifest.what.layout {
                Layout::Mirror if is_by_key => key.as_str(),
                Layout::Mirror => refined.file.as_str(),
                Layout::Shards => stem(&refined.file),
            };
            match (names.get(name), &there) {
                (Some(at), Some(there)) => {
                    met[*at] = true;
                    self.image(there, *at, &key, &refined);
                }
                _ => self.finds(&refined.file, Some(&key), "it is missing"),
            }
            progress(self.verified.images, total);
        }
        // The row of an image that did not come out stays, without one.
        let is_gap = |name: &str, at: usize| {
            let is_bad = is_parquet && matches!(self.seen.get(&Digest::of(name.as_bytes())), Some(None));
            let image = there.as_ref().filter(|_| is_bad).map(|there| there.original(at));
            matches!(image, Some(Err(Unread::Fault(Fault::NoBytes | Fault::OnlyAPath { .. }))))
        };
        let extra = names.iter().filter(|(name, at)| !met[**at] && !is_gap(name, **at));
        let extra = extra.map(|(name, _)| (*name).to_owned());
        let mut extra: Vec<String> = extra.collect();
        extra.sort();
        extra.iter().for_each(|name| self.finds(name, None, "it was not written by the refinement"));
        if self.verified.images != self.manifest.images {
            let what = format!("{} images, the manifest says {}", self.verified.images, self.manifest.images);
            self.finds(PROVENANCE, None, what);
        }
    }

    fn image(&mut self, there: &Source, at: usize, key: &str, refined: &Refined) {
        match there.original(at) {
            Ok(image) if Digest::of(&image.bytes) == refined.refined => {}
            Ok(_) => self.finds(&refined.file, Some(key), "its image is not what was written"),
            Err(unread) => self.finds(&refined.file, Some(key), said(unread)),
        }
        match there.label_pieces(at).map(|pieces| label_digest(&without_origin(pieces))) {
            Ok(label) if label == refined.labels => self.verified.labels += 1,
            Ok(_) => self.finds(&refined.file, Some(key), "its label is not what was written"),
            Err(unread) => self.finds(&refined.file, Some(key), said(unread)),
        }
    }

    /// The source's keys are those of both lists together, and its labels theirs.
    fn against(&mut self, source: &Source) {
        let listed = source.bad().iter().map(|bad| bad.key.clone()).collect::<Vec<_>>();
        for key in &listed {
            if self.meets(key).is_none() {
                self.finds(ERRORS, Some(key), MISSED);
            }
        }
        for (at, sample) in source.samples().iter().enumerate() {
            let Some(known) = self.meets(&sample.key) else {
                self.finds(PROVENANCE, Some(&sample.key), MISSED);
                continue;
            };
            let Some(Known { labels, ending }) = known else { continue };
            let pieces = source.label_pieces(at).map(|pieces| match self.manifest.what.layout {
                Layout::Mirror => pieces,
                Layout::Shards => told_apart(pieces, &ending),
            });
            match pieces.map(|pieces| label_digest(&pieces)) {
                Ok(label) if label == labels => {}
                Ok(_) => self.finds("the source", Some(&sample.key), "its label is not the one that was carried along"),
                Err(unread) => self.finds("the source", Some(&sample.key), said(unread)),
            }
        }
        let missing = self.seen.len();
        if missing > 0 {
            self.finds(PROVENANCE, None, format!("{missing} of its images are not in the source"));
        }
    }

    /// What is known of this image, which is then not met again.
    fn meets(&mut self, key: &str) -> Option<Option<Known>> {
        self.seen.remove(&Digest::of(key.as_bytes()))
    }
}

/// A key without the tar that it is in: where there are several, their names come before.
fn without_tar<'k>(key: &'k str, tars: &HashSet<String>) -> &'k str {
    key.split_once('/').filter(|(first, _)| tars.contains(*first)).map_or(key, |(_, rest)| rest)
}

/// The label alone: where the image came from is written beside it in a tar.
fn without_origin(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.retain(|piece| piece.ending != ORIGIN);
    pieces
}

fn said(unread: Unread) -> String {
    match unread {
        Unread::Fault(fault) => fault.to_string(),
        Unread::Io { path, source } => format!("{} cannot be read: {source}", path.display()),
    }
}

fn sha256(path: &Path) -> io::Result<Digest> {
    let (mut file, mut sha256) = (storage::open(path)?, Sha256::new());
    io::copy(&mut file, &mut sha256)?;
    Ok(Digest(sha256.finalize().into()))
}

fn lines(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut file = BufReader::new(storage::open(path)?);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        match file.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? {
            0 => return Ok(lines),
            _ => lines.push(line),
        }
    }
}

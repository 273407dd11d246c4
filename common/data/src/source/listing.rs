//! A listing, written down and read back run by run, so that a part of a data set is opened without looking at the rest.
//!
//! What holds for the whole source is its [`Head`]; each run of samples is lines of JSON of its own. Knows nothing of the
//! files that they are written to.

use super::{
    Kind, Place, Sample, Source, SourceError, Stamp,
    folder::Found,
    idx, npy,
    original::{Stretch, Whole},
    parquet::Parquets,
    stack::Values,
};
use crate::{label::Label, manifest::Bad, storage};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What holds for all of a source's samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    root: String,
    pub kind: Kind,
    pub classes: Vec<String>,
    stack: Option<Stacked>,
    pub bad: Vec<Bad>,
    /// Of parquet files, the column that the images are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// Files that belong to no single image: relative to the root, and where they lie if not there.
    others: Vec<(String, Stamp, Option<String>)>,
}

/// A stack: its file and those of its labels, and what its values stand for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stacked {
    /// `None` where each image is an array of its own.
    values: Option<Values>,
    wholes: Vec<(String, Stamp)>,
}

/// A sample, written down.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    key: String,
    stamp: Stamp,
    place: Lies,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<Label>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sidecars: Vec<(String, Stamp)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stretches: Vec<Stretch>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_twin: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Lies {
    /// Under its key.
    File,
    Record(u64),
    Stretch(Stretch),
    /// An array under its key.
    Dataset(u64),
    /// In such a file of the run, such a row.
    Row(u32, u64),
}

impl Line {
    pub(super) fn sample(self, root: &Path) -> Sample {
        let Self { key, stamp, place, label, sidecars, stretches, is_twin } = self;
        let place = match place {
            Lies::File => Place::File(root.join(&key)),
            Lies::Record(record) => Place::Record(record),
            Lies::Stretch(stretch) => Place::Stretch(stretch),
            Lies::Dataset(at) => Place::Dataset(at),
            Lies::Row(within, row) => Place::Row { within, row },
        };
        let (sidecars, sidecar_stamps) = sidecars.into_iter().unzip();
        Sample { key, label, sidecars, sidecar_stamps, stamp, place, stretches, is_twin }
    }

    /// Gives other numbers to the files that it lies in.
    fn each_within(&mut self, number: impl Fn(u32) -> u32) {
        match &mut self.place {
            Lies::Stretch(Stretch { within, .. }) | Lies::Row(within, _) => *within = number(*within),
            Lies::File | Lies::Record(_) | Lies::Dataset(_) => {}
        }
        self.stretches.iter_mut().for_each(|stretch| stretch.within = number(stretch.within));
    }
}

/// A path that cannot be written down.
pub(crate) struct NotUtf8(pub PathBuf);

fn text(path: &Path) -> Result<String, NotUtf8> {
    path.to_str().map(str::to_owned).ok_or_else(|| NotUtf8(path.to_owned()))
}

impl Source {
    pub(crate) fn head(&self) -> Result<Head, NotUtf8> {
        let whole = |whole: &Whole| Ok((text(&whole.path)?, whole.stamp));
        let stacked = || {
            let values = self.stack.as_ref().map(|stack| stack.values);
            Ok(Stacked { values, wholes: self.wholes.iter().map(whole).collect::<Result<_, _>>()? })
        };
        let other = |found: &Found| {
            let elsewhere = self.root.join(&found.key) != found.path;
            Ok((found.key.clone(), found.stamp, elsewhere.then(|| text(&found.path)).transpose()?))
        };
        Ok(Head {
            root: text(&self.root)?,
            kind: self.kind,
            classes: self.classes.clone(),
            stack: self.is_stacked().then(stacked).transpose()?,
            bad: self.bad.clone(),
            column: self.parquets.as_ref().map(|parquets| parquets.column().to_owned()),
            others: self.others.iter().map(other).collect::<Result<_, _>>()?,
        })
    }

    /// Marks the samples that share a name with another one but for their endings, or whose name without its ending is that
    /// of another one.
    pub(crate) fn twins(&self) -> HashSet<usize> {
        let mut named: HashMap<&str, usize> = HashMap::new();
        let keys: HashSet<&str> = self.samples.iter().map(|sample| sample.key.as_str()).collect();
        self.samples.iter().for_each(|sample| *named.entry(super::stem(&sample.key)).or_default() += 1);
        let is_twin = |sample: &Sample| {
            let stem = super::stem(&sample.key);
            named[stem] > 1 || (stem != sample.key && keys.contains(stem))
        };
        self.samples.iter().enumerate().filter(|(_, sample)| is_twin(sample)).map(|(at, _)| at).collect()
    }

    /// A run of samples as lines: first the files that they lie in, then a line each.
    pub(crate) fn run(&self, samples: Range<usize>, twins: &HashSet<usize>) -> Result<Vec<u8>, NotUtf8> {
        let mut within: BTreeMap<u32, u32> = BTreeMap::new();
        for sample in &self.samples[samples.clone()] {
            let own = match sample.place {
                Place::Stretch(Stretch { within, .. }) | Place::Row { within, .. } => Some(within),
                _ => None,
            };
            for whole in sample.stretches.iter().map(|stretch| stretch.within).chain(own) {
                let next = within.len() as u32;
                within.entry(whole).or_insert(next);
            }
        }
        let mut wholes: Vec<(u32, u32)> = within.iter().map(|(&whole, &here)| (here, whole)).collect();
        wholes.sort_unstable();
        let whole = |(_, whole): (u32, u32)| {
            let Whole { path, stamp } = &self.wholes[whole as usize];
            Ok((text(path)?, *stamp))
        };
        let wholes: Vec<(String, Stamp)> = wholes.into_iter().map(whole).collect::<Result<_, _>>()?;
        let mut lines = json(&wholes);
        for at in samples {
            let mut line = self.line(&self.samples[at], twins.contains(&at))?;
            line.each_within(|whole| within[&whole]);
            lines.extend(json(&line));
        }
        Ok(lines)
    }

    /// With the numbers that this source has for its files.
    pub(super) fn line(&self, sample: &Sample, is_twin: bool) -> Result<Line, NotUtf8> {
        Ok(Line {
            key: sample.key.clone(),
            stamp: sample.stamp,
            place: match &sample.place {
                Place::File(path) if *path == self.root.join(&sample.key) => Lies::File,
                Place::File(path) => return Err(NotUtf8(path.clone())),
                Place::Record(record) => Lies::Record(*record),
                Place::Stretch(stretch) => Lies::Stretch(*stretch),
                Place::Dataset(at) => Lies::Dataset(*at),
                Place::Row { within, row } => Lies::Row(*within, *row),
            },
            label: sample.label.clone(),
            sidecars: sample.sidecars.iter().cloned().zip(sample.sidecar_stamps.iter().copied()).collect(),
            stretches: sample.stretches.clone(),
            is_twin,
        })
    }

    /// What the lines of one run hold; stack and labels are shared with this source.
    pub(crate) fn of_run(&self, lines: &[u8]) -> Result<Self, serde_json::Error> {
        let mut lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let wholes: Vec<(String, Stamp)> = serde_json::from_slice(lines.next().unwrap_or_default())?;
        let whole = |(path, stamp): (String, Stamp)| Whole { path: path.into(), stamp };
        let wholes = if self.is_stacked() { self.wholes.clone() } else { wholes.into_iter().map(whole).collect() };
        let sample = |line: &[u8]| Ok(serde_json::from_slice::<Line>(line)?.sample(&self.root));
        Ok(Self {
            samples: lines.map(sample).collect::<Result<_, serde_json::Error>>()?,
            classes: self.classes.clone(),
            stack: self.stack.clone(),
            labels: self.labels.clone(),
            set: self.set.clone(),
            parquets: self.parquets.clone(),
            wholes,
            ..Self::empty(self.root.clone(), self.kind)
        })
    }

    /// Whether its images lie in one file, which is opened once for all of them.
    fn is_stacked(&self) -> bool {
        self.stack.is_some() || self.set.is_some()
    }

    /// The files that belong to no single image, by their place under a mirror's root; of a stack those of its labels.
    pub(crate) fn others(&self) -> Vec<(String, &Path, Stamp)> {
        if self.is_stacked() {
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return self.wholes.iter().skip(1).map(|it| (name(&it.path), it.path.as_path(), it.stamp)).collect();
        }
        self.others.iter().map(|found| (found.key.clone(), found.path.as_path(), found.stamp)).collect()
    }
}

impl Head {
    /// The source without its samples. A stack is opened, and must be what it was.
    pub(crate) fn open(&self) -> Result<Source, SourceError> {
        let other = |(key, stamp, elsewhere): &(String, Stamp, Option<String>)| Found {
            key: key.clone(),
            path: elsewhere.as_ref().map_or_else(|| Path::new(&self.root).join(key), PathBuf::from),
            stamp: *stamp,
        };
        let mut empty = Source::empty(PathBuf::from(&self.root), self.kind);
        if let Some(column) = &self.column {
            empty.parquets = Some(Arc::new(Parquets::of(Path::new(&self.root), column.clone())?));
        }
        let opened = self.stack.as_ref().map_or(Ok(empty), |stacked| self.stacked(stacked))?;
        Ok(Source {
            classes: self.classes.clone(),
            bad: self.bad.clone(),
            others: self.others.iter().map(other).collect(),
            ..opened
        })
    }

    fn stacked(&self, stacked: &Stacked) -> Result<Source, SourceError> {
        let wholes: Vec<Whole> =
            stacked.wholes.iter().map(|(path, stamp)| Whole { path: path.into(), stamp: *stamp }).collect();
        // Before it is read, and after: what was unpacked in between is what was listed.
        let unchanged = || wholes.iter().try_for_each(Whole::check);
        unchanged()?;
        let empty = Source::empty(PathBuf::from(&self.root), self.kind);
        let Some(Whole { path, .. }) = wholes.first() else { return Ok(empty) };
        let named = Path::new(&self.root).strip_prefix(path).ok().and_then(Path::to_str);
        let named = named.filter(|name| !name.is_empty());
        let source = match self.kind {
            Kind::Idx => Source { stack: Some(idx::stack(path)?), ..empty },
            Kind::Hdf5 => Source::hdf5(path, named, stacked.values)?,
            kind => {
                let arrays = match kind {
                    Kind::Npz => npy::of_npz(path, named, stacked.values)?,
                    _ => npy::of_npy(path, stacked.values)?,
                };
                Source { stack: Some(arrays.stack), labels: arrays.labels, ..empty }
            }
        };
        unchanged()?;
        Ok(Source { samples: Vec::new(), wholes, ..source })
    }
}

impl Whole {
    fn check(&self) -> Result<(), SourceError> {
        let unchanged: io::Result<()> = storage::stamp(&self.path).and_then(|found| self.stamp.agrees(found));
        unchanged.map_err(|source| SourceError::unreadable(&self.path, source))
    }
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("a listing is plain data: its JSON cannot fail");
    line.push(b'\n');
    line
}

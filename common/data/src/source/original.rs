//! A sample as it lies there: the bytes of its image and of its label, nothing decoded, nothing interpreted.
//!
//! What is carried along must come out byte for byte as it went in. Read one sample at a time, when it is asked for: nothing
//! of the data set but its listing is held. Knows nothing of pixels and of what a label means.

use super::{
    Place, Sample, Source, Stamp, Unread,
    contents::contents,
    folder::{ending, stem},
    held::Held,
    parquet::Parquets,
    stack::Stack,
};
use crate::{
    decode::{FILE_BYTES_MAX, Fault, Format, LABEL_BYTES_MAX},
    label::Label,
    storage,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::hash_map::Entry,
    io,
    path::{Path, PathBuf},
    sync::PoisonError,
};

/// The image of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    pub form: Form,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An image file's content, whatever its name says.
    Encoded(Format),
    /// One record of an idx or npy stack: bare values in the stack's own order and depth.
    Values,
}

/// A piece of one sample's label: a file beside the image, a row, a member of a tar, a record of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What follows the name that it shares with its image: `json`, `mask.png`; `csv` for a row of a table, `json` for a line
    /// of JSON or a row of a parquet file; `cls` for a class; `labels.npy` for a record of the array `labels`.
    pub ending: String,
    /// A row comes without its line's end; a class as its index in decimal digits, as WebDataset writes it; a
    /// record behind an npy header of its own.
    pub bytes: Vec<u8>,
}

/// A run of bytes inside a larger file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u64)", into = "(u32, u64, u64)")]
pub(super) struct Stretch {
    /// Which of the source's [`Whole`]s.
    pub within: u32,
    pub begin: u64,
    pub bytes: u64,
}

impl From<(u32, u64, u64)> for Stretch {
    fn from((within, begin, bytes): (u32, u64, u64)) -> Self {
        Self { within, begin, bytes }
    }
}

impl From<Stretch> for (u32, u64, u64) {
    fn from(stretch: Stretch) -> Self {
        (stretch.within, stretch.begin, stretch.bytes)
    }
}

/// A file that stretches lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub path: PathBuf,
    pub stamp: Stamp,
}

impl Source {
    /// The image of one sample, in the form in which the data set brings it.
    pub fn original(&self, at: usize) -> Result<Original, Unread> {
        let bytes = self.image_bytes(at)?;
        let form = match self.samples[at].place {
            Place::Record(_) | Place::Dataset(_) => Form::Values,
            _ if bytes.is_empty() => return Err(Unread::Fault(Fault::Empty)),
            Place::File(_) | Place::Stretch(_) | Place::Row { .. } => {
                Form::Encoded(Format::of(&bytes).map_err(Unread::Fault)?)
            }
        };
        Ok(Original { form, bytes })
    }

    /// All that belongs to one sample besides its image: its label, then the files of its stem; empty if there is neither.
    pub fn label_pieces(&self, at: usize) -> Result<Vec<Piece>, Unread> {
        let sample = &self.samples[at];
        match (&sample.place, &self.set) {
            (Place::Dataset(at), Some(set)) => {
                let mut pieces = set.pieces(&sample.key)?;
                pieces.extend(self.records_of(*at)?);
                return Ok(pieces);
            }
            (Place::Row { within, row }, _) => return self.parquets().pieces(&self.wholes[*within as usize], *row),
            (Place::Record(at), set) if set.is_some() || !self.labels.is_empty() => return self.records_of(*at),
            _ => {}
        }
        let mut pieces = match &sample.label {
            Some(Label::Class { index, .. }) => {
                vec![Piece { ending: "cls".to_owned(), bytes: index.to_string().into_bytes() }]
            }
            Some(Label::Row(_)) => self.rows_of(sample)?,
            Some(Label::Members(endings)) => {
                let piece = |(ending, stretch): (&String, &Stretch)| {
                    Ok(Piece { ending: ending.clone(), bytes: self.label_bytes(ending, *stretch)? })
                };
                endings.iter().zip(&sample.stretches).map(piece).collect::<Result<_, _>>()?
            }
            Some(Label::Sidecars(_) | Label::Arrays(_)) | None => Vec::new(),
        };
        for (sidecar, stamp) in sample.sidecars.iter().zip(&sample.sidecar_stamps) {
            // A record of a tub has a stem of its own.
            let own = || sidecar.rsplit_once('.').map_or("", |(_, ending)| ending);
            let ending = sidecar.strip_prefix(stem(&sample.key)).unwrap_or_else(own).trim_start_matches(['.', '_']);
            let path = self.root.join(sidecar);
            let too_big = |bytes| Fault::LabelTooBig { name: sidecar.clone(), bytes };
            pieces
                .push(Piece { ending: ending.to_owned(), bytes: whole_file(&path, *stamp, LABEL_BYTES_MAX, too_big)? });
        }
        Ok(pieces)
    }

    /// What the arrays beside a stack have for one of its images.
    fn records_of(&self, at: u64) -> Result<Vec<Piece>, Unread> {
        let numbers = self.labels.iter().map(|labels| labels.piece(at));
        let texts = self.set.iter().flat_map(|set| set.texts(at)).map(Ok);
        numbers.chain(texts).collect()
    }

    fn rows_of(&self, sample: &Sample) -> Result<Vec<Piece>, Unread> {
        let piece = |stretch: &Stretch| {
            let ending = match ending(&self.wholes[stretch.within as usize].path).as_deref() {
                Some("jsonl" | "catalog") => "json".to_owned(),
                ending => ending.unwrap_or("csv").to_owned(),
            };
            Ok(Piece { bytes: self.label_bytes(&ending, *stretch)?, ending })
        };
        sample.stretches.iter().map(piece).collect()
    }

    /// The image of one sample: a file's content, or the record of a stack.
    pub(super) fn image_bytes(&self, at: usize) -> Result<Vec<u8>, Unread> {
        let too_big = |bytes| Fault::TooBig { bytes };
        match (&self.samples[at].place, &self.stack) {
            (Place::File(path), _) => whole_file(path, self.samples[at].stamp, FILE_BYTES_MAX, too_big),
            (Place::Stretch(stretch), _) if stretch.bytes > FILE_BYTES_MAX => {
                Err(Unread::Fault(too_big(stretch.bytes)))
            }
            (Place::Stretch(stretch), _) => self.stretch(*stretch),
            (Place::Record(record), Some(stack)) => {
                stack.record(*record).map_err(|source| Unread::Io { path: self.root.clone(), source })
            }
            (Place::Dataset(_), _) => self.dataset(at).map(|(_, bytes)| bytes),
            (Place::Row { within, row }, _) => self.parquets().image(&self.wholes[*within as usize], *row),
            (Place::Record(_), None) => unreachable!("records are listed together with their stack"),
        }
    }

    /// An image that is an array of its own: as a stack of one, and its values.
    pub(super) fn dataset(&self, at: usize) -> Result<(Stack, Vec<u8>), Unread> {
        match &self.set {
            Some(set) => set.image(&self.samples[at].key),
            None => unreachable!("arrays are listed together with their file"),
        }
    }

    /// What lies on another machine stays open: one answer of it brings many stretches.
    fn whole(&self, within: u32) -> io::Result<Held> {
        let Whole { path, stamp } = &self.wholes[within as usize];
        if !storage::is_remote(path) {
            return Held::listed(path, *stamp);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match open.entry(within) {
            Entry::Occupied(held) => held.get().clone(),
            Entry::Vacant(place) => place.insert(Held::listed(path, *stamp)?).clone(),
        })
    }

    /// The column of parquet files that the images are in.
    pub(crate) fn column(&self) -> Option<&str> {
        self.parquets.as_ref().map(|parquets| parquets.column())
    }

    pub(crate) fn parquets(&self) -> &Parquets {
        match &self.parquets {
            Some(parquets) => parquets,
            None => unreachable!("rows are listed together with their files"),
        }
    }

    fn label_bytes(&self, name: &str, stretch: Stretch) -> Result<Vec<u8>, Unread> {
        if stretch.bytes > LABEL_BYTES_MAX {
            return Err(Unread::Fault(Fault::LabelTooBig { name: name.to_owned(), bytes: stretch.bytes }));
        }
        self.stretch(stretch)
    }

    /// As long as nobody touched the file since it was listed: after that, the stretch would be of something else.
    fn stretch(&self, stretch: Stretch) -> Result<Vec<u8>, Unread> {
        let Whole { path, .. } = &self.wholes[stretch.within as usize];
        let read = || {
            let mut bytes = vec![0; stretch.bytes as usize];
            self.whole(stretch.within)?.read(&mut bytes, stretch.begin)?;
            Ok(bytes)
        };
        read().map_err(|source| Unread::Io { path: path.clone(), source })
    }
}

/// A whole file as it was listed, capped before it is read.
fn whole_file(path: &Path, listed: Stamp, most: u64, too_big: impl Fn(u64) -> Fault) -> Result<Vec<u8>, Unread> {
    let unreadable = |source| Unread::Io { path: path.to_owned(), source };
    let read = contents(path, most).map_err(unreadable)?;
    let stamp = read.as_ref().map_or_else(|stamp| *stamp, |(_, stamp)| *stamp);
    listed.agrees(stamp).map_err(unreadable)?;
    read.map(|(bytes, _)| bytes).map_err(|_| Unread::Fault(too_big(stamp.bytes)))
}

//! What the labels of a few images say, written down for whoever shows these images elsewhere: beside the pictures of a run.
//!
//! A label is taken apart into names and texts, and nothing more: what they mean is for its reader. Nobody computes with it.

use crate::{
    Frozen, Label,
    source::{Piece, Source, Unread},
};
use serde::{Deserialize, Serialize};
use sumac_common::{
    ids::SampleId,
    spec::{ImageShape, Resize},
};

/// In the folder of a run.
pub const FILE: &str = "labels.json";
/// Of one image; simulators write some hundred.
const FIELDS_MAX: usize = 256;
/// Characters of a text.
const TEXT_MAX: usize = 200;
/// What is longer is no label that is read.
const BYTES_MAX: usize = 1 << 20;

/// One for each image, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captions {
    pub images: Vec<Caption>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// Its name in the data set.
    pub key: String,
    /// Width and height in pixels, as it lies there: what coordinates in a label are of.
    pub size: (u32, u32),
    /// (name, text): columns of a table, values of JSON by their dotted paths, `class`, or the ending of a file of text.
    pub fields: Vec<(String, String)>,
}

impl Captions {
    /// Of samples of a frozen set, whose source this is. A label that cannot be read says nothing.
    #[must_use]
    pub fn of(source: &Source, frozen: &Frozen, ids: &[SampleId]) -> Self {
        let caption = |id: &SampleId| {
            let key = frozen.key(*id)?.to_owned();
            let read = read(source, frozen, *id, &key);
            let (size, fields) = read.unwrap_or_else(|unread| {
                let why = why(&unread);
                tracing::warn!(key, why, "the label of an image that is shown could not be read");
                (size(frozen.shape()), Vec::new())
            });
            Some(Caption { key, size, fields })
        };
        Self { images: ids.iter().filter_map(caption).collect() }
    }

    /// Nothing is said of any of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.iter().all(|image| image.fields.is_empty())
    }
}

type Said = ((u32, u32), Vec<(String, String)>);

fn read(source: &Source, frozen: &Frozen, id: SampleId, key: &str) -> Result<Said, Unread> {
    // What could not be used is left out of the frozen set, so the sample lies there or further on.
    let at = (id.0 as usize..source.samples().len()).find(|&at| source.samples()[at].key == key);
    let size = match at {
        Some(at) if frozen.manifest().resize != Resize::Exact => {
            let picture = source.picture(at)?;
            (picture.width, picture.height)
        }
        _ => size(frozen.shape()),
    };
    let mut fields = match (frozen.label(id), at) {
        (Some(Label::Class { name, .. }), _) => vec![("class".to_owned(), name.clone())],
        (Some(Label::Row(fields)), _) => fields.clone(),
        (Some(_), Some(at)) => source.label_pieces(at)?.iter().flat_map(fields_of).collect(),
        (None, _) | (_, None) => Vec::new(),
    };
    fields.truncate(FIELDS_MAX);
    for (name, text) in &mut fields {
        *name = name.chars().take(TEXT_MAX).collect();
        *text = text.chars().take(TEXT_MAX).collect();
    }
    Ok((size, fields))
}

fn size(shape: ImageShape) -> (u32, u32) {
    (shape.width, shape.height)
}

/// What is JSON or a line of text; arrays and masks are nothing to read.
fn fields_of(piece: &Piece) -> Vec<(String, String)> {
    let ending = piece.ending.to_ascii_lowercase();
    let text = Some(&piece.bytes).filter(|bytes| bytes.len() <= BYTES_MAX);
    let Some(text) = text.and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return Vec::new() };
    if ending.ends_with("json") {
        let mut fields = Vec::new();
        if let Ok(json) = serde_json::from_str(text) {
            take_apart("", &json, &mut fields);
        }
        return fields;
    }
    let text = text.trim();
    let is_a_line = matches!(ending.rsplit('.').next(), Some("cls" | "txt")) && text.lines().count() == 1;
    if is_a_line { vec![(piece.ending.clone(), text.to_owned())] } else { Vec::new() }
}

/// Lists of numbers are one value, as `sumac evaluate` reads them by the same path.
fn take_apart(name: &str, json: &serde_json::Value, fields: &mut Vec<(String, String)>) {
    use serde_json::Value;
    let below = |step: &str| if name.is_empty() { step.to_owned() } else { format!("{name}.{step}") };
    if fields.len() >= FIELDS_MAX {
        return;
    }
    match json {
        Value::Object(values) => values.iter().for_each(|(step, value)| take_apart(&below(step), value, fields)),
        Value::Array(values) if !values.iter().all(Value::is_number) => {
            values.iter().enumerate().for_each(|(at, value)| take_apart(&below(&at.to_string()), value, fields));
        }
        Value::String(text) => fields.push((name.to_owned(), text.clone())),
        other => fields.push((name.to_owned(), other.to_string())),
    }
}

fn why(unread: &Unread) -> String {
    match unread {
        Unread::Fault(fault) => fault.to_string(),
        Unread::Io { path, source } => format!("{}: {source}", path.display()),
    }
}

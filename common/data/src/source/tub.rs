//! Tubs, as donkeycar records a drive: images, and what the car did at each of them, in a file each (version 1:
//! `record_7.json`) or in lines of catalogs (version 2: `catalog_0.catalog`, `manifest.json`, `images/`).
//!
//! One or many under a folder. What the driver deleted is left out; an image that no record names stays, without a label.
//! Knows nothing of steering. Source: donkeycar, `parts/datastore.py`, `parts/tub_v2.py` and `parts/datastore_v2.py`.

use super::{
    Kind, Source, SourceError, Stamp,
    contents::contents,
    folder::{Folder, Found, split, stem},
    original::{Stretch, Whole},
    table::{TABLE_BYTES_MAX, inside, json_fields},
};
use crate::{
    decode::{Fault, LABEL_BYTES_MAX},
    label::Label,
    manifest::Bad,
};
use rayon::prelude::*;
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
};

/// What the field of an image begins with; further cameras append to it.
const CAMERA: &str = "cam/image_array";
/// Most cameras of one car: each image of a record keeps all of it.
const CAMERAS_MAX: usize = 64;
const MANIFEST: &str = "manifest.json";

/// The files that tubs are made of, besides images.
pub(super) struct Tubs {
    records: Vec<Found>,
    catalogs: Vec<Found>,
    manifests: Vec<Found>,
}

/// What the car wrote of one image.
struct Told {
    /// The image, relative to the root.
    key: String,
    deleted: bool,
    label: Label,
    lies: Lies,
}

/// Where the label's bytes are.
enum Lies {
    Record(String, Stamp),
    Line(Stretch),
}

/// The line of a manifest that tells of its catalogs.
#[derive(Default, Deserialize)]
struct Catalogs {
    #[serde(default)]
    paths: Vec<String>,
    deleted_indexes: HashSet<u64>,
}

impl Tubs {
    /// `None` where there is nothing of the kind.
    pub(super) fn of(folder: &Folder) -> Option<Self> {
        let images: HashSet<&str> = folder.images.iter().map(|image| stem(&image.key)).collect();
        let named = |fits: &dyn Fn(&str) -> bool| -> Vec<Found> {
            folder.others.iter().filter(|found| fits(split(&found.key).1)).cloned().collect()
        };
        let mut tubs = Self {
            records: named(&|name| is_numbered(name, "record_", ".json")),
            catalogs: named(&|name| is_numbered(name, "catalog_", ".catalog")),
            manifests: named(&|name| name == MANIFEST),
        };
        let folders: HashSet<&str> = tubs.catalogs.iter().map(|catalog| split(&catalog.key).0).collect();
        tubs.manifests.retain(|manifest| folders.contains(split(&manifest.key).0));
        // A `record_1.json` beside a `record_1.png` is that image's own.
        tubs.records.retain(|record| !images.contains(stem(&record.key)));
        (!tubs.records.is_empty() || !tubs.catalogs.is_empty()).then_some(tubs)
    }
}

impl Source {
    /// Gives the images what the tubs tell of them. Files of those names that tell of no image are somebody else's.
    pub(super) fn label_by_tubs(&mut self, tubs: &Tubs) -> Result<(), SourceError> {
        let (mut told, mut bad, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
        let records: Vec<_> = tubs.records.par_iter().map(record).collect::<Result<_, _>>()?;
        for (of_record, faults) in records {
            told.extend(of_record);
            bad.extend(faults);
        }
        let there: HashSet<&str> = tubs.catalogs.iter().map(|found| found.key.as_str()).collect();
        let mut deleted: HashMap<&str, HashSet<u64>> = HashMap::new();
        for manifest in &tubs.manifests {
            let folder = split(&manifest.key).0;
            let Catalogs { paths, deleted_indexes } = catalogs(manifest, &mut bad)?;
            let keys = paths.iter().map(|path| format!("{folder}{path}"));
            bad.extend(keys.filter(|key| !there.contains(key.as_str())).map(|key| Bad::new(key, &Fault::NoSuchFile)));
            deleted.insert(folder, deleted_indexes);
        }
        let none = HashSet::new();
        for (within, catalog) in (0..).zip(&tubs.catalogs) {
            let deleted = deleted.get(split(&catalog.key).0).unwrap_or(&none);
            wholes.push(lines(catalog, within, deleted, &mut told, &mut bad)?);
        }
        if told.is_empty() {
            return Ok(());
        }
        self.bad.extend(bad);
        self.wholes = wholes;
        self.kind = Kind::Tub;
        self.classes = Vec::new();
        self.give(told);
        self.bad.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(())
    }

    fn give(&mut self, told: Vec<Told>) {
        let by_key: HashMap<String, usize> =
            self.samples.iter().enumerate().map(|(at, sample)| (sample.key.clone(), at)).collect();
        let listed: HashSet<String> = self.bad.iter().map(|bad| bad.key.clone()).collect();
        self.samples.iter_mut().for_each(|sample| sample.label = None);
        let (mut given, mut deleted) = (HashSet::new(), BTreeSet::new());
        for Told { key, deleted: is_deleted, label, lies } in told {
            match by_key.get(&key) {
                Some(&at) if is_deleted => drop(deleted.insert(at)),
                Some(&at) if given.insert(at) => {
                    let sample = &mut self.samples[at];
                    sample.label = Some(label);
                    match lies {
                        Lies::Record(record, stamp) => {
                            sample.sidecars.push(record);
                            sample.sidecar_stamps.push(stamp);
                        }
                        Lies::Line(line) => sample.stretches = vec![line],
                    }
                }
                Some(_) => self.bad.push(Bad::new(key, &Fault::ToldTwice)),
                None if is_deleted || listed.contains(&key) => {}
                None => self.bad.push(Bad::new(key, &Fault::NoSuchFile)),
            }
        }
        // An image may belong to a record that was deleted and to one that was not.
        let mut at = 0;
        self.samples.retain(|_| {
            at += 1;
            !deleted.contains(&(at - 1)) || given.contains(&(at - 1))
        });
    }
}

/// What a record of version 1 tells; its image lies beside it.
fn record(found: &Found) -> Result<(Vec<Told>, Vec<Bad>), SourceError> {
    let (text, stamp) = read(found, LABEL_BYTES_MAX)?;
    let fields = match parsed(&text) {
        Ok(fields) => fields,
        Err(fault) => return Ok((Vec::new(), vec![Bad::new(&found.key, &fault)])),
    };
    let label = Label::Sidecars(vec![found.key.clone()]);
    let told = |image: String| Told {
        key: format!("{}{image}", split(&found.key).0),
        deleted: false,
        label: label.clone(),
        lies: Lies::Record(found.key.clone(), stamp),
    };
    Ok(match images(&fields) {
        Ok(images) => (images.into_iter().map(told).collect(), Vec::new()),
        Err(fault) => (Vec::new(), vec![Bad::new(&found.key, &fault)]),
    })
}

/// What the lines of a catalog tell; their images lie in the folder `images` beside it.
fn lines(
    found: &Found,
    within: u32,
    deleted: &HashSet<u64>,
    told: &mut Vec<Told>,
    bad: &mut Vec<Bad>,
) -> Result<Whole, SourceError> {
    let (text, stamp) = read(found, TABLE_BYTES_MAX)?;
    let mut begin = 0;
    for (number, with_end) in (1..).zip(text.split_inclusive(|&byte| byte == b'\n')) {
        let line = with_end.trim_ascii_end();
        let stretch = Stretch { within, begin, bytes: line.len() as u64 };
        begin += with_end.len() as u64;
        if line.is_empty() {
            continue;
        }
        let of_line = parsed(line).and_then(|fields| Ok((images(&fields)?, fields)));
        let (images, fields) = match of_line {
            Ok(read) => read,
            Err(fault) => {
                bad.push(Bad::new(format!("{}:{number}", found.key), &fault));
                continue;
            }
        };
        let index = fields.iter().find(|(name, _)| name == "_index").and_then(|(_, index)| index.parse().ok());
        let deleted = index.is_some_and(|index| deleted.contains(&index));
        told.extend(images.into_iter().map(|image| Told {
            key: format!("{}images/{image}", split(&found.key).0),
            deleted,
            label: Label::Row(fields.clone()),
            lies: Lies::Line(stretch),
        }));
    }
    Ok(Whole { path: found.path.clone(), stamp })
}

/// What a version 2 manifest says of its catalogs; each of its lines is a JSON of its own.
fn catalogs(found: &Found, bad: &mut Vec<Bad>) -> Result<Catalogs, SourceError> {
    let (text, _) = read(found, LABEL_BYTES_MAX)?;
    let lines = text.split(|&byte| byte == b'\n');
    // The last one that fits: donkeycar writes it last.
    let catalogs = lines.rev().find_map(|line| serde_json::from_slice(line).ok());
    if catalogs.is_none() {
        bad.push(Bad::new(&found.key, &Fault::NoDeletions));
    }
    Ok(catalogs.unwrap_or_default())
}

fn read(found: &Found, most: u64) -> Result<(Vec<u8>, Stamp), SourceError> {
    let too_big = |_| io::Error::other(format!("it has more than {most} bytes"));
    let read = contents(&found.path, most).and_then(|read| read.map_err(too_big));
    read.map_err(|source| SourceError::unreadable(&found.path, source))
}

type Fields = Vec<(String, String)>;

fn parsed(json: &[u8]) -> Result<Fields, Fault> {
    let text = str::from_utf8(json).map_err(|error| error.to_string());
    // A parser counts lines within the record; which line of the catalog it is stands in the key.
    let without_place = |what: String| what.split(" at line ").next().unwrap_or_default().to_owned();
    text.and_then(json_fields).map_err(|what| Fault::TornRecord(without_place(what)))
}

/// The names of its images: one for each camera.
fn images(fields: &Fields) -> Result<Vec<String>, Fault> {
    let cameras: Vec<_> = fields.iter().filter(|(name, _)| name.starts_with(CAMERA)).collect();
    if cameras.len() > CAMERAS_MAX {
        return Err(Fault::TornRecord(format!("it names {} images and not up to {CAMERAS_MAX}", cameras.len())));
    }
    cameras.into_iter().map(|(_, image)| inside(image).ok_or(Fault::NameLeadsOut)).collect()
}

fn is_numbered(name: &str, before: &str, after: &str) -> bool {
    let number = name.strip_prefix(before).and_then(|name| name.strip_suffix(after));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

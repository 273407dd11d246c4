//! All shards together: what dead workers left is published, the lists are written, what belongs to no image is copied, and
//! the manifest comes last. Run again after any death it goes on, and gives the same bytes.

use super::{
    ERRORS, Input, MANIFEST, Manifest, PROVENANCE, RefinedError, clear_away,
    manifest::{self, FORMAT, Part, PartFile, anywhere},
    places::{self, ATTEMPTS, RECEIPT, SHARDS},
    publish::publish,
    receipt::{Fate, Receipt, Row, line},
    rows,
};
use crate::{
    source::Kind,
    storage::{self, Unfinished},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use sumac_common::{
    ids::Digest,
    leases::{Shard, chain},
    refinement::{Layout, Refinement},
};

/// Seals a destination whose shards are all committed, but for those in quarantine: these are listed as bad, with the reason.
///
/// `receipts`: what the receipts of the committed shards must add up to ([`chain`]), where somebody knows it. `progress` is
/// called with (done, total) shards.
pub fn seal(
    order: &Refinement,
    quarantined: &[(Shard, String)],
    receipts: Option<Digest>,
    progress: &dyn Fn(u64, u64),
) -> Result<Manifest, RefinedError> {
    let destination = &order.how.destination;
    if let Some(sealed) = manifest::sealed(destination)? {
        if !sealed.is_of(order) {
            return Err(RefinedError::SealedOtherwise { path: destination.clone() });
        }
        clear_away(&order.how.destination)?;
        return Ok(sealed);
    }
    let input = Input::open(&order.work())?;
    let lost: BTreeMap<Shard, &str> = quarantined.iter().map(|(shard, why)| (*shard, why.as_str())).collect();
    settle(order, &input, &lost, receipts)?;
    let manifest = lists(order, &input, progress)?;
    let of = manifest.images + manifest.bad;
    if manifest.bad as f64 > order.what.max_bad * of as f64 {
        return Err(RefinedError::TooManyBad {
            bad: manifest.bad,
            of,
            limit: order.what.max_bad,
            first: first_bad(order, &input)?,
        });
    }
    if order.what.layout == Layout::Mirror {
        others(order, &input)?;
        restack(order, &input, &manifest)?;
    }
    let mut bytes = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data: its JSON cannot fail");
    bytes.push(b'\n');
    let write = || {
        let mut file = Unfinished::create(&order.work(), MANIFEST)?;
        file.write_all(&bytes)?;
        file.finish_if_first(destination, MANIFEST)
    };
    write().map_err(RefinedError::unwritable(destination.join(MANIFEST)))?;
    clear_away(&order.how.destination)?;
    Ok(manifest)
}

/// Each shard has its receipt: publishes what is whole and has none, and writes one for each shard in quarantine.
fn settle(
    order: &Refinement,
    input: &Input,
    lost: &BTreeMap<Shard, &str>,
    wanted: Option<Digest>,
) -> Result<(), RefinedError> {
    let work = order.work();
    let whole = whole_attempts(&work)?;
    let mut committed = Vec::new();
    for shard in shards(order) {
        let path = places::receipt(&work, shard);
        let is_there = storage::is_file(&path).map_err(RefinedError::unreadable(&path))?;
        match (lost.get(&shard), is_there) {
            (None, false) => match whole.get(&shard) {
                Some(name) => publish(order, shard, name)?,
                None => return Err(RefinedError::NoAttempt { shard, path: work }),
            },
            (None, true) => {}
            (Some(why), false) => quarantine(order, input, shard, why)?,
            (Some(_), true) if Receipt::read(&path)?.0.header.refined > 0 => {
                return Err(RefinedError::Contradiction { shard, path });
            }
            (Some(_), true) => {}
        }
        if !lost.contains_key(&shard) {
            committed.push(Receipt::read(&path)?.1);
        }
    }
    let found = chain(committed);
    match wanted.filter(|wanted| *wanted != found) {
        Some(wanted) => Err(RefinedError::Receipts { path: work.join(SHARDS), found, wanted }),
        None => Ok(()),
    }
}

pub(super) fn shards(order: &Refinement) -> impl Iterator<Item = Shard> {
    (0..order.what.shards()).map(Shard)
}

/// Attempts with a receipt; of several of one shard any will do.
fn whole_attempts(work: &Path) -> Result<BTreeMap<Shard, String>, RefinedError> {
    let folder = work.join(ATTEMPTS);
    let mut whole = BTreeMap::new();
    for attempt in storage::folders(&folder).map_err(RefinedError::unreadable(&folder))? {
        let named = attempt.split_once('.').and_then(|(shard, name)| Some((Shard(shard.parse().ok()?), name)));
        let receipt = folder.join(&attempt).join(RECEIPT);
        if let Some((shard, name)) = named
            && storage::is_file(&receipt).map_err(RefinedError::unreadable(&receipt))?
        {
            whole.insert(shard, name.to_owned());
        }
    }
    Ok(whole)
}

fn quarantine(order: &Refinement, input: &Input, shard: Shard, why: &str) -> Result<(), RefinedError> {
    let source = input.shard(order.what.shard_samples, shard)?;
    let keys = source.samples().iter().map(|sample| sample.key.as_str());
    let receipt = Receipt::of_nothing(shard, keys, why).bytes();
    let (folder, path) = (order.work().join(SHARDS), places::receipt(&order.work(), shard));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let write = || {
        storage::make_folder(&folder)?;
        let mut file = Unfinished::create(&order.work(), &name)?;
        file.write_all(&receipt)?;
        file.finish(&folder, &name)
    };
    write().map_err(RefinedError::unwritable(&path))
}

/// A list that is hashed as it is written.
struct List {
    file: Unfinished,
    sha256: Sha256,
}

impl List {
    fn create(work: &Path, name: &str) -> io::Result<Self> {
        Ok(Self { file: Unfinished::create(work, name)?, sha256: Sha256::new() })
    }

    fn push(&mut self, entry: &impl Serialize) -> io::Result<()> {
        let line = line(entry);
        self.sha256.update(&line);
        self.file.write_all(&line)
    }

    fn finish(self, destination: &Path, name: &str) -> io::Result<Digest> {
        self.file.finish(destination, name)?;
        Ok(Digest(self.sha256.finalize().into()))
    }
}

/// A line of `errors.jsonl`.
#[derive(Serialize)]
struct Bad<'a> {
    key: &'a str,
    reason: &'a str,
}

/// The lists of what came out and of what did not, and the manifest that they make. Holds one receipt at a time.
fn lists(order: &Refinement, input: &Input, progress: &dyn Fn(u64, u64)) -> Result<Manifest, RefinedError> {
    let (destination, work) = (&order.how.destination, order.work());
    let unwritable = |error| RefinedError::unwritable(destination)(error);
    let mut errors = List::create(&work, ERRORS).map_err(unwritable)?;
    let mut provenance = List::create(&work, PROVENANCE).map_err(unwritable)?;
    let (mut images, mut bad, mut labels, mut parts) = (0, 0, Digest::default(), Vec::new());
    for known in input.bad() {
        errors.push(&Bad { key: &known.key, reason: &known.reason }).map_err(unwritable)?;
        bad += 1;
    }
    for shard in shards(order) {
        let (Receipt { header, rows }, _) = Receipt::read(&places::receipt(&work, shard))?;
        images += header.refined;
        bad += header.bad;
        labels = labels.then(&header.labels.0);
        let (mut first, mut last) = (None, None);
        for row in &rows {
            match &row.fate {
                Fate::Bad { bad } => errors.push(&Bad { key: &row.key, reason: bad }).map_err(unwritable)?,
                Fate::Refined(_) => {
                    first.get_or_insert_with(|| row.key.clone());
                    last = Some(row.key.clone());
                    provenance.push(row).map_err(unwritable)?;
                }
            }
        }
        // A shard's records of a stack are no file of the data set.
        let file = header.files.into_iter().find(|_| order.what.layout == Layout::Shards);
        let file = file.map(|file| PartFile { name: file.name, sha256: file.sha256 });
        parts.push(Part { first, last, images: header.refined, bytes: header.bytes, file });
        progress(u64::from(shard.0) + 1, order.what.shards().into());
    }
    Ok(Manifest {
        format: FORMAT,
        tool: format!("sumac {}", env!("CARGO_PKG_VERSION")),
        what: anywhere(&order.what),
        images,
        bad,
        labels_sha256: labels,
        errors_sha256: errors.finish(destination, ERRORS).map_err(unwritable)?,
        provenance_sha256: provenance.finish(destination, PROVENANCE).map_err(unwritable)?,
        parts,
    })
}

/// Tables, catalogues, whatever else lies in the tree: as it is.
fn others(order: &Refinement, input: &Input) -> Result<(), RefinedError> {
    let (destination, work) = (&order.how.destination, order.work());
    for (key, path, stamp) in input.shared().others() {
        let target = destination.join(&key);
        let folder = target.parent().unwrap_or(destination);
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut from = storage::reader(path, stamp).map_err(RefinedError::unreadable(path))?;
        let mut copy = || {
            storage::make_folder(folder)?;
            let mut to = Unfinished::create(&work, "other")?;
            io::copy(&mut from, &mut to)?;
            to.finish(folder, &name)
        };
        copy().map_err(RefinedError::unwritable(&target))?;
    }
    Ok(())
}

/// A stack gets its refined records in place of its own.
fn restack(order: &Refinement, input: &Input, manifest: &Manifest) -> Result<(), RefinedError> {
    let source = input.shared();
    if source.kind() == Kind::Parquet {
        return rows::rewrite(order, input, manifest);
    }
    let Some((stack, _)) = source.stack_file() else { return Ok(()) };
    let (destination, work) = (&order.how.destination, order.work());
    if manifest.bad > 0 {
        let first = first_bad(order, input)?;
        return Err(RefinedError::Gaps { path: stack, bad: manifest.bad, of: manifest.images + manifest.bad, first });
    }
    let name = stack.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let write = || {
        let files = shards(order).map(|shard| destination.join(places::records(shard))).collect();
        let mut to = Unfinished::create(&work, "stack")?;
        source.restack(&mut OneAfterTheOther::of(files), &mut to)?;
        to.finish(destination, &name)
    };
    write().map_err(RefinedError::unwritable(destination.join(&name)))
}

/// With its reason.
pub(super) fn first_bad(order: &Refinement, input: &Input) -> Result<String, RefinedError> {
    if let Some(bad) = input.bad().first() {
        return Ok(format!("{}: {}", bad.key, bad.reason));
    }
    for shard in shards(order) {
        let (receipt, _) = Receipt::read(&places::receipt(&order.work(), shard))?;
        let reason = |row: &Row| match &row.fate {
            Fate::Bad { bad } => Some(format!("{}: {bad}", row.key)),
            Fate::Refined(_) => None,
        };
        if let Some(first) = receipt.rows.iter().find_map(reason) {
            return Ok(first);
        }
    }
    Ok(String::new())
}

/// Files read as if they were one, of which one is open at a time.
pub(super) struct OneAfterTheOther {
    files: Vec<PathBuf>,
    at: usize,
    open: Option<Box<dyn Read>>,
}

impl OneAfterTheOther {
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        Self { files, at: 0, open: None }
    }
}

impl Read for OneAfterTheOther {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let file = match (&mut self.open, self.files.get(self.at)) {
                (Some(file), _) => file,
                (None, Some(path)) => self.open.insert(Box::new(storage::open(path)?)),
                (None, None) => return Ok(0),
            };
            match file.read(buffer)? {
                0 if !buffer.is_empty() => {
                    self.open = None;
                    self.at += 1;
                }
                read => return Ok(read),
            }
        }
    }
}

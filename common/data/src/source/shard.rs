//! WebDataset tars: the members that share a name up to its first dot are one sample. Read in place, never unpacked.
//!
//! Listing a shard reads its headers, 512 bytes a member, and steps over the contents; images and labels are read where they
//! lie when they are asked for. Samples stay in the order in which they lie. Knows nothing of what the members hold.
//! Source: <https://github.com/webdataset/webdataset>, and the ustar and pax formats of POSIX.

use super::{
    Kind, Place, Sample, Source, SourceError, Stamp,
    folder::{IMAGE_ENDINGS, ending},
    held::Held,
    original::{Stretch, Whole},
    table::inside,
};
use crate::{decode::Fault, label::Label, manifest::Bad};
use rayon::prelude::*;
use std::{
    collections::HashSet,
    io, mem,
    path::{Path, PathBuf},
};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// Most bytes of a long name or of pax records before one member.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Compressed tars cannot be read in place.
const COMPRESSED: [&str; 10] =
    [".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4", ".tar.Z"];

/// One of the files that make a data set: a tar, or a parquet file.
#[derive(Debug)]
pub(super) struct Shard {
    /// What its samples' keys begin with: its path relative to the root, or nothing if it is the root.
    pub name: String,
    pub path: PathBuf,
}

pub(super) fn is_shard(path: &Path) -> bool {
    ending(path).as_deref() == Some("tar") || is_compressed(path)
}

fn is_compressed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    COMPRESSED.iter().any(|end| name.ends_with(end))
}

impl Source {
    /// A single tar is the root of its keys; of several, each key begins with the tar's own path.
    pub(super) fn shard(path: &Path) -> Result<Self, SourceError> {
        if is_compressed(path) {
            return Err(SourceError::CompressedTar { path: path.to_owned() });
        }
        let shard = Shard { name: String::new(), path: path.to_owned() };
        Ok(Self::shards(path.to_owned(), vec![shard], Vec::new()))
    }

    /// Not looked into yet.
    pub(super) fn shards(root: PathBuf, shards: Vec<Shard>, bad: Vec<Bad>) -> Self {
        Self { bad, unlisted: shards, ..Self::empty(root, Kind::Tar) }
    }

    /// Looks into the tars that were found, some at a time, and hands the samples of each over; their `within` is its place
    /// among the tars.
    pub(super) fn list_tars<E: From<SourceError>>(
        &mut self,
        mut take: impl FnMut(&mut Self, Vec<Sample>) -> Result<(), E>,
    ) -> Result<(), E> {
        let shards = mem::take(&mut self.unlisted);
        let mut found = 0;
        for (first, some) in shards.chunks(rayon::current_num_threads()).enumerate() {
            let first = first * rayon::current_num_threads();
            let list = |(at, shard): (usize, &Shard)| {
                let listed = shard.list((first + at) as u32);
                listed.map_err(|source| SourceError::unreadable(&shard.path, source))
            };
            let listed: Vec<Listed> = some.par_iter().enumerate().map(list).collect::<Result<_, _>>()?;
            for Listed { whole, samples, bad } in listed {
                self.wholes.push(whole);
                self.bad.extend(bad);
                found += samples.len();
                take(self, samples)?;
            }
        }
        if !shards.is_empty() && found == 0 && self.bad.is_empty() {
            return Err(SourceError::Empty { path: self.root.clone(), others: shards.len() }.into());
        }
        self.bad.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(())
    }
}

/// What one shard holds.
struct Listed {
    whole: Whole,
    samples: Vec<Sample>,
    bad: Vec<Bad>,
}

impl Shard {
    /// An error is the disk's; what is wrong with the content is listed as bad.
    fn list(&self, within: u32) -> io::Result<Listed> {
        let held = Held::open(&self.path)?;
        let stamp = held.stamp()?;
        let mut bench = Bench { shard: self, stamp, seen: HashSet::new(), group: None, samples: vec![], bad: vec![] };
        if is_compressed(&self.path) {
            bench.spoilt(Fault::CompressedTar);
        } else {
            let mut tape = Tape { held: &held, at: 0, end: stamp.bytes };
            loop {
                match tape.next()? {
                    Ok(Some(member)) => bench.lay(member, within),
                    Ok(None) => break bench.close(),
                    Err(fault) => break bench.spoilt(fault),
                }
            }
        }
        let Bench { samples, bad, .. } = bench;
        Ok(Listed { whole: Whole { path: self.path.clone(), stamp }, samples, bad })
    }

    fn key(&self, key: &str) -> String {
        match (self.name.as_str(), key) {
            ("", key) => key.to_owned(),
            (name, "") => name.to_owned(),
            (name, key) => format!("{name}/{key}"),
        }
    }
}

/// Where members become samples.
struct Bench<'a> {
    shard: &'a Shard,
    stamp: Stamp,
    seen: HashSet<String>,
    /// The members of the key that is being read.
    group: Option<Group>,
    samples: Vec<Sample>,
    bad: Vec<Bad>,
}

struct Group {
    key: String,
    /// What follows the key and its dot, and where the content lies.
    members: Vec<(String, Stretch)>,
}

impl Bench<'_> {
    fn lay(&mut self, member: Member, within: u32) {
        let name = match String::from_utf8(member.name) {
            Ok(name) => name,
            Err(error) => {
                let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
                return self.bad.push(Bad::new(self.shard.key(&name), &Fault::Name));
            }
        };
        let Some(name) = inside(&name) else {
            return self.bad.push(Bad::new(self.shard.key(&name), &Fault::NameLeadsOut));
        };
        let Some((key, ending)) = split(&name) else { return };
        if let Some(fault) = member.odd {
            return self.bad.push(Bad::new(self.shard.key(&name), &fault));
        }
        if self.group.as_ref().is_none_or(|group| group.key != key) {
            self.close();
        }
        let group = self.group.get_or_insert_with(|| Group { key: key.to_owned(), members: Vec::new() });
        group.members.push((ending.to_owned(), Stretch { within, begin: member.begin, bytes: member.bytes }));
    }

    /// Ends the group that is being read: a sample, or why not.
    fn close(&mut self) {
        let Some(Group { key, members }) = self.group.take() else { return };
        let whole_key = self.shard.key(&key);
        let image = if self.seen.insert(key) { image_of(&members) } else { Err(Fault::KeyAgain) };
        let image = match image {
            Ok(image) => image,
            Err(fault) => return self.bad.push(Bad::new(whole_key, &fault)),
        };
        let place = Place::Stretch(members[image].1);
        let label = members.into_iter().enumerate().filter(|(at, _)| *at != image).map(|(_, member)| member);
        let (endings, stretches): (Vec<String>, Vec<Stretch>) = label.unzip();
        let label = (!endings.is_empty()).then_some(Label::Members(endings));
        self.samples.push(Sample { label, stretches, ..Sample::new(whole_key, self.stamp, place) });
    }

    /// The tar cannot be read on: nobody knows whether the group that is being read is all there.
    fn spoilt(&mut self, fault: Fault) {
        let key = self.group.take().map_or(String::new(), |group| group.key);
        let key = match self.shard.key(&key) {
            none if none.is_empty() => self.shard.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            key => key,
        };
        self.bad.push(Bad::new(key, &fault));
    }
}

/// The key and what follows its dot; `None` for what is nobody's sample: no dot, hidden, or about the shard itself.
fn split(name: &str) -> Option<(&str, &str)> {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = last + name[last..].find('.')?;
    let about_the_shard = name[last..].starts_with("__") && name.ends_with("__");
    let hidden = dot == last || name.starts_with("__MACOSX/");
    (!about_the_shard && !hidden).then(|| (&name[..dot], &name[dot + 1..]))
}

/// Which member is the image: the one whose ending is that of an image; of a photograph and a picture beside it (a mask),
/// the photograph, as WebDataset's `jpg;png` reads it; else the only one that ends in an image's ending, as `input.png`.
fn image_of(members: &[(String, Stretch)]) -> Result<usize, Fault> {
    let endings: Vec<String> = members.iter().map(|(ending, _)| ending.to_ascii_lowercase()).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = endings.iter().find(|ending| !seen.insert(ending.as_str())) {
        return Err(Fault::MemberTwice { ending: twice.clone() });
    }
    let plain = IMAGE_ENDINGS.iter().find_map(|wanted| endings.iter().position(|ending| ending == wanted));
    if let Some(plain) = plain {
        return Ok(plain);
    }
    let shows = |ending: &String| ending.rsplit_once('.').is_some_and(|(_, last)| IMAGE_ENDINGS.contains(&last));
    let shown: Vec<usize> = (0..endings.len()).filter(|&at| shows(&endings[at])).collect();
    match shown[..] {
        [only] => Ok(only),
        [] => Err(Fault::NoImage { members: endings.join(", ") }),
        _ => Err(Fault::SeveralImages { members: endings.join(", ") }),
    }
}

/// One member of a tar: a file, or what stands for one.
struct Member {
    name: Vec<u8>,
    /// Why it is no file as it lies.
    odd: Option<Fault>,
    begin: u64,
    bytes: u64,
}

/// A tar from its beginning to its end mark, header by header.
struct Tape<'a> {
    held: &'a Held,
    at: u64,
    end: u64,
}

impl Tape<'_> {
    /// The next file, or what is called as one; `None` at the end mark. Folders are passed over.
    fn next(&mut self) -> io::Result<Result<Option<Member>, Fault>> {
        let (mut long_name, mut pax_size, mut is_sparse) = (None, None, false);
        loop {
            let header = match self.header()? {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(Ok(None)),
                Err(fault) => return Ok(Err(fault)),
            };
            let at = self.at;
            let damaged = |what: &str| Ok(Err(Fault::TarDamaged { at, what: what.to_owned() }));
            let kind = header.entry_type();
            let extends = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
            let Ok(size) = header.entry_size() else { return damaged("it holds a size that is no number") };
            // A pax size is that of the member it stands before, which may be too large for the member's own header.
            let bytes = if extends { size } else { pax_size.take().unwrap_or(size) };
            let begin = at + BLOCK;
            if bytes > self.end.saturating_sub(begin) {
                return Ok(Err(Fault::TarCutShort));
            }
            self.at = begin + bytes.div_ceil(BLOCK) * BLOCK;
            if extends {
                if bytes > EXTENSION_BYTES_MAX {
                    return damaged("it holds a name that is too long");
                }
                let mut extension = vec![0; bytes as usize];
                self.held.read(&mut extension, begin)?;
                if kind.is_gnu_longname() {
                    extension.truncate(extension.iter().position(|&byte| byte == 0).unwrap_or(extension.len()));
                    long_name = Some(extension);
                } else if kind.is_pax_local_extensions() {
                    let Some(records) = pax_records(&extension) else {
                        return damaged("its pax records cannot be read");
                    };
                    for (key, value) in records {
                        match key {
                            b"path" => long_name = Some(value.to_vec()),
                            b"size" => pax_size = str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                            _ => is_sparse |= key.starts_with(b"GNU.sparse."),
                        }
                    }
                }
                continue;
            }
            let name = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
            let odd = match kind {
                EntryType::Regular | EntryType::Continuous => is_sparse.then_some(Fault::SparseInTar),
                EntryType::GNUSparse => Some(Fault::SparseInTar),
                EntryType::Symlink | EntryType::Link => Some(Fault::LinkInTar),
                EntryType::Char | EntryType::Block | EntryType::Fifo => Some(Fault::DeviceInTar),
                _ => continue,
            };
            // The first tars had no type for folders.
            if !name.ends_with(b"/") {
                return Ok(Ok(Some(Member { name, odd, begin, bytes })));
            }
        }
    }

    /// The header at the tape's place, if it is not the end mark.
    fn header(&self) -> io::Result<Result<Option<Header>, Fault>> {
        if self.end.saturating_sub(self.at) < BLOCK {
            return Ok(Err(if self.at == 0 { Fault::NotATar } else { Fault::TarCutShort }));
        }
        let mut header = Header::new_old();
        self.held.read(header.as_mut_bytes(), self.at)?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(Ok(None));
        }
        // The sum over the header with its own field taken as blanks.
        let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|&byte| u32::from(byte)).sum::<u32>() + 8 * 32;
        Ok(match header.cksum() {
            Ok(claimed) if claimed == sum => Ok(Some(header)),
            _ if self.at == 0 => Err(Fault::NotATar),
            _ => Err(Fault::TarDamaged { at: self.at, what: "no header is where one should be".to_owned() }),
        })
    }
}

/// Key and value of each record, which gives its own length: a value may hold line ends.
fn pax_records(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|&byte| byte == b' ')?;
        let length: usize = str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        bytes = &bytes[length..];
    }
    Some(records)
}

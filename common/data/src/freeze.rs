//! Everything decoded once, before step 0, into a cache that any worker and any later run opens instead.
//!
//! Images are decoded on all cores in bounded numbers and written in order. The manifest is written last and by rename, and
//! names its pixels by their digest: a crash leaves nothing half, and several processes may freeze the same images at once.
//! Knows nothing of runs.

use crate::{
    frozen::{Frozen, record_bytes, split},
    manifest::{Bad, Entry, FORMAT, Manifest},
    picture::{Depth, Pixels},
    source::{Kind, Source, Unread},
    storage::Unfinished,
};
use rayon::prelude::*;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use sumac_common::{
    ids::Digest,
    spec::{Data, ImageShape, Labels, Resize},
};

/// Most images decoded at once.
const CHUNK_IMAGES: usize = 256;
/// Most bytes of fitted pixels waiting to be written.
const CHUNK_BYTES: usize = 64 << 20;
/// How many of the bad images an error names.
const NAMED: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    #[error(
        "{bad} of the {of} images of `{}` cannot be used, more than data.max_bad = {limit} allows: {first}; \
         mend or remove them, or raise data.max_bad", path.display()
    )]
    TooManyBad { path: PathBuf, bad: usize, of: usize, limit: f64, first: String },
    #[error("none of the {of} images of `{}` can be used: {first}; check that this is the right folder", path.display())]
    NoneUsable { path: PathBuf, of: usize, first: String },
    #[error(
        "all {of} images of `{}` have another size than data.image.size, {}x{} pixels: {found}; set data.resize = \"area\" \
         (or \"crop\"), or data.image.size = [{}, {}]", path.display(), wanted.0, wanted.1, example.1, example.0
    )]
    AllOfAnotherSize { path: PathBuf, of: usize, found: String, wanted: (u32, u32), example: (u32, u32) },
    #[error(
        "{missing} of the {of} images of `{}` have no label, the first is `{first}`: {remedy}, \
         or set data.labels = \"optional\"", path.display()
    )]
    LabelsMissing { path: PathBuf, missing: usize, of: usize, first: String, remedy: String },
    #[error("`{}` could not be read: check its permissions and its disk", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the frozen images could not be written to `{}`: make room there, or choose another cache folder", path.display())]
    Cache {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What a job wants of its images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    pub shape: ImageShape,
    pub resize: Resize,
    /// Real images need none, whatever the job says of the synthetic ones.
    pub labels: Labels,
    /// Share of unusable images, 0..=1, above which freezing fails.
    pub max_bad: f64,
}

impl Terms {
    /// For the synthetic images of a job.
    #[must_use]
    pub fn synthetic(data: &Data) -> Self {
        Self { shape: data.image, resize: data.resize, labels: data.labels, max_bad: data.max_bad }
    }

    /// For its real images.
    #[must_use]
    pub fn real(data: &Data) -> Self {
        Self { labels: Labels::Optional, ..Self::synthetic(data) }
    }
}

/// Where decoded images are kept if nobody says otherwise: the user's own cache.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let home = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    home.unwrap_or_else(env::temp_dir).join("sumac").join("data")
}

/// Decodes all of `source` into the folder `cache`, or opens what is there already.
///
/// `progress` is called with (done, total) as images are decoded, and not at all when nothing is.
pub fn freeze(
    source: &Source,
    terms: Terms,
    cache: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<Frozen, FreezeError> {
    let unwritable = |error| FreezeError::Cache { path: cache.to_owned(), source: error };
    fs::create_dir_all(cache).map_err(unwritable)?;
    let press = Press { source, shape: terms.shape, resize: terms.resize, cache, name: name(source, terms), progress };
    let frozen = match open(cache, &press.name) {
        Some(frozen) => frozen,
        None => {
            let manifest = press.all()?;
            let path = cache.join(&manifest.images);
            let images = File::open(&path).map_err(unwritable)?;
            Frozen::new(manifest, images, path, false)
        }
    };
    acceptable(source, frozen.manifest(), terms)?;
    Ok(frozen)
}

/// What the cache calls it: another source, listing, time of change or wish has another name.
fn name(source: &Source, Terms { shape, resize, .. }: Terms) -> String {
    let mut name = Digest::of(format!("sumac cache {FORMAT} {shape:?} {resize:?} {:?} ", source.kind()).as_bytes());
    name = name.then(source.root().as_os_str().as_encoded_bytes());
    if let Some(column) = source.column() {
        name = name.then(column.as_bytes());
    }
    for (key, stamp, label) in source.listing() {
        name = name.then(format!("{} {key} {stamp:?} {label:?}", key.len()).as_bytes());
    }
    for bad in source.bad() {
        name = name.then(format!("{bad:?}").as_bytes());
    }
    name.to_string()[..32].to_owned()
}

/// What is there, if it is whole: every record is held against its digest, which costs far less than decoding.
fn open(cache: &Path, name: &str) -> Option<Frozen> {
    let manifest = fs::read(cache.join(format!("{name}.manifest.json"))).ok()?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).ok().filter(|manifest: &Manifest| manifest.format == FORMAT)?;
    // A manifest names a file beside it, never a path.
    let path = Some(&manifest.images).filter(|images| !images.contains('/')).map(|images| cache.join(images))?;
    let images = File::open(&path).ok()?;
    let length = record_bytes(&manifest);
    if images.metadata().ok()?.len() != (length * manifest.samples.len()) as u64 {
        return None;
    }
    let whole = manifest.samples.par_iter().enumerate().all(|(at, entry)| {
        let mut record = vec![0; length];
        let read = images.read_exact_at(&mut record, (at * length) as u64);
        let (id, pixels) = split(&record);
        read.is_ok() && id.0 == at as u64 && Digest::of(pixels) == entry.pixels
    });
    whole.then(|| Frozen::new(manifest, images, path, true))
}

/// One freezing under way.
struct Press<'a> {
    source: &'a Source,
    shape: ImageShape,
    resize: Resize,
    cache: &'a Path,
    name: String,
    progress: &'a dyn Fn(usize, usize),
}

enum Pressed {
    Whole(Manifest),
    /// One image is deeper than all before it; all are to be stored alike.
    Deeper(Depth),
}

impl Press<'_> {
    fn all(&self) -> Result<Manifest, FreezeError> {
        let mut depth = Depth::U8;
        loop {
            match self.at(depth)? {
                Pressed::Whole(manifest) => return Ok(manifest),
                // Seldom, and twice at most: beginning again is cheaper than looking at every header first.
                Pressed::Deeper(deeper) => depth = deeper,
            }
        }
    }

    fn at(&self, depth: Depth) -> Result<Pressed, FreezeError> {
        let unwritable = |source| FreezeError::Cache { path: self.cache.to_owned(), source };
        let Self { source, shape, resize, .. } = *self;
        let total = source.samples().len();
        let chunk = (CHUNK_BYTES / (self.shape.len() * depth.bytes()).max(1)).clamp(1, CHUNK_IMAGES);
        let mut unfinished = Unfinished::create(self.cache, &self.name).map_err(unwritable)?;
        let (mut samples, mut bad, mut whole) = (Vec::new(), source.bad().to_vec(), Digest::default());
        let mut record = Vec::new();
        for begin in (0..total).step_by(chunk) {
            let end = (begin + chunk).min(total);
            let fit = |at| source.picture(at)?.fitted(shape, resize).map_err(Unread::Fault);
            let fitted: Vec<Result<Pixels, Unread>> = (begin..end).into_par_iter().map(fit).collect();
            for (sample, fitted) in source.samples()[begin..end].iter().zip(fitted) {
                let pixels = match fitted {
                    Ok(pixels) if pixels.depth() > depth => return Ok(Pressed::Deeper(pixels.depth())),
                    Ok(pixels) => pixels,
                    Err(Unread::Fault(fault)) => {
                        bad.push(Bad::new(&sample.key, &fault));
                        continue;
                    }
                    Err(Unread::Io { path, source }) => return Err(FreezeError::Unreadable { path, source }),
                };
                record.clear();
                record.extend((samples.len() as u64).to_le_bytes());
                pixels.write_at(depth, &mut record);
                let pixels = Digest::of(split(&record).1);
                whole = whole.then(&pixels.0);
                unfinished.write_all(&record).map_err(unwritable)?;
                samples.push(Entry { key: sample.key.clone(), pixels, label: sample.label.clone() });
            }
            (self.progress)(end, total);
        }
        bad.sort_by(|a, b| a.key.cmp(&b.key));
        // The digest in the name ties a manifest to its own pixels, even if two processes saw different ones.
        let images = format!("{}-{}.images", self.name, &whole.to_string()[..16]);
        unfinished.finish(self.cache, &images).map_err(unwritable)?;
        let root = source.root().to_owned();
        let manifest = Manifest { format: FORMAT, root, shape, resize, depth, images, samples, bad };
        self.publish(&manifest).map_err(unwritable)?;
        Ok(Pressed::Whole(manifest))
    }

    fn publish(&self, manifest: &Manifest) -> io::Result<()> {
        let text = serde_json::to_vec(manifest).expect("a manifest is plain data: its JSON cannot fail");
        let mut unfinished = Unfinished::create(self.cache, &self.name)?;
        unfinished.write_all(&text)?;
        unfinished.finish(self.cache, &format!("{}.manifest.json", self.name))
    }
}

/// Whether a run may start from what could be used.
fn acceptable(source: &Source, manifest: &Manifest, Terms { labels, max_bad, .. }: Terms) -> Result<(), FreezeError> {
    let path = source.root().to_owned();
    let (usable, bad) = (manifest.samples.len(), manifest.bad.len());
    let of = usable + bad;
    let sizes: Vec<(u32, u32)> = manifest.bad.iter().filter_map(|bad| bad.size).collect();
    if usable == 0 && sizes.len() == of {
        let (found, example) = counted(&sizes);
        let wanted = (manifest.shape.width, manifest.shape.height);
        return Err(FreezeError::AllOfAnotherSize { path, of, found, wanted, example });
    }
    let named = manifest.bad.iter().take(NAMED).map(|bad| format!("`{}`: {}", bad.key, bad.reason));
    let first = named.collect::<Vec<_>>().join("; ");
    if usable == 0 {
        return Err(FreezeError::NoneUsable { path, of, first });
    }
    if bad as f64 > max_bad * of as f64 {
        return Err(FreezeError::TooManyBad { path, bad, of, limit: max_bad, first });
    }
    let mut unlabelled = manifest.samples.iter().filter(|entry| entry.label.is_none());
    if let (Labels::Required, Some(first)) = (labels, unlabelled.next()) {
        let remedy = match (source.table_beside(), source.kind()) {
            (Some(table), _) => format!("name the table `{}` instead of the folder", table.display()),
            (None, Kind::Tar) => "give each key a member with its label (1.jpg, 1.json)".to_owned(),
            (None, Kind::Tub) => "take out the images that no record of their tub names".to_owned(),
            (None, Kind::Npy) => "put the labels of its name beside it (images.npy, labels.npy)".to_owned(),
            (None, Kind::Npz) => "save an array of labels with the images (numpy.savez, images and labels)".to_owned(),
            (None, Kind::Hdf5) => {
                "give each image a value of its name in a group, or a row of an array, beside it".to_owned()
            }
            (None, Kind::Idx) => "put the labels file of its name beside it (images-idx3, labels-idx1)".to_owned(),
            (None, _) => {
                "give each image a file of the same stem (1.png, 1.json), a class folder or a row in metadata.csv"
                    .to_owned()
            }
        };
        let missing = unlabelled.count() + 1;
        return Err(FreezeError::LabelsMissing { path, missing, of: usable, first: first.key.clone(), remedy });
    }
    Ok(())
}

/// The sizes, in words, and the most frequent one.
fn counted(sizes: &[(u32, u32)]) -> (String, (u32, u32)) {
    let mut tally: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    sizes.iter().for_each(|size| *tally.entry(*size).or_default() += 1);
    let mut tally: Vec<_> = tally.into_iter().collect();
    tally.sort_by_key(|&(_, images)| Reverse(images));
    let most = tally.first().map(|&(size, _)| size).unwrap_or_default();
    if tally.len() == 1 {
        return (format!("they are {}x{}", most.0, most.1), most);
    }
    let shown = tally.iter().take(NAMED).map(|((width, height), images)| format!("{images} are {width}x{height}"));
    let more = if tally.len() > NAMED { format!(" and {} more sizes", tally.len() - NAMED) } else { String::new() };
    (shown.collect::<Vec<_>>().join(", ") + &more, most)
}

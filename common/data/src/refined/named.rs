//! What a refined sample is called: its file in a mirror, its key and its members in a tar.
//!
//! No two samples of one source get the same name. Knows nothing of bytes.

use super::RefinedError;
use crate::{
    Source,
    source::{IMAGE_ENDINGS, Kind, Piece, Sample, split, stem},
};
use std::collections::HashSet;
use sumac_common::{
    refinement::{Format, Layout},
    spec::ImageShape,
};

/// The member of a sample in a tar that says where its image comes from.
pub(super) const PROVENANCE: &str = "prov.json";

/// Whether this data set can be written so at all: asked of a whole source before anything is refined, or of one shard. `fit`:
/// the shape that every image is brought to, if it is.
pub fn check(source: &Source, layout: Layout, format: Format, fit: Option<ImageShape>) -> Result<(), RefinedError> {
    if layout == Layout::Shards {
        return Ok(());
    }
    if let (Some(found), Some(wanted)) = (source.stack_size(), fit.map(|fit| (fit.height, fit.width)))
        && found != wanted
    {
        return Err(RefinedError::StackSize { found, wanted });
    }
    let not = match source.kind() {
        Kind::Tar => Some("tars"),
        Kind::Hdf5 => Some("HDF5 files"),
        _ => None,
    };
    if let Some(what) = not {
        return Err(RefinedError::NotMirrored { what });
    }
    let named = |sample: &Sample| (sample.key.clone(), mirrored(sample, format));
    let renamed = |(key, name): &(String, String)| matches!(source.kind(), Kind::Table | Kind::Tub) && key != name;
    match source.samples().iter().map(named).find(renamed) {
        Some((key, name)) => Err(RefinedError::NamedByTable { key, name }),
        None => Ok(()),
    }
}

/// The image's place under a mirror's root: its own. What becomes a PNG ends in `.png`, in place of its ending; where another
/// sample would have that name, behind it.
pub(super) fn mirrored(sample: &Sample, format: Format) -> String {
    let key = &sample.key;
    let is_png = split(key).1.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("png"));
    match format {
        Format::Png if sample.is_twin => format!("{key}.png"),
        Format::Png if !is_png => format!("{}.png", stem(key)),
        Format::Png | Format::Same => key.clone(),
    }
}

/// The sample's key in a tar: its own without the image's ending, with it where another sample would have the same.
///
/// WebDataset ends a key at the first dot of its last part, so a dot there becomes `%2e`; a percent sign becomes `%25` and a
/// backslash, which is a slash to some, `%5c`. Undone by reading the two digits as what they stand for.
pub(super) fn in_tar(sample: &Sample) -> String {
    let whole = if sample.is_twin { &sample.key } else { stem(&sample.key) };
    let (folder, name) = split(whole);
    let escaped = |text: &str| text.replace('%', "%25").replace('\\', "%5c");
    format!("{}{}", escaped(folder), escaped(name).replace('.', "%2e"))
}

/// The pieces of a label under endings of which no two are alike, and none would be taken for the image: one whose ending is
/// taken has a number before it (`2.json`). An array may be called anything: a slash in an ending becomes a dot.
pub(super) fn told_apart(pieces: Vec<Piece>, image: &str) -> Vec<Piece> {
    let mut taken: HashSet<String> = HashSet::from([PROVENANCE.to_owned()]);
    // Of several images a reader takes the first of these.
    let last = IMAGE_ENDINGS.iter().position(|ending| *ending == image).unwrap_or_default();
    taken.extend(IMAGE_ENDINGS[..=last].iter().map(|ending| (*ending).to_owned()));
    let apart = |Piece { ending, bytes }: Piece| {
        let ending = ending.replace(['/', '\\'], ".");
        let numbered = (2..).map(|number| format!("{number}.{ending}"));
        let mut free = [ending.clone()].into_iter().chain(numbered);
        let ending = free.find(|ending| taken.insert(ending.to_lowercase())).unwrap_or(ending);
        Piece { ending, bytes }
    };
    pieces.into_iter().map(apart).collect()
}

/// The name of a shard's tar.
pub(super) fn part(shard: sumac_common::leases::Shard) -> String {
    format!("part-{:06}.tar", shard.0)
}

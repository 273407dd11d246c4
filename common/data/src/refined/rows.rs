//! The parquet files of a mirror, each put together from the images that all shards left of its rows.
//!
//! A row whose image did not come out stays without one, so that the labels of the others stay where they are. Knows nothing
//! of how such a file is written.

use super::{
    Input, Manifest, RefinedError, places,
    receipt::{Fate, Receipt},
    seal::{OneAfterTheOther, first_bad, shards},
};
use crate::{
    source::{Source, Unread, Unwritten, Whole},
    storage::{self, Unfinished},
};
use std::{
    io::{self, Read},
    path::Path,
};
use sumac_common::refinement::Refinement;

/// Writes every file of the source with its refined images.
pub(super) fn rewrite(order: &Refinement, input: &Input, manifest: &Manifest) -> Result<(), RefinedError> {
    let (destination, work) = (&order.how.destination, order.work());
    let mut written = Vec::new();
    for shard in shards(order) {
        // Of a shard in quarantine there are none.
        let (Receipt { header, .. }, _) = Receipt::read(&places::receipt(&work, shard))?;
        written.extend(header.files.iter().map(|file| destination.join(&file.name)));
    }
    let mut press = Press { order, input, manifest, images: OneAfterTheOther::of(written) };
    let mut open: Option<Sheet> = None;
    for shard in shards(order) {
        let source = input.shard(order.what.shard_samples, shard)?;
        let (Receipt { rows, .. }, _) = Receipt::read(&places::receipt(&work, shard))?;
        for (at, row) in rows.iter().enumerate() {
            let here = source.row(at).ok_or_else(|| RefinedError::Damaged {
                path: work.clone(),
                what: format!("`{}` is in no parquet file", row.key),
            })?;
            if let Some(done) = open.take_if(|open| open.whole != *here.whole) {
                press.print(input.shared(), done)?;
            }
            let sheet =
                open.get_or_insert_with(|| Sheet { name: here.file, whole: here.whole.clone(), images: Vec::new() });
            sheet.images.push(if let Fate::Refined(refined) = &row.fate { Some(refined.bytes) } else { None });
        }
    }
    open.map_or(Ok(()), |last| press.print(input.shared(), last))
}

/// A file that is to be written: of each of its rows how many bytes the image has, if it has one.
struct Sheet {
    name: String,
    whole: Whole,
    images: Vec<Option<u64>>,
}

struct Press<'a> {
    order: &'a Refinement,
    input: &'a Input,
    manifest: &'a Manifest,
    /// Those of all files, in the order of the rows.
    images: OneAfterTheOther,
}

impl Press<'_> {
    fn print(&mut self, source: &Source, sheet: Sheet) -> Result<(), RefinedError> {
        let Sheet { name, whole, images } = sheet;
        let (destination, work) = (&self.order.how.destination, self.order.work());
        let target = destination.join(&name);
        let unwritable = |error| RefinedError::unwritable(&target)(error);
        let is_there: Vec<bool> = images.iter().map(Option::is_some).collect();
        let mut lengths = images.into_iter().flatten();
        let records = &mut self.images;
        let mut next = || {
            let mut image = vec![0; lengths.next().unwrap_or_default() as usize];
            records.read_exact(&mut image).map(|()| image)
        };
        let folder = target.parent().unwrap_or(destination);
        storage::make_folder(folder).map_err(unwritable)?;
        let mut to = Unfinished::create(&work, "rows").map_err(unwritable)?;
        match source.parquets().rewrite(&whole, &is_there, &mut next, &mut to) {
            Ok(()) => {}
            Err(Unwritten::Gap) => return Err(self.gaps(&whole.path)?),
            Err(Unwritten::Io(error)) => return Err(unwritable(error)),
            Err(Unwritten::Unread(Unread::Io { path, source })) => return Err(RefinedError::unreadable(path)(source)),
            Err(Unwritten::Unread(Unread::Fault(fault))) => {
                return Err(RefinedError::unreadable(&whole.path)(io::Error::other(fault)));
            }
        }
        let file = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        to.finish(folder, &file).map_err(unwritable)
    }

    fn gaps(&self, path: &Path) -> Result<RefinedError, RefinedError> {
        let Manifest { bad, images, .. } = *self.manifest;
        let first = first_bad(self.order, self.input)?;
        Ok(RefinedError::Gaps { path: path.to_owned(), bad, of: images + bad, first })
    }
}

//! A stack written anew: the file that it lies in, with other records of the same form.
//!
//! Everything but the records stays: an npy its header, an npz its other arrays, a gzipped idx its packing. Knows nothing of
//! what the records hold.

use super::{Kind, Source, held::Held, zip, zipping::Zip};
use crate::{decode::Fault, picture::Picture};
use flate2::{Compression, write::GzEncoder};
use std::{
    io::{self, Read, Seek, Write},
    path::PathBuf,
};

impl Source {
    /// The record that a picture becomes in this stack, in the stack's own order, depth and range.
    pub(crate) fn record_of(&self, picture: &Picture) -> Result<Vec<u8>, Fault> {
        let stack = self.stack.as_ref().ok_or_else(|| Fault::Damaged("it lies in no stack".to_owned()))?;
        stack.record_of(picture)
    }

    /// The file that the stack lies in, and how many bytes each of its records has.
    pub(crate) fn stack_file(&self) -> Option<(PathBuf, u64)> {
        let stack = self.stack.as_ref()?;
        Some((self.wholes.first()?.path.clone(), stack.record_bytes()))
    }

    /// Height and width of its images.
    pub(crate) fn stack_size(&self) -> Option<(u32, u32)> {
        self.stack.as_ref().map(|stack| (stack.height, stack.width))
    }

    /// The stack's file with `records` in place of its own: as many of them, one after the other.
    pub(crate) fn restack(&self, records: &mut dyn Read, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let (Some(stack), Some(whole)) = (&self.stack, self.wholes.first()) else {
            return Err(io::Error::other("it is no stack"));
        };
        let header = |begin: u64| {
            let mut header = vec![0; (stack.offset - begin) as usize];
            stack.held.read(&mut header, begin).map(|()| header)
        };
        match self.kind {
            Kind::Idx => {
                let axes = [stack.count as u32, stack.height, stack.width].map(u32::to_be_bytes).concat();
                let header = [&[0, 0, 8, 3], &axes[..]].concat();
                let mut content = header.chain(records);
                if let Held::File { .. } = stack.held {
                    return io::copy(&mut content, out).map(drop);
                }
                let mut packed = GzEncoder::new(out, Compression::default());
                io::copy(&mut content, &mut packed)?;
                packed.finish().map(drop)
            }
            Kind::Npz => {
                let path = &whole.path;
                let entries = zip::entries(path).map_err(io::Error::other)?;
                let mut records = Some(records);
                let mut zip = Zip::new(out);
                for entry in entries {
                    let (held, begin, bytes) = entry.open(path).map_err(io::Error::other)?;
                    let is_images = entry.name.strip_suffix(".npy") == Some(&stack.name);
                    match records.take_if(|_| is_images) {
                        Some(records) => zip.add(&entry.name, &mut header(begin)?.chain(records))?,
                        None => zip.add(&entry.name, &mut held.reader(begin, bytes))?,
                    }
                }
                zip.finish()
            }
            _ => io::copy(&mut header(0)?.chain(records), out).map(drop),
        }
    }
}

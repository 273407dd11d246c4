//! All samples of a data set in their order, run by run. Those of tars, of which there may be any number, wait in a file that
//! nobody else sees; those of any other kind are in memory, about half a kilobyte each. Knows nothing of what becomes of them.

use super::{
    Sample, Source, SourceError,
    listing::{Line, NotUtf8, json},
};
use std::{
    collections::HashSet,
    env,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
    path::Path,
};

#[derive(Debug)]
pub struct Roll {
    /// Without those samples that are in the file.
    source: Source,
    spooled: Option<Spooled>,
}

#[derive(Debug)]
struct Spooled {
    /// A line each.
    file: File,
    samples: u64,
}

/// Why there is no run.
pub(crate) enum NoRun {
    Name(NotUtf8),
    Spool(SourceError),
}

impl From<Source> for Roll {
    fn from(source: Source) -> Self {
        Self { source, spooled: None }
    }
}

impl Roll {
    /// As [`Source::look`] finds them.
    pub fn look(path: &Path) -> Result<Self, SourceError> {
        let mut source = Source::found(path)?;
        if source.unlisted.is_empty() {
            return Ok(source.into());
        }
        let mut file = BufWriter::new(tempfile::tempfile().map_err(unspooled)?);
        let mut count = 0;
        source.list_tars(|source, samples| {
            count += samples.len() as u64;
            let spool = |sample: &Sample| {
                let line = source.line(sample, false);
                let line = line.map_err(|NotUtf8(path)| io::Error::other(format!("{} is no text", path.display())))?;
                file.write_all(&json(&line))
            };
            samples.iter().try_for_each(spool).map_err(unspooled)
        })?;
        let file = file.into_inner().map_err(|error| unspooled(error.into_error()))?;
        Ok(Self { source, spooled: Some(Spooled { file, samples: count }) })
    }

    /// What holds for all samples.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    #[must_use]
    pub fn samples(&self) -> u64 {
        self.spooled.as_ref().map_or(self.source.samples.len() as u64, |spooled| spooled.samples)
    }

    /// Runs of `length` samples, the last one of what is left, as [`Source::run`] writes them down.
    pub(crate) fn each_run<E: From<NoRun>>(
        self,
        length: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { mut source, spooled } = self;
        let Some(Spooled { mut file, .. }) = spooled else {
            let (total, twins) = (source.samples.len(), source.twins());
            for begin in (0..total).step_by(length) {
                take(&source.run(begin..(begin + length).min(total), &twins).map_err(NoRun::Name)?)?;
            }
            return Ok(());
        };
        let unread = |error: io::Error| NoRun::Spool(unspooled(error));
        file.rewind().map_err(unread)?;
        let mut lines = BufReader::new(file).lines();
        loop {
            let next = |line: io::Result<String>| -> io::Result<Sample> {
                Ok(serde_json::from_str::<Line>(&line?)?.sample(&source.root))
            };
            let samples = lines.by_ref().take(length).map(next).collect::<Result<Vec<_>, _>>().map_err(unread)?;
            if samples.is_empty() {
                return Ok(());
            }
            source.samples = samples;
            // In a tar no key has an ending, and none is there twice.
            take(&source.run(0..source.samples.len(), &HashSet::new()).map_err(NoRun::Name)?)?;
        }
    }
}

fn unspooled(source: io::Error) -> SourceError {
    SourceError::Spool { path: env::temp_dir(), source }
}

//! A whole data set looked through: every image decoded once and every label read, to say what is bad and what the rest is in
//! figures. Writes nothing, and knows nothing of the shape a job wants.

use crate::{
    manifest::Bad,
    picture::{Picture, Pixels},
    source::{SizeCount, Source, Unread},
};
use rayon::prelude::*;
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeMap, io, path::PathBuf};

/// Images decoded at once.
const CHUNK: usize = 256;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survey {
    /// All that are listed.
    pub images: u64,
    /// With the reason: an image that cannot be decoded, a label that cannot be read.
    pub bad: Vec<Bad>,
    /// Of the good ones, the most frequent first.
    pub sizes: Vec<SizeCount>,
    /// For each number of channels that occurs, fewest first.
    pub tones: Vec<Tones>,
    /// Good images with a label, and the bytes of all labels together.
    pub labelled: u64,
    pub label_bytes: u64,
}

/// The brightness of all images of so many channels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tones {
    pub images: u64,
    pub channels: Vec<Tone>,
}

/// Of one channel, over all pixels, 0..=1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tone {
    pub mean: f64,
    pub deviation: f64,
}

#[derive(Debug, thiserror::Error)]
#[error("`{}` could not be read: check its permissions and its disk", path.display())]
pub struct Unreadable {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// One image in figures.
struct Seen {
    size: SizeCount,
    /// By channel: values, their sum, the sum of their squares.
    sums: Vec<[f64; 3]>,
    label_bytes: Option<u64>,
}

/// Looks through all of `source`; `progress` is called with (done, total) images.
///
/// # Errors
/// If the disk fails: the content may be fine.
pub fn survey(source: &Source, progress: &dyn Fn(u64, u64)) -> Result<Survey, Unreadable> {
    let total = source.samples().len();
    let mut bad = source.bad().to_vec();
    let (mut sizes, mut tones) = (BTreeMap::new(), BTreeMap::new());
    let (mut labelled, mut label_bytes) = (0, 0);
    for begin in (0..total).step_by(CHUNK) {
        let end = (begin + CHUNK).min(total);
        // Added up in order: the same figures on any number of cores.
        let chunk: Vec<Result<Seen, Unread>> = (begin..end).into_par_iter().map(|at| look(source, at)).collect();
        for (at, seen) in (begin..end).zip(chunk) {
            match seen {
                Ok(Seen { size, sums, label_bytes: of_it }) => {
                    *sizes.entry((size.width, size.height, size.channels, size.bits)).or_insert(0) += 1;
                    let (images, all) = tones.entry(sums.len()).or_insert((0, vec![[0.0; 3]; sums.len()]));
                    *images += 1;
                    for (all, sums) in all.iter_mut().zip(sums) {
                        all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
                    }
                    labelled += u64::from(of_it.is_some());
                    label_bytes += of_it.unwrap_or(0);
                }
                Err(Unread::Fault(fault)) => bad.push(Bad::new(&source.samples()[at].key, &fault)),
                Err(Unread::Io { path, source }) => return Err(Unreadable { path, source }),
            }
        }
        progress(end as u64, total as u64);
    }
    let size = |((width, height, channels, bits), images)| SizeCount { width, height, channels, bits, images };
    let mut sizes: Vec<SizeCount> = sizes.into_iter().map(size).collect();
    sizes.sort_by_key(|size| Reverse(size.images));
    let tones =
        tones.into_values().map(|(images, sums)| Tones { images, channels: sums.into_iter().map(tone).collect() });
    let images = (total + source.bad().len()) as u64;
    Ok(Survey { images, bad, sizes, tones: tones.collect(), labelled, label_bytes })
}

fn look(source: &Source, at: usize) -> Result<Seen, Unread> {
    let picture = source.picture(at)?;
    let pieces = source.label_pieces(at)?;
    let Picture { width, height, channels, .. } = picture;
    let bits = 8 * picture.pixels.depth().bytes() as u32;
    Ok(Seen {
        size: SizeCount { width, height, channels, bits, images: 1 },
        sums: sums(&picture),
        label_bytes: (!pieces.is_empty()).then(|| pieces.iter().map(|piece| piece.bytes.len() as u64).sum()),
    })
}

fn sums(picture: &Picture) -> Vec<[f64; 3]> {
    let channels = picture.channels as usize;
    let mut sums = vec![[0.0; 3]; channels];
    let mut add = |place: usize, value: f64| {
        let sum = &mut sums[place % channels];
        *sum = [sum[0] + 1.0, sum[1] + value, sum[2] + value * value];
    };
    match &picture.pixels {
        Pixels::U8(values) => values.iter().enumerate().for_each(|(at, v)| add(at, f64::from(*v) / 255.0)),
        Pixels::U16(values) => values.iter().enumerate().for_each(|(at, v)| add(at, f64::from(*v) / 65535.0)),
        Pixels::F32(values) => values.iter().enumerate().for_each(|(at, v)| add(at, f64::from(*v))),
    }
    sums
}

fn tone([values, sum, squares]: [f64; 3]) -> Tone {
    let mean = sum / values.max(1.0);
    Tone { mean, deviation: (squares / values.max(1.0) - mean * mean).max(0.0).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_of_a_picture_is_that_of_its_channels() {
        let picture = Picture::opaque(2, 1, 2, Pixels::U8(vec![0, 255, 255, 255]));
        let tones: Vec<Tone> = sums(&picture).into_iter().map(tone).collect();
        assert_eq!(tones, [Tone { mean: 0.5, deviation: 0.5 }, Tone { mean: 1.0, deviation: 0.0 }]);
    }
}

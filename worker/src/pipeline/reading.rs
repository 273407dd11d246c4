//! The reader: shard after shard, image after image, its bytes and those of its label. Nothing is decoded here but headers.

use super::{
    Common, Stage,
    errand::{Errand, Image, Passing, What},
    room::Room,
};
use std::{error::Error, iter, ops::Range, panic::resume_unwind, sync::Arc, thread};
use sumac_common::spec::ImageShape;
use sumac_data::{
    Source, decode,
    picture::Depth,
    source::{Form, Original, Piece, Unread},
};

/// Of what lies far away so many images are asked for at once: each answer takes long, and many take no longer.
const AT_ONCE: usize = 16;

/// Reads until there are no more shards, then gives how many it passed on. `pass_on` says whether anybody wants more.
pub(super) fn read(common: &Common, mut pass_on: impl FnMut(Passing<Original>) -> bool) -> u64 {
    let mut number = 0;
    let mut pass_on = |errand: &Arc<Errand>, what| {
        let passing = Passing { number, errand: Arc::clone(errand), what };
        number += 1;
        pass_on(passing)
    };
    while let Some((shard, attempt)) = common.queue.take() {
        let open = || common.input.shard(common.order.what.shard_samples, shard);
        let source = common.clocks.time(Stage::Read, open).map_err(|error| chain(&error));
        let errand = Errand::new(shard, attempt, source);
        let images = errand.source.as_ref().map_or(0, |source| source.samples().len());
        let at_once = if errand.source.as_ref().is_some_and(Source::is_asked_for_each) { AT_ONCE } else { 1 };
        'shard: for begin in (0..images).step_by(at_once) {
            for (at, read) in together(common, &errand, begin..(begin + at_once).min(images)) {
                let Some(image) = image(common, &errand, at, read) else { break 'shard };
                if !pass_on(&errand, What::Image(image)) {
                    return number;
                }
            }
        }
        if !pass_on(&errand, What::End) {
            break;
        }
    }
    number
}

/// An image and its label.
type Read = Result<(Original, Vec<Piece>), Unread>;

/// Some images of a shard, read at the same time. Of these no account is kept until all are there.
fn together(common: &Common, errand: &Errand, images: Range<usize>) -> Vec<(usize, Read)> {
    let Some(source) = &errand.source else { return Vec::new() };
    let both = |at: usize| (at, source.original(at).and_then(|original| Ok((original, source.label_pieces(at)?))));
    common.clocks.time(Stage::Read, || match images.len() {
        1 => images.map(both).collect(),
        _ => thread::scope(|scope| {
            let readers: Vec<_> = images.map(|at| scope.spawn(move || both(at))).collect();
            // A panic goes on in the reader, whose alarm tells of it.
            readers.into_iter().map(|reader| reader.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        }),
    })
}

/// `None` if the shard failed, or nobody wants it any more.
fn image(common: &Common, errand: &Errand, at: usize, read: Read) -> Option<Image<Original>> {
    errand.source.as_ref().filter(|_| errand.failed().is_none())?;
    let (made, pieces) = match read {
        Ok((original, pieces)) => (Ok(original), pieces),
        Err(Unread::Fault(fault)) => (Err(fault.to_string()), Vec::new()),
        Err(unread @ Unread::Io { .. }) => {
            errand.fail(unreadable(&unread));
            return None;
        }
    };
    let bytes = cost(common, made.as_ref().ok(), &pieces);
    let place = Room::enter(&common.room, bytes)?;
    Some(Image { at, place, pieces, made })
}

/// What an image will take on its way, in bytes: as it is read, decoded, refined and encoded.
fn cost(common: &Common, original: Option<&Original>, pieces: &[Piece]) -> u64 {
    let labels: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let Some(Original { form, bytes }) = original else { return labels as u64 };
    let (pixels, decoded) = match form {
        Form::Encoded(_) => decode::header(bytes).map_or((0, 0), |header| {
            let pixels = u64::from(header.width) * u64::from(header.height);
            let values = u64::from(header.channels) + u64::from(header.has_alpha);
            (pixels, pixels * values * header.depth.bytes() as u64)
        }),
        // One byte for each value, or more.
        Form::Values => (bytes.len() as u64, (bytes.len() * Depth::F32.bytes()) as u64),
    };
    let what = &common.order.what;
    let ImageShape { height, width, .. } = what.image;
    let refined = if what.fit.is_some() { u64::from(height) * u64::from(width) } else { pixels };
    let planes = refined * u64::from(common.channels) * Depth::F32.bytes() as u64;
    (labels + bytes.len()) as u64 + 2 * decoded + 3 * planes
}

/// An error with all that is behind it.
pub(super) fn chain(error: &dyn Error) -> String {
    let all = iter::successors(Some(error), |&error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What could not be read, for lack of a disk.
pub(super) fn unreadable(unread: &Unread) -> String {
    match unread {
        Unread::Fault(fault) => fault.to_string(),
        Unread::Io { path, source } => {
            format!("`{}` could not be read: {source}: check its permissions and its disk", path.display())
        }
    }
}

/// Whose fault it is: the image's, then it is bad; or the machine's, then its shard fails.
pub(super) fn judge<T>(errand: &Errand, read: Result<T, Unread>) -> Result<T, String> {
    read.map_err(|unread| {
        let why = unreadable(&unread);
        if matches!(unread, Unread::Io { .. }) {
            errand.fail(why.clone());
        }
        why
    })
}

/// A source that is open, as every image's is.
pub(super) fn source(errand: &Errand) -> Result<&Source, String> {
    errand.source.as_ref().ok_or_else(|| errand.failed().unwrap_or_default().to_owned())
}

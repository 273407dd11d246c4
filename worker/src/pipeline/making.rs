//! What the pools make of one image: pixels of its bytes before it is refined, bytes of its pixels afterwards. Pure but for a
//! record of a stack, which is read here.

use super::{Common, Stage, errand::Passing, reading};
use std::sync::{Mutex, PoisonError, mpsc};
use sumac_common::{
    ids::Digest,
    random,
    spec::{ImageShape, Resize},
};
use sumac_data::{
    decode,
    picture::Picture,
    refined,
    source::{Form, Original},
};

/// An image as the refiner takes it and gives it back, and what its bytes will be made after.
pub(super) struct Canvas {
    pub(super) shape: ImageShape,
    /// `[c, h, w]` of `shape`, in [-1, 1].
    pub(super) planes: Vec<f32>,
    /// What chance it has.
    pub(super) draw: u64,
    like: Picture,
    original: Original,
    original_digest: Digest,
}

/// An image ready to be written.
pub(super) struct Encoded {
    pub(super) original_digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// One thread of a pool: takes what comes until nothing does any more, or nobody wants it.
pub(super) fn work_off<T>(inbox: &Mutex<mpsc::Receiver<T>>, mut work: impl FnMut(T) -> bool) {
    let take = || inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(it) = take() {
        if !work(it) {
            return;
        }
    }
}

pub(super) fn decode(common: &Common, passing: Passing<Original>) -> Passing<Canvas> {
    passing.then(|errand, at, original| {
        common.clocks.time(Stage::Decode, || {
            let like = match original.form {
                Form::Encoded(_) => decode::decode(&original.bytes).map_err(|fault| fault.to_string())?,
                Form::Values => reading::judge(errand, reading::source(errand)?.picture(at))?,
            };
            let what = &common.order.what;
            let shape = match what.fit {
                Some(_) => ImageShape { channels: common.channels, ..what.image },
                None => like.shape(common.channels),
            };
            let planes = match what.fit {
                Some(resize) => like.planes_in(shape, resize),
                None => like.planes_for(common.channels),
            };
            let planes = planes.map_err(|fault| fault.to_string())?;
            // Also what is no number.
            if let Some(value) = planes.iter().find(|value| !(-1.0..=1.0).contains(*value)) {
                return Err(format!("one of its values is {value} where -1 is black and 1 is white"));
            }
            let draw = random::draw_of(&reading::source(errand)?.samples()[at].key);
            let original_digest = Digest::of(&original.bytes);
            Ok(Canvas { shape, planes, draw, like, original, original_digest })
        })
    })
}

/// The same canvas with other planes, unless one of their values is no number.
pub(super) fn refined(canvas: Canvas, planes: &[f32]) -> Result<Canvas, String> {
    match planes.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(Canvas { planes: planes.to_vec(), ..canvas }),
        lost => Err(format!("refined, {lost} of its {} values are no finite numbers", planes.len())),
    }
}

pub(super) fn encode(common: &Common, passing: Passing<Canvas>) -> Passing<Encoded> {
    passing.then(|errand, _, Canvas { shape, planes, like, original, original_digest, .. }| {
        common.clocks.time(Stage::Encode, || {
            let resize = common.order.what.fit.unwrap_or(Resize::Exact);
            let picture = Picture::from_planes_in(&planes, shape, resize, &like).map_err(|fault| fault.to_string())?;
            drop((planes, like));
            let source = reading::source(errand)?;
            let bytes = refined::written(&common.order.what, source, &picture, &original);
            Ok(Encoded { original_digest, bytes: bytes.map_err(|fault| fault.to_string())? })
        })
    })
}

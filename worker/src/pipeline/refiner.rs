//! What a pipeline needs from a refiner, and which one a refinement is done with. Names no tensor.

use crate::learner::LearnError;
use sumac_common::{
    device::Device,
    spec::{
        ImageShape,
        model::{self, Preset},
    },
};

/// Images in, images of the same size out. An image's bits depend on its own pixels, the weights and the engine; never on what
/// else is refined with it.
pub trait Refines {
    /// Channels of the images it takes and gives.
    fn channels(&self) -> u32;

    /// Images of this shape that it refines at a time: fewer cost as much.
    fn sitting(&self, shape: ImageShape) -> usize;

    /// `[n, c, h, w]` in [-1, 1], in and out; `shape` is (c, h, w). A refiner that sees noise beside an image draws it by that image's
    /// number of `draws`. `go_on` is asked now and then; `None` if it said no.
    ///
    /// # Errors
    /// If the engine refuses, out of memory for instance.
    fn refine(
        &self,
        pixels: &[f32],
        shape: ImageShape,
        draws: &[u64],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError>;
}

impl<R: Refines + ?Sized> Refines for Box<R> {
    fn channels(&self) -> u32 {
        (**self).channels()
    }

    fn sitting(&self, shape: ImageShape) -> usize {
        (**self).sitting(shape)
    }

    fn refine(
        &self,
        pixels: &[f32],
        shape: ImageShape,
        draws: &[u64],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError> {
        (**self).refine(pixels, shape, draws, go_on)
    }
}

/// A stand-in whose answer is known: the negative of every image.
pub struct Negative {
    pub channels: u32,
}

impl Refines for Negative {
    fn channels(&self) -> u32 {
        self.channels
    }

    fn sitting(&self, _: ImageShape) -> usize {
        4
    }

    fn refine(
        &self,
        pixels: &[f32],
        _: ImageShape,
        _: &[u64],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError> {
        Ok(go_on().then(|| pixels.iter().map(|value| -value).collect()))
    }
}

/// A refiner of images of so many channels, from the bytes of its file. The network of the preset `toy` has none: its images become their
/// negatives, whatever the bytes.
///
/// # Errors
/// [`LearnError::Misfit`] if the bytes are another refiner's.
pub fn load(
    net: &model::Refiner,
    channels: u32,
    bytes: &[u8],
    device: Device,
) -> Result<Box<dyn Refines + Send>, LearnError> {
    if *net == Preset::Toy.recipe().refiner {
        return Ok(Box::new(Negative { channels }));
    }
    #[cfg(feature = "torch")]
    return Ok(Box::new(crate::simgan::RefinerNet::load(net, channels, bytes, device)?));
    #[cfg(not(feature = "torch"))]
    Err(LearnError::Misfit(format!(
        "a refiner of {} bytes needs a worker built with libtorch, and this one for {device} was built without",
        bytes.len()
    )))
}

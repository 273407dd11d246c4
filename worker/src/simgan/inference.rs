//! A refiner without a discriminator: refines images of any size and learns nothing.
//!
//! Images of one size are refined in *sittings* of one shape, the last filled up with what is thrown away, and large images
//! in pieces: the engine may choose another kernel for another shape, so an image's bits would depend on its company
//! otherwise. It refuses to know where images come from, files, and how weights were found.
//!
//! Legend: b images or pieces of them, c channels, h height, w width.

use super::{
    engine,
    flat::{Flat, Place},
    lane,
    refiner::Refiner,
    state::{self, EXPORTED},
    tiles::{self, Piece},
};
use crate::{learner::LearnError, pipeline::Refines};
use std::iter;
use sumac_common::spec::{ImageShape, model};
use tch::{Device, Kind, TchError, Tensor, no_grad};

/// Images refined at a time, at most, and their pixels together, at most: more no longer fit a core's cache between two
/// convolutions.
const SITTING: usize = 16;
const SITTING_PIXELS: usize = 1 << 16;

/// Side of what is kept of one piece of a large image. With the paper's network for eyes a halo around it costs 15 % more
/// arithmetic, and one map of all its features is 19 MB.
const CORE: usize = 256;

/// What an exported `refiner.safetensors` holds, ready to refine.
pub struct RefinerNet {
    net: Refiner,
    weights: Vec<Tensor>,
    place: Place,
    channels: u32,
    core: usize,
}

impl RefinerNet {
    /// Of the bytes of an exported refiner, on the CPU in f32.
    ///
    /// # Errors
    /// [`LearnError::Misfit`] if these bytes are not such a file, or one of another refiner than `refiner` for `channels`.
    pub fn load(refiner: &model::Refiner, channels: u32, bytes: &[u8]) -> Result<Self, LearnError> {
        let place = (Kind::Float, Device::Cpu);
        let flat = Flat::zeros(refiner.tensors(channels), place).map_err(engine("laying out the refiner"))?;
        state::take_over_exported([&flat], bytes)?;
        let weights = flat.views().map_err(engine(EXPORTED))?;
        Ok(Self { net: Refiner { spec: refiner.clone() }, weights, place, channels, core: CORE })
    }

    /// The same refiner, keeping `core` x `core` pixels of each piece of a large image.
    #[must_use]
    pub fn in_pieces_of(self, core: usize) -> Self {
        Self { core, ..self }
    }

    fn easel(&self) -> Easel<'_> {
        Easel { net: &self.net, weights: &self.weights, place: self.place, core: self.core }
    }
}

impl Refines for RefinerNet {
    fn channels(&self) -> u32 {
        self.channels
    }

    fn sitting(&self, shape: ImageShape) -> usize {
        let cuts = self.easel().cuts(shape);
        // Of an image in pieces a sitting takes some pieces.
        if cuts.pieces() == 1 { cuts.sitting() } else { 1 }
    }

    fn refine(
        &self,
        pixels: &[f32],
        shape: ImageShape,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError> {
        self.easel().refine(pixels, shape, go_on)
    }
}

/// A refiner and weights for it.
pub(super) struct Easel<'a> {
    pub(super) net: &'a Refiner,
    pub(super) weights: &'a [Tensor],
    pub(super) place: Place,
    pub(super) core: usize,
}

impl<'a> Easel<'a> {
    pub(super) fn of(net: &'a Refiner, weights: &'a [Tensor], place: Place) -> Self {
        Self { net, weights, place, core: CORE }
    }

    /// `[n, c, h, w]` in [-1, 1], in and out; `None` if `go_on` said no between two sittings.
    pub(super) fn refine(
        &self,
        pixels: &[f32],
        shape: ImageShape,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError> {
        let attempt = "refining images";
        if shape.is_empty() || !pixels.len().is_multiple_of(shape.len()) {
            let (len, ImageShape { channels, height, width }) = (pixels.len(), shape);
            let reason = format!("{len} values are no images of {channels} x {height} x {width}");
            return Err(LearnError::Engine { attempt, reason });
        }
        lane::check_range(pixels, attempt)?;
        let cuts = self.cuts(shape);
        let mut refined = vec![0.0; pixels.len()];
        let images = 0..pixels.len() / shape.len();
        let mut sitters = images.flat_map(|image| cuts.of_image(image)).peekable();
        while sitters.peek().is_some() {
            if !go_on() {
                return Ok(None);
            }
            let sitting: Vec<Sitter<'_>> = sitters.by_ref().take(cuts.sitting()).collect();
            self.sit(&sitting, &cuts, pixels, &mut refined).map_err(engine(attempt))?;
        }
        Ok(Some(refined))
    }

    fn sit(&self, sitting: &[Sitter<'_>], cuts: &Cuts, from: &[f32], to: &mut [f32]) -> Result<(), TchError> {
        let planes = || 0..cuts.shape.channels as usize;
        let mut seen = Vec::with_capacity(cuts.sitting() * cuts.seen());
        for sitter in sitting {
            for (plane, row) in planes().flat_map(|plane| sitter.rows.seen.clone().map(move |row| (plane, row))) {
                seen.extend_from_slice(&from[cuts.at(sitter, plane, row, sitter.columns.seen.start)..][..cuts.width]);
            }
        }
        seen.resize(cuts.sitting() * cuts.seen(), 0.0);
        let size = [cuts.sitting(), cuts.shape.channels as usize, cuts.height, cuts.width].map(|extent| extent as i64);
        let refined = no_grad(|| {
            let seen_bchw = Tensor::f_from_slice(&seen)?.f_view(size)?.f_to_device(self.place.1)?;
            let refined_bchw = self.net.forward(self.weights, &seen_bchw.f_to_kind(self.place.0)?)?;
            lane::pixels(&refined_bchw.f_narrow(0, 0, sitting.len() as i64)?)
        })?;
        for (sitter, refined) in sitting.iter().zip(refined.chunks_exact(cuts.seen())) {
            let (rows, columns) = (sitter.rows, sitter.columns);
            for (plane, row) in planes().flat_map(|plane| rows.kept.clone().map(move |row| (plane, row))) {
                let begin = ((plane * cuts.height) + row - rows.seen.start) * cuts.width;
                let kept = &refined[begin + columns.kept.start - columns.seen.start..][..columns.kept.len()];
                to[cuts.at(sitter, plane, row, columns.kept.start)..][..kept.len()].copy_from_slice(kept);
            }
        }
        Ok(())
    }

    fn cuts(&self, shape: ImageShape) -> Cuts {
        let halo = self.net.spec.receptive_field() as usize / 2;
        let [rows, columns] = [shape.height, shape.width].map(|side| tiles::cut(side as usize, self.core, halo));
        Cuts { shape, height: rows[0].seen.len(), width: columns[0].seen.len(), rows, columns }
    }
}

/// How images of one size are cut: into pieces of one size.
struct Cuts {
    shape: ImageShape,
    rows: Vec<Piece>,
    columns: Vec<Piece>,
    height: usize,
    width: usize,
}

/// A piece of one of the images.
struct Sitter<'a> {
    image: usize,
    rows: &'a Piece,
    columns: &'a Piece,
}

impl Cuts {
    fn of_image(&self, image: usize) -> impl Iterator<Item = Sitter<'_>> {
        let cross = |rows| self.columns.iter().zip(iter::repeat(rows));
        self.rows.iter().flat_map(cross).map(move |(columns, rows)| Sitter { image, rows, columns })
    }

    fn pieces(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Values of one piece.
    fn seen(&self) -> usize {
        self.shape.channels as usize * self.height * self.width
    }

    /// Pieces refined at a time: a function of the images' size, whoever else sits.
    fn sitting(&self) -> usize {
        (SITTING_PIXELS / (self.height * self.width)).clamp(1, SITTING)
    }

    /// Where a value lies in `[n, c, h, w]`.
    fn at(&self, sitter: &Sitter<'_>, plane: usize, row: usize, column: usize) -> usize {
        let (height, width) = (self.shape.height as usize, self.shape.width as usize);
        ((sitter.image * self.shape.channels as usize + plane) * height + row) * width + column
    }
}

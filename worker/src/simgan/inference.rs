//! A refiner without a discriminator: refines images of any size and learns nothing.
//!
//! Images of one size are refined in *sittings* of one shape, the last filled up with what is thrown away, and large images
//! in pieces: the engine may choose another kernel for another shape, so an image's bits would depend on its company
//! otherwise. It refuses to know where images come from, files, and how weights were found.
//!
//! Legend: b images or pieces of them, c channels, h height, w width.

use super::{
    chance::{self, Chance},
    engine,
    flat::{self, Flat, Place},
    lane,
    refiner::Refiner,
    state::{self, EXPORTED},
    tiles::{self, Piece},
};
use crate::{
    learner::{LearnError, Lights},
    pipeline::Refines,
};
use std::iter;
use sumac_common::{
    device,
    ids::{Lane, Step},
    random::{self, Stream},
    spec::{ImageShape, model},
};
use tch::{TchError, Tensor, no_grad};

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
    lights: Lights,
    core: usize,
}

impl RefinerNet {
    /// Of the bytes of an exported refiner, on that device in f32.
    ///
    /// # Errors
    /// [`LearnError::Misfit`] if these bytes are not such a file, or one of another refiner than `refiner` for `channels`.
    pub fn load(
        refiner: &model::Refiner,
        channels: u32,
        bytes: &[u8],
        device: device::Device,
    ) -> Result<Self, LearnError> {
        let place = flat::place(device);
        let flat = Flat::zeros(refiner.tensors(channels), place).map_err(engine("laying out the refiner"))?;
        let lights = state::take_over_exported([&flat], refiner.matching, bytes)?;
        let weights = flat.views().map_err(engine(EXPORTED))?;
        Ok(Self { net: Refiner { spec: refiner.clone() }, weights, place, channels, lights, core: CORE })
    }

    /// The same refiner, keeping `core` x `core` pixels of each piece of a large image.
    #[must_use]
    pub fn in_pieces_of(self, core: usize) -> Self {
        Self { core, ..self }
    }

    fn easel(&self) -> Easel<'_> {
        let Self { net, weights, place, lights, core, .. } = self;
        Easel { net, weights, lights, place: *place, core: *core }
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
        draws: &[u64],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError> {
        self.easel().refine(pixels, shape, draws, go_on)
    }
}

/// A refiner and weights for it.
pub(super) struct Easel<'a> {
    pub(super) net: &'a Refiner,
    pub(super) weights: &'a [Tensor],
    pub(super) lights: &'a Lights,
    pub(super) place: Place,
    pub(super) core: usize,
}

impl<'a> Easel<'a> {
    pub(super) fn of(net: &'a Refiner, weights: &'a [Tensor], place: Place) -> Self {
        const NONE: &Lights = &Lights { channels: 0, mean: Vec::new(), deviation: Vec::new() };
        Self { net, weights, lights: NONE, place, core: CORE }
    }

    /// `[n, c, h, w]` in [-1, 1], in and out; `None` if `go_on` said no between two sittings. `draws`: of each image what its noise
    /// is drawn by.
    pub(super) fn refine(
        &self,
        pixels: &[f32],
        shape: ImageShape,
        draws: &[u64],
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
        if draws.len() != images.len() {
            let reason = format!("{} images came with {} draws", images.len(), draws.len());
            return Err(LearnError::Engine { attempt, reason });
        }
        let seen = self.seen(pixels, shape, draws).map_err(engine(attempt))?;
        let mut sitters = images.flat_map(|image| cuts.of_image(image)).peekable();
        while sitters.peek().is_some() {
            if !go_on() {
                return Ok(None);
            }
            let sitting: Vec<Sitter<'_>> = sitters.by_ref().take(cuts.sitting()).collect();
            self.sit(&sitting, &cuts, &seen, &mut refined).map_err(engine(attempt))?;
        }
        Ok(Some(refined))
    }

    /// Whole images with their noise, and their light, each made for itself.
    fn seen(&self, pixels: &[f32], shape: ImageShape, draws: &[u64]) -> Result<Seen, TchError> {
        let (height, width) = (shape.height as usize, shape.width as usize);
        let mut chance = Chance::none(&self.net.spec, (height, width));
        let shape_seen = ImageShape { channels: self.net.spec.planes_in(shape.channels), ..shape };
        if !self.net.spec.is_random() && self.lights.is_empty() {
            return Ok(Seen { shape: shape_seen, planes: pixels.to_vec(), light: Vec::new() });
        }
        let (mut planes, mut light) = (Vec::with_capacity(draws.len() * shape_seen.len()), Vec::new());
        let size = [1, shape.channels, shape.height, shape.width].map(i64::from);
        for (image, (pixels, draw)) in pixels.chunks_exact(shape.len()).zip(draws).enumerate() {
            chance.draw(&mut random::stream(*draw, Stream::Noise, Lane(0), Step(0)));
            let begin = planes.len();
            planes.extend_from_slice(pixels);
            self.lights.lend(&mut planes[begin..], *draw);
            let pixels = planes[begin..].to_vec();
            planes.extend_from_slice(chance.planes(image));
            if let Some(noise_14) = chance.light(image, self.place)? {
                let image_1chw = chance::tensor(&pixels, &size, self.place)?;
                light.push(no_grad(|| self.net.light(self.weights, &image_1chw, &noise_14))?);
            }
        }
        Ok(Seen { shape: shape_seen, planes, light })
    }

    fn sit(&self, sitting: &[Sitter<'_>], cuts: &Cuts, from: &Seen, to: &mut [f32]) -> Result<(), TchError> {
        let planes_in = from.shape.channels as usize;
        let mut seen = Vec::with_capacity(cuts.sitting() * cuts.piece(from.shape));
        for sitter in sitting {
            for (plane, row) in (0..planes_in).flat_map(|plane| sitter.rows.seen.clone().map(move |row| (plane, row))) {
                let begin = Cuts::at(from.shape, sitter, plane, row, sitter.columns.seen.start);
                seen.extend_from_slice(&from.planes[begin..][..cuts.width]);
            }
        }
        seen.resize(cuts.sitting() * cuts.piece(from.shape), 0.0);
        let size = [cuts.sitting(), planes_in, cuts.height, cuts.width].map(|extent| extent as i64);
        let refined = no_grad(|| {
            let seen_bkhw = chance::tensor(&seen, &size, self.place)?;
            let light_bs = from.light_of(sitting, cuts.sitting())?;
            let refined_bchw = self.net.forward_lit(self.weights, &seen_bkhw, light_bs.as_ref())?;
            lane::pixels(&refined_bchw.f_narrow(0, 0, sitting.len() as i64)?)
        })?;
        let channels = cuts.shape.channels as usize;
        for (sitter, refined) in sitting.iter().zip(refined.chunks_exact(cuts.piece(cuts.shape))) {
            let (rows, columns) = (sitter.rows, sitter.columns);
            for (plane, row) in (0..channels).flat_map(|plane| rows.kept.clone().map(move |row| (plane, row))) {
                let begin = ((plane * cuts.height) + row - rows.seen.start) * cuts.width;
                let kept = &refined[begin + columns.kept.start - columns.seen.start..][..columns.kept.len()];
                let at = Cuts::at(cuts.shape, sitter, plane, row, columns.kept.start);
                to[at..][..kept.len()].copy_from_slice(kept);
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

/// What a refiner sees of some images: their planes and those of their noise, `[n, k, h, w]`.
struct Seen {
    shape: ImageShape,
    planes: Vec<f32>,
    /// `[1, 2c]` of each; none without a head for light.
    light: Vec<Tensor>,
}

impl Seen {
    /// `[b, 2c]` of those that sit, filled up with the first one's.
    fn light_of(&self, sitting: &[Sitter<'_>], places: usize) -> Result<Option<Tensor>, TchError> {
        let Some(first) = sitting.first().and_then(|sitter| self.light.get(sitter.image)) else { return Ok(None) };
        let of = |sitter: &Sitter<'_>| self.light.get(sitter.image).unwrap_or(first);
        let lights = sitting.iter().map(of).chain(iter::repeat(first)).take(places);
        Tensor::f_cat(&lights.collect::<Vec<_>>(), 0).map(Some)
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

    /// Values of one piece of images of so many planes.
    fn piece(&self, shape: ImageShape) -> usize {
        shape.channels as usize * self.height * self.width
    }

    /// Pieces refined at a time: a function of the images' size, whoever else sits.
    fn sitting(&self) -> usize {
        (SITTING_PIXELS / (self.height * self.width)).clamp(1, SITTING)
    }

    /// Where a value lies in `[n, planes, h, w]`.
    fn at(shape: ImageShape, sitter: &Sitter<'_>, plane: usize, row: usize, column: usize) -> usize {
        let (height, width) = (shape.height as usize, shape.width as usize);
        ((sitter.image * shape.channels as usize + plane) * height + row) * width + column
    }
}

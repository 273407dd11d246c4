use super::*;
use crate::pipeline::Refines;
use sumac_common::spec::presets::Recipe;

fn shape(channels: u32, height: u32, width: u32) -> ImageShape {
    ImageShape { channels, height, width }
}

fn of_preset(preset: Preset) -> (model::Refiner, ImageShape) {
    let Recipe { refiner, image, .. } = preset.recipe();
    (refiner, image)
}

/// A refiner with weights large enough that every layer counts, and its exported file.
fn drawn(refiner: &model::Refiner, channels: u32, seed: u64) -> (SimGan, Vec<u8>) {
    let spec = small_with(|what| {
        what.data.image.channels = channels;
        what.model.refiner = refiner.clone();
    });
    let simgan = SimGan::new(&spec).unwrap();
    let mut rng = random::stream(seed, Stream::Init, Lane(7), Step(0));
    for (parameter, mut view) in simgan.refiner.flat.parameters.iter().zip(simgan.refiner.flat.views().unwrap()) {
        let bound = (3.0 / parameter.fan_in as f32).sqrt();
        let drawn: Vec<f32> = (0..parameter.len()).map(|_| (2.0 * random::uniform(&mut rng) - 1.0) * bound).collect();
        view.copy_(&Tensor::from_slice(&drawn).view(view.size().as_slice()));
    }
    let (_, bytes) = simgan.export().unwrap().swap_remove(0);
    (simgan, bytes)
}

fn net(refiner: &model::Refiner, channels: u32) -> RefinerNet {
    RefinerNet::load(refiner, channels, &drawn(refiner, channels, 3).1, Device::Cpu).unwrap()
}

fn refined(net: &RefinerNet, pixels: &[f32], shape: ImageShape) -> Vec<f32> {
    let draws: Vec<u64> = pixels.chunks_exact(shape.len()).map(draw_of).collect();
    net.refine(pixels, shape, &draws, &|| true).unwrap().unwrap()
}

/// The same for the same image, wherever it is.
fn draw_of(image: &[f32]) -> u64 {
    image.iter().fold(0, |draw, value| 31 * (draw % (1 << 40)) + u64::from(value.to_bits()))
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Both presets that people use, their paddings and outputs crossed, and one with noise and a head for light.
fn networks() -> Vec<(model::Refiner, u32)> {
    let (eyes, _) = of_preset(Preset::PaperEyes);
    let (digits, _) = of_preset(Preset::Digits);
    let colour = model::Refiner { padding: Padding::Zeros, ..digits.clone() };
    let lit = model::Refiner { noise: Noise { image: 2, pixel: 1 }, light: true, ..digits.clone() };
    let replicated = model::Refiner { padding: Padding::Replicate, ..eyes.clone() };
    vec![(replicated, 1), (eyes, 1), (digits, 1), (colour, 3), (lit, 3)]
}

#[test]
fn a_loaded_refiner_refines_as_the_one_that_was_exported() {
    let (refiner, image) = of_preset(Preset::Digits);
    let (simgan, bytes) = drawn(&refiner, 1, 3);
    let net = RefinerNet::load(&refiner, 1, &bytes, Device::Cpu).unwrap();
    let images = noise(shape(1, 6, 7), 0, 20);
    assert_eq!(refined(&net, &images.pixels, shape(1, 6, 7)), simgan.refine(&images).unwrap().pixels);
    let misfit = RefinerNet::load(&model::Refiner { width: 8, ..refiner }, 1, &bytes, Device::Cpu).err().unwrap();
    assert!(misfit.to_string().contains("conv_in.weight"), "{misfit}");
    assert_eq!(net.sitting(image), 16);
}

#[test]
fn an_image_is_refined_alike_in_any_company_and_at_any_place() {
    for (refiner, channels) in networks() {
        let net = net(&refiner, channels);
        for (height, width) in [(35, 55), (28, 28), (7, 200), (1, 1)] {
            let shape = shape(channels, height, width);
            let crowd = noise(shape, 0, 37).pixels;
            let together = refined(&net, &crowd, shape);
            for n in [1, 5, 16] {
                for first in [0, 1, 20, 36].into_iter().filter(|first| first + n <= 37) {
                    let range = first * shape.len()..(first + n) * shape.len();
                    let apart = refined(&net, &crowd[range.clone()], shape);
                    assert_eq!(apart, together[range], "{n} from {first} on, {shape:?}, {refiner:?}");
                }
            }
        }
    }
}

#[test]
fn an_image_whose_neighbour_is_not_finite_is_refined_alike() {
    let (refiner, shape) = of_preset(Preset::PaperEyes);
    let net = net(&refiner, 1);
    let mut pixels = noise(shape, 0, 3).pixels;
    let wanted = refined(&net, &pixels, shape);
    pixels[shape.len()..2 * shape.len()].fill(f32::NAN);
    let found = refined(&net, &pixels, shape);
    assert!(found[shape.len()..2 * shape.len()].iter().all(|value| value.is_nan()));
    for image in [0, 2] {
        let range = image * shape.len()..(image + 1) * shape.len();
        assert_eq!(found[range.clone()], wanted[range]);
    }
}

/// The tiles of a convolution begin elsewhere, and libtorch's kernels add in another order for some shapes: up to 2.6e-5 was measured.
/// A level of eight bits is 8e-3.
const OTHER_ORDER: f32 = 1e-4;

#[test]
fn an_image_in_pieces_is_refined_as_a_whole_one() {
    for (refiner, channels) in networks() {
        let whole = net(&refiner, channels).in_pieces_of(1_000);
        for core in [8, 32] {
            let pieces = net(&refiner, channels).in_pieces_of(core);
            let seen = core as u32 + refiner.receptive_field() - 1;
            for (height, width) in [(seen, seen + 1), (seen + 1, seen), (seen + 1, seen + 1), (2, 150), (97, 130)] {
                let shape = shape(channels, height, width);
                let pixels = noise(shape, 0, 2).pixels;
                let off = largest_difference(&refined(&pieces, &pixels, shape), &refined(&whole, &pixels, shape));
                println!("{height}x{width} core {core} {:?}: off by {off:e}", refiner.padding);
                assert!(off <= OTHER_ORDER, "off by {off} at {shape:?}, core {core}, {refiner:?}");
            }
        }
    }
}

#[test]
fn a_large_image_can_be_broken_off_between_its_pieces() {
    let (refiner, _) = of_preset(Preset::Digits);
    let net = net(&refiner, 1).in_pieces_of(8);
    let shape = shape(1, 400, 400);
    assert_eq!(net.sitting(shape), 1);
    let asked = std::cell::Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    assert_eq!(net.refine(&vec![0.0; shape.len()], shape, &[0], &go_on).unwrap(), None);
    assert_eq!(asked.get(), 3);
}

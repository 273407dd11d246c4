//! The two networks as data: layers, sizes, counts. Knows nothing of tensors.
//!
//! What is counted here is what a learner must build: same tensors, same names, same order.

use super::ImageShape;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The preset it grew from, for people; the fields below are what counts.
    pub preset: Preset,
    pub refiner: Refiner,
    pub discriminator: Discriminator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    PaperEyes,
    PaperHands,
    Digits,
    SmallColour,
    SmallColourMatched,
    /// No images to speak of: integers whose sum is known. For tests of the run itself.
    Toy,
}

/// conv kxk -> width, ReLU; `blocks` of (conv kxk, ReLU, conv kxk, + input, ReLU); conv 1x1 -> channels; then `output`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refiner {
    pub width: u32,
    pub blocks: u32,
    /// Odd.
    pub kernel: u32,
    pub output: RefinerOutput,
    pub padding: Padding,
    /// Beside the image among what the first convolution sees, so that one image can come out in several ways.
    pub noise: Noise,
    /// A head for the light of the whole image, beside the convolutions: a small network of noise and of each channel's mean and
    /// deviation gives each channel a gain and an offset, which come after `output`: `(y + 1) exp(gain) + offset - 1`, clamped.
    pub light: bool,
    /// What every image goes through before the first convolution; self-regularisation compares with what comes out of it.
    pub matching: Matching,
}

/// What an image gets from the real ones before a refiner sees it. It is no learning, and a baseline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    None,
    /// Each channel's mean and deviation of one real image, drawn once for each image by its key (Reinhard et al. 2001, "Color
    /// transfer between images", in RGB): (x - mean) / (deviation + [`Matching::FLAT`]) x real deviation + real mean, clamped.
    Image,
}

impl Matching {
    /// Keeps flat images from becoming noise. Of pixels in [-1, 1].
    pub const FLAT: f64 = 0.05;
    /// Real images that a refiner carries along, at most, evenly spread over them.
    pub const IMAGES_MAX: u64 = 65_536;
}

/// Planes of normal noise that a refiner sees beside an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    /// Of one value for the whole image each.
    pub image: u32,
    /// Of a value for each pixel each.
    pub pixel: u32,
}

impl Noise {
    pub const NONE: Self = Self { image: 0, pixel: 0 };

    #[must_use]
    pub fn planes(self) -> u32 {
        self.image + self.pixel
    }
}

/// The head for light: values of noise it sees, and values between its two layers.
pub const LIGHT_NOISE: u32 = 4;
const LIGHT_WIDTH: u32 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefinerOutput {
    /// tanh of the last convolution (what every peer does; the paper is silent).
    Tanh,
    /// Input + last convolution, clamped to [-1, 1]; the last convolution starts at zero, so the refiner starts as the identity.
    Residual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    Zeros,
    Replicate,
}

/// Fully convolutional; the last layer has two maps (class 0 = real, class 1 = refined) and no activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discriminator {
    pub layers: Vec<Layer>,
    pub activation: Activation,
    /// Weights divided by their largest singular value (one power iteration per committed step).
    pub spectral_norm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "layer")]
pub enum Layer {
    /// "SAME" padding of kernel / 2.
    Conv {
        kernel: u32,
        stride: u32,
        maps: u32,
    },
    MaxPool {
        kernel: u32,
        stride: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    Relu,
    /// Slope 0.2 below zero.
    LeakyRelu,
}

/// One parameter tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Module path and role, such as `blocks.2.conv1.weight`.
    pub name: String,
    /// `[out, in, kernel, kernel]` for a convolution's weight, `[out, in]` for a dense layer's, `[out]` for a bias.
    pub shape: Vec<usize>,
    /// Inputs that one output sums over, `in * kernel * kernel`; a bias has its weight's. Initial values scale with it.
    pub fan_in: usize,
}

impl TensorShape {
    /// Values in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Weight and bias of one convolution.
fn convolution(module: &str, inputs: u32, outputs: u32, kernel: u32) -> [TensorShape; 2] {
    let (inputs, outputs, kernel) = (inputs as usize, outputs as usize, kernel as usize);
    let fan_in = inputs * kernel * kernel;
    [
        TensorShape { name: format!("{module}.weight"), shape: vec![outputs, inputs, kernel, kernel], fan_in },
        TensorShape { name: format!("{module}.bias"), shape: vec![outputs], fan_in },
    ]
}

/// Weight and bias of one layer that sees all of its input.
fn dense(module: &str, inputs: u32, outputs: u32) -> [TensorShape; 2] {
    let (inputs, outputs) = (inputs as usize, outputs as usize);
    [
        TensorShape { name: format!("{module}.weight"), shape: vec![outputs, inputs], fan_in: inputs },
        TensorShape { name: format!("{module}.bias"), shape: vec![outputs], fan_in: inputs },
    ]
}

impl Refiner {
    /// Its tensors in module order: `conv_in`, `blocks.i.conv1`, `blocks.i.conv2`, `conv_out`, with a head for light also
    /// `light.hidden` and `light.out`; weight before bias.
    #[must_use]
    pub fn tensors(&self, channels: u32) -> Vec<TensorShape> {
        let Self { width, blocks, kernel, .. } = *self;
        let inner = (0..blocks).flat_map(|block| [1, 2].map(|half| format!("blocks.{block}.conv{half}")));
        let head = [
            dense("light.hidden", LIGHT_NOISE + 2 * channels, LIGHT_WIDTH),
            dense("light.out", LIGHT_WIDTH, 2 * channels),
        ];
        convolution("conv_in", self.planes_in(channels), width, kernel)
            .into_iter()
            .chain(inner.flat_map(|module| convolution(&module, width, width, kernel)))
            .chain(convolution("conv_out", width, channels, 1))
            .chain(head.into_iter().flatten().filter(|_| self.light))
            .collect()
    }

    /// Planes that the first convolution sees: those of an image of so many channels, then noise.
    #[must_use]
    pub fn planes_in(&self, channels: u32) -> u32 {
        channels + self.noise.planes()
    }

    /// Whether the same image comes out otherwise with other noise.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.light || self.noise.planes() > 0
    }

    /// Values it learns.
    #[must_use]
    pub fn parameters(&self, channels: u32) -> usize {
        self.tensors(channels).iter().map(TensorShape::len).sum()
    }

    /// Side, in pixels, of the square of the input that one output pixel sees.
    #[must_use]
    pub fn receptive_field(&self) -> u32 {
        1 + (self.kernel - 1) * (1 + 2 * self.blocks)
    }
}

impl Discriminator {
    /// Its tensors in module order: `layers.i`, where i counts every layer, pools too; weight before bias.
    #[must_use]
    pub fn tensors(&self, channels: u32) -> Vec<TensorShape> {
        let mut inputs = channels;
        let mut tensors = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            if let Layer::Conv { kernel, maps, .. } = *layer {
                tensors.extend(convolution(&format!("layers.{i}"), inputs, maps, kernel));
                inputs = maps;
            }
        }
        tensors
    }

    /// Values it learns.
    #[must_use]
    pub fn parameters(&self, channels: u32) -> usize {
        self.tensors(channels).iter().map(TensorShape::len).sum()
    }

    /// Rows and columns of its map of verdicts: one cross-entropy each, summed in the local adversarial loss.
    #[must_use]
    pub fn map(&self, image: ImageShape) -> (u32, u32) {
        self.layers
            .iter()
            .fold((image.height, image.width), |(height, width), layer| (layer.shrinks(height), layer.shrinks(width)))
    }

    /// Verdicts per image.
    #[must_use]
    pub fn patches(&self, image: ImageShape) -> usize {
        let (rows, columns) = self.map(image);
        rows as usize * columns as usize
    }

    /// Side, in pixels, of the square of the input that one verdict sees.
    #[must_use]
    pub fn receptive_field(&self) -> u32 {
        let (field, _) = self.layers.iter().fold((1, 1), |(field, jump), layer| {
            let (kernel, stride) = layer.window();
            (field + (kernel - 1) * jump, jump * stride)
        });
        field
    }
}

impl Layer {
    /// Kernel and stride.
    #[must_use]
    pub fn window(&self) -> (u32, u32) {
        match *self {
            Self::Conv { kernel, stride, .. } | Self::MaxPool { kernel, stride } => (kernel, stride),
        }
    }

    /// What is left of a side under "SAME" padding of kernel / 2; kernels are odd.
    fn shrinks(&self, side: u32) -> u32 {
        let (_, stride) = self.window();
        side.div_ceil(stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::presets::Recipe;

    fn recipe(preset: Preset) -> Recipe {
        preset.recipe()
    }

    #[test]
    fn the_networks_for_eyes_have_the_sizes_counted_from_the_paper() {
        let Recipe { image, refiner, discriminator, .. } = recipe(Preset::PaperEyes);
        assert_eq!(refiner.parameters(image.channels), 296_129);
        assert_eq!(discriminator.parameters(image.channels), 75_906);
        assert_eq!(discriminator.map(image), (9, 14));
        assert_eq!(discriminator.patches(image), 126);
        assert_eq!((refiner.receptive_field(), discriminator.receptive_field()), (19, 23));
    }

    #[test]
    fn the_networks_for_hands_have_the_sizes_counted_from_the_paper() {
        let Recipe { image, refiner, discriminator, .. } = recipe(Preset::PaperHands);
        assert_eq!(refiner.parameters(image.channels), 4_018_625);
        assert_eq!(discriminator.parameters(image.channels), 178_050);
        assert_eq!(discriminator.map(image), (7, 7));
        assert_eq!((refiner.receptive_field(), discriminator.receptive_field()), (127, 71));
    }

    #[test]
    fn tensors_come_in_module_order_with_pools_counted_as_layers() {
        let Recipe { refiner, discriminator, .. } = recipe(Preset::PaperEyes);
        let names = |tensors: Vec<TensorShape>| tensors.into_iter().map(|tensor| tensor.name).collect::<Vec<_>>();
        let refiner_names = names(Refiner { blocks: 1, ..refiner }.tensors(1));
        let modules = ["conv_in", "blocks.0.conv1", "blocks.0.conv2", "conv_out"];
        assert_eq!(refiner_names, modules.map(|m| [format!("{m}.weight"), format!("{m}.bias")]).concat());
        // Layer 2 is the pool: it has a number and no tensors.
        let layers = [0, 1, 3, 4, 5];
        let expected = layers.map(|i| [format!("layers.{i}.weight"), format!("layers.{i}.bias")]).concat();
        assert_eq!(names(discriminator.tensors(1)), expected);
    }

    #[test]
    fn noise_widens_the_first_convolution_and_light_is_a_head_of_its_own() {
        let Recipe { refiner, .. } = recipe(Preset::Digits);
        let noisy = Refiner { noise: Noise { image: 2, pixel: 1 }, light: true, ..refiner.clone() };
        let tensors = noisy.tensors(3);
        assert_eq!(tensors[0].shape, [16, 6, 3, 3]);
        let head: Vec<_> =
            tensors.iter().rev().take(4).rev().map(|it| (it.name.as_str(), it.shape.as_slice())).collect();
        let expected: [(&str, &[usize]); 4] = [
            ("light.hidden.weight", &[32, 10]),
            ("light.hidden.bias", &[32]),
            ("light.out.weight", &[6, 32]),
            ("light.out.bias", &[6]),
        ];
        assert_eq!(head, expected);
        assert!(noisy.is_random() && !refiner.is_random());
        assert_eq!(noisy.receptive_field(), refiner.receptive_field());
    }

    #[test]
    fn a_tensor_knows_its_shape_and_its_fan_in() {
        let tensors = recipe(Preset::PaperEyes).discriminator.tensors(3);
        assert_eq!((tensors[0].shape.as_slice(), tensors[0].fan_in), ([96, 3, 3, 3].as_slice(), 27));
        assert_eq!((tensors[1].shape.as_slice(), tensors[1].fan_in), ([96].as_slice(), 27));
        assert_eq!((tensors[2].shape.as_slice(), tensors[2].fan_in), ([64, 96, 3, 3].as_slice(), 864));
    }
}

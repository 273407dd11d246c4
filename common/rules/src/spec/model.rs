//! The two networks as data: layers, sizes, counts. Knows nothing of tensors.

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
}

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
    Conv { kernel: u32, stride: u32, maps: u32 },
    MaxPool { kernel: u32, stride: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    Relu,
    /// Slope 0.2 below zero.
    LeakyRelu,
}

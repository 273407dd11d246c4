//! What a preset stands for: two networks, and how they are trained unless the job says otherwise.
//!
//! Where the paper is silent or contradicts itself, the choice made here is named. Knows nothing of job files.

use super::{
    ImageShape, Optimizer, OptimizerKind, Pretrain, Psi,
    model::{Activation, Discriminator, Layer, Matching, Noise, Padding, Preset, Refiner, RefinerOutput},
};
use crate::ids::Step;

/// Everything a job need not say itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub image: ImageShape,
    pub refiner: Refiner,
    pub discriminator: Discriminator,
    pub batch: u32,
    pub pretrain: Pretrain,
    pub k_refiner: u32,
    pub k_discriminator: u32,
    pub lambda: f64,
    pub psi: Psi,
    /// How either network learns.
    pub refiner_optimizer: Optimizer,
    pub discriminator_optimizer: Optimizer,
    pub ema: Option<f64>,
    pub shift: u32,
}

impl Preset {
    #[must_use]
    pub fn recipe(self) -> Recipe {
        match self {
            Self::PaperEyes => paper_eyes(),
            Self::PaperHands => paper_hands(),
            Self::Digits => digits(),
            Self::SmallColour => small_colour(),
            Self::SmallColourMatched => small_colour_matched(),
            Self::Toy => toy(),
        }
    }
}

/// Section 3.1 of the paper. It names K_g both 2 and 50: 2 here, "for each update of D, we update R twice".
/// It names no lambda: 0.5 between means, within the band of those who got it to work.
fn paper_eyes() -> Recipe {
    Recipe {
        image: ImageShape { channels: 1, height: 35, width: 55 },
        refiner: Refiner {
            width: 64,
            blocks: 4,
            kernel: 3,
            output: RefinerOutput::Tanh,
            padding: Padding::Zeros,
            noise: Noise::NONE,
            light: false,
            matching: Matching::None,
        },
        discriminator: Discriminator {
            layers: vec![conv(3, 2, 96), conv(3, 2, 64), pool(3, 1), conv(3, 1, 32), conv(1, 1, 32), conv(1, 1, 2)],
            activation: Activation::Relu,
            spectral_norm: false,
        },
        batch: 512,
        pretrain: Pretrain { refiner: 1_000, discriminator: 200 },
        k_refiner: 2,
        k_discriminator: 1,
        lambda: 0.5,
        psi: Psi::Identity,
        refiner_optimizer: sgd(1e-3),
        discriminator_optimizer: sgd(1e-3),
        ema: None,
        shift: 0,
    }
}

/// Section 3.2 and the supplement, whose learning rates these are.
fn paper_hands() -> Recipe {
    let falling = || Optimizer { decay: vec![(Step(600_000), 5e-5)], ..sgd(2e-4) };
    Recipe {
        image: ImageShape { channels: 1, height: 224, width: 224 },
        refiner: Refiner {
            width: 64,
            blocks: 10,
            kernel: 7,
            output: RefinerOutput::Tanh,
            padding: Padding::Zeros,
            noise: Noise::NONE,
            light: false,
            matching: Matching::None,
        },
        discriminator: Discriminator {
            layers: vec![conv(7, 4, 96), conv(5, 2, 64), pool(3, 2), conv(3, 2, 32), conv(1, 1, 32), conv(1, 1, 2)],
            activation: Activation::Relu,
            spectral_norm: false,
        },
        pretrain: Pretrain { refiner: 500, discriminator: 200 },
        refiner_optimizer: falling(),
        discriminator_optimizer: falling(),
        ..paper_eyes()
    }
}

/// Narrow enough to train in minutes on two CPU cores. The refiner starts as the identity, so it needs no pre-training;
/// lambda is low because a larger one holds thin grey strokes where they are.
fn digits() -> Recipe {
    Recipe {
        image: ImageShape { channels: 1, height: 28, width: 28 },
        refiner: Refiner {
            width: 16,
            blocks: 2,
            kernel: 3,
            output: RefinerOutput::Residual,
            padding: Padding::Replicate,
            noise: Noise::NONE,
            light: false,
            matching: Matching::None,
        },
        discriminator: Discriminator {
            layers: vec![conv(3, 2, 32), conv(3, 2, 32), conv(3, 1, 32), conv(1, 1, 2)],
            activation: Activation::LeakyRelu,
            spectral_norm: true,
        },
        batch: 64,
        pretrain: Pretrain { refiner: 0, discriminator: 50 },
        k_refiner: 1,
        k_discriminator: 1,
        lambda: 0.2,
        psi: Psi::Identity,
        refiner_optimizer: adam(1e-3),
        discriminator_optimizer: adam(3e-4),
        ema: Some(0.99),
        shift: 1,
    }
}

/// Small colour images in varied light: the refiner sees noise, so that it can light one image in several ways, and what
/// self-regularisation holds on to is structure, whatever the light.
fn small_colour() -> Recipe {
    let digits = digits();
    Recipe {
        image: ImageShape { channels: 3, height: 32, width: 32 },
        refiner: Refiner { noise: Noise { image: 2, pixel: 1 }, light: true, ..digits.refiner },
        discriminator: Discriminator {
            layers: vec![conv(3, 2, 48), conv(3, 2, 48), conv(3, 1, 48), conv(1, 1, 2)],
            ..digits.discriminator
        },
        batch: 32,
        lambda: 2.0,
        psi: Psi::Standardised,
        ..digits
    }
}

/// The same images, lit by real ones beforehand: what is left to learn is finer, so patches are larger and changes dearer.
fn small_colour_matched() -> Recipe {
    let small_colour = small_colour();
    Recipe {
        refiner: Refiner { light: false, matching: Matching::Image, ..small_colour.refiner },
        discriminator: Discriminator {
            layers: vec![conv(3, 2, 48), conv(3, 2, 48), conv(3, 2, 48), conv(3, 1, 48), conv(1, 1, 2)],
            ..small_colour.discriminator
        },
        lambda: 5.0,
        psi: Psi::Identity,
        ..small_colour
    }
}

/// One pixel and the smallest networks a job file can write: the toy learner looks at neither.
fn toy() -> Recipe {
    Recipe {
        image: ImageShape { channels: 1, height: 1, width: 1 },
        refiner: Refiner {
            width: 1,
            blocks: 0,
            kernel: 1,
            output: RefinerOutput::Residual,
            padding: Padding::Zeros,
            noise: Noise::NONE,
            light: false,
            matching: Matching::None,
        },
        discriminator: Discriminator {
            layers: vec![conv(1, 1, 2)],
            activation: Activation::Relu,
            spectral_norm: false,
        },
        pretrain: Pretrain { refiner: 2, discriminator: 2 },
        refiner_optimizer: sgd(1e-3),
        discriminator_optimizer: sgd(1e-3),
        ema: None,
        shift: 0,
        ..digits()
    }
}

fn conv(kernel: u32, stride: u32, maps: u32) -> Layer {
    Layer::Conv { kernel, stride, maps }
}

fn pool(kernel: u32, stride: u32) -> Layer {
    Layer::MaxPool { kernel, stride }
}

fn sgd(lr: f64) -> Optimizer {
    Optimizer { kind: OptimizerKind::SGD, lr, decay: Vec::new() }
}

fn adam(lr: f64) -> Optimizer {
    Optimizer { kind: OptimizerKind::ADAM, lr, decay: Vec::new() }
}

impl OptimizerKind {
    /// Plain gradient descent, as in the paper.
    pub const SGD: Self = Self::Sgd { momentum: 0.0 };
    /// With the first moment most adversarial training uses.
    pub const ADAM: Self = Self::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
}

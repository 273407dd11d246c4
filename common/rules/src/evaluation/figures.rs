//! What is found out in a cell. Plain numbers; what they are worth is said in the [`table`](super::table).

use serde::{Deserialize, Serialize};

/// Of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Figures {
    Classes(Classes),
    Errors(Errors),
    Images(Images),
}

/// How a classifier did on the real test images. Shares are 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    pub accuracy: f64,
    /// Mean over the classes of the share of each that was recognised.
    pub balanced_accuracy: f64,
    /// By class; `None` where the test has none of it.
    pub recognised: Vec<Option<f64>>,
    /// Mutual information of its predictions on the unlabelled real images, in nats: entropy of the mean prediction less mean
    /// entropy. It knows no label, and is large where predictions are sure and varied.
    pub information: f64,
    /// The measure on the validation images, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
}

/// How a regression did on the real test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Mean error: absolute in the label's own unit, or an angle in degrees.
    pub mean: f64,
    pub median: f64,
    /// (threshold, share of the images whose error is at most that).
    pub within: Vec<(f64, f64)>,
    /// The mean error on the validation images, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
}

/// What a model says of images, beside what it says of the synthetic ones they were made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Share of images of which it says the same class.
    Classes(f64),
    /// Mean difference of the numbers that it says, in deviations of what it says of the synthetic ones; 1 is as if it were told
    /// nothing.
    Numbers(f64),
}

/// Images beside what they were made of and beside the real ones. What is compared by features is compared by those of a model that
/// was trained on the synthetic images and on a moment-matched copy of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Images {
    /// mean |image - synthetic| of pixels in [-1, 1].
    pub change: f64,
    /// Pixels by which the contours of an image moved, mean over images.
    pub moved: f64,
    /// The same of what lies around a point that the labels name, such as a pupil.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_moved: Option<f64>,
    /// What a model still sees of the labels.
    pub kept: Kept,
    /// Fréchet distance of features to the unlabelled real images (Heusel et al. 2017) ...
    pub frechet: f64,
    /// ... and of one half of the real ones to the other: its floor.
    pub frechet_floor: f64,
    /// Sliced Wasserstein distance of 7x7 patches of Laplacian levels (Karras et al. 2018), x 1000, finest level first ...
    pub wasserstein: Vec<f64>,
    pub wasserstein_floor: Vec<f64>,
    /// Deviation between images of their mean pixel ...
    pub brightness_spread: f64,
    /// ... and of the real ones.
    pub brightness_spread_real: f64,
    /// Accuracy on held-out images of a fresh classifier that tells them from real ones; 0.5 is chance ...
    pub told_from_real: f64,
    /// ... and of one that tells two halves of the real ones apart.
    pub told_from_real_floor: f64,
    /// Images that show nothing: pixels that deviate by less than 0.03.
    pub flat: u64,
    pub images: u64,
    /// Places of some of the images among the synthetic ones, for people to look at; and what each is labelled.
    pub shown: Vec<u64>,
    pub labels: Vec<String>,
    /// The points of those, x and y in pixels, if their labels name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<[f32; 2]>,
}

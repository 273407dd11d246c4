//! What was measured of a machine, part by part: the figures that a prediction is made of. Refuses figures that cannot be; knows
//! nothing of what is made of them.

use crate::spec::{ImageShape, model::Preset};
use serde::{Deserialize, Serialize};

/// As `docs/scale.json` holds it. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Where it was measured, for people.
    pub machine: String,
    pub cores: u32,
    pub image: ImageShape,
    pub preset: Preset,
    pub batch: u32,
    pub lanes: u32,
    pub refiner_parameters: u64,
    pub discriminator_parameters: u64,
    /// One lane, forward and backward, alone on one core.
    pub lane: LaneTimes,
    /// The same while every other core does the same: memory and caches are shared. Without it nobody is in another's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane_busy: Option<LaneTimes>,
    /// Until the images of a step are there, of one worker that has all lanes.
    pub data_us: f64,
    /// The update of a step, a mean over a cycle.
    pub optimiser_us: f64,
    pub reductions: Vec<Exchange>,
    pub guards: Vec<Exchange>,
    /// From a death to the next step that is committed.
    pub regroup_us: f64,
    /// Of real runs, to hold predictions against.
    pub cycles: Vec<Measured>,
}

/// A lane in a step of either network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneTimes {
    pub refiner_us: f64,
    pub discriminator_us: f64,
}

/// Bytes that workers of one machine exchanged: a gradient that was reduced, or staged images that were handed on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    pub workers: u32,
    pub bytes: u64,
    pub us: f64,
    /// Whether somebody computed beside. In a step nobody does: all wait for the same sum.
    #[serde(default)]
    pub busy: bool,
}

/// A whole cycle of a run on so many workers of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub workers: u32,
    pub us: f64,
}

/// Why figures are none to predict from.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("it is not of the form of docs/scale.json")]
    Form(#[source] serde_json::Error),
    #[error("{name} is {value}, and must be above 0")]
    Figure { name: String, value: f64 },
    #[error("{lanes} lanes do not divide half a batch of {batch}")]
    Lanes { lanes: u32, batch: u32 },
    #[error(
        "it was measured with a {network} of {measured} parameters, and that of its preset has {known}: measure it anew"
    )]
    Parameters { network: &'static str, measured: u64, known: u64 },
    #[error(
        "reductions: {found} measured while nobody computed beside; two of different sizes tell delay from bandwidth"
    )]
    TooFew { found: usize },
}

impl Parts {
    /// # Errors
    /// What is not of the form, or cannot be.
    pub fn read(text: &str) -> Result<Self, Unfit> {
        let parts: Self = serde_json::from_str(text).map_err(Unfit::Form)?;
        parts.check()?;
        Ok(parts)
    }

    fn check(&self) -> Result<(), Unfit> {
        let above_zero = |name: String, value: f64| {
            let is_one = value.is_finite() && value > 0.0;
            if is_one { Ok(()) } else { Err(Unfit::Figure { name, value }) }
        };
        let counts = [("cores", self.cores), ("batch", self.batch), ("lanes", self.lanes)];
        let sides = [("channels", self.image.channels), ("height", self.image.height), ("width", self.image.width)];
        for (name, count) in counts.into_iter().chain(sides) {
            above_zero(name.to_owned(), count.into())?;
        }
        if !(self.batch / 2).is_multiple_of(self.lanes) {
            return Err(Unfit::Lanes { lanes: self.lanes, batch: self.batch });
        }
        for (name, lane) in [("lane", Some(self.lane)), ("lane_busy", self.lane_busy)] {
            let Some(lane) = lane else { continue };
            above_zero(format!("{name}.refiner_us"), lane.refiner_us)?;
            above_zero(format!("{name}.discriminator_us"), lane.discriminator_us)?;
        }
        let times = [("data_us", self.data_us), ("optimiser_us", self.optimiser_us), ("regroup_us", self.regroup_us)];
        for (name, us) in times {
            above_zero(name.to_owned(), us)?;
        }
        for (name, exchanges) in [("reductions", &self.reductions), ("guards", &self.guards)] {
            for (at, Exchange { workers, bytes, us, .. }) in exchanges.iter().enumerate() {
                above_zero(format!("{name}[{at}].us"), *us)?;
                above_zero(format!("{name}[{at}].bytes"), *bytes as f64)?;
                above_zero(format!("{name}[{at}].workers less 1"), f64::from(*workers) - 1.0)?;
            }
        }
        for (at, Measured { workers, us }) in self.cycles.iter().enumerate() {
            above_zero(format!("cycles[{at}].us"), *us)?;
            above_zero(format!("cycles[{at}].workers"), (*workers).into())?;
        }
        let recipe = self.preset.recipe();
        let known = [
            ("refiner", self.refiner_parameters, recipe.refiner.parameters(self.image.channels)),
            ("discriminator", self.discriminator_parameters, recipe.discriminator.parameters(self.image.channels)),
        ];
        for (network, measured, known) in known {
            let known = known as u64;
            if measured != known {
                return Err(Unfit::Parameters { network, measured, known });
            }
        }
        Ok(())
    }
}

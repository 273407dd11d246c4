//! Before step 0, where a job leaves lambda open: runs the probe of `rules::calibration` and asks its discriminator.
//!
//! Every worker that prepares the job by itself finds the same number, as it finds the same weights; whoever comes later is told
//! it. It refuses to know how a pull becomes a lambda, and the coordinator.

use crate::{
    learner::{LearnError, Learner, Meal, Portion},
    pantry::{Groceries, Pantry},
    train::Trouble,
};
use sumac_common::{
    calibration::{self, ASKED, Found, NotCalibrated, TOLD_FROM, UPDATES},
    ids::{Lane, Step},
    schedule::{Progress, Schedule},
    spec::Spec,
};
use tracing::info;

/// Updates after which it says how far it is.
const SAYS_EVERY: u64 = 50;

/// The lambda of this job, whose images are in the pantry; `None` where nobody wants to know any more.
pub(crate) fn lambda<L: Learner>(
    spec: &Spec,
    pantry: &mut Pantry,
    make: &dyn Fn(&Spec) -> Result<L, LearnError>,
    wanted: &dyn Fn() -> bool,
) -> Result<Option<f64>, Trouble> {
    let probe = calibration::probe(spec);
    let schedule = Schedule::new(&probe.what.train, pantry.synthetic_len(), pantry.real_len())?;
    let mut learner = make(&probe)?;
    let (mut progress, mut found) = (Progress::default(), Found::default());
    let steps = UPDATES.0 + ASKED;
    for step in (0..steps).map(Step) {
        if !wanted() {
            return Ok(None);
        }
        if step.0.is_multiple_of(SAYS_EVERY) {
            info!(done = step.0, of = steps, "lambda being calibrated");
        }
        let plan = schedule.plan(step, &progress);
        let lane = schedule.lane(&plan, &progress, Lane(0));
        let Groceries { synthetic, real } = pantry.take(&[lane])?.pop().unwrap_or_default();
        progress = progress.after(&plan, false);
        let next = schedule.plan(step.next(), &progress);
        pantry.expect(vec![schedule.lane(&next, &progress, Lane(0))]);
        if step < UPDATES {
            let (phase, history) = (plan.phase, Default::default());
            let meal = Meal { step, phase, lane: Lane(0), synthetic, real, history, keep: 0 };
            let Portion { sum, losses, .. } = learner.chew(&meal)?;
            learner.apply(phase, step, &sum)?;
            if step >= TOLD_FROM {
                found.right = found.right + losses.right_on_refined + losses.right_on_real;
            }
        } else {
            found.pull = found.pull + learner.pull(&synthetic)?;
        }
    }
    let lambda = calibration::lambda(&found, spec.what.data.image.len(), spec.what.train.psi)?;
    info!(lambda, "lambda calibrated");
    Ok(Some(lambda))
}

impl From<NotCalibrated> for Trouble {
    fn from(why: NotCalibrated) -> Self {
        Self::Failed(why.to_string())
    }
}

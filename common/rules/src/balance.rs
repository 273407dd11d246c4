//! Whether refiner and discriminator hold each other in balance, by stated thresholds, and what to do where they do not.
//!
//! Thresholds are those that told good runs from bad ones on small real sets; early steps say nothing and are let pass. Nothing
//! here changes a run: it is said, and people decide.

use crate::{ids::Step, losses::Losses, spec::What};
use std::{fmt, mem};

/// Cycles before which nothing is said: at first the discriminator always leads.
const SETTLED_AFTER: u64 = 150;
/// A discriminator that is right about so many patches of either kind has won ...
const WINS: f64 = 0.95;
/// A refiner that changes pixels, which lie in [-1, 1], by less than this, is the identity ...
const IDENTITY: f64 = 0.005;
/// ... if the discriminator tells its images apart at least so well; where it does not, there is nothing to change.
const TOLD_APART: f64 = 0.62;
/// Self-regularisation that weighs so many times what realism does lets nothing change.
const RULES: f64 = 10.0;
/// Beyond this nothing is learned any more; chance is 0.69.
const DIVERGED: f64 = 20.0;

/// What is out of balance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Imbalance {
    Diverges,
    DiscriminatorWins { on_refined: f64, on_real: f64 },
    Identity { change: f64 },
    RegularisationRules { times: f64 },
}

impl Imbalance {
    /// The same but for its figures.
    #[must_use]
    pub fn is_alike(self, other: Self) -> bool {
        mem::discriminant(&self) == mem::discriminant(&other)
    }
}

/// By the losses of the last step of either network, when `step` updates are behind the run.
#[must_use]
pub fn imbalance(losses: &Losses, what: &What, step: Step) -> Option<Imbalance> {
    let adversarial = [losses.realism.value(), losses.on_refined.value(), losses.on_real.value()];
    if adversarial.iter().flatten().any(|loss| !loss.is_finite() || *loss > DIVERGED) {
        return Some(Imbalance::Diverges);
    }
    let train = &what.train;
    let behind = step.0.saturating_sub(train.pretrain.refiner + train.pretrain.discriminator);
    if behind < SETTLED_AFTER * u64::from(train.k_refiner + train.k_discriminator) {
        return None;
    }
    let (on_refined, on_real) = (losses.right_on_refined.value(), losses.right_on_real.value());
    if let (Some(on_refined), Some(on_real)) = (on_refined, on_real)
        && on_refined > WINS
        && on_real > WINS
    {
        return Some(Imbalance::DiscriminatorWins { on_refined, on_real });
    }
    if let (Some(realism), Some(regularisation), Some(lambda)) =
        (losses.realism.value(), losses.regularisation.value(), train.lambda)
    {
        let times = lambda * regularisation / realism.max(1e-6);
        if times > RULES {
            return Some(Imbalance::RegularisationRules { times });
        }
    }
    let change = losses.change.value().filter(|change| *change < IDENTITY)?;
    (on_refined? > TOLD_APART).then_some(Imbalance::Identity { change })
}

/// Shares of patches called right differ by so much where it calls nearly all the same.
const LOPSIDED: f64 = 0.5;

/// What the discriminator can do, by the shares of patches that it calls right: chance is a half.
#[must_use]
pub fn discernment(on_real: f64, on_refined: f64) -> &'static str {
    match f64::midpoint(on_real, on_refined) {
        _ if on_real - on_refined > LOPSIDED => "it calls nearly everything real",
        _ if on_refined - on_real > LOPSIDED => "it calls nearly everything refined",
        ..0.45 => "it is wrong more often than right",
        0.45..0.55 => "it cannot tell them apart",
        0.55..0.65 => "it can hardly tell them apart",
        0.65..0.8 => "it tells some apart",
        0.8..0.95 => "it tells most apart",
        _ => "it tells nearly all apart",
    }
}

impl fmt::Display for Imbalance {
    /// What it is, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverges => f.write_str("the losses diverge: lower train.optimizer.lr"),
            Self::DiscriminatorWins { on_refined, on_real } => write!(
                f,
                "the discriminator wins (right on {:.0}% of refined and {:.0}% of real patches): lower train.lambda, or raise the \
                 refiner's lr above the discriminator's",
                100.0 * on_refined,
                100.0 * on_real
            ),
            Self::Identity { change } => write!(
                f,
                "the refiner leaves images as they are (pixels change by {change:.4}): lower train.lambda, or raise the refiner's lr"
            ),
            Self::RegularisationRules { times } => {
                write!(f, "lambda is {times:.0}x the adversarial term: lower train.lambda")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{losses::Mean, spec};

    fn what() -> What {
        let text = include_str!("../../../examples/signs.toml");
        spec::read(text, &[]).expect("an example is a job").what
    }

    fn losses(realism: f64, regularisation: f64, change: f64, right: [f64; 2]) -> Losses {
        let mean = |value| Mean::of(value, 1);
        Losses {
            realism: mean(realism),
            regularisation: mean(regularisation),
            change: mean(change),
            on_refined: mean(0.6),
            on_real: mean(0.6),
            right_on_refined: mean(right[0]),
            right_on_real: mean(right[1]),
        }
    }

    /// 50 updates of the discriminator alone, then cycles of two.
    const SETTLED: Step = Step(50 + 2 * SETTLED_AFTER);

    #[test]
    fn a_good_run_is_in_balance() {
        assert_eq!(imbalance(&losses(0.75, 0.06, 0.5, [0.6, 0.62]), &what(), SETTLED), None);
    }

    #[test]
    fn early_steps_say_nothing_unless_they_diverge() {
        let won = losses(5.0, 0.06, 0.5, [0.99, 0.99]);
        assert_eq!(imbalance(&won, &what(), Step(SETTLED.0 - 1)), None);
        assert_eq!(imbalance(&losses(f64::NAN, 0.1, 0.5, [0.6, 0.6]), &what(), Step(0)), Some(Imbalance::Diverges));
    }

    #[test]
    fn a_discriminator_that_is_always_right_has_won() {
        let said = imbalance(&losses(5.0, 0.06, 0.5, [0.99, 0.97]), &what(), SETTLED).unwrap().to_string();
        assert!(
            said.contains("right on 99% of refined and 97% of real") && said.contains("lower train.lambda"),
            "{said}"
        );
    }

    #[test]
    fn chance_is_no_telling_apart_and_neither_is_one_word_for_all() {
        let of = [(0.54, 0.50), (0.6, 0.65), (0.7, 0.7), (0.8, 0.85), (0.99, 0.98), (0.97, 0.06), (0.1, 0.9)];
        let said = of.map(|(real, refined)| discernment(real, refined));
        let words = [
            "cannot tell",
            "can hardly",
            "tells some",
            "tells most",
            "nearly all",
            "everything real",
            "everything refined",
        ];
        assert!(said.iter().zip(words).all(|(said, words)| said.contains(words)), "{said:?}");
        assert!(discernment(f64::NAN, 0.5).contains("nearly all"), "no number is no comfort");
    }

    #[test]
    fn an_identity_is_named_only_where_it_is_seen_through() {
        let still = |right| imbalance(&losses(0.8, 0.0, 0.001, right), &what(), SETTLED);
        assert_eq!(still([0.7, 0.6]), Some(Imbalance::Identity { change: 0.001 }));
        assert_eq!(still([0.5, 0.5]), None);
    }

    #[test]
    fn a_lambda_that_rules_is_named_with_its_weight() {
        let said = imbalance(&losses(0.7, 14.0, 0.4, [0.7, 0.7]), &what(), SETTLED).unwrap().to_string();
        assert_eq!(said, "lambda is 40x the adversarial term: lower train.lambda");
    }
}

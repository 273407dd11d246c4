//! What a discriminator's accuracy means, in words. Judges no run: what is out of balance is said by `sumac_common::balance`.

use super::super::view::LossView;
use serde::Serialize;

/// Shares of patches called right differ by so much where it calls nearly all the same.
const LOPSIDED: f64 = 0.5;

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Accuracy {
    /// Mean of the two kinds' shares.
    mean: f64,
    words: &'static str,
}

pub(super) fn accuracy(losses: &LossView) -> Option<Accuracy> {
    let (real, refined) = losses.accuracy_on_real.zip(losses.accuracy_on_refined)?;
    let mean = (real + refined) / 2.0;
    let words = match mean {
        _ if real - refined > LOPSIDED => "it calls nearly everything real",
        _ if refined - real > LOPSIDED => "it calls nearly everything refined",
        mean if mean < 0.45 => "it is wrong more often than right",
        mean if mean < 0.55 => "it cannot tell them apart",
        mean if mean < 0.65 => "it can hardly tell them apart",
        mean if mean < 0.80 => "it tells some apart",
        mean if mean < 0.95 => "it tells most apart",
        _ => "it tells nearly all apart",
    };
    Some(Accuracy { mean, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(real: f64, refined: f64) -> &'static str {
        let losses = LossView {
            refiner: None,
            realism: None,
            regularisation: None,
            discriminator: None,
            accuracy_on_real: Some(real),
            accuracy_on_refined: Some(refined),
        };
        accuracy(&losses).unwrap().words
    }

    #[test]
    fn chance_is_no_telling_apart_and_neither_is_one_word_for_all() {
        assert_eq!(words(0.54, 0.50), "it cannot tell them apart");
        assert_eq!(words(0.97, 0.06), "it calls nearly everything real");
        assert_eq!(words(0.99, 0.98), "it tells nearly all apart");
    }
}

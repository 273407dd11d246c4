//! Which of several refiners to take. Never looks at what was tested: where a few labelled real images are there for it, at how models
//! do on those; else at the figures of images and at predictions on unlabelled real ones.
//!
//! Of one run, the state whose images are nearest to the real ones; of several runs, the one from whose images a model learns to
//! say sure and varied things of real ones: distances between runs say little, for images that lost their labels come nearest of
//! all. Of numbers and directions no prediction is sure or varied, so that between runs nothing is chosen. What lost its labels,
//! shows nothing, or has one light for all, is out before.

use super::{
    Measure,
    figures::{Images, Kept},
    table::{Row, Table},
};
use crate::ids::Digest;
use std::collections::BTreeMap;

/// Classes that a model still sees in refined images: with fewer they are lost.
pub const KEPT_MIN: f64 = 0.6;
/// Of numbers, the difference beyond which they are: half of what it is between images that have nothing to do with each other.
pub const DIFFERENCE_MAX: f64 = 0.5;
/// Share of images that show nothing, beyond that of the synthetic ones.
pub const FLAT_MAX: f64 = 0.005;

/// Share of the real images' spread of brightness: with less of it every image has one light ...
pub const SPREAD_MIN: f64 = 0.5;
/// ... and it is the refiner that gave it, where the synthetic images had more: less than this share of theirs is left.
pub const NARROWED: f64 = 0.9;

/// Rows are numbered as in the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// `None`: all of them are out, there is none, or nothing tells between them.
    pub taken: Option<usize>,
    /// Runs that are left, between which nothing tells without labels.
    pub open: usize,
    pub by: By,
    pub out: Vec<(usize, Veto)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    NoLabel,
    Validation,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Veto {
    LabelsLost(Kept),
    /// So many images show nothing.
    Flat {
        images: u64,
    },
    /// So little of the real images' spread of brightness is left.
    OneLight {
        share: f64,
    },
}

/// Among the rows of refined images that have figures of them.
#[must_use]
pub fn choice(table: &Table) -> Choice {
    let synthetic = table.rows[table.base].images.as_ref();
    let flat_anyway = synthetic.map_or(0, |images| images.flat);
    let given = synthetic.map_or(f64::INFINITY, |images| images.brightness_spread);
    let mut choice = Choice::default();
    let sign = if table.measure == Measure::Error { -1.0 } else { 1.0 };
    let mut best_validated: Option<(usize, f64)> = None;
    let mut nearest: BTreeMap<Digest, (usize, f64)> = BTreeMap::new();
    for (at, row) in table.rows.iter().enumerate() {
        let (Some(run), Some(images)) = (&row.refined_by, &row.images) else { continue };
        let flat = images.flat.saturating_sub(flat_anyway);
        if are_lost(images) {
            choice.out.push((at, Veto::LabelsLost(images.kept)));
        } else if flat as f64 > FLAT_MAX * images.images as f64 {
            choice.out.push((at, Veto::Flat { images: images.flat }));
        } else if images.brightness_spread < (SPREAD_MIN * images.brightness_spread_real).min(NARROWED * given) {
            let share = images.brightness_spread / images.brightness_spread_real;
            choice.out.push((at, Veto::OneLight { share }));
        } else {
            if let Some(score) = row.validation.map(|score| sign * score).filter(|score| !score.is_nan())
                && best_validated.is_none_or(|(_, best)| score > best)
            {
                best_validated = Some((at, score));
            }
            let best = nearest.entry(*run).or_insert((at, images.frechet));
            // A distance that is no number is no distance.
            if images.frechet < best.1 || best.1.is_nan() {
                *best = (at, images.frechet);
            }
        }
    }
    if nearest.len() > 1 && nearest.values().any(|(at, _)| table.rows[*at].information.is_none()) {
        choice.open = nearest.len();
        nearest.clear();
    }
    let informs = |row: &Row| row.information.unwrap_or(f64::NEG_INFINITY);
    let worth = |(at, frechet): &(usize, f64)| (informs(&table.rows[*at]), -frechet);
    let better = |a: &(usize, f64), b: &(usize, f64)| {
        let ((informs, near), (other_informs, other_near)) = (worth(a), worth(b));
        informs.total_cmp(&other_informs).then(near.total_cmp(&other_near))
    };
    choice.taken = nearest.into_values().max_by(better).map(|(at, _)| at);
    if let Some((at, _)) = best_validated {
        (choice.taken, choice.by, choice.open) = (Some(at), By::Validation, 0);
    }
    choice
}

/// A figure that is no number keeps nothing.
fn are_lost(images: &Images) -> bool {
    let are_kept = match images.kept {
        Kept::Classes(share) => share >= KEPT_MIN,
        Kept::Numbers(difference) => difference <= DIFFERENCE_MAX,
    };
    !are_kept
}

#[cfg(test)]
mod tests {
    use super::{
        super::{figures::Images, table::Mean},
        *,
    };

    fn images(frechet: f64, kept: f64, flat: u64) -> Images {
        Images {
            change: 0.1,
            moved: 0.0,
            point_moved: None,
            kept: Kept::Classes(kept),
            frechet,
            frechet_floor: 0.0,
            wasserstein: vec![],
            wasserstein_floor: vec![],
            brightness_spread: 0.3,
            brightness_spread_real: 0.3,
            told_from_real: 1.0,
            told_from_real_floor: 0.5,
            flat,
            images: 1_000,
            shown: vec![],
            labels: vec![],
            points: vec![],
        }
    }

    /// Its run, its score, the information, the images.
    fn row(run: Option<&str>, score: f64, information: f64, images: Images) -> Row {
        Row {
            arm: String::new(),
            refined_by: run.map(|run| Digest::of(run.as_bytes())),
            scores: vec![score],
            score: Mean { mean: score, half: None },
            over_base: None,
            over_rival: None,
            closed: None,
            information: Some(information),
            validation: None,
            images: Some(images),
        }
    }

    fn of(rows: Vec<Row>) -> Choice {
        let synthetic = row(None, 0.2, 0.1, images(1.0, 1.0, 4));
        let rows = [synthetic].into_iter().chain(rows).collect();
        choice(&Table { measure: Measure::Accuracy, rows, base: 0, rival: None, ceiling: None })
    }

    #[test]
    fn of_one_run_the_nearest_images_are_taken_whatever_the_test_says() {
        let found = of(vec![
            row(Some("a"), 0.9, 2.0, images(0.4, 0.8, 0)),
            row(Some("a"), 0.3, 1.0, images(0.2, 0.8, 0)),
            row(Some("a"), 0.9, 3.0, images(0.3, 0.8, 0)),
        ]);
        assert_eq!(found, Choice { taken: Some(2), ..Choice::default() });
    }

    #[test]
    fn of_several_runs_the_one_that_informs_most() {
        let found = of(vec![
            row(Some("a"), 0.9, 1.0, images(0.1, 0.8, 0)),
            row(Some("b"), 0.3, 2.0, images(0.3, 0.8, 0)),
            row(Some("b"), 0.3, 3.0, images(0.5, 0.8, 0)),
        ]);
        assert_eq!(found.taken, Some(2));
    }

    #[test]
    fn lost_labels_and_flat_images_are_out() {
        let found = of(vec![
            row(Some("a"), 0.9, 9.0, images(0.1, 0.59, 0)),
            row(Some("a"), 0.9, 9.0, images(0.1, 0.9, 10)),
            row(Some("a"), 0.3, 1.0, images(0.9, 0.9, 9)),
        ]);
        let out = vec![(1, Veto::LabelsLost(Kept::Classes(0.59))), (2, Veto::Flat { images: 10 })];
        assert_eq!(found, Choice { taken: Some(3), out, ..Choice::default() });
        assert_eq!(of(vec![]), Choice::default());
    }

    #[test]
    fn between_runs_whose_predictions_are_numbers_nothing_is_chosen_without_labels() {
        let numbers = |run, frechet| Row { information: None, ..row(Some(run), 0.5, 0.0, images(frechet, 0.9, 0)) };
        let found = of(vec![numbers("a", 0.1), numbers("b", 0.9)]);
        assert_eq!((found.taken, found.open), (None, 2));
        let of_one = of(vec![numbers("a", 0.9), numbers("a", 0.1)]);
        assert_eq!((of_one.taken, of_one.open), (Some(2), 0));
    }

    #[test]
    fn images_in_one_light_are_out() {
        let lit = |spread| Images { brightness_spread: spread, ..images(0.1, 0.9, 0) };
        let found = of(vec![row(Some("a"), 0.9, 9.0, lit(0.12)), row(Some("b"), 0.3, 1.0, lit(0.15))]);
        assert_eq!(found.taken, Some(2));
        assert!(matches!(found.out[..], [(1, Veto::OneLight { share })] if (share - 0.4).abs() < 1e-9), "{found:?}");
        // As little as there was is no fault of the refiner.
        let dull = row(None, 0.2, 0.1, Images { brightness_spread: 0.12, ..images(1.0, 1.0, 4) });
        let rows = vec![dull, row(Some("a"), 0.9, 9.0, lit(0.12))];
        let found = choice(&Table { measure: Measure::Accuracy, rows, base: 0, rival: None, ceiling: None });
        assert_eq!(found.taken, Some(1));
    }

    #[test]
    fn numbers_that_differ_by_half_of_what_they_vary_are_lost() {
        let numbers = |frechet, difference| Images { kept: Kept::Numbers(difference), ..images(frechet, 0.0, 0) };
        let found = of(vec![row(Some("a"), 0.9, 1.0, numbers(0.1, 0.51)), row(Some("a"), 0.3, 1.0, numbers(0.9, 0.5))]);
        assert_eq!(
            found,
            Choice { taken: Some(2), out: vec![(1, Veto::LabelsLost(Kept::Numbers(0.51)))], ..Choice::default() }
        );
    }

    #[test]
    fn what_is_no_number_is_never_taken_for_a_good_one() {
        let found = of(vec![
            row(Some("a"), 0.9, 1.0, images(f64::NAN, 0.9, 0)),
            row(Some("a"), 0.3, 1.0, images(0.9, 0.9, 0)),
            row(Some("b"), 0.3, 9.0, images(0.1, f64::NAN, 0)),
        ]);
        assert_eq!((found.taken, found.out.len()), (Some(2), 1));
    }

    #[test]
    fn validation_images_choose_where_there_are_some_and_vetoes_stay() {
        let validated = |score, frechet, kept| Row {
            validation: Some(score),
            ..row(Some("a"), 0.5, 1.0, images(frechet, kept, 0))
        };
        let found = of(vec![validated(0.9, 0.1, 0.1), validated(0.5, 0.1, 0.9), validated(0.6, 0.9, 0.9)]);
        assert_eq!((found.taken, found.by, found.out.len()), (Some(3), By::Validation, 1));
    }
}

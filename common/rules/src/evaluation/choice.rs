//! Which of several refiners to take, when no label of a real image may say so. Looks at the figures of images and at predictions
//! on unlabelled real ones, never at what was tested.
//!
//! Of one run, the state whose images are nearest to the real ones; of several runs, the one from whose images a model learns to
//! say sure and varied things of real ones: distances between runs say little, for images that lost their labels come nearest of
//! all. What lost its labels, or shows nothing, is out before.

use super::table::{Row, Table};
use std::collections::BTreeMap;

/// Labels that a model still sees in refined images: with fewer they are lost.
pub const KEPT_MIN: f64 = 0.6;
/// Share of images that show nothing, beyond that of the synthetic ones.
pub const FLAT_MAX: f64 = 0.005;

/// Rows are numbered as in the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// `None`: all of them are out, or there is none.
    pub taken: Option<usize>,
    pub out: Vec<(usize, Veto)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Veto {
    /// So large a share of labels is kept.
    LabelsLost { kept: f64 },
    /// So many images show nothing.
    Flat { images: u64 },
}

/// Among the rows of refined images that have figures of them.
#[must_use]
pub fn choice(table: &Table) -> Choice {
    let flat_anyway = table.rows[table.base].images.as_ref().map_or(0, |images| images.flat);
    let mut choice = Choice::default();
    let mut nearest: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for (at, row) in table.rows.iter().enumerate() {
        let (Some(run), Some(images)) = (&row.refined_by, &row.images) else { continue };
        let flat = images.flat.saturating_sub(flat_anyway);
        // Of numbers there is no share of labels, but a difference.
        if row.information.is_some() && images.agreement < KEPT_MIN {
            choice.out.push((at, Veto::LabelsLost { kept: images.agreement }));
        } else if flat as f64 > FLAT_MAX * images.images as f64 {
            choice.out.push((at, Veto::Flat { images: images.flat }));
        } else {
            let best = nearest.entry(run).or_insert((at, images.frechet));
            if images.frechet < best.1 {
                *best = (at, images.frechet);
            }
        }
    }
    let informs = |row: &Row| row.information.unwrap_or(f64::NEG_INFINITY);
    let worth = |(at, frechet): &(usize, f64)| (informs(&table.rows[*at]), -frechet);
    let better =
        |a: &(usize, f64), b: &(usize, f64)| worth(a).partial_cmp(&worth(b)).unwrap_or(std::cmp::Ordering::Equal);
    choice.taken = nearest.into_values().max_by(better).map(|(at, _)| at);
    choice
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Measure, figures::Images, table::Mean},
        *,
    };

    fn images(frechet: f64, agreement: f64, flat: u64) -> Images {
        Images {
            change: 0.1,
            moved: 0.0,
            agreement,
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
        }
    }

    /// Its run, its score, the information, the images.
    fn row(run: Option<&str>, score: f64, information: f64, images: Images) -> Row {
        Row {
            arm: String::new(),
            refined_by: run.map(str::to_owned),
            scores: vec![score],
            score: Mean { mean: score, half: None },
            over_base: None,
            over_rival: None,
            closed: None,
            information: Some(information),
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
        assert_eq!(found, Choice { taken: Some(2), out: vec![] });
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
        let out = vec![(1, Veto::LabelsLost { kept: 0.59 }), (2, Veto::Flat { images: 10 })];
        assert_eq!(found, Choice { taken: Some(3), out });
        assert_eq!(of(vec![]), Choice::default());
    }
}

//! What the figures of all cells say: means over seeds, paired differences with their 95% intervals, and how much of the gap
//! between synthetic and real images is closed. It is arithmetic, and knows no words for people.
//!
//! Seeds pair the arms: with one seed every arm's model starts from the same weights. The difference of two arms is therefore
//! taken seed by seed, and its interval is that of the mean of these differences (Student 1908).

use super::{
    Arm, Cell, Measure, Part, What,
    figures::{Figures, Images},
};
use crate::ids::Digest;

/// The arms in the order of the evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub measure: Measure,
    pub rows: Vec<Row>,
    /// The row that all are compared with: plain synthetic images, else the first.
    pub base: usize,
    /// The strongest that needs no learning: each image in the light of a real one.
    pub rival: Option<usize>,
    /// What real labels give.
    pub ceiling: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub arm: String,
    /// The run whose refiner made its images, if it has refined images and no others.
    pub refined_by: Option<Digest>,
    /// Of each seed, in their order.
    pub scores: Vec<f64>,
    pub score: Mean,
    /// By how much it is better than the base, than the rival; below 0 it is worse.
    pub over_base: Option<Mean>,
    pub over_rival: Option<Mean>,
    /// Share of the way from the base to the ceiling; above 1 it is better than real labels. None where real labels are not known to
    /// give more than the base: then there is no gap to speak of.
    pub closed: Option<f64>,
    /// Mean over seeds: of classes, the mutual information on unlabelled real images.
    pub information: Option<f64>,
    /// Mean over seeds of the measure on the validation images.
    pub validation: Option<f64>,
    /// The images themselves.
    pub images: Option<Images>,
}

/// A mean with the half of its 95% interval, which one value does not have. Of no values it is no number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub mean: f64,
    pub half: Option<f64>,
}

impl Mean {
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let half = (n > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let deviation = (squares / (n - 1) as f64).sqrt();
            student(n - 1) * deviation / (n as f64).sqrt()
        });
        Self { mean, half }
    }

    /// What a difference says: only one whose interval leaves 0 out says anything. An interval of no width is that of a test with
    /// so few images that all seeds get the same of them right.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.half {
            Some(0.0) => Verdict::Open,
            Some(half) if self.mean - half > 0.0 => Verdict::Better,
            Some(half) if self.mean + half < 0.0 => Verdict::Worse,
            _ => Verdict::Open,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    /// More seeds may tell them apart.
    Open,
}

/// `figures`: of each cell in the order of [`What::cells`], as far as they are there.
#[must_use]
pub fn table(what: &What, figures: &[Option<&Figures>]) -> Table {
    let cells = what.cells();
    let found = || cells.iter().zip(figures).filter_map(|(cell, figures)| Some((*cell, (*figures)?)));
    // Of two arms, the seeds that both have are compared.
    let by_seed = |arm: usize| -> Vec<(u32, &Figures)> {
        let of = |(cell, figures)| match cell {
            Cell::Model { arm: other, seed } if other == arm => Some((seed, figures)),
            _ => None,
        };
        found().filter_map(of).collect()
    };
    let scores: Vec<Vec<(u32, f64)>> = (0..what.arms.len())
        .map(|arm| by_seed(arm).into_iter().filter_map(|(seed, of)| Some((seed, score(of, what.measure)?))).collect())
        .collect();
    let position = |is: &dyn Fn(&Arm) -> bool| what.arms.iter().position(is);
    let base = position(&|arm| arm.parts == [Part::Synthetic]).unwrap_or(0);
    let rival = position(&|arm| arm.parts == [Part::ImageMatched]);
    let ceiling = position(&|arm| arm.parts == [Part::Real { share: 1.0 }]);
    let mean = |arm: usize| Mean::of(&scores[arm].iter().map(|(_, score)| *score).collect::<Vec<_>>());
    let sign = if what.measure == Measure::Error { -1.0 } else { 1.0 };
    let over = |arm: usize, other: usize| -> Option<Mean> {
        let same = |(seed, score): &(u32, f64)| {
            let (_, theirs) = scores[other].iter().find(|(known, _)| known == seed)?;
            Some(sign * (score - theirs))
        };
        let differences: Vec<f64> = scores[arm].iter().filter_map(same).collect();
        (arm != other && !differences.is_empty()).then(|| Mean::of(&differences))
    };
    let closed = |arm: usize| -> Option<f64> {
        let ceiling = ceiling.filter(|ceiling| *ceiling != arm && base != arm)?;
        over(ceiling, base).filter(|gap| gap.verdict() == Verdict::Better)?;
        let (from, to, at) = (mean(base).mean, mean(ceiling).mean, mean(arm).mean);
        let share = (at - from) / (to - from);
        share.is_finite().then_some(share)
    };
    let information = |arm: usize| {
        let of = |(_, figures): &(u32, &Figures)| match figures {
            Figures::Classes(classes) => Some(classes.information),
            _ => None,
        };
        let all: Vec<f64> = by_seed(arm).iter().filter_map(of).collect();
        (!all.is_empty()).then(|| Mean::of(&all).mean)
    };
    let validation = |arm: usize| {
        let of = |(_, figures): &(u32, &Figures)| match figures {
            Figures::Classes(classes) => classes.validation,
            Figures::Errors(errors) => errors.validation,
            Figures::Images(_) => None,
        };
        let all: Vec<f64> = by_seed(arm).iter().filter_map(of).collect();
        (!all.is_empty()).then(|| Mean::of(&all).mean)
    };
    let images = |arm: usize| {
        found().find_map(|(cell, figures)| match (cell, figures) {
            (Cell::Images { arm: other }, Figures::Images(images)) if other == arm => Some(images.clone()),
            _ => None,
        })
    };
    let row = |arm: usize| Row {
        arm: what.arms[arm].name.clone(),
        refined_by: match what.arms[arm].parts[..] {
            [Part::Refined { refiner }] => what.refiners.get(refiner).map(|refiner| refiner.run),
            _ => None,
        },
        scores: scores[arm].iter().map(|(_, score)| *score).collect(),
        score: mean(arm),
        over_base: over(arm, base),
        over_rival: rival.and_then(|rival| over(arm, rival)),
        closed: closed(arm),
        information: information(arm),
        validation: validation(arm),
        images: images(arm),
    };
    Table { measure: what.measure, rows: (0..what.arms.len()).map(row).collect(), base, rival, ceiling }
}

fn score(figures: &Figures, measure: Measure) -> Option<f64> {
    match (figures, measure) {
        (Figures::Classes(classes), Measure::Accuracy) => Some(classes.accuracy),
        (Figures::Classes(classes), Measure::BalancedAccuracy) => Some(classes.balanced_accuracy),
        (Figures::Errors(errors), Measure::Error) => Some(errors.mean),
        _ => None,
    }
}

/// The 97.5% point of Student's distribution with so many degrees of freedom; beyond 30, by the first terms of Hill 1970.
fn student(freedom: usize) -> f64 {
    const POINTS: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    POINTS.get(freedom.saturating_sub(1)).copied().unwrap_or(1.960 + 2.372 / freedom as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evaluation::{Downstream, Net, Task, figures::Classes},
        ids::Digest,
        spec::{ImageShape, Resize},
    };

    fn what(arms: &[(&str, Part)], seeds: u32) -> What {
        let arm = |(name, part): &(&str, Part)| Arm { name: (*name).to_owned(), parts: vec![*part] };
        What {
            data: Digest::default(),
            task: Task::Classes,
            classes: vec!["0".to_owned(), "1".to_owned()],
            measure: Measure::Accuracy,
            image: ImageShape { channels: 1, height: 8, width: 8 },
            resize: Resize::Exact,
            max_bad: 0.0,
            refiners: vec![],
            arms: arms.iter().map(arm).collect(),
            tested: 100,
            seeds,
            model: Downstream { net: Net::Small { width: 4 }, updates: 1, batch: 1, shift: 0 },
            threads: 1,
        }
    }

    fn accuracy(accuracy: f64) -> Figures {
        Figures::Classes(Classes {
            accuracy,
            balanced_accuracy: accuracy / 2.0,
            recognised: vec![],
            information: 1.0,
            validation: None,
        })
    }

    fn three() -> What {
        let arms =
            [("synthetic", Part::Synthetic), ("image-match", Part::ImageMatched), ("real", Part::Real { share: 1.0 })];
        what(&arms, 2)
    }

    /// Without cells of images, which come first.
    fn of(what: &What, scores: &[f64]) -> Table {
        let models: Vec<Figures> = scores.iter().map(|score| accuracy(*score)).collect();
        let images = what.cells().iter().filter(|cell| matches!(cell, Cell::Images { .. })).count();
        let figures: Vec<Option<&Figures>> = std::iter::repeat_n(None, images).chain(models.iter().map(Some)).collect();
        table(what, &figures)
    }

    #[test]
    fn an_arm_that_nothing_was_tested_of_has_no_score() {
        assert!(Mean::of(&[]).mean.is_nan() && Mean::of(&[]).half.is_none());
        assert_eq!(Mean::of(&[0.5]), Mean { mean: 0.5, half: None });
    }

    #[test]
    fn arms_are_paired_by_their_seeds() {
        // The second seed is ten points worse for everybody: that is no difference between arms.
        let table = of(&three(), &[0.30, 0.50, 0.80, 0.20, 0.42, 0.70]);
        let over = table.rows[1].over_base.unwrap();
        assert!((over.mean - 0.21).abs() < 1e-12, "{over:?}");
        // Two differences, 0.20 and 0.22: t(1) x 0.01414 / sqrt 2.
        assert!((over.half.unwrap() - 12.706 * 0.01).abs() < 1e-4, "{over:?}");
        assert!(table.rows[1].score.half.unwrap() > over.half.unwrap());
    }

    #[test]
    fn the_gap_is_closed_from_synthetic_to_real_labels() {
        let table = of(&three(), &[0.2, 0.5, 0.8, 0.21, 0.5, 0.8]);
        assert!((table.rows[1].closed.unwrap() - 0.295 / 0.595).abs() < 1e-12);
        assert_eq!((table.rows[0].closed, table.rows[2].closed), (None, None));
    }

    #[test]
    fn where_real_labels_give_no_more_there_is_no_gap_to_close() {
        for worse_or_open in [[0.7, 0.9, 0.5, 0.71, 0.9, 0.5], [0.2, 0.5, 0.8, 0.8, 0.5, 0.2]] {
            assert_eq!(of(&three(), &worse_or_open).rows[1].closed, None, "{worse_or_open:?}");
        }
    }

    #[test]
    fn seeds_that_are_not_there_yet_are_left_out() {
        let table = of(&three(), &[0.2, 0.5, 0.8, 0.1]);
        assert_eq!((table.rows[0].scores.len(), table.rows[1].scores.len()), (2, 1));
        assert_eq!(table.rows[1].over_base, Some(Mean { mean: 0.3, half: None }));
    }

    #[test]
    fn of_errors_less_is_better() {
        let what = What { task: Task::Numbers, measure: Measure::Error, classes: vec![], ..three() };
        let error = |mean| {
            Figures::Errors(crate::evaluation::figures::Errors { mean, median: mean, within: vec![], validation: None })
        };
        let models = [4.0, 3.0, 1.0, 4.1, 3.1, 1.0].map(error);
        let figures: Vec<Option<&Figures>> = [None, None].into_iter().chain(models.iter().map(Some)).collect();
        let rows = table(&what, &figures).rows;
        assert!((rows[1].over_base.unwrap().mean - 1.0).abs() < 1e-12);
        assert!((rows[1].closed.unwrap() - 1.0 / 3.05).abs() < 1e-12);
    }

    #[test]
    fn cells_of_images_come_first_and_seeds_go_over_all_arms() {
        let cells = three().cells();
        assert_eq!(cells[..3], [Cell::Images { arm: 0 }, Cell::Images { arm: 1 }, Cell::Model { arm: 0, seed: 0 }]);
        assert_eq!(cells.len(), 2 + 3 * 2);
    }

    #[test]
    fn only_an_interval_that_leaves_zero_out_says_anything() {
        let says = |mean, half| Mean { mean, half }.verdict();
        assert_eq!((says(2.0, Some(1.9)), says(-2.0, Some(1.9))), (Verdict::Better, Verdict::Worse));
        assert_eq!((says(2.0, Some(2.1)), says(2.0, None)), (Verdict::Open, Verdict::Open));
        assert_eq!(says(0.2, Some(0.0)), Verdict::Open, "five images of a test, one more of which all seeds get right");
        assert!((student(40) - 2.021).abs() < 2e-3);
    }
}

//! A cell in, its figures out. What several cells need (refined images, the model that judges) is made once and kept.

use super::{
    frechet::frechet_distance,
    model::{JUDGE, Model, agreement, trained},
    movement::{moved, moved_at},
    pictures::{Pictures, Targets, blurred, brightness_spread, change, flat_images, image_matched, moment_matched},
    wasserstein::{sliced, spread},
};
use crate::{
    learner::{LearnError, moments},
    pipeline::Refines,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use sumac_common::{
    evaluation::{
        Cell, Downstream, Measure, Part, Task, What,
        figures::{Classes, Errors, Figures, Images, Kept},
    },
    order::Order,
    random::{Stream, draw_of},
    spec::ImageShape,
};
use tch::{Kind, TchError, Tensor};

/// Share of the model's updates that a classifier has that tells images from real ones: with more it learns the training half by
/// heart.
const TELLING: f64 = 0.3;
/// However few the model's are: below, a judge has learned nothing yet, and whoever tells images apart has no norms to go by.
const JUDGING_MIN: u64 = 60;
const TELLING_MIN: u64 = 100;
/// Images that people look at.
const SHOWN: usize = 24;
/// Degrees under which the share of directions is counted.
const ANGLES: [f64; 5] = [5.0, 7.0, 10.0, 15.0, 20.0];
/// The same for numbers, in deviations of the test's.
const SHARES: [f64; 4] = [0.05, 0.1, 0.2, 0.5];

#[derive(Debug, thiserror::Error)]
pub enum DownstreamError {
    #[error("{0}")]
    Images(String),
    #[error(transparent)]
    Refiner(#[from] LearnError),
    #[error("libtorch refused: {0}")]
    Engine(#[from] TchError),
    #[error("libtorch gave up: {0}")]
    GaveUp(String),
    #[error("there is no {0}")]
    Missing(&'static str),
}

/// All images of an evaluation.
pub struct Sets {
    pub synthetic: Pictures,
    pub real: Pictures,
    pub test: Pictures,
    pub real_labelled: Option<Pictures>,
    pub validation: Option<Pictures>,
    /// Of each synthetic image, x and y in pixels.
    pub points: Option<Vec<[f32; 2]>>,
}

/// For people: `[n, c, h, w]` in [-1, 1] each, row-major.
pub struct Shown {
    pub shape: ImageShape,
    pub synthetic: Vec<f32>,
    pub made: Vec<f32>,
    pub real: Vec<f32>,
}

pub struct Studio {
    what: What,
    sets: Sets,
    refiners: Vec<Box<dyn Refines + Send>>,
    /// What several cells learn from, by the part it is.
    made: Vec<(Part, Tensor)>,
    judge: Option<Judge>,
}

/// A model that judges images, and what it finds in the real ones.
struct Judge {
    model: Model,
    real_nd: Tensor,
    /// Of one half of the real images beside the other.
    frechet_floor: f64,
    wasserstein_floor: Vec<f64>,
    told_floor: f64,
}

/// What is made, unless nobody wants it any more.
type Made<T> = Result<Option<T>, DownstreamError>;

impl Studio {
    #[must_use]
    pub fn new(what: What, sets: Sets, refiners: Vec<Box<dyn Refines + Send>>) -> Self {
        Self { what, sets, refiners, made: Vec::new(), judge: None }
    }

    /// `go_on` is asked at each update; `None` once it said no.
    pub fn figures(&mut self, cell: Cell, go_on: &dyn Fn() -> bool) -> Made<Figures> {
        let found = catch_unwind(AssertUnwindSafe(|| match cell {
            Cell::Model { arm, seed } => self.model(arm, seed, go_on),
            Cell::Images { arm } => Ok(self.images(arm, go_on)?.map(Figures::Images)),
        }));
        found.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Err(DownstreamError::GaveUp(said.unwrap_or_else(|| "it did not say why".to_owned())))
        })
    }

    /// Some images of an arm beside the synthetic ones and real ones.
    pub fn shown(&mut self, cell: Cell, places: &[u64]) -> Result<Shown, DownstreamError> {
        let Cell::Images { arm } = cell else { return Err(DownstreamError::Missing("arm of images")) };
        let part = *self.arm(arm)?.first().ok_or(DownstreamError::Missing("part"))?;
        let Some(made) = self.pixels(part, &|| true)? else { return Err(DownstreamError::Missing("image")) };
        let picked = Tensor::from_slice(&places.iter().map(|place| *place as i64).collect::<Vec<_>>());
        let of = |images: &Tensor| Pictures::values(&images.f_index_select(0, &picked)?);
        Ok(Shown {
            shape: self.what.image,
            synthetic: of(&self.sets.synthetic.nchw)?,
            made: of(&made)?,
            real: Pictures::values(&spread(&self.sets.real.nchw, places.len() as i64))?,
        })
    }

    fn arm(&self, arm: usize) -> Result<Vec<Part>, DownstreamError> {
        self.what.arms.get(arm).map(|arm| arm.parts.clone()).ok_or(DownstreamError::Missing("such arm"))
    }

    // === models ===

    fn model(&mut self, arm: usize, seed: u32, go_on: &dyn Fn() -> bool) -> Made<Figures> {
        let (mut images, mut targets) = (Vec::new(), Vec::new());
        for part in self.arm(arm)? {
            let Some((pixels, of)) = self.part(part, seed, go_on)? else { return Ok(None) };
            images.push(pixels);
            targets.push(of);
        }
        let (images, targets) = (Tensor::f_cat(&images, 0)?, Targets::together(&targets));
        let plan = &self.what.model;
        let model = trained(plan, &images, &targets, seed.into(), go_on).map_err(DownstreamError::Images)?;
        let Some(model) = model else { return Ok(None) };
        let found = self.tested(&model, &self.sets.test)?;
        let Some(validation) = &self.sets.validation else { return Ok(Some(found)) };
        Ok(Some(match (found, self.tested(&model, validation)?) {
            (Figures::Classes(classes), Figures::Classes(on)) => {
                let balanced = self.what.measure == Measure::BalancedAccuracy;
                let validation = Some(if balanced { on.balanced_accuracy } else { on.accuracy });
                Figures::Classes(Classes { validation, ..classes })
            }
            (Figures::Errors(errors), Figures::Errors(on)) => {
                Figures::Errors(Errors { validation: Some(on.mean), ..errors })
            }
            (found, _) => found,
        }))
    }

    /// How a model does on labelled images.
    fn tested(&self, model: &Model, set: &Pictures) -> Result<Figures, DownstreamError> {
        let said = model.says(&set.nchw);
        Ok(match set.targets.as_ref().ok_or(DownstreamError::Missing("label of the test images"))? {
            Targets::Classes { of, count } => {
                let found: Vec<i64> = Vec::try_from(said.argmax(1, false))?;
                let information = information(&model.says(&self.sets.real.nchw));
                Figures::Classes(recognised(&found, of, *count, information))
            }
            Targets::Numbers { of, width } => {
                let said: Vec<f32> = Pictures::values(&said)?;
                Figures::Errors(match self.what.task {
                    Task::Direction => errors(angles(&said, of), &ANGLES),
                    _ => errors(differences(&said, of, *width), &SHARES.map(|share| share * deviation(of, *width))),
                })
            }
        })
    }

    /// Images of an arm's part, and what is to be said of them.
    fn part(&mut self, part: Part, seed: u32, go_on: &dyn Fn() -> bool) -> Made<(Tensor, Targets)> {
        let labelled = |set: &Pictures| set.targets.clone().ok_or(DownstreamError::Missing("label"));
        if let Part::Real { share } = part {
            let real = self.sets.real_labelled.as_ref().ok_or(DownstreamError::Missing("labelled real image"))?;
            let count = ((share * real.len() as f64).round() as u64).max(1);
            let order = Order::new(seed.into(), Stream::Real, real.len() as u64);
            let picked: Vec<i64> = order.samples(0..count).iter().map(|sample| sample.0 as i64).collect();
            let targets = labelled(real)?.of(&picked);
            return Ok(Some((real.nchw.f_index_select(0, &Tensor::from_slice(&picked))?, targets)));
        }
        let targets = labelled(&self.sets.synthetic)?;
        Ok(self.pixels(part, go_on)?.map(|pixels| (pixels, targets)))
    }

    /// The synthetic images as a part has them, `[n, c, h, w]`. Refined ones are not rounded to the bits of a file.
    fn pixels(&mut self, part: Part, go_on: &dyn Fn() -> bool) -> Made<Tensor> {
        if let Some((_, made)) = self.made.iter().find(|(known, _)| *known == part) {
            return Ok(Some(made.shallow_clone()));
        }
        let Sets { synthetic, real, .. } = &self.sets;
        let made = match part {
            Part::Synthetic | Part::Real { .. } => synthetic.nchw.shallow_clone(),
            Part::MomentMatched { blur } => blurred(&moment_matched(&synthetic.nchw, &real.nchw), blur),
            Part::ImageMatched => image_matched(synthetic, real)?,
            Part::Refined { refiner } => {
                let Some(refined) = self.refined(refiner, go_on)? else { return Ok(None) };
                refined
            }
        };
        self.made.push((part, made.shallow_clone()));
        Ok(Some(made))
    }

    fn refined(&self, refiner: usize, go_on: &dyn Fn() -> bool) -> Made<Tensor> {
        let synthetic = &self.sets.synthetic;
        let net = self.refiners.get(refiner).ok_or(DownstreamError::Missing("such refiner"))?;
        let draws: Vec<u64> = synthetic.keys.iter().map(|key| draw_of(key)).collect();
        let pixels = Pictures::values(&synthetic.nchw)?;
        let Some(refined) = net.refine(&pixels, self.what.image, &draws, go_on)? else { return Ok(None) };
        Ok(Some(Tensor::f_from_slice(&refined)?.f_view_as(&synthetic.nchw)?))
    }

    // === images ===

    fn images(&mut self, arm: usize, go_on: &dyn Fn() -> bool) -> Made<Images> {
        let part = *self.arm(arm)?.first().ok_or(DownstreamError::Missing("part"))?;
        let Some(made) = self.pixels(part, go_on)? else { return Ok(None) };
        self.train_judge(go_on)?;
        let Some(judge) = &self.judge else { return Ok(None) };
        let (synthetic, real, model) = (&self.sets.synthetic.nchw, &self.sets.real.nchw, &judge.model);
        let kept = match self.what.task {
            Task::Classes => Kept::Classes(agreement(&model.classes(synthetic), &model.classes(&made))),
            _ => Kept::Numbers(numbers_apart(&model.says(synthetic), &model.says(&made))),
        };
        let Some(told) = told_apart(&self.telling(), &made, real, go_on)? else { return Ok(None) };
        let (images, shown) = (made.size()[0] as u64, SHOWN.min(made.size()[0] as usize) as u64);
        let shown: Vec<u64> = (0..shown).map(|at| at * images / shown).collect();
        let label =
            |at: &u64| self.sets.synthetic.targets.as_ref().map(|said| said.text(*at as usize, &self.what.classes));
        let labels = shown.iter().filter_map(label).collect();
        Ok(Some(Images {
            change: change(&made, synthetic),
            moved: moved(synthetic, &made)?,
            point_moved: self.sets.points.as_ref().map(|points| moved_at(synthetic, &made, points)).transpose()?,
            kept,
            frechet: frechet_distance(&model.features(&made), &judge.real_nd),
            frechet_floor: judge.frechet_floor,
            wasserstein: sliced(&made, real),
            wasserstein_floor: judge.wasserstein_floor.clone(),
            brightness_spread: brightness_spread(&made),
            brightness_spread_real: brightness_spread(real),
            told_from_real: told,
            told_from_real_floor: judge.told_floor,
            flat: flat_images(&made),
            images,
            points: shown.iter().filter_map(|at| self.sets.points.as_ref()?.get(*at as usize).copied()).collect(),
            shown,
            labels,
        }))
    }

    /// As small as it is, with as many updates as the models that are evaluated.
    fn judging(&self) -> Downstream {
        let Downstream { updates, batch, .. } = self.what.model;
        Downstream { updates: updates.max(JUDGING_MIN), batch, ..JUDGE }
    }

    fn telling(&self) -> Downstream {
        let updates = ((TELLING * self.what.model.updates as f64) as u64).max(TELLING_MIN);
        Downstream { updates, ..self.judging() }
    }

    /// Learns from synthetic images and a moment-matched copy of them, so that it is used to real light.
    fn train_judge(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), DownstreamError> {
        if self.judge.is_some() {
            return Ok(());
        }
        let Sets { synthetic, real, .. } = &self.sets;
        let targets = synthetic.targets.clone().ok_or(DownstreamError::Missing("label"))?;
        let images = Tensor::f_cat(&[&synthetic.nchw, &moment_matched(&synthetic.nchw, &real.nchw)], 0)?;
        let targets = Targets::together(&[targets.clone(), targets]);
        let Some(model) = trained(&self.judging(), &images, &targets, 0, go_on).map_err(DownstreamError::Images)?
        else {
            return Ok(());
        };
        let (one, other) = halves(&real.nchw);
        let Some(told_floor) = told_apart(&self.telling(), &one, &other, go_on)? else { return Ok(()) };
        self.judge = Some(Judge {
            real_nd: model.features(&real.nchw),
            frechet_floor: frechet_distance(&model.features(&one), &model.features(&other)),
            wasserstein_floor: sliced(&one, &other),
            told_floor,
            model,
        });
        Ok(())
    }
}

/// mean |difference| of what is said of images, `[n, k]` each, in deviations of what is said of the first.
fn numbers_apart(before_nk: &Tensor, after_nk: &Tensor) -> f64 {
    let deviation = before_nk.std_dim([0].as_slice(), true, true).clamp_min(1e-6);
    ((after_nk - before_nk) / deviation).abs().mean(Kind::Double).double_value(&[])
}

/// Every other image, and the rest.
fn halves(images_nchw: &Tensor) -> (Tensor, Tensor) {
    (images_nchw.slice(0, 0, None::<i64>, 2), images_nchw.slice(0, 1, None::<i64>, 2))
}

/// Accuracy, on images that it has not seen, of a fresh classifier that tells two sets apart; as many of each.
fn told_apart(plan: &Downstream, one: &Tensor, other: &Tensor, go_on: &dyn Fn() -> bool) -> Made<f64> {
    let n = one.size()[0].min(other.size()[0]);
    let ((one, one_test), (other, other_test)) = (halves(&spread(one, n)), halves(&spread(other, n)));
    let classes = |zeros: &Tensor, ones: &Tensor| -> Vec<i64> {
        std::iter::repeat_n(0, zeros.size()[0] as usize)
            .chain(std::iter::repeat_n(1, ones.size()[0] as usize))
            .collect()
    };
    let targets = Targets::Classes { of: classes(&one, &other), count: 2 };
    let model = trained(plan, &Tensor::f_cat(&[&one, &other], 0)?, &targets, 0, go_on);
    let Some(model) = model.map_err(DownstreamError::Images)? else { return Ok(None) };
    let told = model.classes(&Tensor::f_cat(&[&one_test, &other_test], 0)?);
    Ok(Some(agreement(&told, &Tensor::from_slice(&classes(&one_test, &other_test)))))
}

/// Entropy of the mean prediction less the mean entropy, in nats.
fn information(logits_nk: &Tensor) -> f64 {
    let predictions = logits_nk.to_kind(Kind::Double).softmax(1, Kind::Double);
    let entropy = |of: &Tensor| -(of * of.clamp_min(1e-12).log()).sum_dim_intlist([-1].as_slice(), false, Kind::Double);
    let mean = predictions.mean_dim([0].as_slice(), false, Kind::Double);
    (entropy(&mean) - entropy(&predictions).mean(Kind::Double)).double_value(&[])
}

fn recognised(found: &[i64], meant: &[i64], count: i64, information: f64) -> Classes {
    let share = |class: i64| {
        let of_it = || found.iter().zip(meant).filter(move |(_, meant)| **meant == class);
        let all = of_it().count();
        (all > 0).then(|| of_it().filter(|(found, meant)| found == meant).count() as f64 / all as f64)
    };
    let recognised: Vec<Option<f64>> = (0..count).map(share).collect();
    let there: Vec<f64> = recognised.iter().copied().flatten().collect();
    let right = found.iter().zip(meant).filter(|(found, meant)| found == meant).count();
    Classes {
        accuracy: right as f64 / meant.len().max(1) as f64,
        balanced_accuracy: there.iter().sum::<f64>() / there.len().max(1) as f64,
        recognised,
        information,
        validation: None,
    }
}

fn errors(mut all: Vec<f64>, thresholds: &[f64]) -> Errors {
    all.sort_by(f64::total_cmp);
    let n = all.len().max(1) as f64;
    let within = |most: &f64| (*most, all.iter().filter(|error| *error <= most).count() as f64 / n);
    Errors {
        mean: all.iter().sum::<f64>() / n,
        median: all.get(all.len() / 2).copied().unwrap_or_default(),
        within: thresholds.iter().map(within).collect(),
        validation: None,
    }
}

/// Between directions, in degrees; those that were meant have length 1.
fn angles(said: &[f32], meant: &[f32]) -> Vec<f64> {
    let angle = |(said, meant): (&[f32], &[f32])| {
        let dot: f64 = said.iter().zip(meant).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let length: f64 = said.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>().sqrt();
        (dot / length.max(1e-12)).clamp(-1.0, 1.0).acos().to_degrees()
    };
    said.chunks_exact(3).zip(meant.chunks_exact(3)).map(angle).collect()
}

/// Mean over the numbers of each image.
fn differences(said: &[f32], meant: &[f32], width: usize) -> Vec<f64> {
    let mean = |(said, meant): (&[f32], &[f32])| {
        said.iter().zip(meant).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / width as f64
    };
    said.chunks_exact(width).zip(meant.chunks_exact(width)).map(mean).collect()
}

/// Mean over the numbers of a label of how much each deviates between images.
fn deviation(numbers: &[f32], width: usize) -> f64 {
    let of_column = |column: usize| {
        let values: Vec<f32> = numbers.iter().skip(column).step_by(width).copied().collect();
        moments(&values).1
    };
    (0..width).map(of_column).sum::<f64>() / width.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{super::wasserstein::noise, *};
    use sumac_common::{
        evaluation::{Arm, Net},
        ids::Digest,
        spec::Resize,
    };

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 16, width: 16 };

    /// Brighter by half of a level: what a refiner in these tests does.
    struct Brighter;

    impl Refines for Brighter {
        fn channels(&self) -> u32 {
            1
        }

        fn sitting(&self, _: ImageShape) -> usize {
            8
        }

        fn refine(
            &self,
            pixels: &[f32],
            _: ImageShape,
            _: &[u64],
            go_on: &dyn Fn() -> bool,
        ) -> Result<Option<Vec<f32>>, LearnError> {
            Ok(go_on().then(|| pixels.iter().map(|pixel| pixel + 0.5).collect()))
        }
    }

    /// Two classes: noise, and noise with a bright upper half. Real ones are brighter by half of a level.
    fn pictures(seed: u64, brighter: f64) -> Pictures {
        let images = noise(seed, 64, 16) * 0.3 - 0.6 + brighter;
        let classes: Vec<i64> = (0..64).map(|at| at % 2).collect();
        for at in (1..64).step_by(2) {
            let _ = images.get(at).narrow(1, 0, 8).g_add_scalar_(0.4);
        }
        Pictures {
            nchw: images,
            keys: (0..64).map(|at| format!("{seed}/{at}")).collect(),
            targets: Some(Targets::Classes { of: classes, count: 2 }),
        }
    }

    fn studio() -> Studio {
        tch::set_num_threads(1);
        let arm = |name: &str, parts: &[Part]| Arm { name: name.to_owned(), parts: parts.to_vec() };
        let what = What {
            data: Digest::default(),
            task: Task::Classes,
            classes: vec!["0".to_owned(), "1".to_owned()],
            measure: Measure::Accuracy,
            image: SHAPE,
            resize: Resize::Exact,
            max_bad: 0.0,
            refiners: vec![],
            arms: vec![
                arm("synthetic", &[Part::Synthetic]),
                arm("refined", &[Part::Refined { refiner: 0 }]),
                arm("both", &[Part::Synthetic, Part::Real { share: 0.5 }]),
            ],
            tested: 64,
            seeds: 1,
            model: Downstream { net: Net::Small { width: 4 }, updates: 60, batch: 16, shift: 1 },
            threads: 1,
        };
        let sets = Sets {
            synthetic: pictures(1, 0.0),
            real: Pictures { targets: None, ..pictures(2, 0.5) },
            test: pictures(3, 0.5),
            real_labelled: Some(pictures(4, 0.5)),
            validation: Some(pictures(5, 0.5)),
            points: None,
        };
        Studio::new(what, sets, vec![Box::new(Brighter)])
    }

    fn found(cell: Cell) -> Figures {
        studio().figures(cell, &|| true).unwrap().expect("nobody stopped it")
    }

    #[test]
    fn a_cell_has_the_same_figures_whatever_was_done_before_it() {
        let cell = Cell::Model { arm: 1, seed: 3 };
        let alone = found(cell);
        let mut busy = studio();
        for earlier in [Cell::Images { arm: 1 }, Cell::Model { arm: 0, seed: 1 }] {
            busy.figures(earlier, &|| true).unwrap();
        }
        assert_eq!(busy.figures(cell, &|| true).unwrap(), Some(alone));
    }

    #[test]
    fn a_model_learns_from_images_like_those_of_the_test() {
        let Figures::Classes(refined) = found(Cell::Model { arm: 1, seed: 0 }) else { panic!("no classes") };
        assert!(refined.accuracy > 0.9 && refined.validation.is_some_and(|share| share > 0.9), "{refined:?}");
        assert_eq!(refined.recognised.len(), 2);
        assert!(refined.information > 0.1 && refined.information <= 2.0_f64.ln() + 1e-9, "{refined:?}");
    }

    #[test]
    fn refined_images_are_nearer_to_real_ones_and_keep_their_labels() {
        let figures = |arm| match found(Cell::Images { arm }) {
            Figures::Images(images) => images,
            other => panic!("{other:?}"),
        };
        let (synthetic, refined) = (figures(0), figures(1));
        assert!((refined.change - 0.5).abs() < 1e-6 && synthetic.change == 0.0);
        assert_eq!(synthetic.kept, Kept::Classes(1.0));
        assert!(refined.wasserstein[0] < synthetic.wasserstein[0], "{refined:?} {synthetic:?}");
        assert!(synthetic.told_from_real > refined.told_from_real, "{refined:?} {synthetic:?}");
        assert_eq!((refined.flat, refined.images, refined.shown.len()), (0, 64, 24));
    }

    #[test]
    fn real_labels_join_in_by_their_share() {
        let (pixels, targets) = studio().part(Part::Real { share: 0.5 }, 0, &|| true).unwrap().expect("it is there");
        assert_eq!(pixels.size(), [32, 1, 16, 16]);
        assert!(matches!(targets, Targets::Classes { of, .. } if of.len() == 32));
    }

    #[test]
    fn who_is_not_wanted_any_more_finds_out_nothing() {
        for cell in [Cell::Model { arm: 1, seed: 0 }, Cell::Images { arm: 1 }] {
            assert_eq!(studio().figures(cell, &|| false).unwrap(), None);
        }
    }

    #[test]
    fn the_error_of_a_direction_is_its_angle() {
        let right = (0.5_f64.sqrt()) as f32;
        let found = angles(&[0.0, 0.0, 2.0, 0.0, 1.0, 0.0], &[0.0, 0.0, 1.0, 0.0, right, right]);
        assert!(found[0].abs() < 1e-6 && (found[1] - 45.0).abs() < 1e-3, "{found:?}");
        let figures = errors(found, &ANGLES);
        assert_eq!(figures.within, [(5.0, 0.5), (7.0, 0.5), (10.0, 0.5), (15.0, 0.5), (20.0, 0.5)]);
    }

    #[test]
    fn numbers_deviate_column_by_column() {
        assert!((deviation(&[0.0, 100.0, 2.0, 100.0], 2) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_class_that_the_test_lacks_counts_for_nothing() {
        let figures = recognised(&[0, 0, 1], &[0, 1, 1], 3, 0.0);
        assert_eq!(figures.recognised, [Some(1.0), Some(0.5), None]);
        assert!((figures.balanced_accuracy - 0.75).abs() < 1e-12 && (figures.accuracy - 2.0 / 3.0).abs() < 1e-12);
    }
}

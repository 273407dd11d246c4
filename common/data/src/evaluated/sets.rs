//! The data sets of an evaluation, frozen, with what their labels say.

use super::{Answers, EvaluatedError};
use crate::{Frozen, Source, freeze, freeze::Terms};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};
use sumac_common::{
    evaluation::{How, Labelled, Task},
    ids::Digest,
    spec::{ImageShape, Labels, Resize},
};

/// Images and what their labels say.
#[derive(Debug)]
pub struct LabelledSet {
    pub frozen: Frozen,
    pub answers: Answers,
}

#[derive(Debug)]
pub struct Sets {
    pub synthetic: LabelledSet,
    pub real: Frozen,
    pub test: LabelledSet,
    pub real_labelled: Option<LabelledSet>,
    pub validation: Option<LabelledSet>,
    /// Of each synthetic image, if its label names one: x and y in pixels.
    pub points: Option<Vec<[f32; 2]>>,
}

impl Sets {
    /// Freezes all of them (or finds them frozen). `progress` hears (which, done, of).
    pub fn open(
        how: &How,
        (shape, resize, max_bad): (ImageShape, Resize, f64),
        cache: &Path,
        progress: &dyn Fn(&'static str, usize, usize),
    ) -> Result<Self, EvaluatedError> {
        let frozen = |which: &'static str, path: &Path| {
            let source = Source::look(path).map_err(|error| EvaluatedError::Source { which, error })?;
            let terms = Terms { shape, resize, labels: Labels::Optional, max_bad };
            freeze(&source, terms, cache, &|done, of| progress(which, done, of))
                .map_err(|error| EvaluatedError::Freeze { which, error })
        };
        let labelled = |which: &'static str, labelled: &Labelled| {
            let frozen = frozen(which, &labelled.images)?;
            let answers = Answers::read(which, &frozen, labelled)?;
            Ok(LabelledSet { frozen, answers })
        };
        let synthetic = labelled("synthetic", &how.synthetic)?;
        let points = if how.point.is_empty() { None } else { Some(points(&synthetic, how, resize)?) };
        let sets = Self {
            points,
            synthetic,
            real: frozen("real", &how.real)?,
            test: labelled("real test", &how.test)?,
            real_labelled: how.real_labelled.as_ref().map(|set| labelled("labelled real", set)).transpose()?,
            validation: how.validation.as_ref().map(|set| labelled("real validation", set)).transpose()?,
        };
        sets.keep_test_apart()?;
        if let Some(group) = &how.group {
            sets.keep_groups_apart(how, group)?;
        }
        Ok(sets)
    }

    /// Over all images and all that is said of them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let labelled = [Some(&self.synthetic), Some(&self.test), self.real_labelled.as_ref(), self.validation.as_ref()];
        let points = self.points.iter().flatten().flatten().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let start = self.real.manifest_hash().then(points.as_bytes());
        labelled.into_iter().fold(start, |digest, set| match set {
            None => digest.then(b"none"),
            Some(set) => {
                let said = set.answers.texts().join("\n");
                digest.then(&set.frozen.manifest_hash().0).then(&Digest::of(said.as_bytes()).0)
            }
        })
    }

    /// A test image that a refiner or a model may have seen makes the test worthless.
    fn keep_test_apart(&self) -> Result<(), EvaluatedError> {
        let trained_on = [
            ("synthetic", Some(&self.synthetic.frozen)),
            ("unlabelled real", Some(&self.real)),
            ("labelled real", self.real_labelled.as_ref().map(|set| &set.frozen)),
            ("real validation", self.validation.as_ref().map(|set| &set.frozen)),
        ];
        trained_on
            .into_iter()
            .filter_map(|(which, set)| Some((which, set?)))
            .try_for_each(|(which, set)| self.keep_apart_from(which, set))
    }

    /// The same of images that a refiner was trained on, which need not be among these sets.
    pub fn keep_apart_from_training(
        &self,
        path: &Path,
        (shape, resize, max_bad): (ImageShape, Resize, f64),
        cache: &Path,
    ) -> Result<(), EvaluatedError> {
        let which = "training";
        let source = Source::look(path).map_err(|error| EvaluatedError::Source { which, error })?;
        let terms = Terms { shape, resize, labels: Labels::Optional, max_bad };
        let frozen =
            freeze(&source, terms, cache, &|_, _| {}).map_err(|error| EvaluatedError::Freeze { which, error })?;
        self.keep_apart_from("refiner's training", &frozen)
    }

    fn keep_apart_from(&self, which: &'static str, set: &Frozen) -> Result<(), EvaluatedError> {
        let seen: HashMap<Digest, &str> =
            set.manifest().samples.iter().map(|sample| (sample.pixels, sample.key.as_str())).collect();
        let tested = self.test.frozen.manifest().samples.iter();
        let both: Vec<(&str, &str)> =
            tested.filter_map(|sample| Some((sample.key.as_str(), *seen.get(&sample.pixels)?))).collect();
        let Some((test, trained)) = both.first() else { return Ok(()) };
        let (test, trained) = ((*test).to_owned(), (*trained).to_owned());
        Err(EvaluatedError::Leak { count: both.len(), which, test, trained })
    }

    /// Images of one person, or of one drive, are so alike that who learned from some of them knows the others.
    fn keep_groups_apart(&self, how: &How, group: &str) -> Result<(), EvaluatedError> {
        let groups =
            |which: &'static str, set: &LabelledSet, labelled: &Labelled| -> Result<BTreeSet<String>, EvaluatedError> {
                let labelled = Labelled { columns: vec![group.to_owned()], ..labelled.clone() };
                Ok(Answers::read(which, &set.frozen, &labelled)?.texts().iter().cloned().collect())
            };
        let tested = groups("real test", &self.test, &how.test)?;
        let others = [
            ("labelled real", self.real_labelled.as_ref().zip(how.real_labelled.as_ref())),
            ("real validation", self.validation.as_ref().zip(how.validation.as_ref())),
        ];
        for (which, (set, labelled)) in others.into_iter().filter_map(|(which, set)| Some((which, set?))) {
            let both: Vec<String> = groups(which, set, labelled)?.intersection(&tested).cloned().collect();
            if let Some(first) = both.first() {
                let (group, first) = (group.to_owned(), first.clone());
                return Err(EvaluatedError::Groups { count: both.len(), group, which, first });
            }
        }
        Ok(())
    }
}

fn points(synthetic: &LabelledSet, how: &How, resize: Resize) -> Result<Vec<[f32; 2]>, EvaluatedError> {
    let fault = |what: &str| EvaluatedError::Labels { which: "synthetic", what: what.to_owned() };
    if resize != Resize::Exact {
        return Err(fault(
            "points are in pixels of the images as they lie there, and these are brought to another size",
        ));
    }
    let labelled = Labelled { columns: how.point.clone(), ..how.synthetic.clone() };
    let answers = Answers::read("synthetic", &synthetic.frozen, &labelled)?;
    match answers.numbers(Task::Numbers)? {
        (numbers, 2) => Ok(numbers.as_chunks().0.to_vec()),
        (_, width) => Err(fault(&format!(
            "a point is x and y, and what --point names is {width} number(s): name both, as --point pupil_x --point pupil_y"
        ))),
    }
}

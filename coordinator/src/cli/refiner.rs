//! From what people name as a checkpoint to the refiner in it, as a file of its own, and the run it comes from. Opens files;
//! knows nothing of tensors but their names and shapes.

use super::{
    args::Reach,
    failure::{Exit, Failure},
};
use safetensors::{SafeTensors, serialize, tensor::TensorView};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf, absolute},
};
use sumac_common::{
    checkpoint,
    evaluation::Candidate,
    ids::{Digest, Step},
    refinement,
    spec::{self, Spec, model::Matching},
};

/// What a finished run leaves.
const EXPORTED: &str = "refiner.safetensors";
/// In the folder of a checkpoint.
const SAVED: &str = "model.safetensors";
const SPEC: &str = "spec.toml";
/// Prefixes of a refiner's tensors in a saved state: those of the moving average refine, where one is kept.
const PREFIXES: [&str; 2] = ["ema.", "refiner."];
/// The light of real images that some refiners lend, in a saved state as in a refiner's own file.
const LIGHTS: [&str; 2] = ["match.mean", "match.deviation"];
/// What PyTorch's own files say of themselves.
const FORMAT: (&str, &str) = ("format", "pt");
const WAYS: &str = "a refiner is named by its job (`sumac jobs`), JOB@STEP, its run's output folder, a checkpoint's folder (RUN/checkpoints/step-...) or its refiner.safetensors";

/// A refiner that was trained.
#[derive(Debug)]
pub(super) struct Trained {
    /// A safetensors file with the refiner's tensors alone.
    pub file: Vec<u8>,
    /// Of its run.
    pub spec: Spec,
    pub run: String,
    pub step: u64,
    /// The run's output, as far as it is known where that lies.
    pub output: Option<PathBuf>,
}

/// A path if there is one of this name, else a job of the coordinator.
pub(super) async fn find(named: &str, reach: &Reach) -> Result<Trained, Failure> {
    let path = Path::new(named);
    let trained = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => in_folder(path)?,
        Ok(_) => exported(path, &beside(path, SPEC))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => of_job(named, reach).await?,
        Err(error) => return Err(unreadable(path, &error)),
    };
    trained.fits(named)?;
    Ok(trained)
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(name)
}

/// A run's output, or one checkpoint of it.
fn in_folder(folder: &Path) -> Result<Trained, Failure> {
    if folder.join(EXPORTED).exists() {
        return exported(&folder.join(EXPORTED), &folder.join(SPEC));
    }
    let whole = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    let step = whole.file_name().and_then(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
    match (step, whole.parent().and_then(Path::parent)) {
        (Some(step), Some(output)) if whole.join(SAVED).exists() => {
            let spec = read_spec(&output.join(SPEC)).map_err(|failure| {
                failure.hint("a run writes its spec.toml when it ends; until then name it by its job: JOB@STEP")
            })?;
            let run = spec.name.clone();
            Ok(Trained { file: saved(&whole.join(SAVED))?, spec, run, step, output: Some(output.to_owned()) })
        }
        _ => Err(Failure::new(Exit::Usage, format!("there is no {EXPORTED} in {}", folder.display())).hint(WAYS)),
    }
}

fn exported(file: &Path, spec: &Path) -> Result<Trained, Failure> {
    let spec = read_spec(spec)?;
    let output = file.parent().and_then(|folder| absolute(folder).ok());
    let file = fs::read(file).map_err(|error| unreadable(file, &error))?;
    Ok(Trained { file, run: spec.name.clone(), step: spec.what.train.steps.0, spec, output })
}

async fn of_job(named: &str, reach: &Reach) -> Result<Trained, Failure> {
    let (name, step) = match named.rsplit_once('@') {
        Some((job, step)) => {
            let step = step
                .parse::<u64>()
                .map_err(|_| Failure::new(Exit::Usage, format!("`{step}` in `{named}` is not a step")).hint(WAYS))?;
            (job, Some(step))
        }
        None => (named, None),
    };
    let nowhere = |failure: Failure| {
        Failure::new(Exit::Usage, format!("`{named}` is no file or folder, and jobs cannot be asked for"))
            .because(Some(&Told(failure.what().to_owned())))
            .hint(WAYS)
    };
    let mut dialled = reach.dial().await.map_err(nowhere)?;
    let id = dialled.job_called(name).await?;
    let job = dialled.job(id).await?;
    let spec = job.spec.clone().ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{} is no training job", job.id)).hint("`sumac jobs` lists all")
    })?;
    let output = Path::new(&job.output_dir);
    if step.is_none_or(|step| step == spec.what.train.steps.0) && output.join(EXPORTED).exists() {
        let trained = exported(&output.join(EXPORTED), &output.join(SPEC))?;
        return Ok(Trained { run: job.id, ..trained });
    }
    let Some(step) = step.or(job.saved) else {
        return Err(Failure::new(Exit::Failed, format!("{} has no checkpoint yet", job.id))
            .hint(format!("`sumac checkpoints {}` lists them as they come", job.id)));
    };
    let file = output.join(checkpoint::folder(Step(step))).join(SAVED);
    if !file.exists() {
        return Err(Failure::new(Exit::Failed, format!("{} has no checkpoint at step {step}", job.id))
            .hint(format!("`sumac checkpoints {}` lists those that are there", job.id)));
    }
    Ok(Trained { file: saved(&file)?, spec, output: Some(output.to_owned()), run: job.id, step })
}

fn read_spec(file: &Path) -> Result<Spec, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}", file.display()))
            .because(Some(&error))
            .hint("a refiner.safetensors needs the spec.toml of its run beside it: it says which networks these are")
    })?;
    spec::read(&text, &[]).map_err(|faults| Failure::new(Exit::Usage, format!("{}: {faults}", file.display())))
}

/// The refiner's tensors of a saved state, under the names that an exported file has.
fn saved(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let broken = |error: safetensors::SafeTensorError| {
        Failure::new(Exit::Failed, format!("{} is no saved state", file.display())).because(Some(&error))
    };
    let state = SafeTensors::deserialize(&bytes).map_err(broken)?;
    let of = |prefix: &str| -> Vec<(String, TensorView<'_>)> {
        let tensors = state.tensors().into_iter();
        tensors.filter_map(|(name, view)| Some((name.strip_prefix(prefix)?.to_owned(), view))).collect()
    };
    let mut tensors = PREFIXES.map(of).into_iter().find(|tensors| !tensors.is_empty()).unwrap_or_default();
    tensors.extend(LIGHTS.iter().filter_map(|name| Some(((*name).to_owned(), state.tensor(name).ok()?))));
    let format = HashMap::from([(FORMAT.0.to_owned(), FORMAT.1.to_owned())]);
    serialize(tensors, Some(format)).map_err(broken)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("cannot read {}", path.display())).because(Some(error))
}

impl Trained {
    /// As a refinement names it.
    pub(super) fn as_submitted(&self) -> refinement::Trained {
        let what = &self.spec.what;
        refinement::Trained {
            weights: Digest::of(&self.file),
            net: what.model.refiner.clone(),
            threads: what.threads,
            origin: refinement::Origin {
                run: self.run.clone(),
                step: self.step,
                lambda: what.train.lambda.unwrap_or_default(),
                seed: what.train.seed,
            },
        }
    }

    /// As an evaluation names it. Checkpoints of one run have one run, however long it is to be.
    pub(super) fn as_candidate(&self, name: String) -> Candidate {
        Candidate { name, run: self.spec.what.identity(), trained: self.as_submitted() }
    }

    /// The tensors that the spec's refiner has, of its shapes, and no others.
    fn fits(&self, named: &str) -> Result<(), Failure> {
        let misfit = |why: String| {
            Failure::new(Exit::Usage, format!("the refiner in {named} is not the one of its spec: {why}")).hint(WAYS)
        };
        let file = SafeTensors::deserialize(&self.file).map_err(|error| misfit(error.to_string()))?;
        let what = &self.spec.what;
        let wanted = what.model.refiner.tensors(what.data.image.channels);
        if let Some(wrong) = wanted
            .iter()
            .find(|wanted| file.tensor(&wanted.name).map_or(true, |found| found.shape() != wanted.shape.as_slice()))
        {
            return Err(misfit(format!("it has no `{}` of the shape {:?}", wrong.name, wrong.shape)));
        }
        let lights = if what.model.refiner.matching == Matching::Image { &LIGHTS[..] } else { &[] };
        if let Some(missing) = lights.iter().find(|name| file.tensor(name).is_err()) {
            return Err(misfit(format!("it has no `{missing}`")));
        }
        match (file.len(), wanted.len() + lights.len()) {
            (found, wanted) if found == wanted => Ok(()),
            (found, wanted) => Err(misfit(format!("it has {found} tensors, not {wanted}"))),
        }
    }
}

/// What another failure said, as a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

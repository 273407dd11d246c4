//! `sweep`: one job with other values, each variant a run of its own, and a table of what came of them. On a coordinator's workers,
//! or on workers of its own.

use super::{
    alone::{Alone, alone, count},
    args::{self, Override, Reach},
    compare::{self, Compared},
    dial::Dialled,
    failure::{Exit, Failure},
    follow::Watch,
    job_file,
    outcome::{here, pasted},
    piecework::coordinator,
    progress::Progress,
    render::{counted, say},
    stand::Signals,
    submit, up,
    view::JobView,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf, absolute},
};
use sumac_common::{
    spec::Spec,
    sweep::{self, Variant},
};
use sumac_proto::v1;

/// Fields that follow from the variant.
const OWN: [&str; 2] = ["name", "output.dir"];

pub(super) async fn sweep(args: args::Sweep, verbose: bool) -> Result<Exit, Failure> {
    let specs = specs(&args)?;
    let warnings: BTreeSet<String> = specs.iter().flat_map(Spec::warnings).collect();
    for warning in warnings {
        job_file::warn_of(&warning);
    }
    if args.dry_run {
        for spec in &specs {
            say("variant", format!("{}   into {}", spec.name, here(&spec.how.output.dir).display()));
        }
        return Ok(Exit::Done);
    }
    let reach = Reach { coordinator: args.coordinator.clone() };
    let jobs = match coordinator(&reach).await? {
        Some(dialled) => on_cluster(&specs, dialled).await?,
        None => {
            let workers = count(args.workers, None);
            let specs: Vec<Spec> = specs.iter().map(|spec| on_so_many(spec, workers)).collect();
            let evening = async |dialled, signals: &mut Signals| see_through(&specs, dialled, signals).await;
            match alone(args.state.clone(), workers, verbose, evening).await? {
                Alone::Done(jobs) => Some(jobs),
                Alone::Left => None,
                Alone::Stopped => return Ok(Exit::Failed),
            }
        }
    };
    let Some(jobs) = jobs else { return Ok(Exit::Interrupted) };
    tell(&jobs)
}

fn usage(what: String) -> Failure {
    Failure::new(Exit::Usage, what).hint("sumac sweep --help")
}

/// The job's file, and what is made of it.
fn variants(args: &args::Sweep) -> Result<(PathBuf, Vec<Variant>), Failure> {
    let shown = args.file.display();
    let text = fs::read_to_string(&args.file)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {shown}")).because(Some(&error)))?;
    let (file, named) = match sweep::read(&text) {
        Some(read) => {
            let sweep = read.map_err(|what| usage(format!("{shown}: {what}")))?;
            (args.file.parent().unwrap_or(Path::new("")).join(sweep.job), sweep.variants)
        }
        None => {
            if let Err(error) = text.parse::<toml::Table>() {
                return Err(usage(format!("{shown} is no TOML:\n{}", error.to_string().trim_end())));
            }
            (args.file.clone(), Vec::new())
        }
    };
    let variants = sweep::crossed(&named, &args.over).map_err(usage)?;
    if variants.len() < 2 {
        return Err(usage(format!("{shown} with nothing to vary is one job"))
            .hint("name values to try: --over train.lambda=0.5,2,8; or run it as it is: sumac up, sumac submit"));
    }
    if variants.iter().flat_map(|variant| &variant.changes).any(|(path, _)| OWN.contains(&path.as_str())) {
        let own = OWN.join(", ");
        return Err(usage(format!(
            "a sweep itself gives its runs their names and folders, so it varies none of {own}"
        ))
        .hint("--into DIR puts all of them into one folder"));
    }
    Ok((file, variants))
}

/// The variants as jobs, all checked before any of them is queued.
fn specs(args: &args::Sweep) -> Result<Vec<Spec>, Failure> {
    let (file, variants) = variants(args)?;
    let mut specs = Vec::new();
    for variant in &variants {
        let of_variant = |failure: Failure| match variant.name.as_str() {
            "" => failure,
            name => failure.within(&format!("variant {name}")),
        };
        specs.push(spec(&file, args, variant).map_err(of_variant)?);
    }
    let into = args.into.as_ref().map(|into| absolute(into).unwrap_or_else(|_| into.clone()));
    let job = specs.first().map(|spec| spec.name.clone()).unwrap_or_default();
    for (spec, name) in specs.iter_mut().zip(sweep::names(&job, &variants)) {
        // Beside where the job as it is would write.
        let output = &mut spec.how.output.dir;
        *output = match &into {
            Some(into) => into.join(&name),
            None => output.parent().map_or_else(|| PathBuf::from(&name), |beside| beside.join(&name)),
        };
        spec.name = name;
    }
    Ok(specs)
}

fn spec(file: &Path, args: &args::Sweep, variant: &Variant) -> Result<Spec, Failure> {
    let own = variant.changes.iter().map(|(path, value)| Override { path: path.clone(), value: value.clone() });
    let overrides: Vec<Override> = args.overrides.iter().cloned().chain(own).collect();
    job_file::read(file, &overrides, None)
}

/// There will be no other workers.
fn on_so_many(spec: &Spec, count: u32) -> Spec {
    let mut spec = spec.clone();
    let workers = &mut spec.how.workers;
    (workers.min, workers.max) = (workers.min.min(count), workers.max.min(count));
    spec
}

/// `None`: left to go on alone.
async fn on_cluster(specs: &[Spec], mut dialled: Dialled) -> Result<Option<Vec<JobView>>, Failure> {
    let mut queued = Vec::new();
    for spec in specs {
        queued.push(submit::queue(&mut dialled, spec).await?);
    }
    let mut over = Vec::new();
    for job in queued {
        match submit::follow(dialled.clone(), job).await? {
            Some(job) => over.push(job),
            None => return Ok(None),
        }
    }
    Ok(Some(over))
}

/// `None`: a signal paused them.
async fn see_through(
    specs: &[Spec],
    mut dialled: Dialled,
    signals: &mut Signals,
) -> Result<Option<Vec<JobView>>, Failure> {
    up::forget_the_dead(dialled.clone()).await?;
    let mut queued = Vec::new();
    for spec in specs {
        queued.push(submit::queue(&mut dialled, spec).await?);
    }
    let mut over = Vec::new();
    for job in &queued {
        let (mut watch, mut progress) = (Watch::new(dialled.clone(), job.id.clone()), Progress::new());
        let mut last = job.clone();
        loop {
            let next = tokio::select! {
                next = watch.next() => next?,
                () = signals.next() => {
                    progress.end();
                    pause(&queued[over.len()..], &mut dialled, signals).await?;
                    say("next", "the same command goes on from there");
                    return Ok(None);
                }
            };
            let Some(job) = next else { break };
            progress.show(&job);
            last = job;
        }
        progress.end();
        say(last.state, format!("{}   {} of {}", last.id, over.len() + 1, counted(queued.len() as u64, "run")));
        over.push(last);
    }
    Ok(Some(over))
}

/// With checkpoints, unless a second signal comes.
async fn pause(jobs: &[JobView], dialled: &mut Dialled, signals: &mut Signals) -> Result<(), Failure> {
    say("draining", "with checkpoints        (ctrl-C again to stop now)");
    for job in jobs {
        let pause = v1::PauseRequest { job: job.id.clone() };
        dialled.operator.pause(pause).await.map_err(|status| dialled.failed(&status))?;
    }
    for job in jobs {
        let mut watch = Watch::new(dialled.clone(), job.id.clone());
        loop {
            tokio::select! {
                next = watch.next() => if next?.is_none() { break },
                () = signals.next() => return Ok(()),
            }
        }
    }
    Ok(())
}

/// What came of them, and how to ask whether it helps.
fn tell(jobs: &[JobView]) -> Result<Exit, Failure> {
    let mut finished = Vec::new();
    for job in jobs {
        match job.exit() {
            // Its output may lie where this machine does not reach: the others are compared all the same.
            Exit::Done => match Compared::of(&job.id, Path::new(&job.output_dir), job.spec.clone()) {
                Ok(compared) => finished.push(compared),
                Err(failure) => say("unread", format!("{}   {}", job.id, failure.what())),
            },
            _ => say(job.state, format!("{}   {}", job.id, job.reason.as_deref().unwrap_or_default())),
        }
    }
    compare::print(&finished);
    if !finished.is_empty() {
        let folders: Vec<String> = finished.iter().map(|run| pasted(&run.output_dir)).collect();
        say("next", format!("do they help? sumac evaluate {} --real-test DIR --into DIR", folders.join(" ")));
    }
    Ok(jobs.iter().map(JobView::exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done))
}

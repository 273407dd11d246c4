//! `submit`: a job file into the queue, and `-f` along with it to its end.

use super::{
    args::{self, Command, Reach},
    dial::Dialled,
    evaluate,
    failure::{Exit, Failure},
    follow::Watch,
    job_file::{self, Job},
    outcome,
    progress::Progress,
    refine,
    render::{counted, say},
    view::{JobView, WorkerView},
};
use sumac_common::spec::Spec;
use sumac_proto::v1::{self, submit_refused::Why, submit_reply::Answer};

pub(super) async fn submit(submit: args::Submit, verbose: bool) -> Result<Exit, Failure> {
    let spec = match job_file::read_any(&submit.file, &submit.overrides, submit.name.as_deref())? {
        Job::Train(spec) => *spec,
        Job::Command(command) => return written_down(*command, submit, verbose).await,
    };
    job_file::warn(&spec);
    if submit.dry_run {
        return rehearse(&spec, &submit.reach).await;
    }
    let mut dialled = submit.reach.dial().await?;
    let job = queue(&mut dialled, &spec).await?;
    if !submit.follow {
        return Ok(Exit::Done);
    }
    Ok(follow(dialled, job).await?.map_or(Exit::Interrupted, |job| outcome::tell(&job)))
}

/// A command from a job file, left to a coordinator.
async fn written_down(command: Command, submit: args::Submit, verbose: bool) -> Result<Exit, Failure> {
    // One that is named is needed, and none is brought along.
    let coordinator = Some(submit.reach.dial().await?.url);
    match command {
        Command::Refine(mut refine) => {
            refine.detach = !submit.follow && !submit.dry_run;
            (refine.coordinator, refine.written.dry_run) = (coordinator, submit.dry_run);
            refine::refine(*refine, verbose).await
        }
        Command::Evaluate(mut evaluate) => {
            evaluate.detach = !submit.follow && !submit.dry_run;
            (evaluate.coordinator, evaluate.dry_run) = (coordinator, submit.dry_run);
            evaluate::evaluate(*evaluate, verbose).await
        }
        _ => Err(Failure::new(Exit::Usage, "a job file trains, refines or evaluates")),
    }
}

/// Shows a job until it is over; `None` if ctrl-C left it to go on alone, which is said.
pub(super) async fn follow(dialled: Dialled, job: JobView) -> Result<Option<JobView>, Failure> {
    let mut watch = Watch::new(dialled, job.id.clone());
    let (mut progress, mut last) = (Progress::new(), job);
    loop {
        let next = tokio::select! {
            next = watch.next() => next?,
            _ = tokio::signal::ctrl_c() => {
                progress.end();
                say("detached", format!("{} goes on; `sumac wait {0}`, `sumac job {0}`, `sumac pause {0}`", last.id));
                return Ok(None);
            }
        };
        let Some(job) = next else { break };
        progress.show(&job);
        last = job;
    }
    progress.end();
    Ok(Some(last))
}

/// The job that a submission led to.
pub(super) fn answered(reply: v1::SubmitReply) -> Result<(v1::Admission, JobView), Failure> {
    let submitted = match reply.answer {
        Some(Answer::Submitted(submitted)) => submitted,
        Some(Answer::Refused(refused)) => return Err(refusal(refused)),
        None => return Err(Failure::unanswered()),
    };
    let admission = submitted.admission();
    Ok((admission, JobView::of(submitted.job.ok_or_else(Failure::unanswered)?)?))
}

/// Submits, and says what became of it.
pub(super) async fn queue(dialled: &mut Dialled, spec: &Spec) -> Result<JobView, Failure> {
    let request = v1::SubmitRequest { spec_toml: spec.to_toml() };
    let reply = dialled.operator.submit(request).await.map_err(|status| dialled.failed(&status))?;
    let (admission, job) = answered(reply.into_inner())?;
    let placed = match (admission, &job.reason) {
        (v1::Admission::AlreadyThere, _) => format!("already {}: this run into {}", job.state, job.output_dir),
        (v1::Admission::GoesOn, _) => format!("goes on from step {}", job.saved.unwrap_or(0)),
        (_, Some(reason)) => format!("{}: {reason}", job.state),
        (_, None) => job.state.to_owned(),
    };
    let train = &spec.what.train;
    say("job", format!("{}   train {}, batch {}   {placed}", job.id, counted(train.steps.0, "step"), train.batch));
    Ok(job)
}

fn refusal(refused: v1::SubmitRefused) -> Failure {
    match refused.why {
        Some(Why::BadSpec(bad)) => {
            Failure::new(Exit::Usage, format!("the coordinator does not accept the job: {}", bad.faults))
        }
        Some(Why::OutputTaken(taken)) => Failure::new(
            Exit::Failed,
            format!("{} belongs to job {}, which is another run and has not ended", taken.output_dir, taken.job),
        )
        .hint(format!("give this one another output.dir, or end that one: `sumac pause {}`", taken.job)),
        None => Failure::unanswered(),
    }
}

/// Everything `submit` would do, but for doing it.
async fn rehearse(spec: &Spec, reach: &Reach) -> Result<Exit, Failure> {
    anstream::println!("{}", spec.to_toml().trim_end());
    anstream::println!();
    for line in spec.summary() {
        anstream::println!("# {line}");
    }
    let placement = match placement(spec, reach).await {
        Ok(placement) => placement,
        // A job can be checked where no coordinator is.
        Err(failure) if failure.exit == Exit::Unreachable => "unknown: no coordinator can be reached".to_owned(),
        Err(failure) => return Err(failure),
    };
    anstream::println!("# placement      {placement}");
    Ok(Exit::Done)
}

async fn placement(spec: &Spec, reach: &Reach) -> Result<String, Failure> {
    let mut dialled = reach.dial().await?;
    let workers = dialled.workers().await?;
    let mut free: Vec<String> = workers.into_iter().filter(WorkerView::is_free).map(|worker| worker.name).collect();
    let are_free = format!("{} free", counted(free.len() as u64, "worker"));
    let queued = dialled.jobs().await?.into_iter().filter(|job| job.state == "queued").count();
    let wanted = &spec.how.workers;
    if queued > 0 {
        return Ok(format!("behind {}; {are_free}", counted(queued as u64, "queued job")));
    }
    if (free.len() as u64) < u64::from(wanted.min) {
        return Ok(format!("queued: {are_free}, at least {} needed", wanted.min));
    }
    free.truncate(wanted.max as usize);
    Ok(format!("at once on {} of at most {}: {}", counted(free.len() as u64, "worker"), wanted.max, free.join(", ")))
}

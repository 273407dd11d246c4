//! `up`: a coordinator, workers and a job on this machine, in one command and gone with it.

use super::{
    alone,
    args::{self, Command, Reach, Subject},
    dashboard::watching::watch,
    data,
    dial::Dialled,
    evaluate,
    failure::{Exit, Failure},
    follow::Watch,
    job_file::{self, Job},
    node::{Node, worker_program},
    outcome,
    progress::Progress,
    refine,
    render::{counted, say},
    stand::{self, Signals},
    submit,
    view::JobView,
};
use crate::{
    dashboard::{Board, routes},
    serve::{Coordinator, Place},
    web::{self, At},
};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, absolute},
    sync::Arc,
    time::Duration,
};
use sumac_common::{cluster::Presence, device::Wanted, spec::Spec};
use sumac_proto::v1;
use tokio::time::{Instant, timeout};

const DEMO: &str = include_str!("../../../examples/demo.toml");
const DEMO_IMAGES: usize = 2_000;
const DEMO_SEED: u64 = 7;
const DEMO_WORKERS: u32 = 2;
/// A job is submitted when all workers have joined, or after this.
const JOIN_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn up(args: args::Up, verbose: bool) -> Result<Exit, Failure> {
    let mut spec = match the_job(&args).await? {
        Some(Job::Command(command)) => return written_down(*command, &args, verbose).await,
        Some(Job::Train(spec)) => Some(*spec),
        None => None,
    };
    let mut signals = Signals::new()?;
    let program = worker_program()?;
    let device = match (&spec, args.device) {
        (Some(spec), Wanted::Auto) => spec.how.workers.device.into(),
        (_, said) => said,
    };
    let count = worker_count(&args, device, spec.as_ref());
    if let Some(spec) = &mut spec {
        // There will be no others: the job neither waits for more nor asks for more than there are.
        let workers = &mut spec.how.workers;
        (workers.min, workers.max) = (workers.min.min(count), count);
    }
    let http = At::Exactly(SocketAddr::new(web::LISTEN.ip(), 0)).into();
    let place = Place { listen: args.listen, state: args.state.clone(), insecure: args.insecure, http };
    let coordinator = stand::start(place).await?;
    say("state", args.state.display());
    stand::say_serving(&coordinator);
    let dialled = Dialled::at(coordinator.url()).await?;
    let board = Arc::new(Board::default());
    coordinator.mount(routes(board.clone()));
    let reach = Reach { coordinator: Some(dialled.url.clone()) };
    let mut node = match Node::start(&program, count, Some(device), verbose, &dialled.url) {
        Ok(node) => node,
        Err(failure) => {
            stand::stop(coordinator).await?;
            return Err(failure);
        }
    };
    let stopping = coordinator.stopping();
    let evening = async {
        forget_the_dead(dialled.clone()).await?;
        tokio::select! {
            () = gather(&coordinator, count) => {}
            () = signals.next() => return Ok(Exit::Interrupted),
        }
        match &spec {
            Some(spec) => see_through(spec, &args, dialled.clone(), &mut signals).await,
            None => keep_open(dialled.clone(), &mut signals).await,
        }
    };
    let ended = tokio::select! {
        ended = evening => ended,
        failure = node.failed() => Err(failure),
        // Why it stopped is told by `stop` below.
        () = stopping.cancelled() => Ok(Exit::Failed),
        // The page of `sumac dashboard`, on the coordinator's own HTTP port.
        never = watch(&reach, &board) => match never {},
    };
    let is_idle = coordinator.picture().borrow().jobs.iter().all(|entry| entry.state().is_over());
    if matches!(ended, Ok(Exit::Interrupted)) && !is_idle {
        node.end_at_once().await;
    } else {
        node.stop().await;
    }
    stand::stop(coordinator).await?;
    ended
}

/// A command from a job file, with workers of its own as it has anyway.
async fn written_down(command: Command, args: &args::Up, verbose: bool) -> Result<Exit, Failure> {
    match command {
        Command::Refine(mut refine) => {
            refine.workers = args.workers.or(refine.workers);
            refine::refine(*refine, verbose).await
        }
        Command::Evaluate(mut evaluate) => {
            evaluate.workers = args.workers.or(evaluate.workers);
            evaluate::evaluate(*evaluate, verbose).await
        }
        _ => Err(Failure::new(Exit::Usage, "a job file trains, refines or evaluates")),
    }
}

async fn the_job(args: &args::Up) -> Result<Option<Job>, Failure> {
    if args.demo {
        let dir = args.state.join("demo");
        if !dir.exists() {
            say("drawing", format!("{} twice, this once", counted(DEMO_IMAGES as u64, "eye")));
        }
        let drawn = data::draw(Subject::Eyes, dir, DEMO_IMAGES, DEMO_SEED).await?;
        let mut spec = job_file::check("the demo", DEMO, &args.overrides, None)?;
        let whole = |path| absolute(&path).unwrap_or(path);
        spec.what.data.synthetic = whole(drawn.synthetic);
        spec.what.data.real = whole(drawn.real);
        return Ok(Some(Job::Train(Box::new(spec))));
    }
    let Some(file) = &args.job else {
        if !args.overrides.is_empty() {
            return Err(Failure::new(Exit::Usage, "--set changes a job, and none was named")
                .hint("sumac up JOB.toml --set ..."));
        }
        return Ok(None);
    };
    let job = job_file::read_any(file, &args.overrides, None)?;
    if let Job::Train(spec) = &job {
        job_file::warn(spec);
    }
    Ok(Some(job))
}

/// One per card, else one per two cores, if nothing else is said; never more than the job can use.
fn worker_count(args: &args::Up, device: Wanted, spec: Option<&Spec>) -> u32 {
    let wanted = alone::count(args.workers.or(args.demo.then_some(DEMO_WORKERS)), Some(device));
    let most = spec.map_or(u32::MAX, |spec| spec.how.workers.max.max(1));
    if args.workers.is_some_and(|workers| workers > most) {
        let workers = counted(most.into(), "worker");
        anstream::eprintln!("  note      the job takes at most {workers} (workers.max): no more are started");
    }
    wanted.min(most)
}

/// Workers of an earlier `up` here died with it, for certain: no job shall wait for them.
pub(super) async fn forget_the_dead(mut dialled: Dialled) -> Result<(), Failure> {
    for job in dialled.jobs().await? {
        if !job.is_over() {
            let given_up = v1::GiveUpRequest { job: job.id.clone() };
            dialled.operator.give_up(given_up).await.map_err(|status| dialled.failed(&status))?;
            say(
                "earlier",
                format!("{0} goes on from its last checkpoint, before all others; `sumac cancel {0}` ends it", job.id),
            );
        }
    }
    Ok(())
}

/// Waits until `count` workers are here, and says so one by one.
pub(super) async fn gather(coordinator: &Coordinator, count: u32) {
    let began = Instant::now();
    let mut greeted = BTreeSet::new();
    let mut picture = coordinator.picture();
    let all = picture.wait_for(|picture| {
        for worker in picture.workers.iter().filter(|worker| worker.presence == Presence::Here) {
            if greeted.insert(worker.seat.worker.clone()) {
                let seconds = began.elapsed().as_secs_f64();
                say("worker", format!("{}  {}   joined in {seconds:.1}s", worker.seat.worker, worker.seat.device));
            }
        }
        greeted.len() >= count as usize
    });
    // Late ones join while the job runs; a coordinator that ends is noticed by who called.
    let _ = timeout(JOIN_WITHIN, all).await;
}

/// From submit to the end; the first signal drains, the second leaves at once.
async fn see_through(
    spec: &Spec,
    args: &args::Up,
    mut dialled: Dialled,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let mut last = submit::queue(&mut dialled, spec).await?;
    let mut watch = Watch::new(dialled.clone(), last.id.clone());
    let mut progress = Progress::new();
    let mut draining = false;
    loop {
        let next = tokio::select! {
            next = watch.next() => next?,
            () = signals.next() => {
                if draining {
                    progress.end();
                    say("stopped", "at once: steps since the last checkpoint will be done again");
                    say_how_to_go_on(args, &last);
                    return Ok(Exit::Interrupted);
                }
                draining = true;
                progress.say("draining", &draining_of(&last.id));
                let pause = v1::PauseRequest { job: last.id.clone() };
                dialled.operator.pause(pause).await.map_err(|status| dialled.failed(&status))?;
                continue;
            }
        };
        let Some(job) = next else { break };
        progress.show(&job);
        last = job;
    }
    progress.end();
    if draining && last.state == "paused" {
        match last.saved {
            Some(step) => say("paused", format!("{}: checkpoint at step {step} written, nothing lost", last.id)),
            None => say("paused", format!("{} before its first step", last.id)),
        }
        say_how_to_go_on(args, &last);
        return Ok(Exit::Interrupted);
    }
    Ok(outcome::tell(&last))
}

fn say_how_to_go_on(args: &args::Up, job: &JobView) {
    let mut command = match &args.job {
        Some(file) => format!("sumac up {}", file.display()),
        None => "sumac up --demo".to_owned(),
    };
    if let Some(workers) = args.workers {
        command.push_str(&format!(" --workers {workers}"));
    }
    if args.state != Path::new(args::STATE) {
        command.push_str(&format!(" --state {}", args.state.display()));
    }
    // Left out they would make it another run, or one of another length.
    for args::Override { path, value } in &args.overrides {
        command.push_str(&format!(" --set {path}={value}"));
    }
    say("next", format!("{command}   goes on from step {}", job.saved.unwrap_or(0)));
}

fn draining_of(job: &str) -> String {
    format!("{job}, with a checkpoint        (ctrl-C again to stop now)")
}

/// Without a job of its own: serves until a signal, then stops what others submitted, with checkpoints.
async fn keep_open(mut dialled: Dialled, signals: &mut Signals) -> Result<Exit, Failure> {
    say("next", "`sumac submit FILE` from this folder queues a job; ctrl-C ends");
    signals.next().await;
    let mut draining = Vec::new();
    for job in dialled.jobs().await? {
        if !job.is_over() {
            let pause = v1::PauseRequest { job: job.id.clone() };
            dialled.operator.pause(pause).await.map_err(|status| dialled.failed(&status))?;
            say("draining", draining_of(&job.id));
            draining.push(job.id);
        }
    }
    for job in draining {
        let mut watch = Watch::new(dialled.clone(), job);
        loop {
            let next = tokio::select! {
                next = watch.next() => next?,
                () = signals.next() => return Ok(Exit::Interrupted),
            };
            let Some(job) = next else { break };
            if job.is_over() {
                say(job.state, format!("{} at step {}; submitting it again goes on", job.id, job.step));
            }
        }
    }
    Ok(Exit::Done)
}

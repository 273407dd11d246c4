//! What people type and read: one file per command, each from arguments to lines on the terminal.
//!
//! Everything goes over the same wire that scripts use; only `up` and `serve` also run a coordinator. Decides nothing about
//! jobs.

mod alone;
pub mod args;
mod ask;
mod compare;
mod completion;
mod convert;
mod dashboard;
mod data;
mod describe;
mod destination;
mod dial;
mod doctor;
mod drain;
mod evaluate;
mod evaluation;
mod events;
mod export;
mod failure;
mod follow;
mod help;
mod init;
mod job_file;
mod list;
mod logs;
mod machines;
mod man;
mod node;
mod outcome;
mod piecework;
mod predict;
mod progress;
mod refine;
mod refiner;
mod render;
mod report;
mod samples;
mod show;
mod stand;
mod status;
mod submit;
mod sweep;
mod timeline;
mod up;
mod verify;
mod version;
mod view;
mod wait;
mod watch;

use anstream::{AutoStream, ColorChoice};
use args::{Args, Command};
pub use failure::{Exit, Failure};
use std::io::{self, IsTerminal as _};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

pub async fn run(args: Args) -> Exit {
    let ended = match args.command {
        Command::Up(up) => up::up(up, args.verbose).await,
        Command::Init(asked) => init::init(asked).await,
        Command::Serve(serve) => stand::serve(serve).await,
        Command::Submit(submit) => submit::submit(submit, args.verbose).await,
        Command::Status(status) => status::status(status).await,
        Command::Jobs(list) => show::jobs(list).await,
        Command::Job(describe) => show::job(describe).await,
        Command::Watch(args) => watch::watch(args).await,
        Command::Samples(samples) => samples::samples(samples).await,
        Command::Checkpoints(describe) => show::checkpoints(describe).await,
        Command::Nodes(list) => machines::nodes(list).await,
        Command::Node(node) => machines::node(node).await,
        Command::Workers(list) => machines::workers(list).await,
        Command::Logs(logs) => logs::logs(logs).await,
        Command::Events(events) => events::events(events).await,
        Command::Dashboard(dashboard) => dashboard::dashboard(dashboard).await,
        Command::Wait(wait) => wait::wait(wait).await,
        Command::Cancel(cancel) => ask::cancel(cancel).await,
        Command::Pause(target) => ask::pause(target).await,
        Command::Resume(target) => ask::resume(target).await,
        Command::Scale(scale) => ask::scale(scale).await,
        Command::Drain(drain) => drain::drain(drain).await,
        Command::Undrain(member) => drain::undrain(member).await,
        Command::Evict(evict) => drain::evict(evict).await,
        Command::GiveUp(target) => ask::give_up(target).await,
        Command::Refine(refine) => refine::refine(*refine, args.verbose).await,
        Command::Evaluate(evaluate) => evaluate::evaluate(*evaluate, args.verbose).await,
        Command::Sweep(sweep) => sweep::sweep(*sweep, args.verbose).await,
        Command::Compare(compare) => compare::compare(compare).await,
        Command::Predict(asked) => predict::predict(&asked),
        Command::Export(export) => export::export(export).await,
        Command::Verify(verify) => verify::verify(verify).await,
        Command::Data { data } => data::data(data).await,
        Command::Doctor(asked) => doctor::doctor(asked, args.verbose).await,
        Command::Version(list) => version::version(list).await,
        Command::Completion(asked) => completion::completion(&asked),
        Command::Man(asked) => man::man(&asked),
        Command::Help { topic } => help::help(&topic),
    };
    ended.unwrap_or_else(|failure| {
        failure.print();
        failure.exit
    })
}

/// `SUMAC_LOG` (or `RUST_LOG`) says how much; without it warnings, or with `-v` facts. `SUMAC_LOG_FORMAT` says how, as for a
/// worker: for people on a terminal and for programs elsewhere, if nothing else is said.
pub fn log_to_stderr(verbose: bool) {
    let level = if verbose { LevelFilter::INFO } else { LevelFilter::WARN };
    let wanted = std::env::var("SUMAC_LOG").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(level.into()).parse_lossy(wanted);
    let for_people = match std::env::var("SUMAC_LOG_FORMAT").as_deref() {
        Ok("json") => false,
        Ok("human") => true,
        _ => io::stderr().is_terminal(),
    };
    let coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    if for_people { log.with_ansi(coloured).init() } else { log.json().init() }
}

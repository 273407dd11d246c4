//! What people type and read: one file per command, each from arguments to lines on the terminal.
//!
//! Everything goes over the same wire that scripts use; only `up` and `serve` also run a coordinator. Decides nothing about
//! jobs.

pub mod args;
mod ask;
mod data;
mod dial;
mod failure;
mod follow;
mod job_file;
mod nursery;
mod outcome;
mod render;
mod show;
mod stand;
mod submit;
mod up;
mod version;
mod view;
mod wait;

use args::{Args, Command};
pub use failure::{Exit, Failure};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

pub async fn run(args: Args) -> Exit {
    let coordinator = args.coordinator;
    let ended = match args.command {
        Command::Up(up) => up::up(up, args.verbose).await,
        Command::Serve(serve) => stand::serve(serve).await,
        Command::Submit(submit) => submit::submit(submit, coordinator).await,
        Command::Jobs(read) => show::jobs(read.output, coordinator).await,
        Command::Job(which) => show::job(&which.job, which.read.output, coordinator).await,
        Command::Nodes(read) => show::nodes(read.output, coordinator).await,
        Command::Wait(wait) => wait::wait(wait, coordinator).await,
        Command::Cancel(cancel) => ask::cancel(cancel, coordinator).await,
        Command::Stop(target) => ask::stop(&target, coordinator).await,
        Command::GiveUp(target) => ask::give_up(&target, coordinator).await,
        Command::Data { data } => data::data(data).await,
        Command::Version(read) => version::version(read.output, coordinator).await,
        Command::Help { topic } => version::help(&topic),
    };
    ended.unwrap_or_else(|failure| {
        failure.print();
        failure.exit
    })
}

/// `SUMAC_LOG` (or `RUST_LOG`) says how much; without it warnings, or with `-v` facts.
pub fn log_to_stderr(verbose: bool) {
    let level = if verbose { LevelFilter::INFO } else { LevelFilter::WARN };
    let wanted = std::env::var("SUMAC_LOG").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(level.into()).parse_lossy(wanted);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

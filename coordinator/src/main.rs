//! The binary `sumac`: arguments in, exit code out.
#![forbid(unsafe_code)]

use clap::Parser as _;
use std::process::ExitCode;
use sumac::cli::{self, args::Args};

fn main() -> ExitCode {
    let args = Args::parse();
    cli::log_to_stderr(args.verbose);
    // The main thread drives `up`, whose children die with the thread that started them.
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(args)).into(),
        Err(error) => {
            anstream::eprintln!("error: cannot start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

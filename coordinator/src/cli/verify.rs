//! `verify`: whether a refined data set is whole, and its labels those of its source.

use super::{
    args::{self, Output},
    failure::{Exit, Failure, print_hint},
    outcome::here,
    render::{counted, grouped, print_item, say},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _};
use sumac_data::{Source, refined};
use tokio::task::spawn_blocking;

/// Findings shown in the table; JSON has them all.
const SHOWN: usize = 20;

pub(super) async fn verify(args: args::Verify) -> Result<Exit, Failure> {
    let (destination, source) = (args.destination.clone(), args.source.clone());
    let verified = spawn_blocking(move || {
        let source = source.map(|source| Source::look(&source)).transpose();
        let source = source.map_err(|error| Failure::of(Exit::Failed, &error))?;
        let bar = bar();
        let progress = |done: u64, total: u64| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let verified = refined::verify(&destination, source.as_ref(), &progress);
        bar.finish_and_clear();
        verified.map_err(|error| Failure::of(Exit::Failed, &error))
    });
    let verified = verified.await.map_err(|broke| {
        Failure::new(Exit::Failed, "verifying broke down: this is a bug of sumac").because(Some(&broke))
    })??;
    match args.read.output {
        Output::Json => print_item(&verified),
        Output::Table => {
            let against = args.source.as_ref().map_or("", |_| " identical to the source");
            say(
                "images",
                format!("{} there, {} in the list of errors", grouped(verified.images), grouped(verified.bad)),
            );
            say("labels", format!("{}{against}", grouped(verified.labels)));
            for finding in verified.findings.iter().take(SHOWN) {
                say("fault", finding);
            }
            if verified.findings.len() > SHOWN {
                say("", format!("and {} more: -o json lists them", verified.findings.len() - SHOWN));
            }
            match verified.findings.len() {
                0 => say("whole", here(&args.destination).display()),
                faults => {
                    let (there, faults) = (here(&args.destination), counted(faults as u64, "fault"));
                    say("damaged", format!("{}: {faults}", there.display()));
                    print_hint(
                        "what was refined is made again, byte for byte: remove the folder, and refine into it once more",
                    );
                }
            }
        }
    }
    Ok(if verified.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  verify {pos}/{len} {bar:30} {percent:>3}%   {per_sec}   eta {eta}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

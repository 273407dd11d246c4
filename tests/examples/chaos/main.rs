//! The chaos campaign: every fault that is promised to be survived, played many times on running jobs, in numbers.
//!
//! `chaos [--only FAULT] [--n N] [--seed S]`. Each fault is played on real processes; the run is compared with an undisturbed
//! one on one worker. One table is printed, `target/chaos.json` holds the same, and the exit code is 1 if a floor was missed.
//!
//! * **detection**: from the fault to the coordinator's first fact of class incident, as a follower reads it;
//! * **recovery**: from the fault to the first step committed afterwards: when both the fact that a later generation goes on at
//!   step S and the row of step S in `metrics.jsonl` have been seen;
//! * **redone**: steps that were done again, by one fault; 0 where the row allows none in a whole run;
//! * **samples**: lost or repeated; 0 is an equal trace, which holds every sample that every lane was handed.
//!
//! Victims and pauses come from the seed. The moment within a step that a fault meets is chance, which is the point.
//! Everything it starts dies with it.

mod campaign;
mod dice;
mod faults;
mod journal;
mod network;
mod row;
mod stage;

use anyhow::{Context as _, bail};
use campaign::Campaign;
use faults::{coordinator, cuts, deaths, freezes, leaving, refinements, regroupings};
use row::Row;
use serde_json::json;
use stage::{Model, References};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    time::{Instant, SystemTime},
};

const USAGE: &str = "usage: chaos [--only FAULT] [--n TIMES] [--seed SEED]";
const REPORT: &str = "target/chaos.json";

struct Fault {
    /// What `--only` says.
    word: &'static str,
    model: Model,
    /// How often, if nothing else is said: the whole campaign is to take less than 40 minutes on two quiet cores.
    n: u64,
    play: fn(&mut Campaign, Model, u64) -> Row,
}

/// The toy where many are wanted, SimGAN where the time of a step matters.
const FAULTS: &[Fault] = &[
    Fault { word: "kill", model: Model::Digits, n: 100, play: deaths::of_a_worker },
    Fault { word: "coordinator", model: Model::SimGan, n: 3, play: coordinator::again_and_again },
    Fault { word: "pause", model: Model::SimGan, n: 6, play: freezes::for_a_while },
    Fault { word: "freeze", model: Model::Toy, n: 5, play: freezes::for_ever },
    Fault { word: "guard", model: Model::SimGan, n: 6, play: deaths::of_a_worker_and_its_guard },
    Fault { word: "everybody", model: Model::SimGan, n: 100, play: deaths::of_everybody },
    Fault { word: "scale", model: Model::SimGan, n: 2, play: leaving::by_scaling },
    Fault { word: "leave", model: Model::Toy, n: 20, play: leaving::by_signal },
    Fault { word: "host", model: Model::Toy, n: 6, play: cuts::of_a_host },
    Fault { word: "way", model: Model::Toy, n: 2, play: cuts::of_one_way },
    Fault { word: "refine", model: Model::Digits, n: 50, play: refinements::killed },
    Fault { word: "regroup", model: Model::Toy, n: 200, play: regroupings::of_one_run },
];

#[derive(Default)]
struct Args {
    only: Option<String>,
    n: Option<u64>,
    seed: Option<u64>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Args { only, n, seed } = args()?;
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = seed.unwrap_or_else(clock);
    eprintln!("chaos: seed {seed}");
    let begun = Instant::now();
    let mut campaign = Campaign { seed, n, references: References::default() };
    let mut rows = Vec::new();
    for fault in FAULTS.iter().filter(|fault| only.as_deref().is_none_or(|only| only == fault.word)) {
        rows.push(play(&mut campaign, fault));
    }
    let seconds = begun.elapsed().as_secs();
    println!("{}seed {seed}, {seconds} s", row::table(&rows));
    let report = json!({ "seed": seed, "seconds": seconds, "rows": rows.iter().map(Row::json).collect::<Vec<_>>() });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(REPORT);
    path.parent().map_or(Ok(()), fs::create_dir_all).context("no folder for the report")?;
    fs::write(&path, format!("{report:#}\n")).with_context(|| format!("{REPORT} cannot be written"))?;
    Ok(ExitCode::from(u8::from(rows.iter().any(|row| !row.missed.is_empty()))))
}

/// What breaks one fault's harness shall not cost the others their turn.
fn play(campaign: &mut Campaign, fault: &Fault) -> Row {
    let begun = Instant::now();
    let played = catch_unwind(AssertUnwindSafe(|| (fault.play)(campaign, fault.model, fault.n)));
    let mut row = played.unwrap_or_else(|panicked| {
        let why = panicked.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panicked.downcast_ref::<&str>().map(|why| (*why).to_owned()));
        let mut row = Row::new(fault.word, fault.model.name());
        row.missed.push(format!("broken off: {}", why.unwrap_or_default()));
        row
    });
    row.notes.push(format!("{} s", begun.elapsed().as_secs()));
    eprintln!("{}", row::table(std::slice::from_ref(&row)));
    row
}

fn args() -> anyhow::Result<Args> {
    let mut args = Args::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value\n{USAGE}"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{word} wants a number, not {value}\n{USAGE}"));
        match word.as_str() {
            "--only" if FAULTS.iter().any(|fault| fault.word == value) => args.only = Some(value),
            "--only" => {
                let known: Vec<&str> = FAULTS.iter().map(|fault| fault.word).collect();
                bail!("there is no fault {value}: {}", known.join(", "));
            }
            "--n" => args.n = Some(number()?),
            "--seed" => args.seed = Some(number()?),
            _ => bail!("{word} means nothing here\n{USAGE}"),
        }
    }
    Ok(args)
}

//! `predict`: how a job would scale, from figures measured on one machine; the rules do the sums. Nothing runs, nobody is asked.

use super::{
    args::{self, Output, Override},
    data::word,
    failure::{Exit, Failure},
    job_file,
    render::{Cell, counted, figure, grouped, print_item, say, table_within, terminal_width},
};
use serde::Serialize;
use std::{collections::BTreeSet, fs, path::Path};
use sumac_common::{
    scaling::{Cause, Checked, Fall, Load, Machines, Parts, Prediction, Scaling, Way},
    spec::{Device, ImageShape, Precision, Spec, model::Preset},
};

/// Measured by `make bench-scale`, for whoever has no figures of their own.
const BUILT_IN: &str = include_str!("../../../docs/scale.json");
const BUILT_IN_FROM: &str = "docs/scale.json, built in";
/// Below this, workers are said not to pay.
const SHARE: f64 = 0.9;
/// Characters of a full bar.
const BAR: usize = 10;

/// All there is to say.
#[derive(Serialize)]
struct Report {
    job: Job,
    measured: Source,
    machines: Places,
    predictions: Vec<Prediction>,
    falls: Option<Falls>,
    advice: Option<String>,
    checked: Vec<Checked>,
}

#[derive(Serialize)]
struct Job {
    preset: Preset,
    image: ImageShape,
    batch: u32,
    lanes: u32,
    k_refiner: u32,
    k_discriminator: u32,
}

#[derive(Serialize)]
struct Source {
    from: String,
    machine: String,
    cores: u32,
    preset: Preset,
    image: ImageShape,
    batch: u32,
    us_per_round: f64,
    us_per_byte: f64,
    off: f64,
}

#[derive(Serialize)]
struct Places {
    workers: u32,
    cores: u32,
    gigabits_per_second: Option<f64>,
    latency_us: Option<f64>,
    hours_between_deaths: f64,
}

#[derive(Serialize)]
struct Falls {
    below: f64,
    workers: u32,
    efficiency: f64,
    cause: Option<Cause>,
    why: String,
    /// The most workers with which it is not below.
    most: u32,
    /// Why it is with more.
    beyond: Option<String>,
}

pub(super) fn predict(asked: &args::Predict) -> Result<Exit, Failure> {
    let spec = job(asked)?;
    let (from, scaling) = measured(asked.measured.as_deref())?;
    let report = Report::of(asked, &spec, from, &scaling);
    if spec.what.threads > 1 {
        job_file::warn_of(&format!(
            "the figures are of workers with one thread, and those of the job have {}",
            spec.what.threads
        ));
    }
    if spec.how.workers.device == Device::Cuda || spec.what.train.precision != Precision::F32 {
        job_file::warn_of("the figures are of processors in f32, and the job is for cards or multiplies in fewer bits");
    }
    match asked.read.output {
        Output::Json => print_item(&report),
        Output::Table => report.print(),
    }
    Ok(Exit::Done)
}

/// That of the file, or one of which nothing but its preset is known; checked as any job is.
fn job(asked: &args::Predict) -> Result<Spec, Failure> {
    let image = asked.image.map(|args::Shape(ImageShape { channels, height, width })| {
        ("data.image", format!("{{ size = [{height}, {width}], channels = {channels} }}"))
    });
    let numbers = [("train.batch", asked.batch), ("train.lanes", asked.lanes)];
    let numbers = numbers.into_iter().filter_map(|(path, number)| Some((path, number?.to_string())));
    let changes = numbers.chain(image).map(|(path, value)| Override { path: path.to_owned(), value });
    let overrides: Vec<Override> = asked.overrides.iter().cloned().chain(changes).collect();
    if let Some(file) = &asked.job {
        return job_file::read(file, &overrides, None);
    }
    let preset = asked.preset.unwrap_or(Preset::PaperEyes);
    let named = word(&preset);
    // Longer than any pre-training: what is asked about is the cycles behind it.
    let text = format!(
        "name = \"any\"\nmodel.preset = \"{named}\"\n[data]\nsynthetic = \"synthetic\"\nreal = \"real\"\n\
         [train]\nsteps = 1_000_000\n"
    );
    job_file::check(&format!("a job of {named}"), &text, &overrides, None)
}

/// The figures, and where they are from.
fn measured(file: Option<&Path>) -> Result<(String, Scaling), Failure> {
    let (from, text) = match file {
        None => (BUILT_IN_FROM.to_owned(), BUILT_IN.to_owned()),
        Some(file) => {
            let from = file.display().to_string();
            let text = fs::read_to_string(file).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read the figures in {from}"))
                    .because(Some(&error))
                    .hint("`make bench-scale` writes such a file; without --measured those built in are taken")
            })?;
            (from, text)
        }
    };
    let scaling = Parts::read(&text).and_then(Scaling::of).map_err(|unfit| {
        Failure::new(Exit::Usage, format!("{from}: these are no figures to predict from"))
            .because(Some(&unfit))
            .hint("`make bench-scale` measures a machine and writes such a file")
    })?;
    Ok((from, scaling))
}

/// Powers of two and what lies halfway between two of them, the number of lanes, and the last: where something happens.
fn worth_a_row(lanes: u32, up_to: u32) -> BTreeSet<u32> {
    let powers = (0..u32::BITS).map(|power| 1_u32 << power).take_while(|workers| *workers <= up_to);
    let between = powers.clone().filter(|workers| *workers >= 2).map(|workers| workers.saturating_add(workers / 2));
    powers.chain(between).chain([lanes, up_to]).filter(|workers| *workers <= up_to).collect()
}

impl Report {
    fn of(asked: &args::Predict, spec: &Spec, from: String, scaling: &Scaling) -> Self {
        let (what, parts) = (&spec.what, scaling.parts());
        let wire = asked.gigabits.map(|gigabits| Way::sold(gigabits, asked.latency_us));
        let machines = Machines {
            cores: asked.cores.unwrap_or(parts.cores),
            workers: asked.workers_per_machine,
            wire,
            hours_between_deaths: asked.hours_between_deaths,
        };
        let load = Load::of(what);
        let fall = scaling.falls_below(&load, &machines, SHARE, asked.up_to);
        let rows = worth_a_row(load.lanes, asked.up_to);
        Self {
            job: Job {
                preset: what.model.preset,
                image: what.data.image,
                batch: load.batch,
                lanes: load.lanes,
                k_refiner: load.k_refiner,
                k_discriminator: load.k_discriminator,
            },
            measured: Source {
                from,
                machine: parts.machine.clone(),
                cores: parts.cores,
                preset: parts.preset,
                image: parts.image,
                batch: parts.batch,
                us_per_round: scaling.way().us_per_round,
                us_per_byte: scaling.way().us_per_byte,
                off: scaling.off(),
            },
            machines: Places {
                workers: machines.workers,
                cores: machines.cores,
                gigabits_per_second: asked.gigabits,
                latency_us: asked.gigabits.map(|_| asked.latency_us),
                hours_between_deaths: machines.hours_between_deaths,
            },
            predictions: rows.into_iter().map(|workers| scaling.predict(&load, &machines, workers)).collect(),
            falls: fall.map(|fall| Falls::of(&fall, &load, &machines)),
            advice: scaling.advice(&load, &machines, SHARE, asked.up_to),
            checked: scaling.checked(),
        }
    }

    fn print(&self) {
        self.say_what_is_modelled();
        anstream::println!();
        let heads = [
            "WORKERS",
            "IMAGES/S",
            "SPEED-UP",
            "EFFICIENCY",
            "COMPUTE",
            "WAITING",
            "GUARD",
            "REDUCE",
            "DATA+UPDATE",
            "REGROUP",
            "MOSTLY LOST TO",
        ];
        let rows: Vec<Vec<Cell>> = self.predictions.iter().map(row).collect();
        anstream::println!("{}", table_within(&heads, &rows, terminal_width()));
        self.say_where_it_falls();
        self.say_what_was_checked();
    }

    fn say_what_is_modelled(&self) {
        let Job { preset, image, batch, lanes, k_refiner, k_discriminator } = &self.job;
        let shape = |image: &ImageShape| {
            format!("{}x{}, {}", image.height, image.width, counted(image.channels.into(), "channel"))
        };
        say(
            "job",
            format!(
                "{}, {}; batch {} = {} x {}; cycles of {k_refiner} + {k_discriminator} updates",
                word(preset),
                shape(image),
                grouped((*batch).into()),
                counted((*lanes).into(), "lane"),
                counted((batch / lanes).into(), "image"),
            ),
        );
        let Source { from, machine, cores, us_per_round, us_per_byte, off, .. } = &self.measured;
        say("measured", format!("{machine}; {} ({from})", counted((*cores).into(), "core")));
        let by_arithmetic = *preset != self.measured.preset || *image != self.measured.image;
        if by_arithmetic {
            let was = format!("{}, {}", word(&self.measured.preset), shape(&self.measured.image));
            say("", format!("with {was}: this job's lanes are taken to go with their arithmetic"));
        }
        let speed = if *us_per_byte > 0.0 {
            format!("{} MB/s", grouped((1.0 / us_per_byte).round() as u64))
        } else {
            "no time a byte".to_owned()
        };
        say(
            "exchange",
            format!(
                "{} us a round, {speed}, additions included; off by {:.0}% from what was measured at most",
                figure(Some(*us_per_round)),
                100.0 * off
            ),
        );
        let Places { workers, cores, gigabits_per_second, latency_us, hours_between_deaths } = &self.machines;
        let network = match (gigabits_per_second, latency_us) {
            (Some(gigabits), Some(latency)) => format!("{gigabits} Gbit/s and {latency} us a round between them"),
            _ => "nothing added for a network between them (--gigabits)".to_owned(),
        };
        say(
            "machines",
            format!(
                "{} and {} each; {network}; a worker dies every {} hours",
                counted((*cores).into(), "core"),
                counted((*workers).into(), "worker"),
                grouped_figure(*hours_between_deaths),
            ),
        );
    }

    fn say_where_it_falls(&self) {
        let percent = 100.0 * SHARE;
        let up_to = self.predictions.last().map_or(1, |last| last.workers);
        match &self.falls {
            None => say("falls", format!("not below {percent:.0}%, as far as {}", counted(up_to.into(), "worker"))),
            Some(Falls { workers, efficiency, why, most, beyond, .. }) => {
                say(
                    "falls",
                    format!(
                        "below {percent:.0}% at {}, to {:.1}%: {why}",
                        counted((*workers).into(), "worker"),
                        100.0 * efficiency
                    ),
                );
                match beyond {
                    Some(beyond) if most > workers => {
                        say("", format!("{most} workers have {percent:.0}% again, and no more have: {beyond}"));
                    }
                    None if most > workers => say("", format!("{most} workers have {percent:.0}% again")),
                    _ => {}
                }
            }
        }
        if let Some(advice) = &self.advice {
            say("advice", advice);
        }
    }

    fn say_what_was_checked(&self) {
        let Source { preset, batch, .. } = &self.measured;
        let mut label = "checked";
        for checked in &self.checked {
            let Checked { workers, predicted_us, measured_us } = checked;
            say(
                label,
                format!(
                    "{} on one machine, {} at a batch of {batch}: {:.2} s a cycle predicted, {:.2} s measured, {:+.0}%",
                    counted((*workers).into(), "worker"),
                    word(preset),
                    predicted_us / 1e6,
                    measured_us / 1e6,
                    // Without the sign of what rounds to nothing.
                    (100.0 * checked.off()).round() + 0.0
                ),
            );
            label = "";
        }
    }
}

impl Falls {
    fn of(fall: &Fall, load: &Load, machines: &Machines) -> Self {
        let Fall { first, most, beyond } = fall;
        Self {
            below: SHARE,
            workers: first.workers,
            efficiency: first.efficiency,
            cause: first.cause(),
            why: first.why(load, machines),
            most: *most,
            beyond: beyond.as_ref().map(|beyond| beyond.why(load, machines)),
        }
    }
}

fn row(prediction: &Prediction) -> Vec<Cell> {
    let Prediction { workers, images_per_second, speed_up, efficiency, cycle, lost, .. } = prediction;
    let of_cycle = |us: f64| share(us / cycle.us());
    [
        workers.to_string(),
        figure(Some(*images_per_second)),
        format!("{speed_up:.2}"),
        format!("{:>4} {}", share(*efficiency), bar(*efficiency)),
        of_cycle(cycle.compute_us),
        of_cycle(cycle.waiting_us),
        of_cycle(cycle.guard_us),
        of_cycle(cycle.reduce_us),
        of_cycle(cycle.data_us + cycle.optimiser_us),
        of_cycle(cycle.regroup_us),
        lost.first().map_or_else(String::new, |loss| format!("{}, {}", called(loss.cause), share(loss.share))),
    ]
    .map(Cell::from)
    .to_vec()
}

fn called(cause: Cause) -> &'static str {
    match cause {
        Cause::Lanes => "standing by",
        Cause::Uneven => "uneven lanes",
        Cause::Cores => "shared cores",
        Cause::Guard => "guards",
        Cause::Reduce => "gradients",
        Cause::Data => "images",
        Cause::Optimiser => "updates",
        Cause::Regroup => "regrouping",
    }
}

/// In percent; what is there and yet rounds to nothing is said to be.
fn share(share: f64) -> String {
    match 100.0 * share {
        percent if percent <= 1e-9 => "-".to_owned(),
        percent if percent < 0.5 => "<1%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

fn grouped_figure(value: f64) -> String {
    if value >= 100.0 { grouped(value.round() as u64) } else { value.to_string() }
}

/// To the eighth of a character.
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Args, Command};
    use clap::Parser as _;
    use serde_json::Value;

    fn asked(words: &[&str]) -> args::Predict {
        match Args::try_parse_from(["sumac", "predict"].iter().chain(words)).map(|args| args.command) {
            Ok(Command::Predict(asked)) => *asked,
            other => panic!("{other:?}"),
        }
    }

    fn report(words: &[&str]) -> Report {
        let asked = asked(words);
        let (from, scaling) = measured(asked.measured.as_deref()).unwrap_or_else(|failure| panic!("{failure:?}"));
        Report::of(&asked, &job(&asked).unwrap_or_else(|failure| panic!("{failure:?}")), from, &scaling)
    }

    #[test]
    fn without_a_word_it_is_the_papers_job_as_the_paper_has_it() {
        let report = report(&[]);
        assert_eq!((report.job.preset, report.job.batch, report.job.lanes), (Preset::PaperEyes, 512, 64));
        let rows: Vec<u32> = report.predictions.iter().map(|prediction| prediction.workers).collect();
        assert_eq!(rows, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]);
    }

    #[test]
    fn the_number_of_lanes_has_a_row_and_so_has_the_last() {
        assert_eq!(worth_a_row(5, 9).into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8, 9]);
        assert_eq!(worth_a_row(64, 1).into_iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_asked_about_is_a_job_with_other_values() {
        let report = report(&["--preset", "digits", "--batch", "48", "--lanes", "3", "--image", "20x30x3"]);
        let Job { preset, image, batch, lanes, .. } = report.job;
        assert_eq!((preset, batch, lanes), (Preset::Digits, 48, 3));
        assert_eq!((image.height, image.width, image.channels), (20, 30, 3));
        let failure = job(&asked(&["--batch", "65"])).unwrap_err();
        assert!(failure.what().contains("train.batch = 65") && failure.exit == Exit::Usage, "{}", failure.what());
    }

    #[test]
    fn a_file_that_is_no_figures_is_refused_with_what_measures_some() {
        let failure = measured(Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")))).unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.hint.is_some_and(|hint| hint.contains("bench-scale")));
        assert!(measured(Some(Path::new("not/there.json"))).unwrap_err().what().contains("not/there.json"));
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!([0.0, 0.5, 0.56, 1.0, 1.2].map(bar), ["", "█████", "█████▋", "██████████", "██████████"]);
        assert_eq!([0.0, 0.001, 0.125, 1.0].map(share), ["-", "<1%", "12%", "100%"]);
    }

    /// Whether values fit is held against the published form in `tests/suites`; here, that no field is forgotten.
    #[test]
    fn what_is_printed_as_json_has_the_published_fields() {
        fn names(of: &Value) -> BTreeSet<&str> {
            of.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
        }
        let published: Value = serde_json::from_str(include_str!("../../../docs/output.schema.json")).unwrap();
        let printed = serde_json::to_value(report(&["--gigabits", "10"])).unwrap();
        let mut form = names(&published["$defs"]["predict"]["properties"]);
        assert!(form.remove("apiVersion"));
        assert_eq!(form, names(&printed));
        let each = &published["$defs"]["prediction"]["properties"];
        let row = &printed["predictions"][1];
        assert_eq!(names(each), names(row));
        assert_eq!(names(&each["cycle"]["properties"]), names(&row["cycle"]));
        let whole = &published["$defs"]["predict"]["properties"];
        for part in ["job", "measured", "machines", "falls"] {
            assert_eq!(names(&whole[part]["properties"]), names(&printed[part]), "{part}");
        }
    }
}

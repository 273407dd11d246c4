//! Has a finished run learned what SimGAN is for? Figures beside bounds; a figure out of its bound ends it with status 1.
//!
//! The refiner has to change images without touching what their labels say, bring them nearer to the real ones, and be held
//! in check by a discriminator that has not won. A classifier trained here, on synthetic images and a copy with the real set's
//! mean and contrast, judges the labels; no real label is read. Refuses to know how the run was made.

mod report;
mod run;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use report::{Bound, Report, Unit};
use run::Run;
use std::{path::PathBuf, process::ExitCode};
use sumac_common::{schedule::Phase, spec::Psi};
use sumac_worker::{
    downstream::{
        Targets,
        frechet::frechet_distance,
        model::{JUDGE, agreement, trained},
        pictures::{brightness_spread, change, flat_images, moment_matched},
    },
    native,
    outputs::Metrics,
};
use tch::Tensor;

/// Discriminator steps at the end of a run over which its accuracy is taken.
const LAST: usize = 100;

/// Judges a finished run: change, labels, distance to the real images, collapse.
#[derive(Parser)]
#[command(name = "learning")]
struct Args {
    /// The output.dir of the run.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// Labelled synthetic images, a folder per class [default: the run's]
    #[arg(long, value_name = "DIR")]
    synthetic: Option<PathBuf>,

    /// Real images [default: the run's]
    #[arg(long, value_name = "DIR")]
    real: Option<PathBuf>,

    /// Where decoded images are kept.
    #[arg(long, env = "SUMAC_CACHE", value_name = "DIR", default_value = "target/learning/cache")]
    cache: PathBuf,

    /// Seed of the judging classifier.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// For data where refinement is known to gain nothing: only that labels stay and the parts have moved.
    #[arg(long)]
    mechanics: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let _ = native::memory::keep();
    tch::set_num_interop_threads(1);
    tch::set_num_threads(1);
    native::determinism::require()?;

    let run = Run::open(&args)?;
    println!(
        "{}: {} steps, {} synthetic and {} real images\n",
        run.spec.name,
        run.steps,
        run.synthetic.len(),
        run.real.len()
    );
    let mut report = Report::default();
    run.judge_images(&args, &mut report)?;
    run.judge_training(&args, &mut report)?;
    println!("{report}");
    let failures = report.failures();
    if failures > 0 {
        println!("{failures} of these figures are out of their bounds");
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Run {
    /// Change, labels, distance, brightness, flat images.
    fn judge_images(&self, args: &Args, report: &mut Report) -> anyhow::Result<()> {
        let unless_mechanics = |bound: Bound| if args.mechanics { Bound::None } else { bound };
        let (synthetic, real, refined) = (&self.synthetic.nchw, &self.real.nchw, &self.refined()?);
        // Where light is free to change, it does, and the judge is not used to it.
        let light_is_free = self.spec.what.train.psi == Psi::Standardised;
        let (change_wanted, kept_wanted) =
            if light_is_free { (Bound::Within(0.2, 0.7), 0.6) } else { (Bound::Within(0.10, 0.30), 0.85) };
        report.add(
            "mean |R(x) - x|",
            change(refined, synthetic),
            Unit::Number,
            // The identity is no refiner of anything.
            if args.mechanics { Bound::AtLeast(0.001) } else { change_wanted },
        );

        let Some(Targets::Classes { of, .. }) = &self.synthetic.targets else {
            bail!("agreement of labels needs classes")
        };
        let (classes, targets) =
            (Tensor::from_slice(of), self.synthetic.targets.clone().into_iter().collect::<Vec<_>>());
        let twice = Targets::together(&[targets.clone(), targets].concat());
        let images = Tensor::cat(&[synthetic, &moment_matched(synthetic, real)], 0);
        let judge = trained(&JUDGE, &images, &twice, args.seed, &|| true).map_err(anyhow::Error::msg)?;
        let judge = judge.context("the judge was not trained")?;
        let of_synthetic = judge.classes(synthetic);
        // A judge that says the same of everything would find every label kept.
        report.add(
            "the judge on synthetic labels",
            agreement(&of_synthetic, &classes),
            Unit::Share,
            Bound::AtLeast(0.95),
        );
        let least = if args.mechanics { 0.99 } else { kept_wanted };
        let kept = agreement(&of_synthetic, &judge.classes(refined));
        report.add("labels it finds kept by R", kept, Unit::Share, Bound::AtLeast(least));

        let features = judge.features(real);
        let distance = |from: &Tensor| frechet_distance(&judge.features(from), &features);
        let (before, after) = (distance(synthetic), distance(refined));
        report.add("Frechet distance to real, synthetic", before, Unit::Number, Bound::None);
        report.add("Frechet distance to real, refined", after, Unit::Number, Bound::None);
        let nearer = unless_mechanics(Bound::AtMost(0.75));
        report.add("Frechet distance, refined over synthetic", after / before, Unit::Number, nearer);

        for (which, images) in [("synthetic", synthetic), ("refined", refined), ("real", real)] {
            report.add(format!("spread of brightness, {which}"), brightness_spread(images), Unit::Number, Bound::None);
        }
        report.add("flat images, refined", flat_images(refined) as f64, Unit::Count, Bound::AtMost(0.0));
        Ok(())
    }

    /// The discriminator at the end, and the history.
    fn judge_training(&self, args: &Args, report: &mut Report) -> anyhow::Result<()> {
        let rows = Metrics::of(&args.run, "").read()?;
        let last: Vec<_> = rows.iter().rev().filter(|row| row.phase == Phase::Discriminator).take(LAST).collect();
        ensure!(!last.is_empty(), "metrics.jsonl has no discriminator step");
        let mean = |of: fn(&&sumac_common::metrics::Row) -> Option<f64>| {
            last.iter().map(|row| of(row).unwrap_or(f64::NAN)).sum::<f64>() / last.len() as f64
        };
        let n = last.len();
        for (which, accuracy) in
            [("refined", mean(|row| row.accuracy_on_refined)), ("real", mean(|row| row.accuracy_on_real))]
        {
            let what = format!("discriminator right on {which}, last {n} steps");
            report.add(what, accuracy, Unit::Share, Bound::Below(0.95));
        }
        report.add("its loss (0.693 is chance)", mean(|row| row.discriminator), Unit::Number, Bound::None);
        let figure = |name: &str| self.summary["history"][name].as_f64().unwrap_or(f64::NAN);
        let (capacity, offered) = (figure("capacity"), figure("offered"));
        let full = Bound::AtLeast(1.0);
        report.add("history filled", offered.min(capacity) / capacity, Unit::Share, full);
        Ok(())
    }
}

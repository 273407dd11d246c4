//! `evaluate`: whether refined images teach a model more, on a coordinator's workers, or on workers of its own.
//!
//! Which arms there are follows from what is given; what they are worth is said in [`evaluation`](super::evaluation).

use super::{
    args::{self, EvaluateAbout, NetWord, Reach, TaskWord},
    destination::{apart, blocking, forget_state, job_name, unusable},
    evaluation,
    failure::{Exit, Failure},
    job_file::warn_of,
    outcome::here,
    piecework::{Ended, Wish, carry_out},
    refiner::{self, Trained},
    render::{counted, say},
    report,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    thread::available_parallelism,
};
use sumac_common::{
    evaluation::{Arm, Downstream, Evaluation, How, IMAGES_MIN, Labelled, Measure, Net, Part, Task, What},
    piecework::Piecework,
    spec::{Data, Device, Workers, in_percent},
};
use sumac_data::{
    evaluated::{self, Evaluated, Sets, class_names},
    freeze::cache_folder,
    storage::absolute,
};

/// Pixels of the blur that a moment-matched copy gets in one of the arms.
const BLUR: f64 = 0.7;

pub(super) async fn evaluate(args: args::Evaluate, verbose: bool) -> Result<Exit, Failure> {
    if let Some(EvaluateAbout::Show { into, read }) = &args.about {
        return evaluation::show(into, read);
    }
    let reach = Reach { coordinator: args.coordinator.clone() };
    let mut trained = Vec::new();
    for named in &args.refiners {
        trained.push(refiner::find(named, &reach).await?);
    }
    let first = trained.first().ok_or_else(|| Failure::new(Exit::Usage, "name a refiner: sumac evaluate --help"))?;
    let mut data = first.spec.what.data.clone();
    data.max_bad = args.max_bad.unwrap_or(data.max_bad);
    if let Some(other) = trained.iter().find(|other| other.spec.what.data.image != data.image) {
        let what = format!("{} and {} were trained on images of other sizes", first.run, other.run);
        return Err(Failure::new(Exit::Usage, what).hint("evaluate them one by one, with --into folders of their own"));
    }
    if args.balanced && !matches!(args.task, TaskWord::Classes) {
        return Err(Failure::new(Exit::Usage, "--balanced is of classes, and this task has none")
            .hint("leave it out: errors are means over all test images"));
    }
    let names = names(&args.refiners, &trained);
    if let Some((name, same)) = twice(&names, &trained) {
        let what = format!("{name} and {same} are one refiner, weight for weight");
        return Err(Failure::new(Exit::Usage, what).hint("name it once"));
    }
    let arms = arms(&args, &names);
    let evaluation = frozen(&args, data, arms, &names, &trained).await?;
    evaluation.check().map_err(|why| Failure::new(Exit::Usage, why))?;
    if args.dry_run {
        for arm in &evaluation.what.arms {
            say("arm", &arm.name);
        }
        let cells = evaluation.what.cells().len() as u64;
        say(
            "cells",
            format!(
                "{} to be trained or judged, {} each arm",
                counted(cells, "cell"),
                counted(u64::from(args.seeds), "seed")
            ),
        );
        return Ok(Exit::Done);
    }
    if let Some(found) = found_already(&evaluation)? {
        tidy(&evaluation)?;
        return tell(&found);
    }
    let files: Vec<Vec<u8>> = trained.into_iter().map(|trained| trained.file).collect();
    evaluated::lay_down(&evaluation, &files).map_err(|error| match error {
        evaluated::EvaluatedError::AnotherOrder { .. } => unfit(error),
        other => failed(other),
    })?;
    let work = Piecework::Evaluate(Box::new(evaluation.clone()));
    let by_cores = || available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
    let workers = args.workers.or_else(by_cores);
    let ended = carry_out(&work, &Wish { reach: &reach, workers, detach: args.detach, verbose }).await?;
    let Ended::Over { job, ours } = &ended else { return Ok(ended.exit()) };
    if job.exit() != Exit::Done {
        say(job.state, &job.id);
        if let Some(reason) = &job.reason {
            say("reason", reason);
        }
        return Ok(job.exit());
    }
    if *ours {
        tidy(&evaluation)?;
    }
    let destination = &evaluation.how.destination;
    let found = evaluated::evaluated(destination).map_err(failed)?;
    tell(
        &found
            .ok_or_else(|| Failure::new(Exit::Failed, format!("there are no figures in {}", destination.display())))?,
    )
}

fn failed(error: evaluated::EvaluatedError) -> Failure {
    Failure::of(Exit::Failed, &error)
}

/// What was named is not what an evaluation needs.
fn unfit(error: evaluated::EvaluatedError) -> Failure {
    Failure::of(Exit::Usage, &error)
}

/// Finished before, under the same terms.
fn found_already(evaluation: &Evaluation) -> Result<Option<Evaluated>, Failure> {
    let destination = &evaluation.how.destination;
    let found = evaluated::evaluated(destination).map_err(failed)?;
    if found.as_ref().is_some_and(|found| found.evaluation.what.identity() != evaluation.what.identity()) {
        return Err(unfit(evaluated::EvaluatedError::AnotherOrder { path: destination.clone() }));
    }
    Ok(found)
}

fn tell(found: &Evaluated) -> Result<Exit, Failure> {
    evaluation::print(found);
    let report = report::write(found)?;
    say("figures", here(&found.evaluation.how.destination.join(evaluated::RESULT)).display());
    say("report", format!("{}   open it in a browser", here(&report).display()));
    Ok(Exit::Done)
}

/// What a finished evaluation needs no more.
fn tidy(evaluation: &Evaluation) -> Result<(), Failure> {
    forget_state(&Piecework::Evaluate(Box::new(evaluation.clone())))?;
    evaluated::clear_away(evaluation).map_err(failed)
}

/// As they were named, without the folders before: a run's folder, a job. One of several states of a run is its run and its step.
fn names(named: &[String], trained: &[Trained]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (named, trained) in named.iter().zip(trained) {
        let last = Path::new(named).file_name().map_or(named.clone(), |name| name.to_string_lossy().into_owned());
        let says_little = last.starts_with("step-") || last.ends_with(".safetensors");
        let name = if says_little { format!("{}@{}", trained.run, trained.step) } else { last };
        let free = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name} ({n})") });
        names.extend(free.into_iter().find(|free| !names.contains(free)));
    }
    names
}

/// Two names of one refiner: the differences between them would be those of chance.
fn twice<'n>(names: &'n [String], trained: &[Trained]) -> Option<(&'n String, &'n String)> {
    let same = |at: usize| (0..at).find(|before| trained[*before].file == trained[at].file);
    (0..trained.len()).find_map(|at| Some((&names[same(at)?], &names[at])))
}

/// Plain, matched without learning, refined; synthetic ones together with each; then those with real labels.
fn arms(args: &args::Evaluate, refiners: &[String]) -> Vec<Arm> {
    let mut single: Vec<(String, Part)> = vec![
        ("synthetic".to_owned(), Part::Synthetic),
        ("moment-match".to_owned(), Part::MomentMatched { blur: 0.0 }),
        ("moment-match, blurred".to_owned(), Part::MomentMatched { blur: BLUR }),
        ("image-match".to_owned(), Part::ImageMatched),
    ];
    single.extend(
        refiners.iter().enumerate().map(|(refiner, name)| (format!("refined by {name}"), Part::Refined { refiner })),
    );
    let alone = single.iter().map(|(name, part)| Arm { name: name.clone(), parts: vec![*part] });
    let together = single
        .iter()
        .filter(|(_, part)| !args.apart && !matches!(part, Part::Synthetic | Part::MomentMatched { blur: 0.0 }));
    let together =
        together.map(|(name, part)| Arm { name: format!("synthetic + {name}"), parts: vec![Part::Synthetic, *part] });
    let is_mixed = |part: &Part| matches!(part, Part::Synthetic | Part::ImageMatched | Part::Refined { .. });
    let mixed = args.mix.iter().flat_map(|share| {
        let real = (format!("{}% real", in_percent(*share)), Part::Real { share: *share });
        let only = Arm { name: real.0.clone(), parts: vec![real.1] };
        let with = single
            .iter()
            .filter(|(_, part)| is_mixed(part))
            .map(move |(name, part)| Arm { name: format!("{name} + {}", real.0), parts: vec![*part, real.1] });
        std::iter::once(only).chain(with.collect::<Vec<_>>())
    });
    let real =
        args.real_labelled.as_ref().map(|_| Arm { name: "real".to_owned(), parts: vec![Part::Real { share: 1.0 }] });
    alone.chain(together).chain(mixed).chain(real).collect()
}

/// The evaluation of all sets as they are now.
async fn frozen(
    args: &args::Evaluate,
    data: Data,
    arms: Vec<Arm>,
    names: &[String],
    trained: &[Trained],
) -> Result<Evaluation, Failure> {
    let how = How { runs: trained.iter().map(|trained| trained.output.clone()).collect(), ..how(args, &data)? };
    if !evaluated::is_free(&how.destination).map_err(failed)? {
        let what = format!("{} is not empty, and no evaluation", how.destination.display());
        return Err(Failure::new(Exit::Usage, what).hint("name a new or an empty folder"));
    }
    let cache = args.cache.clone().unwrap_or_else(cache_folder);
    let terms = (data.image, data.resize, data.max_bad);
    let trained_on: BTreeSet<PathBuf> = trained
        .iter()
        .flat_map(|trained| {
            let data = &trained.spec.what.data;
            [data.synthetic.clone(), data.real.clone()]
        })
        // Those are held against the test anyway.
        .filter(|path| *path != how.synthetic.images && *path != how.real)
        .collect();
    let opened = {
        let how = how.clone();
        blocking(move || {
            let bar = bar();
            let progress = |which: &'static str, done: usize, of: usize| {
                bar.set_message(format!("{which} images"));
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            };
            let opened = Sets::open(&how, terms, &cache, &progress).and_then(|sets| {
                let (gone, there): (Vec<_>, Vec<_>) =
                    trained_on.into_iter().partition(|path| !path.to_string_lossy().contains("://") && !path.exists());
                there.iter().try_for_each(|path| sets.keep_apart_from_training(path, terms, &cache))?;
                Ok((sets, gone))
            });
            bar.finish_and_clear();
            opened
        })
    };
    let (sets, gone) = opened.await?.map_err(unfit)?;
    for path in gone {
        warn_of(&format!(
            "a refiner was trained on {}, which is not there any more: whether it saw images of the test is not known",
            path.display()
        ));
    }
    let task = match args.task {
        TaskWord::Classes => Task::Classes,
        TaskWord::Numbers => Task::Numbers,
        TaskWord::Direction => Task::Direction,
    };
    let classes = if task == Task::Classes { class_names(&sets.synthetic.answers) } else { Vec::new() };
    check_labels(&sets, task, &classes)?;
    for (which, count) in [("synthetic", sets.synthetic.frozen.len()), ("real", sets.real.len())] {
        if count < IMAGES_MIN {
            let what = format!(
                "{} {which} {} too few to be held against others",
                counted(count as u64, "image"),
                if count == 1 { "is" } else { "are" }
            );
            return Err(
                Failure::new(Exit::Usage, what).hint(format!("give {IMAGES_MIN} at least; hundreds say something"))
            );
        }
    }
    let others = [Some(&sets.test), sets.real_labelled.as_ref(), sets.validation.as_ref()]
        .into_iter()
        .flatten()
        .map(|set| set.frozen.len());
    say("synthetic", counted(sets.synthetic.frozen.len() as u64, "image"));
    say(
        "real",
        format!(
            "{} without labels, {} with",
            sets.real.len(),
            others.map(|n| n.to_string()).collect::<Vec<_>>().join(" and ")
        ),
    );
    let candidates = names.iter().cloned().zip(trained);
    Ok(Evaluation {
        name: job_name(args.name.as_deref(), &how.destination, "evaluation"),
        what: What {
            data: sets.digest(),
            task,
            classes,
            measure: match (task, args.balanced) {
                (Task::Classes, false) => Measure::Accuracy,
                (Task::Classes, true) => Measure::BalancedAccuracy,
                _ => Measure::Error,
            },
            image: data.image,
            resize: data.resize,
            max_bad: data.max_bad,
            refiners: candidates.map(|(name, trained)| trained.as_candidate(name)).collect(),
            arms,
            tested: sets.test.frozen.len() as u64,
            seeds: args.seeds,
            model: Downstream {
                net: match args.net {
                    NetWord::Small => Net::Small { width: args.width },
                    NetWord::PaperGaze => Net::PaperGaze,
                },
                updates: args.updates,
                batch: args.batch,
                shift: args.shift,
            },
            threads: 1,
        },
        how,
    })
}

/// Before anything is trained: what no model could learn, or no test could ask.
fn check_labels(sets: &Sets, task: Task, classes: &[String]) -> Result<(), Failure> {
    let usage = |error: evaluated::EvaluatedError| Failure::of(Exit::Usage, &error);
    let all = [Some(&sets.synthetic), Some(&sets.test), sets.real_labelled.as_ref(), sets.validation.as_ref()];
    let mut width = None;
    for set in all.into_iter().flatten() {
        if task == Task::Classes {
            set.answers.classes(classes).map_err(usage)?;
        } else {
            let (_, found) = set.answers.numbers(task).map_err(usage)?;
            if *width.get_or_insert(found) != found {
                let what = format!("labels of {} numbers and of {found}", width.unwrap_or_default());
                return Err(Failure::new(Exit::Usage, what).hint("name the same columns for all sets, with --label"));
            }
        }
    }
    if task == Task::Classes && classes.len() < 2 {
        return Err(Failure::new(Exit::Usage, "all synthetic images are of one class")
            .hint("for labels that are numbers: --task numbers or --task direction"));
    }
    Ok(())
}

fn how(args: &args::Evaluate, data: &Data) -> Result<How, Failure> {
    let whole = |path: &Path| absolute(path).map_err(|error| unusable(path, &error));
    let needed = |path: &Option<PathBuf>, name: &str| {
        path.clone()
            .ok_or_else(|| Failure::new(Exit::Usage, format!("{name} is missing")).hint("sumac evaluate --help"))
    };
    let named = |images: &Path, table: &Option<PathBuf>, columns: &[String]| -> Result<Labelled, Failure> {
        let table = table.as_ref().map(|table| whole(table)).transpose()?;
        Ok(Labelled { images: whole(images)?, table, columns: columns.to_vec() })
    };
    let labelled = |images: &Path, table: &Option<PathBuf>| named(images, table, &args.label);
    let destination = whole(&needed(&args.into, "--into")?)?;
    let test = needed(&args.real_test, "--real-test")?;
    let synthetic = args.synthetic.as_ref().unwrap_or(&data.synthetic);
    let real = args.real.as_ref().unwrap_or(&data.real);
    for images in [Some(synthetic), Some(real), Some(&test), args.real_labelled.as_ref(), args.real_validation.as_ref()]
        .into_iter()
        .flatten()
    {
        apart(images, images, &destination)?;
    }
    // Class folders need no column: `--label` is for those that have tables.
    let own = if args.synthetic_label.is_empty() { &args.label } else { &args.synthetic_label };
    let synthetic = named(synthetic, &args.synthetic_labels, own)?;
    Ok(How {
        synthetic,
        real: whole(real)?,
        test: labelled(&test, &args.test_labels)?,
        real_labelled: args.real_labelled.as_ref().map(|images| labelled(images, &args.real_labels)).transpose()?,
        validation: args
            .real_validation
            .as_ref()
            .map(|images| labelled(images, &args.validation_labels))
            .transpose()?,
        group: args.group.clone(),
        point: args.point.clone(),
        runs: Vec::new(),
        destination,
        workers: Workers { min: 1, max: args.workers.unwrap_or(u32::MAX), device: Device::Auto },
    })
}

fn bar() -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("  {msg} {pos}/{len} {bar:30} {percent:>3}%");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━");
    ProgressBar::with_draw_target(Some(0), target).with_style(style)
}

//! From a file, overrides and the folder one stands in to a checked job.

use super::{
    args::{Args, Command, Override},
    failure::{Exit, Failure},
};
use clap::Parser as _;
use owo_colors::OwoColorize as _;
use std::{
    fs, io,
    path::{Path, PathBuf, absolute},
};
use sumac_common::spec::{self, Spec};

/// Reads and checks; relative paths are taken from here, since workers stand elsewhere.
pub(super) fn read(file: &Path, overrides: &[Override], name: Option<&str>) -> Result<Spec, Failure> {
    let (shown, text) = text(file)?;
    check(&shown, &text, overrides, name)
}

/// What a job file asks for.
pub(super) enum Job {
    Train(Box<Spec>),
    /// `kind = "refine"` or `"evaluate"`: the command of that name, written down.
    Command(Box<Command>),
}

/// As [`read`], of any kind.
pub(super) fn read_any(file: &Path, overrides: &[Override], name: Option<&str>) -> Result<Job, Failure> {
    let (shown, text) = text(file)?;
    match command(&shown, &text, overrides, name)? {
        Some(command) => Ok(Job::Command(Box::new(command))),
        None => Ok(Job::Train(Box::new(check(&shown, &text, overrides, name)?))),
    }
}

fn text(file: &Path) -> Result<(String, String), Failure> {
    let shown = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let text = if file == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    let text = text.map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the job file {shown}"))
            .because(Some(&error))
            .hint("name a TOML file, or `-` to read it from stdin")
    })?;
    Ok((shown, text))
}

/// Its fields are the options of the command, with `_` for `-`, and its arguments by their names. `None`: another kind of job.
fn command(shown: &str, text: &str, overrides: &[Override], name: Option<&str>) -> Result<Option<Command>, Failure> {
    // What is no TOML is refused with a picture of the place by whoever reads jobs.
    let Ok(mut fields) = text.parse::<toml::Table>() else { return Ok(None) };
    let arguments: &[&str] = match fields.remove("kind").as_ref().and_then(toml::Value::as_str) {
        Some("refine") => &["refine", "source", "destination"],
        Some("evaluate") => &["evaluate", "refiners"],
        Some("train") | None if fields.contains_key("job") => {
            return Err(Failure::new(Exit::Usage, format!("{shown} varies another job: it is a sweep's file"))
                .hint(format!("sumac sweep {shown}")));
        }
        Some("train") | None => return Ok(None),
        Some(other) => {
            return Err(Failure::new(
                Exit::Usage,
                format!("{shown}: kind = {other:?} is none: train, refine or evaluate"),
            ));
        }
    };
    for Override { path, value } in overrides {
        let read = format!("it = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("it"));
        fields.insert(path.clone(), read.unwrap_or_else(|| toml::Value::String(value.clone())));
    }
    fields.extend(name.map(|name| ("name".to_owned(), toml::Value::String(name.to_owned()))));
    let mut words = vec!["sumac".to_owned(), arguments[0].to_owned()];
    let mut positional = Vec::new();
    for argument in &arguments[1..] {
        positional.extend(fields.remove(*argument).into_iter().flat_map(|value| several(&value)));
    }
    for (field, value) in &fields {
        let option = format!("--{}", field.replace('_', "-"));
        match value {
            toml::Value::Boolean(false) => {}
            toml::Value::Boolean(true) => words.push(option),
            value => words.extend(several(value).into_iter().map(|value| format!("{option}={value}"))),
        }
    }
    // What begins with a dash is a name here, and no option.
    words.push("--".to_owned());
    words.extend(positional);
    let parsed = Args::try_parse_from(words).map_err(|error| {
        Failure::new(Exit::Usage, format!("{shown}: {}", as_fields(&error.to_string())))
            .hint(format!("its fields are the options of `sumac {} --help`, with _ for -", arguments[0]))
    })?;
    Ok(Some(parsed.command))
}

/// What a command line was told, to somebody who wrote a file: its first paragraphs in one line, options by the names of fields.
fn as_fields(said: &str) -> String {
    let lines =
        said.trim_start_matches("error: ").lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let word = |word: &str| match word.split_once("--") {
        Some((before, option)) if !option.is_empty() => format!("{before}{}", option.replace('-', "_")),
        _ => word.to_owned(),
    };
    lines.join(" ").split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn several(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(values) => values.iter().flat_map(several).collect(),
        toml::Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

pub(super) fn check(shown: &str, text: &str, overrides: &[Override], name: Option<&str>) -> Result<Spec, Failure> {
    let mut laid_over: Vec<(String, String)> =
        overrides.iter().map(|change| (change.path.clone(), change.value.clone())).collect();
    laid_over.extend(name.map(|name| ("name".to_owned(), format!("{name:?}"))));
    let mut spec =
        spec::read(text, &laid_over).map_err(|faults| Failure::new(Exit::Usage, format!("{shown}: {faults}")))?;
    for path in [&mut spec.what.data.synthetic, &mut spec.what.data.real, &mut spec.how.output.dir] {
        *path = reachable(path);
    }
    Ok(spec)
}

/// Addresses of object stores and empty paths are left as they are.
fn reachable(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() || path.to_string_lossy().contains("://") {
        return path.to_owned();
    }
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What is allowed and yet probably not meant.
pub(super) fn warn(spec: &Spec) {
    spec.warnings().iter().for_each(|warning| warn_of(warning));
}

pub(super) fn warn_of(warning: &str) {
    anstream::eprintln!("{} {warning}", "warning:".yellow().bold());
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_common::sweep;

    fn of(text: &str, overrides: &[&str]) -> Result<Option<Command>, Failure> {
        let overrides: Vec<Override> = overrides.iter().map(|text| text.parse().unwrap()).collect();
        command("job.toml", text, &overrides, None)
    }

    #[test]
    fn an_evaluation_is_its_command_written_down() {
        let text = "kind = \"evaluate\"\nname = \"helps\"\nrefiners = [\"runs/a\", \"-b\"]\nreal_test = \"test\"\n\
                    into = \"helps\"\nseeds = 3\nmix = [0.1, \"50%\"]\nreal_labelled = \"more\"\nbalanced = true\n\
                    dry_run = false\n";
        let Some(Command::Evaluate(args)) = of(text, &["seeds=7", "real_test=other"]).unwrap() else {
            panic!("{text}")
        };
        assert_eq!((args.refiners.as_slice(), args.seeds), (["runs/a", "-b"].map(str::to_owned).as_slice(), 7));
        assert_eq!(args.real_test.as_deref(), Some(Path::new("other")));
        assert!(args.mix == [0.1, 0.5] && args.balanced && !args.dry_run && args.name.as_deref() == Some("helps"));
    }

    #[test]
    fn a_refinement_is_its_command_written_down() {
        let text = "kind = \"refine\"\nsource = \"a\"\ndestination = \"b\"\ncheckpoint = \"runs/eyes\"\n";
        let Some(Command::Refine(args)) = of(text, &[]).unwrap() else { panic!("{text}") };
        assert_eq!(args.source.as_deref().zip(args.destination.as_deref()), Some((Path::new("a"), Path::new("b"))));
    }

    #[test]
    fn the_examples_read() {
        let helps = include_str!("../../../examples/signs-helps.toml");
        assert!(matches!(of(helps, &[]), Ok(Some(Command::Evaluate(args))) if args.refiners.len() == 2));
        let ablation = sweep::read(include_str!("../../../examples/ablation.toml")).unwrap().unwrap();
        let job = include_str!("../../../examples/signs.toml");
        assert_eq!((ablation.job.as_str(), ablation.variants.len()), ("signs.toml", 7));
        let whats: Vec<spec::What> =
            ablation.variants.iter().map(|variant| spec::read(job, &variant.changes).unwrap().what).collect();
        // A change that changes nothing would be a variant too few.
        assert_eq!(whats.iter().filter(|what| **what == spec::read(job, &[]).unwrap().what).count(), 1);
    }

    #[test]
    fn a_field_that_no_option_has_is_named() {
        let failure = of("kind = \"evaluate\"\nrefiners = [\"a\"]\nreal_tests = \"a\"\n", &[]).unwrap_err();
        assert!(failure.what().contains("real_tests") && failure.what().contains("real_test'"), "{}", failure.what());
        let missing = of("kind = \"evaluate\"\nrefiners = [\"a\"]\n", &[]).unwrap_err();
        assert!(missing.what().contains("real_test") && missing.what().contains("into"), "{}", missing.what());
        let misspelt = of("kind = \"evaluat\"\n", &[]).unwrap_err();
        assert!(misspelt.what().contains("train, refine or evaluate"), "{}", misspelt.what());
        let sweeping = of("job = \"signs.toml\"\n[variants.a]\n", &[]).unwrap_err();
        assert!(sweeping.what().contains("sweep"), "{}", sweeping.what());
        assert!(of("kind = \"train\"", &[]).unwrap().is_none());
    }
}

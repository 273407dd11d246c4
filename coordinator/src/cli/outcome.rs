//! The last lines: how a job ended, where its outputs are, the main figures.

use super::{
    failure::Exit,
    render::{counted, grouped, say, span},
    view::JobView,
};
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) fn tell(job: &JobView) -> Exit {
    let age = span(Duration::from_secs(job.age_seconds));
    let what =
        format!("{}   {} of {}, {age} after it was submitted", job.id, grouped(job.step), counted(job.steps, "step"));
    say(job.state, what);
    if let Some(reason) = &job.reason {
        say("reason", reason);
    }
    if job.state == "paused" {
        say("resume", format!("`sumac resume {}` goes on from its checkpoint", job.id));
    }
    if job.state == "finished" {
        outputs(Path::new(&job.output_dir));
    }
    job.exit()
}

/// What is there of it: the output may lie on a machine that is not this one.
fn outputs(dir: &Path) {
    let summary: Option<Value> =
        std::fs::read(dir.join("summary.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    for (label, file, what) in [
        ("pictures", "grid.png", "synthetic, refined, real, side by side"),
        ("curves", "losses.svg", "losses over the steps"),
        ("refiner", "refiner.safetensors", "its weights"),
        ("summary", "summary.json", "all figures"),
    ] {
        let path = dir.join(file);
        if path.exists() {
            say(label, format!("{}   {what}", here(&path).display()));
        }
    }
    match &summary {
        Some(summary) => figures(summary),
        None => say("output", format!("{}   (its summary cannot be read from here)", dir.display())),
    }
}

fn figures(summary: &Value) {
    let count = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64);
    let text = |pointer: &str| summary.pointer(pointer).and_then(Value::as_str);
    if let (Some(refiner), Some(discriminator)) = (count("/updates/refiner"), count("/updates/discriminator")) {
        let before =
            count("/updates/pretrain_refiner").unwrap_or(0) + count("/updates/pretrain_discriminator").unwrap_or(0);
        let lambda = summary.pointer("/lambda").and_then(Value::as_f64);
        let lambda = lambda.map_or_else(String::new, |lambda| format!(", lambda {lambda}"));
        say(
            "updates",
            format!(
                "refiner {}, discriminator {}, pre-training {}{lambda}",
                grouped(refiner),
                grouped(discriminator),
                grouped(before)
            ),
        );
    }
    // Where the last generation only sealed there was none.
    let images = summary.pointer("/images_per_second").and_then(Value::as_f64).filter(|images| *images > 0.0);
    if let Some(images) = images {
        say("speed", format!("{images:.0} images/s in its last generation"));
    }
    if let (Some(workers), Some(redone)) = (count("/workers_seen"), count("/steps_redone")) {
        say("in all", format!("{} seen, {} done again", counted(workers, "worker"), counted(redone, "step")));
    }
    if let Some(state) = text("/state_sha256") {
        let exact = summary.pointer("/exact").and_then(Value::as_bool).unwrap_or(false);
        let promise = if exact { "exact: the same job gives the same bits" } else { "not exact: see summary.json" };
        say("state", format!("{}   {promise}", state.get(..12).unwrap_or(state)));
    }
}

/// From where one stands, if it is below.
pub(super) fn here(path: &Path) -> PathBuf {
    let below = env::current_dir().ok().and_then(|here| path.strip_prefix(here).map(Path::to_owned).ok());
    match below {
        Some(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Some(below) => below,
        None => path.to_owned(),
    }
}

/// The same as a word of a command that a shell takes back.
pub(super) fn pasted(path: &Path) -> String {
    let path = here(path).display().to_string();
    let path = if path.starts_with('-') { format!("./{path}") } else { path };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:,@%".contains(letter);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_command_is_one_word_and_no_option() {
        for (path, word) in
            [("sets/a.tar", "sets/a.tar"), ("with space", "'with space'"), ("-x", "./-x"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(pasted(Path::new(path)), word);
        }
        assert_eq!(here(&env::current_dir().unwrap()), Path::new("."));
    }
}

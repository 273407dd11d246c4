//! What people see, held against what somebody looked at: text whose figures, names and places are masked, in `snapshots/`.
//!
//! `UPDATE=1` writes down what is there; keep only what you looked at.

use std::{env, fs, path::PathBuf};

/// Of sizes: a little more is another one.
const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];

/// Text of a command, with each of `known` (what stands there, what is written instead) and then every figure masked, and gaps
/// between columns as two spaces: what is left is words and their order.
#[must_use]
pub fn masked(text: &str, known: &[(&str, &str)]) -> String {
    let text = known.iter().fold(text.to_owned(), |text, (found, instead)| text.replace(found, instead));
    text.lines().map(|line| columns(&figures(line)) + "\n").collect()
}

/// A figure begins with a digit that no letter is before, and goes on with units that touch it and with the signs figures are written
/// with, where more of it follows.
fn figures(line: &str) -> String {
    let mut masked = String::new();
    let mut before = ' ';
    let mut is_figure = false;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let was_figure = is_figure;
        is_figure = match was_figure {
            true => {
                c.is_ascii_alphanumeric()
                    || c == 'µ'
                    || (".:,".contains(c) && rest.peek().is_some_and(char::is_ascii_alphanumeric))
            }
            false => c.is_ascii_digit() && !before.is_alphabetic(),
        };
        match (was_figure, is_figure) {
            (_, false) => masked.push(c),
            (false, true) => masked.push('#'),
            (true, true) => {}
        }
        before = c;
    }
    UNITS.iter().fold(masked, |masked, unit| masked.replace(&format!("# {unit}"), "# SIZE"))
}

/// The gaps of a table are as wide as its widest cells.
fn columns(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let cells: Vec<&str> = line.trim().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    " ".repeat(indent) + &cells.join("  ")
}

/// # Panics
/// If it is not what is written down under this name.
#[track_caller]
pub fn assert_looks(name: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(name).with_extension("txt");
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, text).unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
        return;
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    assert!(known == text, "{name} looks otherwise than {}:\n--- now\n{text}--- then\n{known}", file.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_masked_and_words_stay() {
        assert_eq!(figures("step 24/40, 0.3s ago, 1m02s, 61.2 MiB, w0 v1"), "step #/#, # ago, #, # SIZE, w0 v1");
        assert_eq!(columns("  a    b   c"), "  a  b  c");
        assert_eq!(masked("local-1   7070\n", &[("local-1", "WORKER")]), "WORKER  #\n");
    }
}

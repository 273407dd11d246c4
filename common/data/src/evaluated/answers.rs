//! What the labels of a set say, to the question that is asked of them: one text for each image, then classes or numbers.

use super::EvaluatedError;
use crate::{Frozen, Label, source};
use std::{cmp::Ordering, collections::HashMap, fs, path::Path};
use sumac_common::{
    evaluation::{Labelled, Task},
    ids::SampleId,
};

/// A JSON label is small.
const SIDECAR_BYTES_MAX: u64 = 1 << 20;

/// Of each image, in the order of the set: its class, or its numbers as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    which: &'static str,
    texts: Vec<String>,
}

impl Answers {
    pub(super) fn read(which: &'static str, frozen: &Frozen, labelled: &Labelled) -> Result<Self, EvaluatedError> {
        let found = match &labelled.table {
            Some(table) => of_table(frozen, table, &labelled.columns),
            None => {
                let table = match which {
                    "synthetic" => "--synthetic-labels",
                    "labelled real" => "--real-labels",
                    "real validation" => "--validation-labels",
                    _ => "--test-labels",
                };
                let of = |at| of_label(frozen, SampleId(at), &labelled.columns, table);
                (0..frozen.len() as u64).map(of).collect()
            }
        };
        let texts = found.map_err(|what| EvaluatedError::Labels { which, what })?;
        Ok(Self { which, texts })
    }

    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The number of each image's class among `names`.
    pub fn classes(&self, names: &[String]) -> Result<Vec<i64>, EvaluatedError> {
        let of = |text: &String| {
            let at = names.binary_search_by(|name| compared(name, text)).map_err(|_| EvaluatedError::Labels {
                which: self.which,
                what: format!(
                    "no synthetic image is of class `{text}`, so no model can learn it; for labels that are numbers: --task numbers or \
                     --task direction"
                ),
            })?;
            Ok(at as i64)
        };
        self.texts.iter().map(of).collect()
    }

    /// The numbers of each image, one after the other, and how many each has. Those of a direction are 3, whatever follows them, and
    /// of length 1.
    pub fn numbers(&self, task: Task) -> Result<(Vec<f32>, usize), EvaluatedError> {
        let fault = |what: String| EvaluatedError::Labels { which: self.which, what };
        let (mut all, mut width) = (Vec::new(), None);
        for text in &self.texts {
            let mut numbers = numbers(text).ok_or_else(|| fault(format!("`{text}` is not numbers")))?;
            if task == Task::Direction {
                numbers.truncate(3);
                let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
                if numbers.len() != 3 || length < 1e-6 {
                    return Err(fault(format!("`{text}` is no direction: three numbers, not all of them 0")));
                }
                numbers.iter_mut().for_each(|number| *number /= length);
            }
            if *width.get_or_insert(numbers.len()) != numbers.len() {
                return Err(fault(format!("`{text}` has {} numbers, others have another count", numbers.len())));
            }
            all.extend(numbers);
        }
        Ok((all, width.unwrap_or_default()))
    }
}

/// The classes that there are, in order: whole numbers by their size, all else by its bytes. `07` and `7` are one class.
#[must_use]
pub fn class_names(answers: &Answers) -> Vec<String> {
    let mut names = answers.texts.clone();
    names.sort_by(|one, other| compared(one, other));
    names.dedup_by(|one, other| compared(one, other) == Ordering::Equal);
    names
}

fn compared(one: &str, other: &str) -> Ordering {
    match (one.trim().parse::<u64>(), other.trim().parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        _ => one.trim().cmp(other.trim()),
    }
}

/// As `(0.1, -0.2, 0.9, 0)`, `[1 2]` or `0.5`.
fn numbers(text: &str) -> Option<Vec<f32>> {
    let parts = text.split(|c: char| c.is_whitespace() || "()[],;".contains(c)).filter(|part| !part.is_empty());
    let numbers: Vec<f32> =
        parts.map(|part| part.parse().ok().filter(|n: &f32| n.is_finite())).collect::<Option<_>>()?;
    (!numbers.is_empty()).then_some(numbers)
}

fn of_table(frozen: &Frozen, table: &Path, columns: &[String]) -> Result<Vec<String>, String> {
    let rows = source::table(table).map_err(|error| error.to_string())?;
    let shown = table.display();
    let mut by_file: HashMap<&str, &Vec<(String, String)>> = HashMap::with_capacity(rows.len());
    for (file, fields) in &rows {
        if by_file.insert(file, fields).is_some() {
            return Err(format!("{shown} names `{file}` twice"));
        }
    }
    let mut taken: HashMap<&str, &str> = HashMap::with_capacity(rows.len());
    let keys = frozen.manifest().samples.iter().map(|sample| sample.key.as_str());
    keys.map(|key| {
        // A table may stand beside the folder or in it, and name files with or without their endings.
        let stem = key.rsplit_once('.').map_or(key, |(stem, _)| stem);
        let base = key.rsplit('/').next().unwrap_or(key);
        let found = [key, stem, base].into_iter().find_map(|name| by_file.get_key_value(name));
        let (file, row) = found.ok_or_else(|| format!("{shown} has no row for `{key}`"))?;
        if let Some(other) = taken.insert(file, key) {
            return Err(format!(
                "{shown} has one row `{file}` for two images, `{other}` and `{key}`: name the folder that the table is of, not one above it"
            ));
        }
        of_row(row, columns).map_err(|what| format!("{shown}: {what}"))
    })
    .collect()
}

/// Without a column that is named it has to be clear which one is meant: the only one beside the file's.
fn of_row(row: &[(String, String)], columns: &[String]) -> Result<String, String> {
    let all = || row.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if columns.is_empty() {
        return match row {
            [_, (_, only)] => Ok(only.clone()),
            _ => Err(format!("say with --label which of its columns is the label: {}", all())),
        };
    }
    let field = |column: &String| {
        let found = row.iter().find(|(name, _)| name == column).map(|(_, text)| text.clone());
        found.ok_or_else(|| format!("there is no column `{column}` among {}", all()))
    };
    Ok(columns.iter().map(field).collect::<Result<Vec<_>, _>>()?.join(" "))
}

fn of_label(frozen: &Frozen, id: SampleId, columns: &[String], table: &str) -> Result<String, String> {
    let key = frozen.key(id).unwrap_or_default();
    match frozen.label(id) {
        Some(Label::Class { name, .. }) => Ok(name.clone()),
        Some(Label::Row(fields)) => of_row(fields, columns),
        Some(Label::Sidecars(_)) => {
            of_json(&frozen.sidecars(id), columns, table).map_err(|what| format!("beside `{key}`: {what}"))
        }
        Some(Label::Members(_) | Label::Arrays(_)) => {
            Err(format!("labels inside of tars and arrays are not read here: give them as a table, with {table}"))
        }
        None => Err(format!("`{key}` has no label: give a table that names the images, with {table}")),
    }
}

/// The value at a dotted path, as `eye_details.look_vec`.
fn of_json(files: &[std::path::PathBuf], columns: &[String], table: &str) -> Result<String, String> {
    let is_json =
        |file: &&std::path::PathBuf| file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let file =
        files.iter().find(is_json).ok_or_else(|| format!("there is no JSON: give a table of labels, with {table}"))?;
    if columns.is_empty() {
        return Err("say with --label which of its values is the label, as eye_details.look_vec".to_owned());
    }
    let unreadable = |error: std::io::Error| format!("{}: {error}", file.display());
    if fs::metadata(file).map_err(unreadable)?.len() > SIDECAR_BYTES_MAX {
        return Err(format!("{} is too large for a label", file.display()));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let value = |path: &String| {
        let found = path.split('.').try_fold(&json, |at, step| at.get(step));
        match found {
            Some(serde_json::Value::String(text)) => Ok(text.clone()),
            Some(other) => Ok(other.to_string()),
            None => Err(format!("{} has nothing at `{path}`", file.display())),
        }
    };
    Ok(columns.iter().map(value).collect::<Result<Vec<_>, _>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(texts: &[&str]) -> Answers {
        Answers { which: "test", texts: texts.iter().map(|text| (*text).to_owned()).collect() }
    }

    #[test]
    fn whole_numbers_are_classes_by_their_size_however_they_are_written() {
        let names = class_names(&answers(&["10", "2", "02", "stop", "7"]));
        assert_eq!(names, ["2", "7", "10", "stop"]);
        assert_eq!(answers(&["002", "stop", "10"]).classes(&names).unwrap(), [0, 3, 2]);
    }

    #[test]
    fn a_class_that_nobody_can_learn_is_named() {
        let why = answers(&["9"]).classes(&["1".to_owned()]).unwrap_err().to_string();
        assert!(
            why.starts_with("the test images: no synthetic image is of class `9`") && why.contains("--task numbers"),
            "{why}"
        );
    }

    #[test]
    fn a_direction_is_three_numbers_of_length_one_whatever_follows() {
        let (numbers, width) = answers(&["(0.0, 3.0, 4.0, 0.0)"]).numbers(Task::Direction).unwrap();
        assert_eq!((numbers, width), (vec![0.0, 0.6, 0.8], 3));
        assert!(answers(&["(0, 0, 0)"]).numbers(Task::Direction).is_err());
    }

    #[test]
    fn numbers_are_as_many_for_each_image() {
        assert_eq!(answers(&["1 2", "[3,4]"]).numbers(Task::Numbers).unwrap(), (vec![1.0, 2.0, 3.0, 4.0], 2));
        assert!(answers(&["1 2", "3"]).numbers(Task::Numbers).is_err());
        assert!(answers(&["left"]).numbers(Task::Numbers).is_err());
    }

    #[test]
    fn the_only_column_beside_the_files_is_the_label() {
        let row = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
            fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        assert_eq!(of_row(&row(&[("file", "a.png"), ("class", "4")]), &[]).unwrap(), "4");
        let two = row(&[("file", "a.png"), ("class", "4"), ("steering", "0.1")]);
        assert!(of_row(&two, &[]).unwrap_err().contains("file, class, steering"));
        assert_eq!(of_row(&two, &["steering".to_owned(), "class".to_owned()]).unwrap(), "0.1 4");
    }
}

//! A job file with its overrides laid over it: plain values that remember where they were written.
//!
//! Knows TOML; knows nothing of which fields a job has.

use super::fault::{Fault, Faults, Place};
use std::{collections::BTreeMap, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub(super) type Table = BTreeMap<String, Entry>;

/// A value, where it stands, and how it was written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) place: Place,
    pub(super) written: String,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Whole(i128),
    Real(f64),
    Flag(bool),
    Date,
    Array(Vec<Entry>),
    Table(Table),
}

impl Value {
    /// What it is, for a sentence.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Whole(_) => "a whole number",
            Self::Real(_) => "a fraction",
            Self::Flag(_) => "true or false",
            Self::Date => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// The file's fields under the overrides, later overrides winning; and what is wrong with the overrides themselves.
///
/// # Errors
/// The text is not TOML: one fault, with the parser's own picture of the place.
pub(super) fn lay_out(text: &str, overrides: &[(String, String)]) -> Result<(Table, Vec<Fault>), Faults> {
    let document = DeTable::parse(text).map_err(|error| Faults(vec![not_toml(text, &error)]))?;
    let mut fields = Source { text }.table(document.get_ref());
    let faults = overrides.iter().filter_map(|(path, value)| set(&mut fields, path, value).err()).collect();
    Ok((fields, faults))
}

fn not_toml(text: &str, error: &toml::de::Error) -> Fault {
    let place = error.span().map_or(Place::Absent, |span| Place::Line(line(text, span.start)));
    let problem = format!("the file is not TOML\n{error}");
    Fault { place, field: String::new(), value: String::new(), problem, remedy: String::new() }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// What spans point into.
struct Source<'t> {
    text: &'t str,
}

impl Source<'_> {
    fn table(&self, table: &DeTable<'_>) -> Table {
        let fields = table.iter().map(|(key, value)| (key.get_ref().to_string(), self.entry(value, key.span())));
        fields.collect()
    }

    /// `stands` is the key's span, or a list item's own.
    fn entry(&self, value: &Spanned<DeValue<'_>>, stands: Range<usize>) -> Entry {
        let written = self.text.get(value.span()).unwrap_or_default();
        // A table below a [header] was not written in one piece; its span is the header's.
        let in_one_piece = !value.get_ref().is_table() || written.starts_with('{');
        Entry {
            value: self.value(value.get_ref()),
            place: Place::Line(line(self.text, stands.start)),
            written: if in_one_piece { shortened(written) } else { String::new() },
        }
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => Value::Whole(whole(number.as_str(), number.radix())),
            DeValue::Float(number) => Value::Real(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(items) => Value::Array(items.iter().map(|item| self.entry(item, item.span())).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

/// What does not fit is out of every range anyway, so it only has to stay that.
fn whole(digits: &str, radix: u32) -> i128 {
    let beyond = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(digits, radix).unwrap_or(beyond)
}

/// One line, forty characters: enough to recognise it by.
fn shortened(written: &str) -> String {
    let words: Vec<&str> = written.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= 40 { line } else { line.chars().take(37).chain("...".chars()).collect() }
}

/// Lays `path = value` over the fields. The value is TOML where it can be read as such, and text elsewhere,
/// so that `--set train.lambda=0.2` and `--set data.real=photos` need no quotes for the shell to eat.
fn set(fields: &mut Table, path: &str, written: &str) -> Result<(), Fault> {
    let refuse = |problem: String, remedy: &str| Fault {
        place: Place::Set,
        field: path.to_owned(),
        value: shortened(written),
        problem,
        remedy: remedy.to_owned(),
    };
    let names: Vec<&str> = path.split('.').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(refuse("is not a field's path".to_owned(), "write it as --set train.lambda=0.2"));
    }
    let (last, sections) = names.split_last().expect("a split yields at least one piece");

    let mut table = fields;
    for (depth, name) in sections.iter().enumerate() {
        let empty = || Entry { value: Value::Table(Table::new()), place: Place::Set, written: String::new() };
        let entry = table.entry((*name).to_owned()).or_insert_with(empty);
        table = match &mut entry.value {
            Value::Table(inner) => inner,
            other => {
                let outer = names[..=depth].join(".");
                let problem = format!("cannot be set: `{outer}` is {}, not a table", other.kind());
                return Err(refuse(problem, &format!("set `{outer}` as a whole")));
            }
        };
    }
    table.insert((*last).to_owned(), typed(written));
    Ok(())
}

/// A value from the command line.
fn typed(written: &str) -> Entry {
    let value = DeValue::parse(written).map(|value| Source { text: written }.value(value.get_ref()));
    let mut entry = Entry {
        value: value.unwrap_or_else(|_| Value::Text(written.to_owned())),
        place: Place::Set,
        written: shortened(written),
    };
    entry.stand_at_set();
    entry
}

impl Entry {
    /// Lines within an override's own text mean nothing to anybody.
    fn stand_at_set(&mut self) {
        self.place = Place::Set;
        match &mut self.value {
            Value::Array(items) => items.iter_mut().for_each(Self::stand_at_set),
            Value::Table(fields) => fields.values_mut().for_each(Self::stand_at_set),
            _ => {}
        }
    }
}

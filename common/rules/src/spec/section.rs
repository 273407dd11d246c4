//! One table of a job file, read field by field: kinds, ranges, misspelt names. Every fault is noted, none stops the reading.
//!
//! Knows nothing of what the fields mean.

use super::{
    document::{Entry, Table, Value},
    fault::{Fault, Faults, Place, all_of, any_of, nearest},
    words::Choice,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt::Display,
    ops::RangeInclusive,
};

/// What a reading has found out so far: faults, and the paths of all fields that exist.
#[derive(Default)]
pub(super) struct Findings {
    faults: RefCell<Vec<Fault>>,
    known: RefCell<BTreeSet<String>>,
    defaults_unknown: Cell<bool>,
}

impl Findings {
    pub(super) fn note(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// From here on defaults are guesses, so that no field is blamed for not fitting them.
    pub(super) fn distrust_defaults(&self) {
        self.defaults_unknown.set(true);
    }

    /// The faults, once everything that exists has been asked for: what nobody asked for is unknown.
    pub(super) fn close(self, fields: &Table) -> Result<(), Faults> {
        self.find_unknown("", fields);
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.place);
        if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
    }

    fn find_unknown(&self, section: &str, fields: &Table) {
        for (name, entry) in fields {
            let path = join(section, name);
            if !self.known.borrow().contains(&path) {
                let remedy = self.known_instead(section, name);
                let problem = "is not a field of a job".to_owned();
                self.note(Fault { place: entry.place, field: path, value: entry.written.clone(), problem, remedy });
                continue;
            }
            match &entry.value {
                Value::Table(inner) => self.find_unknown(&path, inner),
                Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| {
                    if let Value::Table(inner) = &item.value {
                        self.find_unknown(&format!("{path}[{i}]"), inner);
                    }
                }),
                _ => {}
            }
        }
    }

    /// A misspelt neighbour, else the same name in another section, else what there is.
    fn known_instead(&self, section: &str, name: &str) -> String {
        let known = self.known.borrow();
        let neighbours: Vec<&str> =
            known.iter().filter(|path| parent(path) == section).map(|path| leaf(path)).collect();
        if let Some(neighbour) = nearest(name, neighbours.iter().copied()) {
            return format!("did you mean `{neighbour}`?");
        }
        if let Some(elsewhere) = known.iter().find(|path| leaf(path) == name && !path.contains('[')) {
            return format!("did you mean `{elsewhere}`?");
        }
        match section {
            "" => format!("there are {}", all_of(&neighbours)),
            _ => format!("`{section}` has {}", all_of(&neighbours)),
        }
    }
}

fn join(section: &str, field: &str) -> String {
    if section.is_empty() { field.to_owned() } else { format!("{section}.{field}") }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(section, _)| section)
}

fn leaf(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, field)| field)
}

/// A whole number a field can have.
pub(super) trait Whole: TryFrom<i128> + Into<i128> + Copy + PartialOrd + Display {
    /// From here on "at most" is not worth saying.
    const MOST: Self;
}

impl Whole for u32 {
    const MOST: Self = Self::MAX;
}

impl Whole for u64 {
    /// TOML's own limit.
    const MOST: Self = i64::MAX as Self;
}

/// Why a value does not do: the problem and, where there is one, the remedy.
pub(super) type Refusal = (String, String);

/// A table of the file, or the same place where the file has none: then every field is absent.
#[derive(Clone)]
pub(super) struct Section<'f> {
    path: String,
    fields: Option<&'f Table>,
    findings: &'f Findings,
}

impl<'f> Section<'f> {
    pub(super) fn root(fields: &'f Table, findings: &'f Findings) -> Self {
        Self { path: String::new(), fields: Some(fields), findings }
    }

    fn entry(&self, field: &str) -> Option<&'f Entry> {
        self.findings.known.borrow_mut().insert(join(&self.path, field));
        self.fields.and_then(|fields| fields.get(field))
    }

    /// Whether somebody wrote it, well or badly.
    pub(super) fn says(&self, field: &str) -> bool {
        self.entry(field).is_some()
    }

    /// Whether it is written with just this word where other kinds of values are the rule.
    pub(super) fn is_word(&self, field: &str, word: &str) -> bool {
        self.entry(field).is_some_and(|entry| matches!(&entry.value, Value::Text(text) if text == word))
    }

    /// Whether nothing is wrong with these fields so far, nor with the defaults of those that are silent: only then can they
    /// be compared.
    pub(super) fn sound(&self, fields: &[&str]) -> bool {
        if self.findings.defaults_unknown.get() {
            return false;
        }
        let faults = self.findings.faults.borrow();
        !fields.iter().any(|field| faults.iter().any(|fault| fault.field.starts_with(&join(&self.path, field))))
    }

    /// Notes what is wrong with a field, written or not.
    pub(super) fn refuse(&self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let entry = self.entry(field);
        self.findings.note(Fault {
            place: entry.map_or(Place::Absent, |entry| entry.place),
            field: join(&self.path, field),
            value: entry.map_or_else(String::new, |entry| entry.written.clone()),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// A table within this one.
    pub(super) fn section(&self, field: &str) -> Self {
        let fields = match self.entry(field).map(|entry| &entry.value) {
            Some(Value::Table(fields)) => Some(fields),
            Some(other) => {
                let problem = format!("must be a table, not {}", other.kind());
                self.refuse(field, problem, format!("write [{}] with its fields below", join(&self.path, field)));
                None
            }
            None => None,
        };
        Self { path: join(&self.path, field), fields, findings: self.findings }
    }

    /// A list of tables within this one; `None` if it is not written, or is something else.
    pub(super) fn sections(&self, field: &str, such_as: &str) -> Option<Vec<Self>> {
        let items = self.value(field, |value| match value {
            Value::Array(items) if items.iter().all(|item| matches!(item.value, Value::Table(_))) => Ok(items),
            _ => Err(("must be a list of tables".to_owned(), format!("write it as {such_as}"))),
        })?;
        let path = join(&self.path, field);
        let section = |(i, item): (usize, &'f Entry)| {
            let path = format!("{path}[{i}]");
            let Value::Table(fields) = &item.value else { return None };
            Some(Self { path, fields: Some(fields), findings: self.findings })
        };
        items.iter().enumerate().map(section).collect()
    }

    /// The field as `accept` reads it; `None` where it is absent or refused.
    pub(super) fn value<T>(&self, field: &str, accept: impl FnOnce(&'f Value) -> Result<T, Refusal>) -> Option<T> {
        match accept(&self.entry(field)?.value) {
            Ok(value) => Some(value),
            Err((problem, remedy)) => {
                self.refuse(field, problem, remedy);
                None
            }
        }
    }

    pub(super) fn whole<N: Whole>(&self, field: &str, range: RangeInclusive<N>) -> Option<N> {
        self.value(field, |value| whole(value, &range))
    }

    /// Two whole numbers, `[first, second]`.
    pub(super) fn pair(&self, field: &str, names: [&str; 2], range: RangeInclusive<u32>) -> Option<[u32; 2]> {
        self.value(field, |value| match value {
            Value::Array(items) if items.len() == 2 => {
                Ok([whole(&items[0].value, &range)?, whole(&items[1].value, &range)?])
            }
            other => {
                let problem = format!("must be [{}, {}], not {}", names[0], names[1], counted(other));
                Err((problem, format!("such as {field} = [32, 48]")))
            }
        })
    }

    /// A finite number that `fits`; `wanted` says which do, such as "a number above 0".
    pub(super) fn real(&self, field: &str, wanted: &str, fits: impl Fn(f64) -> bool) -> Option<f64> {
        self.value(field, |value| {
            let number = match value {
                Value::Whole(number) => *number as f64,
                Value::Real(number) => *number,
                other => return Err((format!("must be {wanted}, not {}", other.kind()), unquoted(other))),
            };
            let problem = || (format!("must be {wanted}"), String::new());
            if number.is_finite() && fits(number) { Ok(number) } else { Err(problem()) }
        })
    }

    pub(super) fn flag(&self, field: &str) -> Option<bool> {
        self.value(field, |value| match value {
            Value::Flag(flag) => Ok(*flag),
            other => Err((format!("must be true or false, not {}", other.kind()), unquoted(other))),
        })
    }

    /// Text. From the command line anything is text: `--set name=007` means what it says.
    pub(super) fn text(&self, field: &str) -> Option<&'f str> {
        let entry = self.entry(field)?;
        let untyped = matches!(entry.value, Value::Whole(_) | Value::Real(_) | Value::Flag(_) | Value::Date);
        if entry.place == Place::Set && untyped {
            return Some(&entry.written);
        }
        self.value(field, |value| match value {
            Value::Text(text) => Ok(text.as_str()),
            other => Err((format!("must be text, not {}", other.kind()), "put it in quotes".to_owned())),
        })
    }

    /// Text that is not empty.
    pub(super) fn filled(&self, field: &str) -> Option<&'f str> {
        let text = self.text(field)?;
        if text.trim().is_empty() {
            self.refuse(field, "must not be empty", "");
            return None;
        }
        Some(text)
    }

    pub(super) fn choice<C: Choice>(&self, field: &str) -> Option<C> {
        let word = self.text(field)?;
        let chosen = C::parse(word);
        if chosen.is_none() {
            let meant = nearest(word, C::words().into_iter()).map(|word| format!("did you mean `{word}`?"));
            self.refuse(field, format!("must be {}", any_of(&C::words())), meant.unwrap_or_default());
        }
        chosen
    }
}

fn whole<N: Whole>(value: &Value, range: &RangeInclusive<N>) -> Result<N, Refusal> {
    let (least, most) = (*range.start(), *range.end());
    let wanted = match most < N::MOST {
        true => format!("a whole number from {least} to {most}"),
        false => format!("a whole number of at least {least}"),
    };
    match value {
        Value::Whole(number) => match N::try_from(*number) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let nearest = if *number < least.into() { least } else { most };
                Err((format!("must be {wanted}"), format!("the nearest is {nearest}")))
            }
        },
        Value::Real(number) if number.fract() == 0.0 => {
            Err((format!("must be {wanted}, not a fraction"), format!("write {number:.0}")))
        }
        other => Err((format!("must be {wanted}, not {}", other.kind()), unquoted(other))),
    }
}

/// The remedy for numbers and flags that were put in quotes.
fn unquoted(value: &Value) -> String {
    match value {
        Value::Text(text) if text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok() => {
            format!("write {text} without the quotes")
        }
        _ => String::new(),
    }
}

fn counted(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("{} numbers", items.len()),
        other => other.kind().to_owned(),
    }
}

/// The multiples of `of` beside `number`, as far as they are at least `least`: "nearest are 480 and 512".
pub(super) fn nearest_multiples(number: u32, of: u32, least: u32) -> String {
    let (number, of, least) = (u64::from(number), u64::from(of.max(1)), u64::from(least));
    let below = number / of * of;
    let lowest = least.div_ceil(of).max(1) * of;
    nearest_are(&[below, below + of].map(|multiple| multiple.max(lowest)))
}

/// The divisors of `of` beside `number`.
pub(super) fn nearest_divisors(number: u32, of: u32) -> String {
    let below = (1..=number.min(of)).rev().find(|divisor| of.is_multiple_of(*divisor));
    let above = (number.saturating_add(1)..=of).find(|divisor| of.is_multiple_of(*divisor));
    let both: Vec<u64> = below.into_iter().chain(above).map(u64::from).collect();
    nearest_are(&both)
}

fn nearest_are(values: &[u64]) -> String {
    match values {
        [below, above] if below != above => format!("nearest are {below} and {above}"),
        [nearest, ..] => format!("the nearest is {nearest}"),
        [] => String::new(),
    }
}

//! A sweep: one job tried with other values, each variant a run of its own. From texts to the changes that make each of them, and
//! what it is called; whether a job has such fields is for [`spec::read`](crate::spec::read) to say. Knows no files and no jobs.

use toml::{Table, Value};

/// Letters of a job's name.
const NAME_MAX: usize = 40;
/// Most variants of a sweep.
const VARIANTS_MAX: usize = 1_000;

/// A sweep's file: the job that it varies, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The job's file, beside the sweep's.
    pub job: String,
    pub variants: Vec<Variant>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// Empty for the job as it is.
    pub name: String,
    /// (path, value as TOML), as `--set` takes them.
    pub changes: Vec<(String, String)>,
}

/// A field and the values to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    pub path: String,
    pub values: Vec<String>,
}

/// Reads a sweep's file; `None` if it is none: it names no job.
///
/// # Errors
/// What is wrong, in a sentence. A text that is no TOML is left to whoever reads jobs.
pub fn read(text: &str) -> Option<Result<Sweep, String>> {
    let table: Table = text.parse().ok()?;
    let job = table.get("job")?;
    let Some(job) = job.as_str() else { return Some(Err("`job` must be the file of a job".to_owned())) };
    if let Some(other) = table.keys().find(|key| !["job", "variants", "over"].contains(&key.as_str())) {
        return Some(Err(format!(
            "a sweep has `job`, `variants` and `over`, not `{other}`: fields of the job go below a variant"
        )));
    }
    let variants = named(table.get("variants")).and_then(|named| {
        let axes = axes(table.get("over"))?;
        crossed(&named, &axes)
    });
    Some(variants.map(|variants| Sweep { job: job.to_owned(), variants }))
}

fn named(variants: Option<&Value>) -> Result<Vec<Variant>, String> {
    let Some(variants) = variants else { return Ok(Vec::new()) };
    let all = variants.as_table().ok_or("`variants` must be tables, such as [variants.no-history]")?;
    let variant = |(name, changes): (&String, &Value)| {
        let changes = changes.as_table().ok_or_else(|| format!("variant `{name}` must be a table of fields"))?;
        if fit(name).is_empty() {
            return Err(format!("variant `{name}` needs letters or digits in its name: its job is called by them"));
        }
        let mut flat = Vec::new();
        flatten(String::new(), changes, &mut flat);
        let changes = flat.into_iter().map(|(path, value)| (path, value.to_string())).collect();
        Ok(Variant { name: fit(name), changes })
    };
    all.iter().map(variant).collect()
}

fn axes(over: Option<&Value>) -> Result<Vec<Axis>, String> {
    let Some(over) = over else { return Ok(Vec::new()) };
    let mut flat = Vec::new();
    flatten(String::new(), over.as_table().ok_or("`over` must be a table of fields")?, &mut flat);
    let axis = |(path, values): (String, Value)| match values {
        Value::Array(values) if !values.is_empty() => {
            Ok(Axis { path, values: values.iter().map(Value::to_string).collect() })
        }
        _ => Err(format!("`over.{path}` must be a list of values to try")),
    };
    flat.into_iter().map(axis).collect()
}

fn flatten(at: String, table: &Table, into: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match value {
            Value::Table(deeper) => flatten(path, deeper, into),
            value => into.push((path, value.clone())),
        }
    }
}

impl Axis {
    /// `train.lambda=0.5,2`; commas within brackets, braces and quotes divide nothing.
    ///
    /// # Errors
    /// If it is not of this form.
    pub fn read(text: &str) -> Result<Self, String> {
        let wanted = || "must be PATH=VALUE,VALUE, such as train.lambda=0.5,2,8".to_owned();
        let (path, values) = text.split_once('=').ok_or_else(wanted)?;
        let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0_i32, false);
        for letter in values.chars() {
            match letter {
                '"' => quoted = !quoted,
                '[' | '{' if !quoted => depth += 1,
                ']' | '}' if !quoted => depth -= 1,
                ',' if !quoted && depth == 0 => {
                    parts.push(String::new());
                    continue;
                }
                _ => {}
            }
            if let Some(last) = parts.last_mut() {
                last.push(letter);
            }
        }
        let values: Vec<String> = parts.iter().map(|value| value.trim().to_owned()).collect();
        if path.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(wanted());
        }
        if let Some((_, twice)) = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)) {
            return Err(format!("names {twice} twice: each value is one run"));
        }
        Ok(Self { path: path.trim().to_owned(), values })
    }
}

/// Each of `named` (or the job as it is) with each choice of values, the last axis turning fastest.
///
/// # Errors
/// If they are too many, or one field is on two axes.
pub fn crossed(named: &[Variant], axes: &[Axis]) -> Result<Vec<Variant>, String> {
    if let Some(twice) =
        axes.iter().enumerate().find(|(at, axis)| axes[..*at].iter().any(|other| other.path == axis.path))
    {
        return Err(format!("`{}` is varied twice: name all of its values at once", twice.1.path));
    }
    let mut all = if named.is_empty() { vec![Variant::default()] } else { named.to_vec() };
    for axis in axes {
        let key = axis.path.rsplit('.').next().unwrap_or_default();
        let with = |variant: &Variant| {
            axis.values
                .iter()
                .map(|value| {
                    let parts = [variant.name.as_str(), key, value];
                    let name = fit(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-"));
                    let change = (axis.path.clone(), value.clone());
                    Variant { name, changes: variant.changes.iter().cloned().chain([change]).collect() }
                })
                .collect::<Vec<_>>()
        };
        if all.len() * axis.values.len() > VARIANTS_MAX {
            return Err(format!("a sweep has at most {VARIANTS_MAX} variants"));
        }
        all = all.iter().flat_map(with).collect();
    }
    Ok(all)
}

/// What the job is called in each variant: its own name, shortened where both do not fit, and the variant's. No two are alike.
#[must_use]
pub fn names(job: &str, variants: &[Variant]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for variant in variants {
        let free = (1..).map(|n| name(job, &variant.name, n)).find(|name| !names.contains(name));
        names.extend(free);
    }
    names
}

/// The `n`th of this name.
fn name(job: &str, variant: &str, n: u32) -> String {
    let number = if n == 1 { String::new() } else { format!("-{n}") };
    if variant.is_empty() {
        return format!("{job}{number}");
    }
    let tail: String = variant.chars().take(NAME_MAX - 2 - number.len()).collect();
    let room = NAME_MAX - 1 - tail.len() - number.len();
    let head: String = job.chars().take(room).collect();
    format!("{}-{}{number}", head.trim_end_matches(['-', '_']), tail.trim_end_matches('-'))
}

/// Letters that a job's name may have.
fn fit(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(letter).collect();
    name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variants: &[Variant]) -> Vec<&str> {
        variants.iter().map(|variant| variant.name.as_str()).collect()
    }

    #[test]
    fn axes_are_crossed_and_name_their_variants() {
        let axes = ["train.lambda=0.5, 2", "train.seed=7,8"].map(|axis| Axis::read(axis).unwrap());
        let all = crossed(&[], &axes).unwrap();
        assert_eq!(names(&all), ["lambda-0-5-seed-7", "lambda-0-5-seed-8", "lambda-2-seed-7", "lambda-2-seed-8"]);
        assert_eq!(
            all[1].changes,
            [("train.lambda", "0.5"), ("train.seed", "8")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn a_field_is_varied_once() {
        let axes = ["train.lambda=1,2", "train.lambda=3"].map(|axis| Axis::read(axis).unwrap());
        assert!(crossed(&[], &axes).unwrap_err().contains("varied twice"));
    }

    #[test]
    fn commas_within_brackets_divide_nothing() {
        let axis = Axis::read(r#"data.image.size=[35, 55],[64, 64]"#).unwrap();
        assert_eq!(axis.values, ["[35, 55]", "[64, 64]"]);
        assert_eq!(Axis::read(r#"data.labels="a,b",c"#).unwrap().values, [r#""a,b""#, "c"]);
        for bad in ["train.lambda", "train.lambda=", "train.lambda=1,,2", "=1"] {
            assert!(Axis::read(bad).unwrap_err().contains("PATH=VALUE"), "{bad}");
        }
    }

    #[test]
    fn a_file_names_its_variants_and_changes_several_fields_at_once() {
        let text = "job = \"signs.toml\"\n[variants.as-it-is]\n[variants.Global_D]\ntrain.lambda = 6\n\
                    train.history.size = 0\nmodel.layers = [{ conv = 3 }]\n";
        let Sweep { job, variants } = read(text).unwrap().unwrap();
        assert_eq!((job.as_str(), variants.len()), ("signs.toml", 2));
        let global = variants.iter().find(|variant| variant.name == "global-d").unwrap();
        let changes: Vec<String> = global.changes.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert!(changes.contains(&"train.lambda=6".to_owned()), "{changes:?}");
        assert!(changes.contains(&"train.history.size=0".to_owned()), "{changes:?}");
        assert!(changes.contains(&"model.layers=[{ conv = 3 }]".to_owned()), "{changes:?}");
    }

    #[test]
    fn a_file_tries_lists_of_values() {
        let text = "job = \"a.toml\"\n[variants.a]\n[variants.b]\n[over]\ntrain.lambda = [1, 2]\n";
        assert_eq!(
            names(&read(text).unwrap().unwrap().variants),
            ["a-lambda-1", "a-lambda-2", "b-lambda-1", "b-lambda-2"]
        );
    }

    #[test]
    fn what_is_no_sweep_is_left_to_others_and_a_wrong_one_is_refused() {
        assert_eq!(read("name = \"a\""), None);
        assert_eq!(read("no toml"), None);
        for (text, said) in [
            ("job = 1", "file of a job"),
            ("job = \"a\"\ntrain.lambda = 1", "below a variant"),
            ("job = \"a\"\nover.train.lambda = 1", "must be a list"),
            ("job = \"a\"\nvariants = 1", "must be tables"),
            ("job = \"a\"\nvariants.a = 1", "table of fields"),
            ("job = \"a\"\n[variants.\"ü\"]", "letters or digits"),
        ] {
            assert!(read(text).unwrap().unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn names_fit_a_job_and_differ() {
        let variant = |name: &str| Variant { name: name.to_owned(), changes: vec![] };
        let of = |job: &str, variants: &[&str]| {
            super::names(job, &variants.iter().map(|name| variant(name)).collect::<Vec<_>>())
        };
        assert_eq!(of("signs", &["lambda-2", "", "lambda-2"]), ["signs-lambda-2", "signs", "signs-lambda-2-2"]);
        let long = "a-very-long-name-of-a-job-that-uses-it-all";
        let same = "the-folder-of-the-camera-on-the-left-of-2026";
        let other = "the-folder-of-the-camera-on-the-left-of-2027";
        let cut = of(long, &["lambda-2", same, other]);
        assert!(cut.iter().all(|name| name.len() <= NAME_MAX) && cut[0].ends_with("-lambda-2"), "{cut:?}");
        assert_ne!(cut[1], cut[2]);
    }
}

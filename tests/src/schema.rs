//! The published form of what commands print as JSON: `docs/output.schema.json`.

use serde_json::{Value, json};

const PUBLISHED: &str = include_str!("../../docs/output.schema.json");

/// # Panics
/// If `item` is not of this published form, with each reason.
#[track_caller]
pub fn assert_form(form: &str, item: &Value) {
    let published: Value = serde_json::from_str(PUBLISHED).unwrap_or_else(|error| panic!("no JSON: {error}"));
    assert!(published["$defs"].get(form).is_some(), "no form is called {form}");
    let one = json!({ "$ref": format!("#/$defs/{form}"), "$defs": published["$defs"] });
    let validator = jsonschema::validator_for(&one).unwrap_or_else(|error| panic!("the published forms: {error}"));
    let faults: Vec<String> =
        validator.iter_errors(item).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "not of the form {form}: {faults:#?}\n{item:#}");
}

//! A row's values in words: as the text of a listing, as JSON to be carried along. The same row gives the same text.
//!
//! Knows nothing of files.

use parquet::record::Field;
use std::fmt::Write as _;

/// As JSON.
pub(super) fn json(value: &Field, out: &mut String) {
    match value {
        Field::Null => out.push_str("null"),
        Field::Bool(truth) => told(truth, out),
        Field::Byte(number) => told(number, out),
        Field::Short(number) => told(number, out),
        Field::Int(number) => told(number, out),
        Field::Long(number) => told(number, out),
        Field::UByte(number) => told(number, out),
        Field::UShort(number) => told(number, out),
        Field::UInt(number) => told(number, out),
        Field::ULong(number) => told(number, out),
        Field::Float16(number) => float(f32::from(*number).into(), f32::from(*number), out),
        Field::Float(number) => float((*number).into(), number, out),
        Field::Double(number) => float(*number, number, out),
        Field::Str(text) => quoted(text, out),
        // JSON has no bytes: two digits for each.
        Field::Bytes(bytes) => {
            let hex = bytes.data().iter().fold(String::new(), |mut hex, byte| {
                told(format_args!("{byte:02x}"), &mut hex);
                hex
            });
            quoted(&hex, out);
        }
        Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => quoted(&value.to_string(), out),
        Field::Group(row) => object(row.get_column_iter().map(|(name, value)| (name.as_str(), value)), out),
        Field::ListInternal(list) => {
            out.push('[');
            for (at, element) in list.elements().iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                json(element, out);
            }
            out.push(']');
        }
        // Their keys may be anything: pairs, as pyarrow has them.
        Field::MapInternal(map) => {
            out.push('[');
            for (at, (key, value)) in map.entries().iter().enumerate() {
                out.push_str(if at > 0 { ", [" } else { "[" });
                json(key, out);
                out.push_str(", ");
                json(value, out);
                out.push(']');
            }
            out.push(']');
        }
    }
}

/// Names and values in their order.
pub(super) fn object<'a>(values: impl Iterator<Item = (&'a str, &'a Field)>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in values.enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        quoted(name, out);
        out.push_str(": ");
        json(value, out);
    }
    out.push('}');
}

/// As the text of a table's field: a text without its quotes, all else as JSON.
pub(super) fn plain(value: &Field) -> String {
    match value {
        Field::Str(text) => text.clone(),
        value => {
            let mut out = String::new();
            json(value, &mut out);
            // A date is a text only for JSON.
            let inner = out.strip_prefix('"').and_then(|out| out.strip_suffix('"'));
            inner.map(str::to_owned).unwrap_or(out)
        }
    }
}

/// A whole number, whatever its width.
pub(super) fn whole(value: &Field) -> Option<i64> {
    match value {
        Field::Byte(number) => Some((*number).into()),
        Field::Short(number) => Some((*number).into()),
        Field::Int(number) => Some((*number).into()),
        Field::Long(number) => Some(*number),
        Field::UByte(number) => Some((*number).into()),
        Field::UShort(number) => Some((*number).into()),
        Field::UInt(number) => Some((*number).into()),
        Field::ULong(number) => i64::try_from(*number).ok(),
        _ => None,
    }
}

fn told(value: impl std::fmt::Display, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// In as few digits as tell it from its neighbours, always with a point or an exponent. JSON has no words for what is no number.
fn float(value: f64, shortest: impl std::fmt::Debug, out: &mut String) {
    if value.is_finite() { told(format_args!("{shortest:?}"), out) } else { quoted(&value.to_string(), out) }
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a text is plain data: its JSON cannot fail"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::data_type::ByteArray;

    #[test]
    fn every_value_is_told_as_json() {
        for (value, wanted) in [
            (Field::Null, "null"),
            (Field::Bool(true), "true"),
            (Field::UByte(200), "200"),
            (Field::Long(-5), "-5"),
            (Field::Float(0.1), "0.1"),
            (Field::Double(1.0), "1.0"),
            (Field::Float(f32::NAN), "\"NaN\""),
            (Field::Str("a \"b\"\n".to_owned()), r#""a \"b\"\n""#),
            (Field::Bytes(ByteArray::from(vec![0, 255])), "\"00ff\""),
            (Field::Date(1), "\"1970-01-02\""),
        ] {
            let mut out = String::new();
            json(&value, &mut out);
            assert_eq!(out, wanted, "{value}");
        }
    }

    #[test]
    fn a_text_in_a_listing_has_no_quotes() {
        assert_eq!(plain(&Field::Str("\"".to_owned())), "\"");
        assert_eq!(plain(&Field::Date(1)), "1970-01-02");
        assert_eq!(plain(&Field::Int(7)), "7");
    }
}

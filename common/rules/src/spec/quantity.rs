//! Durations and shares as people write them: `"5m"`, `"0.1%"`. Pure text; knows no clock.

use std::time::Duration;

/// Unit and its milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `"250ms"`, `"30s"`, `"1.5h"`, `"1h30m"`: to the millisecond.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut milliseconds = 0.0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        milliseconds += number * *unit as f64;
        rest = rest[end..].trim_start();
        if rest.is_empty() {
            return Some(Duration::from_millis(milliseconds.round() as u64));
        }
    }
}

/// In the longest unit that divides it, so that [`duration`] reads the same back; parts of a millisecond are dropped.
pub(super) fn written(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, size) =
        *UNITS.iter().find(|(_, size)| milliseconds > 0 && milliseconds.is_multiple_of(*size)).unwrap_or(&("s", 1_000));
    format!("{}{unit}", milliseconds / size)
}

/// `"0.1%"` as 0.001.
pub(super) fn percentage(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    number.parse::<f64>().ok().map(|percent| percent / 100.0)
}

/// `1,200`: for people, not for files.
pub(super) fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 worker`, `1,200 workers`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let ending = match (count, noun) {
        (1, _) => "",
        (_, "patch") => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", grouped(count))
}

/// A share in percent, to the hundredth.
#[must_use]
pub fn in_percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_in_several() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1.5h", 5_400_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_or_a_number_is_none() {
        for text in ["", "5", "m", "5 minutes", "5x", "-5m", "1..2s", "5m3"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_written_is_the_duration_read() {
        for milliseconds in [0, 1, 999, 1_000, 90_000, 300_000, 5_400_000, 86_400_000, 86_400_001] {
            let once = Duration::from_millis(milliseconds);
            assert_eq!(duration(&written(once)), Some(once), "{}", written(once));
        }
    }

    #[test]
    fn a_percentage_is_a_share() {
        assert_eq!(percentage("0.1%"), Some(0.001));
        assert_eq!(percentage(" 5 % "), Some(0.05));
        assert_eq!(percentage("0.1"), None);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0_u64, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}

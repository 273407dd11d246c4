//! Figures beside their bounds, as a table. Knows nothing of what they mean.

use std::fmt;

/// What a figure has to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Shown, not judged.
    None,
    Within(f64, f64),
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Bound {
    /// A figure that is not a number keeps no bound.
    fn kept(self, value: f64) -> bool {
        match self {
            Self::None => true,
            Self::Within(least, most) => least <= value && value <= most,
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Below(limit) => value < limit,
        }
    }
}

/// How a figure is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// With three digits after the point.
    Number,
    /// A share of one, written in %.
    Share,
    Count,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Number => format!("{value:.3}"),
            Self::Share => format!("{:.1} %", 100.0 * value),
            Self::Count => format!("{value:.0}"),
        }
    }
}

struct Line {
    what: String,
    value: f64,
    unit: Unit,
    bound: Bound,
}

#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: Unit, bound: Bound) {
        self.lines.push(Line { what: what.into(), value, unit, bound });
    }

    /// How many figures do not keep their bounds.
    pub(crate) fn failures(&self) -> usize {
        self.lines.iter().filter(|line| !line.bound.kept(line.value)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.lines.iter().map(|line| line.what.chars().count()).max().unwrap_or_default();
        for Line { what, value, unit, bound } in &self.lines {
            let write = |value: f64| unit.write(value);
            let wanted = match *bound {
                Bound::None => String::new(),
                Bound::Within(least, most) => format!("{} .. {}", write(least), write(most)),
                Bound::AtLeast(least) => format!(">= {}", write(least)),
                Bound::AtMost(most) => format!("<= {}", write(most)),
                Bound::Below(limit) => format!("< {}", write(limit)),
            };
            let verdict = match bound {
                Bound::None => "",
                _ if bound.kept(*value) => "ok",
                _ => "FAIL",
            };
            let line = format!("{what:wide$}  {:>9}  {wanted:<16}  {verdict}", write(*value));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_figures_outside_of_their_bounds_fail() {
        let mut report = Report::default();
        report.add("shown", 9.0, Unit::Number, Bound::None);
        report.add("within", 0.3, Unit::Number, Bound::Within(0.1, 0.3));
        report.add("none", 0.0, Unit::Count, Bound::AtMost(0.0));
        assert_eq!(report.failures(), 0, "{report}");
        report.add("outside", 0.31, Unit::Number, Bound::Within(0.1, 0.3));
        report.add("not below", 0.95, Unit::Share, Bound::Below(0.95));
        report.add("too little", 0.84, Unit::Share, Bound::AtLeast(0.85));
        report.add("no number", f64::NAN, Unit::Number, Bound::AtMost(1.0));
        assert_eq!(report.failures(), 4, "{report}");
    }

    #[test]
    fn a_line_says_its_figure_its_bound_and_its_verdict() {
        let mut report = Report::default();
        report.add("labels kept", 0.84, Unit::Share, Bound::AtLeast(0.85));
        assert_eq!(report.to_string(), "labels kept     84.0 %  >= 85.0 %         FAIL\n");
    }
}

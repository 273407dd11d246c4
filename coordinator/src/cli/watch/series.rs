//! A bounded curve: everything that was ever added, the coarser the more it is. Knows nothing of what its figures are.

/// Points that are kept. Where there would be more, neighbours become one, so that a curve shows the whole time it was watched.
const POINTS_MAX: usize = 512;
/// A block is filled in so many steps.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    points: Vec<f64>,
    /// Each point is the mean of two to the power of so many figures.
    coarseness: u32,
    /// Of those that do not make a point yet.
    sum: f64,
    count: u32,
}

impl Series {
    /// What is not finite has no place on a curve, and is left out.
    pub(super) fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.sum += value;
        self.count += 1;
        if self.count < 1 << self.coarseness {
            return;
        }
        self.points.push(self.sum / f64::from(self.count));
        (self.sum, self.count) = (0.0, 0);
        if self.points.len() >= POINTS_MAX {
            self.points = self.points.chunks(2).map(mean).collect();
            self.coarseness += 1;
        }
    }

    /// At most so many figures, oldest first, each the mean of its part of the time.
    pub(super) fn columns(&self, width: usize) -> Vec<f64> {
        let unfinished = (self.count > 0).then(|| self.sum / f64::from(self.count));
        let points: Vec<f64> = self.points.iter().copied().chain(unfinished).collect();
        let columns = points.len().min(width);
        let part = |column: usize| &points[column * points.len() / columns..(column + 1) * points.len() / columns];
        (0..columns).map(|column| mean(part(column))).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// From where to where a curve is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From its least to its largest figure.
    Own,
    /// From 0 to 1.
    Share,
}

/// Lines of blocks, the uppermost first: a column for each figure.
pub(super) fn bars(columns: &[f64], height: usize, scale: Scale) -> Vec<String> {
    let (least, most) = match scale {
        Scale::Own => {
            (columns.iter().copied().fold(f64::MAX, f64::min), columns.iter().copied().fold(f64::MIN, f64::max))
        }
        Scale::Share => (0.0, 1.0),
    };
    let is_flat = most - least <= f64::EPSILON * most.abs();
    let levels_max = 8 * height.max(1) - 1;
    let level = |value: f64| {
        let share = if is_flat { 0.5 } else { ((value - least) / (most - least)).clamp(0.0, 1.0) };
        1 + (share * levels_max as f64).round() as usize
    };
    let line = |row: usize| {
        let below = 8 * (height - 1 - row);
        let block = |value: &f64| match level(*value).saturating_sub(below) {
            0 => ' ',
            filled => EIGHTHS[filled.min(8) - 1],
        };
        columns.iter().map(block).collect()
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Series {
        let mut series = Series::default();
        values.into_iter().for_each(|value| series.push(value));
        series
    }

    #[test]
    fn a_long_curve_shows_all_of_its_time_in_bounded_memory() {
        let series = of((0..100_000).map(f64::from));
        assert!(series.points.len() <= POINTS_MAX, "{}", series.points.len());
        let columns = series.columns(10);
        assert_eq!(columns.len(), 10);
        assert!(columns.is_sorted() && columns[0] < 6_000.0 && columns[9] > 94_000.0, "{columns:?}");
    }

    #[test]
    fn a_short_curve_has_a_column_for_each_figure() {
        assert_eq!(of([3.0, 1.0, 2.0]).columns(80), [3.0, 1.0, 2.0]);
        assert!(of([]).columns(80).is_empty());
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        assert_eq!(of([1.0, f64::NAN, f64::INFINITY, 2.0]).columns(9), [1.0, 2.0]);
    }

    #[test]
    fn a_curve_goes_from_its_least_to_its_largest_figure() {
        assert_eq!(bars(&[0.0, 0.5, 1.0], 1, Scale::Own), ["▁▅█"]);
        assert_eq!(bars(&[0.0, 0.5, 1.0], 2, Scale::Own), [" ▁█", "▁██"]);
    }

    #[test]
    fn a_flat_curve_lies_in_the_middle_and_a_share_where_it_is() {
        assert_eq!(bars(&[7.0, 7.0], 1, Scale::Own), ["▅▅"]);
        assert_eq!(bars(&[0.0, 0.58, 1.0], 1, Scale::Share), ["▁▅█"]);
    }
}

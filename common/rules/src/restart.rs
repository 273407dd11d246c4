//! How soon a process that died is started again. Knows nothing of processes.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// Whoever lived longer than this died of something new.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// The pause between the death of a process and the start of its successor, from 100 ms to 5 s: twice the pause `before` its own
/// start, if there was one; the shortest for one that `lived` long.
#[must_use]
pub fn pause(lived: Duration, before: Option<Duration>) -> Duration {
    match before {
        Some(before) if lived <= LONG_LIFE => before.saturating_mul(2).clamp(SHORTEST, LONGEST),
        _ => SHORTEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_with_every_short_life_up_to_its_longest() {
        let pauses =
            std::iter::successors(Some(pause(Duration::ZERO, None)), |before| Some(pause(LONG_LIFE, Some(*before))));
        let pauses: Vec<u128> = pauses.take(8).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn a_long_life_makes_the_pause_short_again() {
        let lived = LONG_LIFE + Duration::from_millis(1);
        assert_eq!(pause(lived, Some(LONGEST)), SHORTEST);
    }
}

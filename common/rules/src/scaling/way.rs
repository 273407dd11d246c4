//! What it takes to bring bytes from worker to worker: a delay for each round, and a time for each byte. Fitted to what was
//! measured; knows nothing of training.

use super::parts::{Exchange, Unfit};
use crate::reduce;

/// Between two workers, a round and a byte at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    pub us_per_round: f64,
    pub us_per_byte: f64,
}

/// What an exchange asks of a way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Traffic {
    pub(super) rounds: f64,
    /// That each worker sends; as many reach it.
    pub(super) bytes: f64,
}

impl Traffic {
    /// A gradient of so many bytes that is reduced. An all-to-all sends each of the others a slice of every subtree: one round, since
    /// all is sent at once. An all-gather then brings the slices' sums round a ring: a round for each of the others.
    pub(super) fn of_reduction(lanes: u32, workers: u32, bytes: f64) -> Self {
        let workers = workers.min(lanes).max(1);
        let (others, subtrees) = (f64::from(workers - 1), reduce::widest(lanes, workers as usize) as f64);
        if workers == 1 {
            return Self { rounds: 0.0, bytes: 0.0 };
        }
        Self { rounds: 1.0 + others, bytes: others / f64::from(workers) * bytes * (subtrees + 1.0) }
    }

    /// Staged images that go to the guard: how many there are, then they.
    pub(super) fn of_guarding(bytes: f64) -> Self {
        Self { rounds: 2.0, bytes }
    }
}

impl Way {
    /// As a network is sold: in gigabits per second, and microseconds from one machine to another.
    #[must_use]
    pub fn sold(gigabits_per_second: f64, latency_us: f64) -> Self {
        Self { us_per_round: latency_us, us_per_byte: 8.0 / (gigabits_per_second * 1e3) }
    }

    pub(super) fn us(self, traffic: Traffic) -> f64 {
        self.us_per_round * traffic.rounds + self.us_per_byte * traffic.bytes
    }

    #[must_use]
    pub fn megabytes_per_second(self) -> f64 {
        1.0 / self.us_per_byte
    }

    /// That of reductions among workers that share one machine's cores.
    pub(super) fn of_reductions(measured: &[Exchange], lanes: u32, cores: u32) -> Result<Self, Unfit> {
        let quiet: Vec<&Exchange> = measured.iter().filter(|exchange| !exchange.busy).collect();
        let sizes = quiet.iter().map(|exchange| exchange.bytes);
        if sizes.clone().min() == sizes.max() {
            return Err(Unfit::TooFew { found: quiet.len() });
        }
        let rows = quiet.iter().map(|exchange| {
            let Exchange { workers, bytes, us, .. } = **exchange;
            (Traffic::of_reduction(lanes, workers, bytes as f64), us / crowding(workers, cores))
        });
        Ok(Self::through(&rows.collect::<Vec<_>>()))
    }

    /// That of handing images on, if it was measured.
    pub(super) fn of_guards(measured: &[Exchange], cores: u32) -> Option<Self> {
        let quiet = measured.iter().filter(|exchange| !exchange.busy);
        let rows: Vec<(Traffic, f64)> = quiet
            .map(|exchange| {
                (Traffic::of_guarding(exchange.bytes as f64), exchange.us / crowding(exchange.workers, cores))
            })
            .collect();
        (!rows.is_empty()).then(|| Self::through(&rows))
    }

    /// The way that is nearest to what was measured, by least squares of what it is off as a share of each: small exchanges count
    /// as much as large ones. No part of it is below zero: where one would be, the other explains all.
    fn through(rows: &[(Traffic, f64)]) -> Self {
        let terms: Vec<[f64; 2]> = rows.iter().map(|(traffic, us)| [traffic.rounds / us, traffic.bytes / us]).collect();
        let sum = |of: &dyn Fn(&[f64; 2]) -> f64| terms.iter().map(of).sum::<f64>();
        let [rr, rb, bb] = [sum(&|t| t[0] * t[0]), sum(&|t| t[0] * t[1]), sum(&|t| t[1] * t[1])];
        let [r, b] = [sum(&|t| t[0]), sum(&|t| t[1])];
        let determinant = rr * bb - rb * rb;
        // Of equal rows there is no telling apart: then bytes are what is paid for.
        let both = [(r * bb - b * rb) / determinant, (b * rr - r * rb) / determinant];
        let [us_per_round, us_per_byte] = match both {
            _ if determinant <= 1e-12 * rr * bb => [0.0, b / bb],
            [round, _] if round < 0.0 => [0.0, b / bb],
            [_, byte] if byte < 0.0 => [r / rr, 0.0],
            both => both,
        };
        Self { us_per_round, us_per_byte }
    }
}

/// By how much all takes longer where workers share cores.
pub(super) fn crowding(workers: u32, cores: u32) -> f64 {
    (f64::from(workers) / f64::from(cores.max(1))).max(1.0)
}

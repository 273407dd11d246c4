//! What all faults share: the seed, how often, the undisturbed runs; and the loop that plays a fault again and again in runs
//! that it judges.

use crate::{
    dice::Dice,
    row::Row,
    stage::{Model, References, Stage},
};
use sumac_tests::Job;

pub(crate) struct Campaign {
    pub(crate) seed: u64,
    /// How often each fault is played, if not as often as it says itself.
    pub(crate) n: Option<u64>,
    pub(crate) references: References,
}

/// How a fault is played again and again.
pub(crate) struct Play {
    /// As often, unless the campaign says otherwise.
    pub(crate) n: u64,
    /// In one run at most.
    pub(crate) per_run: u64,
    pub(crate) workers: usize,
    /// Steps that a run may do again in all; `None` where going back is what the fault costs.
    pub(crate) redone_max: Option<u64>,
}

impl Campaign {
    /// Of one fault, so that `--only` chooses what the whole campaign chooses.
    pub(crate) fn dice(&self, row: &Row) -> Dice {
        let name = row.fault.bytes().chain(row.model.bytes());
        Dice::new(name.fold(self.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))))
    }

    pub(crate) fn times(&self, n: u64) -> u64 {
        self.n.unwrap_or(n)
    }

    /// `fault` is played on a run of which all workers train, and gives `false` if the run ended meanwhile.
    pub(crate) fn play(
        &mut self,
        row: &mut Row,
        model: Model,
        play: &Play,
        job: impl Fn(Job) -> Job,
        mut fault: impl FnMut(&mut Stage, &mut Row, &mut Dice) -> bool,
    ) {
        let undisturbed = self.references.of(model).clone();
        let (mut dice, n) = (self.dice(row), self.times(play.n));
        let mut runs = 0;
        while row.n < n {
            runs += 1;
            let name = format!("run-{runs}");
            let mut stage = Stage::begin(model, job(model.job(&name).at_most(play.workers as u32)), play.workers);
            let mut played = 0;
            while played < play.per_run.min(n - row.n)
                && stage.whole(play.workers).is_some()
                && stage.has_time()
                && fault(&mut stage, row, &mut dice)
            {
                played += 1;
                eprint!("\r  {} ({}): {}/{n} ", row.fault, row.model, row.n + played);
            }
            if !stage.journal.follower().has_ended() {
                stage.whole(play.workers);
            }
            let verdict = stage.end(&undisturbed);
            row.judge(played, &verdict);
            if let Some(most) = play.redone_max {
                row.redone_max = row.redone_max.max(verdict.redone);
                row.demand(verdict.redone <= most, || format!("{} steps were done again in {name}", verdict.redone));
            }
            if played == 0 {
                row.missed.push("no fault could be played in a whole run".to_owned());
                break;
            }
        }
        eprintln!();
        let (equal, all) = (row.equal, row.n);
        row.demand(equal == all && all > 0, || format!("{equal} of {all} in runs that ended equal"));
        row.notes.push(format!("{runs} runs"));
    }
}

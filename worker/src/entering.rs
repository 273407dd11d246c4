//! Entering a generation: form the link, bring everybody to the furthest step, hand lanes to their new keepers, compare.
//!
//! What goes where, what of it counts and whether the members hold one state is decided by `sumac_common::entry`; this file
//! carries it out. Copies go beside the state and are swapped in after their checksum; only when all members say the same, the
//! generation is entered (C-5).

use crate::{
    bytes::{Reader, Short, Writer},
    faults::Point,
    history::Slots,
    learner::Learner,
    link::{Dial, Flat},
    state::{Counters, State},
    train::{Listening, Pace, Run, Trouble},
};
use std::time::Instant;
use sumac_common::{
    conversation::{Basis, Opening},
    entry::{Account, Entry, kept_lanes, kept_writes_count, one_state},
    ids::{Digest, Lane, Rank, Step},
    member::{Event, With},
};
use tracing::{info, info_span};

/// What arrived is not what was sent. The next entry sends it again.
#[derive(Debug, thiserror::Error)]
#[error("what rank {from} sent of {what} is damaged")]
pub struct Damaged {
    from: Rank,
    what: String,
}

/// No checkpoint: from the start.
const NONE: u64 = u64::MAX;

impl<L, D> Run<'_, L, D>
where
    L: Learner,
    L::Sum: Flat,
    D: Dial<L::Sum>,
{
    pub(crate) fn enter(&mut self, opening: &Opening, with: With) -> Result<Event, Trouble> {
        let _span = info_span!("enter", generation = %opening.generation).entered();
        let begun = Instant::now();
        match with {
            // The others entered with what this member offered: it is held now.
            With::Offered(_) => self.state.lanes.append(&mut self.shadow),
            With::Held(_) | With::Nothing => self.shadow.clear(),
        }
        let listening = Listening::to(self.desk.mailbox, self.member);
        let link = self.dial.form(opening, &self.desk.me, &listening).map_err(Trouble::Left)?;
        let rank = link.rank();
        self.link = Some(link);
        self.desk.faults.at(Point::Regroup, self.state.counters.step);

        let keeps = kept_lanes(self.lanes(), opening.roster.len(), self.replicas(), rank);
        match &opening.basis {
            Basis::Saved => self.start_from_disk(rank, &keeps)?,
            Basis::Held { .. } => {
                let entry = Entry::of(opening, self.lanes(), self.replicas());
                self.catch_up(&entry, rank)?;
                self.move_lanes(&entry, rank)?;
            }
        }
        self.compare(&keeps)?;

        let step = self.state.counters.step;
        self.state.lanes.append(&mut self.shadow);
        self.state.lanes.retain(|lane, _| keeps.contains(lane));
        self.kept = None;
        self.saving.give_up();
        let again = self.metrics.begin(step, rank == Rank(0))?;
        self.redone = if opening.basis == Basis::Saved { again } else { 0 };
        self.pace = Pace::start();
        info!(%step, rank = %rank, members = opening.roster.len(), took = ?begun.elapsed(), "generation entered");
        Ok(Event::Entered { step, redone: self.redone })
    }

    /// The newest loadable checkpoint, as rank 0 finds it, or the start.
    fn start_from_disk(&mut self, rank: Rank, keeps: &[Lane]) -> Result<(), Trouble> {
        self.kept = None;
        self.shadow.clear();
        let found = if rank == Rank(0) {
            let newest = self.checkpoints.newest(&self.id, self.spec.what.train.steps)?;
            Some(newest.map_or(NONE, |manifest| manifest.step.0).to_le_bytes())
        } else {
            None
        };
        let listening = Listening::to(self.desk.mailbox, self.member);
        let link = self.link.as_mut().ok_or_else(crate::train::no_link)?;
        let said = link.broadcast(Rank(0), found.as_ref().map(<[u8; 8]>::as_slice), &listening)?;
        let step = Reader::new(&said).u64().map_err(|_| damaged(Rank(0), "the checkpoint's step"))?;
        self.state = State::start((self.make)(&self.spec, &self.sets, self.desk.device)?, self.spec.what.train.lanes);
        if step != NONE {
            self.checkpoints.load(Step(step), keeps, &mut self.state)?;
        }
        Ok(())
    }

    /// Who is one step behind applies its kept writes and takes the donor's weights; a newcomer takes them too.
    fn catch_up(&mut self, entry: &Entry, rank: Rank) -> Result<(), Trouble> {
        let Some(donor) = entry.donor else { return Ok(()) };
        let mine = if rank == donor {
            let mut parcel = Writer::default();
            parcel.bytes(&self.state.pack()?);
            parcel.bytes(&self.metrics.recent());
            Some(parcel.done())
        } else {
            None
        };
        let checksum = mine.as_deref().map(Digest::of);
        let listening = Listening::to(self.desk.mailbox, self.member);
        let link = self.link.as_mut().ok_or_else(crate::train::no_link)?;
        let checksum = link.broadcast(donor, checksum.as_ref().map(|digest| digest.0.as_slice()), &listening)?;
        if rank == donor {
            self.desk.faults.at(Point::DonorCopy, self.state.counters.step);
        }
        let copy = link.broadcast(donor, mine.as_deref(), &listening)?;
        if !entry.receivers.contains(&rank) {
            return Ok(());
        }
        if Digest::of(&copy).0.as_slice() != checksum.as_slice() {
            return Err(damaged(donor, "the weights"));
        }
        let mut copy = Reader::new(&copy);
        let (state, rows) =
            copy.bytes().and_then(|state| Ok((state, copy.bytes()?))).map_err(|_| damaged(donor, "the weights"))?;
        let before = self.state.counters.progress;
        self.state.unpack(state)?;
        self.metrics.take_over(rows).ok_or_else(|| damaged(donor, "the last rows of the metrics"))?;
        if entry.behind.contains(&rank) {
            let Counters { step, progress, .. } = self.state.counters;
            let kept = self.kept.take().filter(|kept| kept_writes_count(kept.own.step, &before, step, &progress));
            for staged in kept.into_iter().flat_map(|kept| [Some(kept.own), kept.guarded]).flatten() {
                self.state.write(&staged);
            }
            self.tell(Event::Aligned(step));
        }
        Ok(())
    }

    fn move_lanes(&mut self, entry: &Entry, rank: Rank) -> Result<(), Trouble> {
        let listening = Listening::to(self.desk.mailbox, self.member);
        let link = self.link.as_mut().ok_or_else(crate::train::no_link)?;
        for moved in &entry.moves {
            if rank == moved.from {
                let slots = self.state.lanes.get(&moved.lane).map_or_else(|| Slots::default().pack(), Slots::pack);
                let mut parcel = Writer::default();
                parcel.bytes(&Digest::of(&slots).0);
                parcel.bytes(&slots);
                link.send(moved.to, &parcel.done(), &listening)?;
            } else if rank == moved.to {
                let parcel = link.receive(moved.from, &listening)?;
                let what = || format!("lane {}", moved.lane);
                let slots = open(&parcel).ok().flatten().ok_or_else(|| damaged(moved.from, &what()))?;
                self.shadow.insert(moved.lane, slots);
            }
        }
        Ok(())
    }

    /// Everybody says what it holds; from here on it counts as offered.
    fn compare(&mut self, keeps: &[Lane]) -> Result<(), Trouble> {
        let nothing = Slots::default();
        let slots = |lane: &Lane| self.shadow.get(lane).or_else(|| self.state.lanes.get(lane)).unwrap_or(&nothing);
        let step = self.state.counters.step;
        let mine = Account {
            run: self.id.spec.then(&self.id.data.0).then(&self.id.fingerprint.canary.0),
            step,
            replicated: Digest::of(&self.state.pack()?),
            lanes: keeps.iter().map(|lane| (*lane, slots(lane).digest())).collect(),
        };
        self.tell(Event::Offered(step));
        let listening = Listening::to(self.desk.mailbox, self.member);
        let link = self.link.as_mut().ok_or_else(crate::train::no_link)?;
        let said = link.gather(&pack(&mine), &listening)?;
        let read = |(rank, bytes): (u32, &Vec<u8>)| unpack(bytes).map_err(|_| damaged(Rank(rank), "its account"));
        let accounts = (0..).zip(&said).map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(one_state(&accounts)?)
    }
}

fn damaged(from: Rank, what: &str) -> Trouble {
    Damaged { from, what: what.to_owned() }.into()
}

fn open(parcel: &[u8]) -> Result<Option<Slots>, Short> {
    let mut reader = Reader::new(parcel);
    let (checksum, slots) = (reader.bytes()?, reader.bytes()?);
    reader.end()?;
    if Digest::of(slots).0.as_slice() == checksum { Slots::unpack(slots).map(Some) } else { Ok(None) }
}

fn pack(account: &Account) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(&account.run.0);
    out.u64(account.step.0);
    out.bytes(&account.replicated.0);
    out.u64(account.lanes.len() as u64);
    for (lane, digest) in &account.lanes {
        out.u64(lane.0.into());
        out.bytes(&digest.0);
    }
    out.done()
}

fn unpack(bytes: &[u8]) -> Result<Account, Short> {
    let mut reader = Reader::new(bytes);
    let account = Account {
        run: digest(&mut reader)?,
        step: Step(reader.u64()?),
        replicated: digest(&mut reader)?,
        lanes: (0..reader.count(40)?)
            .map(|_| Ok((Lane(reader.u32()?), digest(&mut reader)?)))
            .collect::<Result<_, _>>()?,
    };
    reader.end()?;
    Ok(account)
}

fn digest(reader: &mut Reader<'_>) -> Result<Digest, Short> {
    let bytes = reader.bytes()?;
    bytes.try_into().map(Digest).map_err(|_| Short { got: bytes.len(), want: 32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_its_journey() {
        let lanes = vec![(Lane(0), Digest::of(b"0")), (Lane(1), Digest::of(b"1"))];
        let mine = Account { run: Digest::of(b"run"), step: Step(9), replicated: Digest::of(b"w"), lanes };
        assert_eq!(unpack(&pack(&mine)).unwrap(), mine);
    }
}

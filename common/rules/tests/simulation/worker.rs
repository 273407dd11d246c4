//! A worker's loop: carries out what `member` decides on a toy run, and keeps in its hands what the rules tell it to keep.

use super::{
    group::{Group, Part},
    toy::{self, Model, State},
    world::{Happening, World},
};
use std::{collections::BTreeMap, time::Duration};
use sumac_common::{
    conversation::{Basis, Fingerprint, Holding, Leaving, Opening, Order, Readiness, Report},
    entry::{Entry, kept_lanes},
    ids::{Digest, Generation, Lane, Rank, Step, WorkerId},
    lanes,
    member::{Event, Member, Next, With},
    tail::Wishes,
};

/// A start of a worker's process.
pub(crate) struct Process {
    pub(crate) incarnation: u64,
    pub(crate) alive: bool,
    /// It was asked to end.
    pub(crate) leaving: bool,
    pub(crate) paused_until: Option<Duration>,
    /// No other worker reaches it until then.
    pub(crate) unreached_until: Duration,
    pub(crate) member: Member,
    /// Its stream to the coordinator.
    pub(crate) stream: Option<u64>,
    pub(crate) hands: Hands,
    doing: Doing,
    /// What was started before this changed is not heard of any more.
    epoch: u64,
    opening: Option<Opening>,
    sums: BTreeMap<u32, u64>,
    wishes: Wishes,
    /// The weights of the state it is about to offer.
    incoming: Model,
}

/// What a worker holds of the run.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    /// The state of the generation it last entered.
    pub(crate) held: Option<State>,
    /// Staged images of a step that is not committed, its own and those it guards.
    kept: Option<Kept>,
    /// The state of the generation it enters; once offered it is kept even if the entry breaks.
    offered: Option<State>,
}

#[derive(Debug)]
struct Kept {
    step: u64,
    images: BTreeMap<u32, u64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Doing {
    Waiting,
    Preparing,
    Entering(Box<Opening>, With),
    Stepping(Generation, Step),
    Sealing(Generation, Step),
}

impl Doing {
    fn generation(&self) -> Option<Generation> {
        match self {
            Self::Waiting | Self::Preparing => None,
            Self::Entering(opening, _) => Some(opening.generation),
            Self::Stepping(generation, _) | Self::Sealing(generation, _) => Some(*generation),
        }
    }
}

impl Process {
    pub(crate) fn new(name: WorkerId, incarnation: u64) -> Self {
        Self {
            incarnation,
            alive: true,
            leaving: false,
            paused_until: None,
            unreached_until: Duration::ZERO,
            member: Member::new(name),
            stream: None,
            hands: Hands::default(),
            doing: Doing::Waiting,
            epoch: 0,
            opening: None,
            sums: BTreeMap::new(),
            wishes: Wishes::default(),
            incoming: Model::default(),
        }
    }

    pub(crate) fn group(&self) -> Option<Generation> {
        self.doing.generation()
    }

    /// Holds what it says to hold, and all of it is as in a run of one.
    pub(crate) fn check(&self, name: &WorkerId, expected: &[State]) {
        let states = [("holds", &self.hands.held), ("offers", &self.hands.offered)];
        for (verb, state) in states.into_iter().filter_map(|(verb, state)| Some((verb, state.as_ref()?))) {
            let step = state.model.step;
            let right = &expected[step as usize];
            assert_eq!(state.model, right.model, "L-3: {name} {verb} other weights at step {step} than a run of one");
            for (lane, slots) in &state.lanes {
                assert_eq!(
                    slots, &right.lanes[lane],
                    "H-1: {name} {verb} another history of lane {lane} at step {step}"
                );
            }
        }
        let says = self.member.standing().and_then(|standing| standing.holds);
        if let Some(Holding { generation, step }) = says {
            let held = self.hands.held.as_ref().map(|held| held.model.step);
            assert_eq!(held, Some(step.0), "C-5: {name} says it holds generation {generation} at step {step}");
        }
    }
}

fn readiness() -> Readiness {
    let fingerprint = Fingerprint {
        libtorch: "2.11".to_owned(),
        device: "cpu".to_owned(),
        instructions: "avx2".to_owned(),
        threads: 1,
        canary: Digest::default(),
    };
    Readiness { data: Digest::default(), fingerprint, lambda: None }
}

impl World {
    /// An order arrives: one that interrupts frees the group first.
    pub(crate) fn told(&mut self, name: &WorkerId, order: Order) {
        if self.process(name).member.interrupts(&order) {
            self.drop_group(name);
        }
        self.raise(name, Event::Told(order));
    }

    /// The member hears of something; what it answers travels; the loop goes on.
    pub(crate) fn raise(&mut self, name: &WorkerId, event: Event) {
        let reports = self.process(name).member.step(event);
        for report in reports {
            if let Report::Entered { generation, step, .. } = report {
                self.entered(generation, step);
            }
            self.report(name, report);
        }
        if self.process(name).member.may_go() {
            return self.goes(name);
        }
        self.go_on(name);
    }

    fn go_on(&mut self, name: &WorkerId) {
        let process = self.process(name);
        let mut wishes = Wishes::default();
        let todo = match process.member.next() {
            Next::Wait => Doing::Waiting,
            Next::Prepare { .. } => Doing::Preparing,
            Next::Enter { opening, with } => Doing::Entering(Box::new(opening.clone()), with),
            Next::Step { opening, step, wishes: wished } => {
                wishes = wished;
                Doing::Stepping(opening.generation, step)
            }
            Next::Seal { opening, step, .. } => Doing::Sealing(opening.generation, step),
            Next::Bench(_) => unreachable!("nothing is refined here"),
        };
        if todo == process.doing {
            return;
        }
        if process.doing.generation().is_some() && process.doing.generation() != todo.generation() {
            self.drop_group(name);
        }
        let process = self.process(name);
        process.doing = todo.clone();
        process.epoch += 1;
        let epoch = process.epoch;
        match todo {
            Doing::Waiting => {}
            Doing::Preparing => self.later(name, 50..2000, Happening::Prepared { epoch }),
            Doing::Entering(opening, with) => self.enter(name, &opening, with),
            Doing::Stepping(_, step) => self.later(name, 50..600, Happening::Computed { epoch, step, wishes }),
            Doing::Sealing(_, step) => {
                self.checkpoint(name, step);
                self.give(name, Part::Sealed);
            }
        }
    }

    pub(crate) fn prepared(&mut self, name: &WorkerId, epoch: u64) {
        if self.process(name).epoch == epoch {
            self.raise(name, Event::Prepared(readiness()));
        }
    }

    fn enter(&mut self, name: &WorkerId, opening: &Opening, with: With) {
        let process = self.process(name);
        let hands = &mut process.hands;
        match with {
            With::Held(_) => hands.offered = None,
            With::Offered(_) => *hands = Hands { held: hands.offered.take(), ..Hands::default() },
            With::Nothing => *hands = Hands::default(),
        }
        if let With::Held(step) | With::Offered(step) = with {
            let held = hands.held.as_ref().map(|held| held.model.step);
            assert_eq!(held, Some(step.0), "{name} brings step {step} to generation {}", opening.generation);
        }
        if let Basis::Held { holders, .. } = &opening.basis {
            let listed = holders.iter().find(|(holder, _)| holder == name).map(|(_, step)| With::Held(*step));
            let brings = match with {
                With::Held(step) | With::Offered(step) => Some(With::Held(step)),
                With::Nothing => None,
            };
            assert_eq!(listed, brings, "what {name} brings to generation {} is not what is listed", opening.generation);
        }
        process.opening = Some(opening.clone());
        let members: Vec<WorkerId> = opening.roster.iter().map(|place| place.worker.clone()).collect();
        self.groups.entry(opening.generation).or_insert_with(|| Group::new(members.clone()));
        let now = self.now;
        let unreached: Vec<WorkerId> =
            members.into_iter().filter(|member| self.process(member).unreached_until > now).collect();
        if unreached.is_empty() {
            self.give(name, Part::Formed);
        } else {
            let epoch = self.process(name).epoch;
            let why = Leaving::Unformed { unreached, why: "timed out".to_owned() };
            self.later(name, 300..900, Happening::Broke { epoch, why });
        }
    }

    fn give(&mut self, name: &WorkerId, part: Part) {
        let generation = self.process(name).group().expect("only who is in a group gives");
        let ends = self.groups.get_mut(&generation).expect("entered before").give(name, part);
        self.end_rounds(generation, ends);
    }

    /// Its place in no group is held any longer; the others learn of it.
    pub(crate) fn drop_group(&mut self, name: &WorkerId) {
        let process = self.process(name);
        process.epoch += 1;
        let Some(generation) = process.group() else { return };
        process.doing = Doing::Waiting;
        let (dice, gentle) = (&mut self.dice, self.gentle);
        let ends = self.groups.get_mut(&generation).map(|group| group.leave(name, || !gentle && dice.one_in(2)));
        self.end_rounds(generation, ends.unwrap_or_default());
    }

    fn end_rounds(&mut self, generation: Generation, ends: impl IntoIterator<Item = super::group::Ends>) {
        for ends in ends {
            for member in ends.of {
                let epoch = self.process(&member).epoch;
                let what = if ends.well {
                    Happening::Heard { epoch, generation, round: ends.round }
                } else {
                    Happening::Broke { epoch, why: Leaving::Broke("connection reset".to_owned()) }
                };
                self.later(&member, 1..40, what);
            }
        }
    }

    pub(crate) fn broke(&mut self, name: &WorkerId, epoch: u64, why: Leaving) {
        let process = self.process(name);
        if process.epoch == epoch && process.group().is_some() {
            self.drop_group(name);
            self.raise(name, Event::Broke(why));
        }
    }

    pub(crate) fn computed(&mut self, name: &WorkerId, epoch: u64, step: Step, wishes: Wishes) {
        let (lanes, replicas) = (self.lanes, self.replicas);
        let process = self.process(name);
        if process.epoch != epoch {
            return;
        }
        let (rank, workers) = process.place(name);
        let held = process.hands.held.as_ref().expect("who steps has entered");
        assert_eq!(held.model.step, step.0, "{name} computes a step it does not stand at");
        let own = || lanes::owned(lanes, workers, rank);
        process.sums = own().map(|lane| (lane, toy::subtotal(held.model, lane, &held.lanes[&lane]))).collect();
        let writes = toy::writes_history(step.0);
        let staged: BTreeMap<u32, u64> =
            own().filter(|_| writes).map(|lane| (lane, toy::image(held.model, lane))).collect();
        let sums = process.sums.clone();
        process.hands.kept = Some(Kept { step: step.0, images: staged.clone() });
        process.wishes = wishes;
        if writes && replicas > 0 && workers > 1 {
            self.give(name, Part::Staged(staged));
        } else {
            self.give(name, Part::Sums(sums));
        }
    }

    /// A collective went well, and this member hears of it.
    pub(crate) fn heard(&mut self, name: &WorkerId, epoch: u64, generation: Generation, round: usize) {
        let process = self.process(name);
        if process.epoch != epoch || process.group() != Some(generation) {
            return;
        }
        let opening = process.opening.clone().expect("who is in a group was told an opening");
        let (rank, workers) = process.place(name);
        let Some(parts) = self.groups.get_mut(&generation).and_then(|group| group.hear(name, round)) else { return };
        let entry = Entry::of(&opening, self.lanes, self.replicas);
        let members: Vec<WorkerId> = opening.roster.iter().map(|place| place.worker.clone()).collect();
        match &parts[0] {
            Part::Formed => match opening.basis {
                Basis::Saved => {
                    let newest = if rank == Rank(0) { self.newest_checkpoint() } else { None };
                    self.give(name, Part::Loaded(newest.map(Box::new)));
                }
                Basis::Held { .. } => {
                    let held = self.process(name).hands.held.as_ref().map(|held| held.model);
                    let donates = entry.donor == Some(rank);
                    assert!(!donates || held.is_some(), "C-5: {name} donates what it does not have");
                    self.give(name, Part::Weights(held.filter(|_| donates)));
                }
            },
            Part::Loaded(saved) => {
                let mut state = match saved {
                    Some(saved) => (**saved).clone(),
                    None => self.expected[0].clone(),
                };
                let mine = kept_lanes(self.lanes, workers, self.replicas, rank);
                state.lanes.retain(|lane, _| mine.contains(&Lane(*lane)));
                self.offer(name, state);
            }
            Part::Weights(_) => self.align(name, &entry, rank, &parts),
            Part::Lanes(_) => self.take_lanes(name, &entry, rank, workers, &parts),
            Part::Claim(first) => {
                let claims =
                    parts.iter().map(|part| if let Part::Claim(claim) = part { *claim } else { Model::default() });
                assert!(
                    claims.clone().all(|claim| claim == *first),
                    "C-5: entry claims differ in {opening:?}: {parts:?}"
                );
                let hands = &mut self.process(name).hands;
                *hands = Hands { held: hands.offered.take(), ..Hands::default() };
                let step = Step(first.step);
                self.raise(name, Event::Entered { step, redone: 0 });
                self.worst_moment(&members, 6);
            }
            Part::Staged(_) => {
                let guards = |other: &usize| lanes::guard(workers, Rank(*other as u32)) == Some(rank);
                let guarded = (0..workers).find(guards).expect("images are sent to guards where there are some");
                let Part::Staged(theirs) = &parts[guarded] else { panic!("{parts:?}") };
                let process = self.process(name);
                let kept = process.hands.kept.as_mut().expect("staged before it was sent");
                kept.images.extend(theirs.iter());
                let sums = process.sums.clone();
                self.give(name, Part::Sums(sums));
            }
            Part::Sums(_) => {
                let all = parts.iter().filter_map(|part| if let Part::Sums(sums) = part { Some(sums) } else { None });
                let sums = all.flat_map(|sums| sums.iter().map(|(lane, sum)| (*lane, *sum))).collect();
                let process = self.process(name);
                process.sums = sums;
                let tail = Part::Tail(process.hands.held.as_ref().map_or(0, |held| held.model.step), process.wishes);
                self.give(name, tail);
            }
            Part::Tail(step, _) => {
                let tails = parts.iter().map(|part| {
                    if let Part::Tail(step, wishes) = part { (*step, *wishes) } else { panic!("{part:?}") }
                });
                assert!(tails.clone().all(|(other, _)| other == *step), "tails of different steps: {parts:?}");
                let agreed = tails.fold(Wishes::default(), |all, (_, wishes)| all.or(wishes));
                self.commit(name, generation, agreed);
                self.worst_moment(&members, 60);
            }
            Part::Sealed => self.raise(name, Event::Sealed),
        }
    }

    /// Holders one step behind apply what they kept and take the weights; newcomers take the weights.
    fn align(&mut self, name: &WorkerId, entry: &Entry, rank: Rank, parts: &[Part]) {
        let donated = entry.donor.map(|donor| &parts[donor.index()]);
        let process = self.process(name);
        let mut aligned = None;
        if entry.behind.contains(&rank) {
            let Some(Part::Weights(Some(model))) = donated else { panic!("no weights for {name}: {parts:?}") };
            let held = process.hands.held.as_mut().expect("who is behind holds something");
            let kept = process.hands.kept.take().unwrap_or_else(|| panic!("{name} is a step behind and kept nothing"));
            kept.apply(held);
            held.model = *model;
            aligned = Some(Step(model.step));
        }
        let moves = entry.moves.iter().filter(|change| change.from == rank);
        let held = process.hands.held.as_ref();
        let sent = moves.map(|change| {
            let slots = held.and_then(|held| held.lanes.get(&change.lane.0));
            (change.lane.0, slots.unwrap_or_else(|| panic!("{name} sends {change:?} and does not have it")).clone())
        });
        let sent = sent.collect();
        let model = match (held, donated) {
            (Some(held), _) => held.model,
            (None, Some(Part::Weights(Some(model)))) => *model,
            _ => panic!("{name} has no weights and is sent none: {entry:?}"),
        };
        process.incoming = model;
        if let Some(step) = aligned {
            self.raise(name, Event::Aligned(step));
        }
        self.give(name, Part::Lanes(sent));
    }

    fn take_lanes(&mut self, name: &WorkerId, entry: &Entry, rank: Rank, workers: usize, parts: &[Part]) {
        let (lanes, replicas) = (self.lanes, self.replicas);
        let process = self.process(name);
        let mine = kept_lanes(lanes, workers, replicas, rank).into_iter().map(|lane| {
            let from = entry.moves.iter().find(|change| change.to == rank && change.lane == lane);
            let slots = match from.map(|change| &parts[change.from.index()]) {
                Some(Part::Lanes(sent)) => sent.get(&lane.0),
                _ => process.hands.held.as_ref().and_then(|held| held.lanes.get(&lane.0)),
            };
            (lane.0, slots.unwrap_or_else(|| panic!("{name} is left without lane {lane}: {entry:?}")).clone())
        });
        let state = State { model: process.incoming, lanes: mine.collect() };
        self.offer(name, state);
    }

    fn offer(&mut self, name: &WorkerId, state: State) {
        let model = state.model;
        self.process(name).hands.offered = Some(state);
        self.raise(name, Event::Offered(Step(model.step)));
        self.give(name, Part::Claim(model));
    }

    fn commit(&mut self, name: &WorkerId, generation: Generation, agreed: Wishes) {
        let process = self.process(name);
        let held = process.hands.held.as_mut().expect("who steps holds something");
        let step = held.model.step;
        let kept = process.hands.kept.take().expect("staged before it was summed");
        kept.apply(held);
        held.model = toy::update(held.model, &process.sums);
        self.committed(name, generation, Step(step));
        if (step + 1).is_multiple_of(self.checkpoint_steps) {
            self.checkpoint(name, Step(step + 1));
        }
        self.raise(name, Event::Committed { wishes: agreed, skipped_in_a_row: 0 });
    }

    /// This member's part of the checkpoint becomes durable.
    fn checkpoint(&mut self, name: &WorkerId, step: Step) {
        let lanes = self.lanes;
        let process = self.process(name);
        let (rank, workers) = process.place(name);
        let held = process.hands.held.as_ref().expect("who saves holds something");
        assert_eq!(held.model.step, step.0, "{name} saves a step it does not stand at");
        let part: Vec<_> = lanes::owned(lanes, workers, rank).map(|lane| (lane, held.lanes[&lane].clone())).collect();
        let model = held.model;
        let saved = self.disk.entry(step.0).or_default();
        saved.model = model;
        saved.lanes.extend(part);
        if saved.lanes.len() == lanes as usize {
            let reports = self.process(name).member.step(Event::Saved { step, there: vec![] });
            reports.into_iter().for_each(|report| self.report(name, report));
        }
    }
}

impl Process {
    fn place(&self, name: &WorkerId) -> (Rank, usize) {
        let roster = &self.opening.as_ref().expect("who has a place was told an opening").roster;
        let rank = roster.iter().position(|place| place.worker == *name).expect("an opening is told to its members");
        (Rank(rank as u32), roster.len())
    }
}

impl Kept {
    /// Every lane in its hands gets its image: a lane without one would be mixed.
    fn apply(&self, held: &mut State) {
        assert_eq!(self.step, held.model.step, "images kept of another step");
        if toy::writes_history(self.step) {
            for (lane, slots) in &mut held.lanes {
                let image = self.images.get(lane).unwrap_or_else(|| panic!("no image was kept for lane {lane}"));
                toy::keep(slots, *lane, self.step, *image);
            }
        }
    }
}

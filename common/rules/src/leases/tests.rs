use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn worker(name: u8) -> WorkerId {
    WorkerId(format!("w{name}"))
}

fn leases(count: u32) -> Leases {
    Leases::new(Settings::default(), Term(1), count, Kept::default(), Duration::ZERO)
}

fn receipt() -> Receipt {
    Receipt { digest: Digest::of(b"output"), refined: 8, bad: 1 }
}

fn asks(leases: &mut Leases, now: Duration, name: u8) -> Option<(Attempt, Vec<Shard>)> {
    leases.step(now, Event::Asked { worker: worker(name) }).into_iter().find_map(|action| match action {
        Action::Grant { attempt, shards, .. } => Some((attempt, shards)),
        _ => None,
    })
}

fn writes(leases: &mut Leases, now: Duration, name: u8, attempt: Attempt, shard: Shard) -> Vec<Action> {
    leases.step(now, Event::Wrote { worker: worker(name), attempt, shard, receipt: receipt() })
}

fn fails(leases: &mut Leases, name: u8, attempt: Attempt, shard: Shard) -> Vec<Action> {
    leases.step(SECOND, Event::Failed { worker: worker(name), attempt, shard, why: "disk full".to_owned() })
}

#[test]
fn the_first_lease_of_a_worker_nobody_knows_is_one_shard_and_later_ones_are_sized_by_its_pace() {
    let mut leases = leases(1_000);
    let (attempt, shards) = asks(&mut leases, Duration::ZERO, 0).unwrap();
    assert_eq!(shards, [Shard(0)]);
    writes(&mut leases, SECOND, 0, attempt, Shard(0));
    let (_, shards) = asks(&mut leases, SECOND, 0).unwrap();
    assert_eq!(shards.len(), 10, "ten seconds of work at one shard a second");
}

#[test]
fn of_two_attempts_at_one_shard_the_first_is_committed_and_the_second_discarded() {
    let mut leases = leases(2);
    let (first, _) = asks(&mut leases, Duration::ZERO, 0).unwrap();
    let late = Duration::from_secs(31);
    let (second, shards) = asks(&mut leases, late, 1).unwrap();
    assert_eq!(shards, [Shard(0)], "the lease is over");
    let fate = Fate::Committed { attempt: first, receipt: receipt() };
    let published = Action::Publish { worker: worker(0), attempt: first, shard: Shard(0) };
    let committed = [Action::Keep { shard: Shard(0), fate }, published.clone()];
    assert_eq!(writes(&mut leases, late, 0, first, Shard(0)), committed);
    assert_eq!(writes(&mut leases, late, 0, first, Shard(0)), [published], "it did not hear the answer");
    let discarded = Action::Discard { worker: worker(1), attempt: second, shard: Shard(0) };
    assert_eq!(writes(&mut leases, late, 1, second, Shard(0)), [discarded]);
}

#[test]
fn whoever_is_heard_keeps_its_lease() {
    let mut leases = leases(1);
    asks(&mut leases, Duration::ZERO, 0).unwrap();
    for second in 1..9 {
        leases.step(SECOND * second, Event::Heard { worker: worker(0) });
        assert_eq!(asks(&mut leases, SECOND * second, 1), None, "at {second} s");
    }
}

#[test]
fn an_idle_worker_tries_what_has_been_in_other_hands_too_long() {
    let mut leases = leases(1);
    let (first, _) = asks(&mut leases, Duration::ZERO, 0).unwrap();
    assert_eq!(asks(&mut leases, SECOND * 9, 1), None);
    let (backup, shards) = asks(&mut leases, SECOND * 10, 1).unwrap();
    assert!(backup != first && shards == [Shard(0)]);
    assert_eq!(asks(&mut leases, SECOND * 20, 2), None, "two are enough");
}

#[test]
fn a_shard_that_failed_in_three_hands_is_quarantined_with_all_reasons() {
    let mut leases = leases(1);
    for name in 0..3 {
        leases.step(SECOND, Event::Heard { worker: worker(name) });
    }
    let mut last = vec![];
    for name in 0..3 {
        let (attempt, shards) = asks(&mut leases, SECOND, name).unwrap();
        last = fails(&mut leases, name, attempt, shards[0]);
    }
    let why = "w0: disk full; w1: disk full; w2: disk full".to_owned();
    assert_eq!(last, [Action::Keep { shard: Shard(0), fate: Fate::Quarantined { why: why.clone() } }]);
    assert!(leases.is_over());
    assert_eq!(leases.quarantined().collect::<Vec<_>>(), [(Shard(0), why.as_str())]);
}

#[test]
fn what_is_pardoned_is_tried_again() {
    let kept = Kept::from([(Shard(0), Fate::Quarantined { why: "disk full".to_owned() })]);
    let mut leases = Leases::new(Settings::default(), Term(2), 1, kept, Duration::ZERO);
    assert_eq!(asks(&mut leases, SECOND, 0), None);
    leases.pardon();
    assert!(!leases.is_over() && asks(&mut leases, SECOND, 0).is_some());
}

#[test]
fn what_failed_in_ones_hands_waits_for_another_where_there_is_one() {
    let mut leases = leases(1);
    asks(&mut leases, Duration::ZERO, 1);
    leases.step(Duration::ZERO, Event::Gone { worker: worker(1) });
    let (attempt, shards) = asks(&mut leases, Duration::ZERO, 0).unwrap();
    asks(&mut leases, Duration::ZERO, 1);
    let granted = fails(&mut leases, 0, attempt, shards[0]);
    assert!(matches!(&granted[..], [Action::Grant { worker: to, .. }] if *to == worker(1)), "{granted:?}");
    assert_eq!(asks(&mut leases, SECOND, 0), None);
    let granted = leases.step(SECOND, Event::Gone { worker: worker(1) });
    assert!(matches!(&granted[..], [Action::Grant { worker: to, .. }] if *to == worker(0)), "nobody else is there");
}

fn holds(attempt: Attempt, shards: &[Shard]) -> Held {
    Held { leases: vec![(attempt, shards.to_vec())], ..Held::default() }
}

fn committed(attempt: Attempt) -> Fate {
    Fate::Committed { attempt, receipt: receipt() }
}

const BEFORE: Attempt = Attempt { term: Term(1), number: 7 };

#[test]
fn a_restarted_coordinator_leases_no_finished_shard_and_none_that_somebody_still_works_on() {
    let kept = [(Shard(0), committed(BEFORE)), (Shard(1), Fate::Quarantined { why: String::new() })].into();
    let mut leases = Leases::new(Settings::default(), Term(2), 4, kept, Duration::ZERO);
    let held = holds(BEFORE, &[Shard(0), Shard(2)]);
    leases.step(Duration::ZERO, Event::Returned { worker: worker(0), held });
    let (attempt, shards) = asks(&mut leases, SECOND, 1).unwrap();
    assert_eq!((attempt.term, shards), (Term(2), vec![Shard(3)]));
    let written = writes(&mut leases, SECOND, 0, BEFORE, Shard(2));
    assert!(matches!(written[..], [Action::Keep { shard: Shard(2), .. }, Action::Publish { .. }]), "{written:?}");
}

#[test]
fn a_restarted_coordinator_grants_nothing_before_those_who_work_had_time_to_say_so() {
    let mut leases = Leases::new(Settings::default(), Term(2), 1, Kept::default(), SECOND * 5);
    assert_eq!(asks(&mut leases, SECOND, 1), None);
    leases.step(SECOND * 4, Event::Returned { worker: worker(0), held: holds(BEFORE, &[Shard(0)]) });
    assert_eq!(leases.step(SECOND * 5, Event::Tick), [], "it is in hands");
}

#[test]
fn nobody_waits_for_those_who_are_given_up() {
    let mut leases = Leases::new(Settings::default(), Term(2), 1, Kept::default(), SECOND * 5);
    leases.give_up();
    assert!(asks(&mut leases, SECOND, 1).is_some());
}

#[test]
fn work_that_was_finished_while_nobody_remembered_its_lease_counts() {
    let mut leases = Leases::new(Settings::default(), Term(2), 1, Kept::default(), Duration::ZERO);
    let held = Held { wrote: vec![(BEFORE, Shard(0), receipt())], ..Held::default() };
    let written = leases.step(SECOND, Event::Returned { worker: worker(0), held });
    assert!(matches!(written[..], [Action::Keep { .. }, Action::Publish { .. }]) && leases.is_over(), "{written:?}");
}

#[test]
fn what_is_not_held_any_more_is_given_to_others() {
    let mut leases = leases(1);
    asks(&mut leases, Duration::ZERO, 0).unwrap();
    assert_eq!(asks(&mut leases, SECOND, 1), None);
    let granted = leases.step(SECOND, Event::Returned { worker: worker(0), held: Held::default() });
    assert!(matches!(&granted[..], [Action::Grant { worker: to, .. }] if *to == worker(1)), "{granted:?}");
}

#[test]
fn what_comes_back_after_a_restart_is_leased_once() {
    let mut leases = Leases::new(Settings::default(), Term(2), 40, Kept::default(), Duration::ZERO);
    leases.step(Duration::ZERO, Event::Returned { worker: worker(0), held: holds(BEFORE, &[Shard(5)]) });
    leases.step(Duration::ZERO, Event::Gone { worker: worker(0) });
    let (attempt, _) = asks(&mut leases, SECOND, 1).unwrap();
    writes(&mut leases, SECOND, 1, attempt, Shard(0));
    let (_, shards) = asks(&mut leases, SECOND, 1).unwrap();
    assert!(shards.len() > 5 && shards.iter().collect::<BTreeSet<_>>().len() == shards.len(), "{shards:?}");
}

#[test]
fn the_counts_are_those_of_the_fates() {
    let mut leases = leases(3);
    let (attempt, _) = asks(&mut leases, Duration::ZERO, 0).unwrap();
    writes(&mut leases, SECOND, 0, attempt, Shard(0));
    asks(&mut leases, SECOND, 0).unwrap();
    let counts = Counts { shards: 3, committed: 1, quarantined: 0, leased: 1, refined: 8, bad: 1 };
    assert_eq!(leases.counts(), counts);
    assert_eq!(leases.held_by(&worker(0)), 1);
}

/// What may happen next, chosen by the numbers.
#[derive(Clone, Debug)]
enum Happens {
    Asks(u8),
    Writes(u8, usize),
    Fails(u8, usize),
    Goes(u8),
    Passes(u8),
    Restarts,
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        6 => (0u8..4).prop_map(Happens::Asks),
        8 => ((0u8..4), any::<prop::sample::Index>()).prop_map(|(name, at)| Happens::Writes(name, at.index(8))),
        1 => ((0u8..4), any::<prop::sample::Index>()).prop_map(|(name, at)| Happens::Fails(name, at.index(8))),
        1 => (0u8..4).prop_map(Happens::Goes),
        2 => (0u8..40).prop_map(Happens::Passes),
        1 => Just(Happens::Restarts),
    ];
    prop::collection::vec(one, 0..200)
}

/// Workers that do what they were granted, and a coordinator that may die and remembers what it saved.
struct World {
    leases: Leases,
    count: u32,
    term: u64,
    now: Duration,
    hands: BTreeMap<u8, Vec<(Attempt, Shard)>>,
    kept: Kept,
    attempts: BTreeSet<Attempt>,
}

impl World {
    fn new(count: u32) -> Self {
        let (hands, attempts) = (BTreeMap::new(), BTreeSet::new());
        Self { leases: leases(count), count, term: 1, now: Duration::ZERO, hands, kept: Kept::default(), attempts }
    }

    fn raise(&mut self, event: Event) {
        for action in self.leases.step(self.now, event) {
            match action {
                Action::Keep { shard, fate } => {
                    assert!(self.kept.insert(shard, fate).is_none(), "F-1: {shard} is over twice");
                }
                Action::Grant { worker, attempt, shards } => {
                    assert!(self.attempts.insert(attempt), "{attempt:?} is given twice");
                    let name = worker.0[1..].parse().unwrap();
                    for shard in shards {
                        assert!(!self.is_over(shard), "{shard} is leased though it is over");
                        self.hands.entry(name).or_default().push((attempt, shard));
                    }
                }
                Action::Publish { attempt, shard, .. } => {
                    let first = self.kept.get(&shard);
                    assert!(matches!(first, Some(Fate::Committed { attempt: kept, .. }) if *kept == attempt));
                }
                Action::Discard { attempt, shard, .. } => {
                    let first = &self.kept[&shard];
                    assert!(!matches!(first, Fate::Committed { attempt: kept, .. } if *kept == attempt), "{shard}");
                }
            }
        }
        assert_eq!(self.leases.is_over(), self.kept.len() == self.count as usize);
    }

    fn is_over(&self, shard: Shard) -> bool {
        self.kept.contains_key(&shard)
    }

    fn take(&mut self, name: u8, at: usize) -> Option<(Attempt, Shard)> {
        let hands = self.hands.get_mut(&name).filter(|hands| !hands.is_empty())?;
        Some(hands.remove(at % hands.len()))
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Asks(name) => self.raise(Event::Asked { worker: worker(name) }),
            Happens::Writes(name, at) => {
                if let Some((attempt, shard)) = self.take(name, at) {
                    self.raise(Event::Wrote { worker: worker(name), attempt, shard, receipt: receipt() });
                }
            }
            Happens::Fails(name, at) => {
                if let Some((attempt, shard)) = self.take(name, at) {
                    self.raise(Event::Failed { worker: worker(name), attempt, shard, why: "no".to_owned() });
                }
            }
            Happens::Goes(name) => {
                self.hands.remove(&name);
                self.raise(Event::Gone { worker: worker(name) });
            }
            Happens::Passes(seconds) => {
                self.now += SECOND * seconds.into();
                self.raise(Event::Tick);
            }
            Happens::Restarts => {
                self.term += 1;
                self.now = Duration::ZERO;
                self.leases =
                    Leases::new(Settings::default(), Term(self.term), self.count, self.kept.clone(), Duration::ZERO);
                for (name, hands) in self.hands.clone() {
                    let leases = hands.into_iter().map(|(attempt, shard)| (attempt, vec![shard])).collect();
                    self.raise(Event::Returned { worker: worker(name), held: Held { leases, ..Held::default() } });
                }
            }
        }
    }
}

proptest! {
    /// F-1, through deaths, silence, failures and restarts; and with the faults off it ends.
    #[test]
    fn every_shard_is_committed_or_quarantined_once(count in 1u32..40, happenings in happenings()) {
        let mut world = World::new(count);
        happenings.into_iter().for_each(|what| world.happens(what));
        for round in 0..10 * count {
            world.happens(Happens::Asks((round % 4) as u8));
            world.happens(Happens::Passes(11));
            while world.hands.get(&((round % 4) as u8)).is_some_and(|hands| !hands.is_empty()) {
                world.happens(Happens::Writes((round % 4) as u8, 0));
            }
        }
        prop_assert!(world.leases.is_over());
    }
}

//! Situations of one member.

use super::*;
use crate::{
    conversation::{End, Fingerprint, Place, SoFar},
    ids::Digest,
    spec,
};
use std::net::{Ipv4Addr, SocketAddr};

const STEPS: u64 = 100;

fn spec() -> Box<Spec> {
    let job = format!(
        "name = \"eyes\"\ndata.synthetic = \"s\"\ndata.real = \"r\"\nmodel.preset = \"toy\"\ntrain.steps = {STEPS}\noutput.dir = \"out\""
    );
    Box::new(spec::read(&job, &[]).expect("a small job"))
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

fn opening(job: &str, generation: u64, roster: &[&str], basis: Basis) -> Order {
    let store = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let place = |name: &&str| Place { worker: WorkerId::from(*name), store };
    Order::Open(Box::new(Opening {
        job: JobId::from(job),
        generation: Generation(generation),
        roster: roster.iter().map(place).collect(),
        basis,
        so_far: SoFar::default(),
    }))
}

fn held(generation: u64, holders: &[(&str, u64)]) -> Basis {
    Basis::Held {
        generation: Generation(generation),
        roster: vec![WorkerId::from("a"), WorkerId::from("b")],
        holders: holders.iter().map(|(worker, step)| (WorkerId::from(*worker), Step(*step))).collect(),
    }
}

fn prepare(job: &str) -> Event {
    Event::Told(Order::Prepare { job: JobId::from(job), spec: spec() })
}

/// The member a, ready for the job `eyes`.
fn ready() -> Member {
    let mut a = Member::new(WorkerId::from("a"));
    a.step(prepare("eyes"));
    a.step(Event::Prepared(readiness()));
    a
}

/// a, trained up to this step in generation 1 of `eyes` together with b.
fn trained(to: u64) -> Member {
    let mut a = ready();
    a.step(Event::Told(opening("eyes", 1, &["a", "b"], Basis::Saved)));
    a.step(Event::Offered(Step(0)));
    a.step(Event::Entered { step: Step(0), redone: 0 });
    (0..to).for_each(|_| {
        a.step(committed(Wishes::default()));
    });
    a
}

fn committed(wishes: Wishes) -> Event {
    Event::Committed { wishes, skipped_in_a_row: 0 }
}

fn wished(generation: u64, wish: Wish) -> Event {
    Event::Told(Order::Wish { job: JobId::from("eyes"), generation: Generation(generation), wish })
}

fn broke() -> Event {
    Event::Broke(Leaving::Broke("connection reset".to_owned()))
}

fn brings(member: &Member) -> With {
    match member.next() {
        Next::Enter { with, .. } => with,
        other => panic!("it does not enter: {other:?}"),
    }
}

fn holding(generation: u64, step: u64) -> Option<Holding> {
    Some(Holding { generation: Generation(generation), step: Step(step) })
}

#[test]
fn a_failed_step_leaves_the_generation_with_what_is_held() {
    let mut a = trained(7);
    let [Report::Left { generation: Generation(1), standing, why: Leaving::Broke(_) }] = &a.step(broke())[..] else {
        panic!("it does not leave")
    };
    assert_eq!((standing.engaged, standing.holds), (None, holding(1, 7)));
    assert_eq!(a.next(), Next::Wait);
}

#[test]
fn it_brings_what_it_holds_of_the_generation_the_next_is_based_on() {
    let mut a = trained(7);
    a.step(broke());
    a.step(Event::Told(opening("eyes", 2, &["a", "b"], held(1, &[("a", 7), ("b", 8)]))));
    assert_eq!(brings(&a), With::Held(Step(7)));
}

#[test]
fn it_brings_nothing_where_others_hold_a_newer_generation() {
    let mut a = trained(7);
    a.step(broke());
    a.step(Event::Told(opening("eyes", 3, &["b", "a"], held(2, &[("b", 9)]))));
    assert_eq!(brings(&a), With::Nothing);
    assert_eq!(a.standing().unwrap().holds, None, "C-5: whoever copies has nothing to donate");
}

#[test]
fn it_brings_nothing_where_all_begin_from_the_checkpoint() {
    let mut a = trained(7);
    a.step(broke());
    a.step(Event::Told(opening("eyes", 2, &["a", "b"], Basis::Saved)));
    assert_eq!(brings(&a), With::Nothing);
}

#[test]
fn once_aligned_it_stands_at_the_furthest_step_even_if_the_entry_breaks() {
    let mut a = trained(7);
    a.step(broke());
    a.step(Event::Told(opening("eyes", 2, &["a", "b"], held(1, &[("a", 7), ("b", 8)]))));
    a.step(Event::Aligned(Step(8)));
    a.step(broke());
    assert_eq!(a.standing().unwrap().holds, holding(1, 8));
}

#[test]
fn what_it_offered_is_held_if_another_entered() {
    let mut a = trained(7);
    a.step(broke());
    a.step(Event::Told(opening("eyes", 2, &["a", "b"], held(1, &[("a", 7), ("b", 7)]))));
    a.step(Event::Offered(Step(7)));
    a.step(broke());
    let standing = a.standing().unwrap();
    assert_eq!((standing.holds, standing.offered), (holding(1, 7), holding(2, 7)));

    a.step(Event::Told(opening("eyes", 3, &["a", "b"], held(2, &[("a", 7), ("b", 7)]))));
    assert_eq!(brings(&a), With::Offered(Step(7)));
}

#[test]
fn what_it_offered_to_a_generation_nobody_entered_is_forgotten() {
    let mut a = trained(7);
    a.step(broke());
    a.step(Event::Told(opening("eyes", 2, &["a", "b"], held(1, &[("a", 7), ("b", 7)]))));
    a.step(Event::Offered(Step(7)));
    a.step(broke());
    a.step(Event::Told(opening("eyes", 3, &["a", "b"], held(1, &[("a", 7), ("b", 7)]))));
    assert_eq!(brings(&a), With::Held(Step(7)));
    assert_eq!(a.standing().unwrap().offered, None);
}

#[test]
fn an_older_opening_is_not_heard() {
    let mut a = trained(7);
    let older = opening("eyes", 1, &["a", "b"], Basis::Saved);
    assert!(!a.interrupts(&older));
    a.step(Event::Told(older));
    assert!(matches!(a.next(), Next::Step { step: Step(7), .. }), "C-2: generations only grow");
}

#[test]
fn a_newer_opening_is_heard_in_the_midst_of_a_step() {
    let mut a = trained(7);
    let newer = opening("eyes", 2, &["a", "b"], held(1, &[("a", 7)]));
    assert!(a.interrupts(&newer));
    a.step(Event::Told(newer));
    assert_eq!(brings(&a), With::Held(Step(7)));
}

#[test]
fn an_opening_without_it_is_not_for_it() {
    let mut a = ready();
    a.step(Event::Told(opening("eyes", 1, &["b", "c"], Basis::Saved)));
    assert_eq!(a.next(), Next::Wait);
}

#[test]
fn generations_of_one_job_do_not_count_in_another() {
    let mut a = trained(7);
    a.step(Event::Told(Order::Release { job: JobId::from("eyes"), why: None }));
    a.step(prepare("hands"));
    a.step(Event::Prepared(readiness()));
    a.step(Event::Told(opening("hands", 1, &["a"], Basis::Saved)));
    assert_eq!(brings(&a), With::Nothing);
}

#[test]
fn closing_a_generation_of_another_job_changes_nothing() {
    let mut a = trained(7);
    let close = Order::Close { job: JobId::from("hands"), generation: Generation(1) };
    assert!(!a.interrupts(&close));
    assert_eq!(a.step(Event::Told(close)), vec![]);
    assert!(matches!(a.next(), Next::Step { .. }));
}

#[test]
fn told_to_close_it_leaves_in_the_midst_of_a_step() {
    let mut a = trained(7);
    let close = Order::Close { job: JobId::from("eyes"), generation: Generation(1) };
    assert!(a.interrupts(&close));
    assert!(matches!(&a.step(Event::Told(close))[..], [Report::Left { why: Leaving::Told, .. }]));
}

#[test]
fn an_agreed_regrouping_leaves_after_the_step() {
    let mut a = trained(7);
    let reports = a.step(committed(Wishes { regroup: true, ..Wishes::default() }));
    let [Report::Left { standing, why: Leaving::Told, .. }] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(standing.holds, holding(1, 8));
}

#[test]
fn an_agreed_stop_seals_after_the_step() {
    let mut a = trained(7);
    a.step(committed(Wishes { park: true, ..Wishes::default() }));
    assert!(matches!(a.next(), Next::Seal { step: Step(8), ending: Ending::Parked, .. }));
    let reports = a.step(Event::Sealed);
    assert!(
        matches!(&reports[..], [Report::Ended { end: End { step: Step(8), ending: Ending::Parked, .. }, .. }]),
        "{reports:?}"
    );
}

#[test]
fn the_last_step_seals_whatever_is_wished() {
    let mut a = trained(STEPS - 1);
    a.step(committed(Wishes { park: true, regroup: true, snapshot: false }));
    assert!(matches!(a.next(), Next::Seal { step: Step(STEPS), ending: Ending::Finished, .. }));
}

#[test]
fn entering_at_the_last_step_seals_again() {
    let mut a = ready();
    a.step(Event::Told(opening("eyes", 1, &["a"], Basis::Saved)));
    a.step(Event::Entered { step: Step(STEPS), redone: 0 });
    assert!(matches!(a.next(), Next::Seal { ending: Ending::Finished, .. }));
}

#[test]
fn a_wish_of_the_coordinator_goes_into_the_next_tail() {
    let mut a = trained(7);
    a.step(wished(1, Wish::Park));
    assert!(matches!(a.next(), Next::Step { wishes: Wishes { park: true, regroup: false, .. }, .. }));
}

#[test]
fn a_wish_that_comes_when_its_generation_is_over_is_not_heard_in_the_next() {
    let mut a = trained(7);
    a.step(committed(Wishes { park: true, ..Wishes::default() }));
    a.step(Event::Sealed);
    a.step(wished(1, Wish::Park));
    a.step(Event::Told(opening("eyes", 2, &["a"], Basis::Saved)));
    a.step(wished(1, Wish::Park));
    a.step(Event::Entered { step: Step(8), redone: 0 });
    assert!(matches!(a.next(), Next::Step { wishes: Wishes { park: false, .. }, .. }), "{:?}", a.next());
}

#[test]
fn a_wish_ends_with_its_generation_also_where_that_breaks() {
    let mut a = trained(7);
    for wish in [Wish::Park, Wish::Regroup] {
        a.step(wished(1, wish));
    }
    a.step(broke());
    a.step(Event::Told(opening("eyes", 2, &["a", "b"], held(1, &[("a", 7), ("b", 7)]))));
    a.step(Event::Entered { step: Step(7), redone: 0 });
    assert!(matches!(a.next(), Next::Step { wishes: Wishes { park: false, regroup: false, .. }, .. }));
}

#[test]
fn ten_skipped_steps_in_a_row_fail_the_run() {
    let mut a = trained(7);
    assert_eq!(a.step(Event::Committed { wishes: Wishes::default(), skipped_in_a_row: 9 }), vec![]);
    let reports = a.step(Event::Committed { wishes: Wishes::default(), skipped_in_a_row: 10 });
    let [Report::Ended { end: End { step: Step(9), ending: Ending::Failed(why), .. }, .. }] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert!(why.contains("not finite"), "{why}");
    assert_eq!(a.next(), Next::Wait);
}

#[test]
fn a_preparation_that_failed_is_tried_again_when_told_again() {
    let mut a = Member::new(WorkerId::from("a"));
    a.step(prepare("eyes"));
    a.step(Event::Unprepared("data.real holds no image".to_owned()));
    assert_eq!(a.next(), Next::Wait);
    a.step(prepare("eyes"));
    assert!(matches!(a.next(), Next::Prepare { .. }));
}

#[test]
fn told_to_prepare_what_it_works_on_it_goes_on() {
    let mut a = trained(7);
    a.step(prepare("eyes"));
    assert!(matches!(a.next(), Next::Step { step: Step(7), .. }));
}

#[test]
fn what_breaks_outside_a_generation_is_no_news() {
    assert_eq!(ready().step(broke()), vec![]);
}

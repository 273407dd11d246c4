use proptest::prelude::*;
use sumac_common::{
    ids::{Digest, Generation, Lane, Rank, Step},
    losses::{Losses, Mean},
    tail::{BadTail, Disagreement, LaneTail, Tail, Wishes, agree, compares_states},
};

const GENERATION: Generation = Generation(3);
const STEP: Step = Step(70);

fn lane_tail(lane: u32) -> LaneTail {
    let sum = 0.1 * f64::from(lane + 1);
    let losses = Losses { realism: Mean::of(sum, 2), on_real: Mean::of(-sum, 5), ..Losses::default() };
    LaneTail { lane: Lane(lane), digest: Digest::of(&lane.to_le_bytes()), losses }
}

fn tail(lanes: std::ops::Range<u32>) -> Tail {
    Tail { generation: GENERATION, step: STEP, lanes: lanes.map(lane_tail).collect(), ..Tail::default() }
}

/// Three members that agree on eight lanes.
fn members() -> [Tail; 3] {
    [tail(0..2), tail(2..5), tail(5..8)]
}

fn verdict(change: impl FnOnce(&mut [Tail; 3])) -> Result<sumac_common::tail::Agreed, Disagreement> {
    let mut tails = members();
    change(&mut tails);
    agree(&tails, GENERATION, STEP, 8)
}

/// The bytes of a body with a checksum that fits: what another version of sumac might send.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 8;
    bytes.truncate(body);
    let sum = Digest::of(&bytes);
    bytes.extend(&sum.0[..8]);
    bytes
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

prop_compose! {
    fn any_lane_tail()(lane: u32, digest in any_digest(), means: [(f64, u64); 7]) -> LaneTail {
        let losses = Losses::from_means(means.map(|(sum, count)| Mean { sum, count }));
        LaneTail { lane: Lane(lane), digest, losses }
    }
}

prop_compose! {
    fn any_tail()(
        numbers: [u64; 3],
        lanes in prop::collection::vec(any_lane_tail(), 0..6),
        state in prop::option::of(any_digest()),
        flags: [bool; 5],
        durable in prop::option::of(any::<u64>()),
    ) -> Tail {
        Tail {
            generation: Generation(numbers[0]),
            step: Step(numbers[1]),
            lanes,
            state,
            non_finite: flags[0],
            own_time_us: numbers[2],
            wishes: Wishes { park: flags[1], regroup: flags[2], snapshot: flags[3] },
            durable: durable.map(Step),
            unsaved: flags[4],
        }
    }
}

proptest! {
    #[test]
    fn a_tail_arrives_as_it_was_sent(tail in any_tail(), spare in 0usize..4) {
        let lanes_max = tail.lanes.len() + spare;
        let bytes = tail.encode(lanes_max);
        prop_assert_eq!((bytes.len(), bytes.len() % 4), (Tail::bytes(lanes_max), 0));
        prop_assert_eq!(Tail::decode(&bytes), Ok(tail));
    }

    #[test]
    fn a_flipped_bit_is_noticed(tail in any_tail(), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = tail.encode(tail.lanes.len() + 1);
        bytes[at.index(Tail::bytes(tail.lanes.len() + 1))] ^= 1 << bit;
        prop_assert_eq!(Tail::decode(&bytes), Err(BadTail::Checksum));
    }

    #[test]
    fn a_cut_tail_is_noticed(tail in any_tail(), left: prop::sample::Index) {
        let bytes = tail.encode(tail.lanes.len());
        prop_assert!(Tail::decode(&bytes[..left.index(bytes.len())]).is_err());
    }

    #[test]
    fn bytes_of_a_stranger_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), lanes in 0usize..4) {
        let mut bytes = bytes;
        bytes.resize(Tail::bytes(lanes), 0);
        let _ = Tail::decode(&sealed(bytes));
    }

    #[test]
    fn losses_are_the_same_whoever_computed_which_lane(cuts in prop::collection::vec(0u32..=16, 0..5)) {
        let mut ends: Vec<u32> = cuts.into_iter().chain([0, 16]).collect();
        ends.sort_unstable();
        let mut tails: Vec<Tail> = ends.windows(2).map(|run| tail(run[0]..run[1])).collect();
        tails.reverse();
        let losses = |tails: &[Tail]| agree(tails, GENERATION, STEP, 16).map(|agreed| agreed.losses.realism.sum.to_bits());
        prop_assert_eq!(losses(&tails), losses(&[tail(0..16)]));
    }
}

#[test]
fn not_a_number_arrives_as_such() {
    let mut sent = tail(0..1);
    sent.lanes[0].losses.change = Mean::of(f64::NAN, 4);
    let received = Tail::decode(&sent.encode(1)).expect("sound bytes");
    assert!(received.lanes[0].losses.change.sum.is_nan());
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let mut bytes = tail(0..2).encode(2);
    bytes[0] = 1;
    assert_eq!(Tail::decode(&sealed(bytes)), Err(BadTail::Mark { found: 0x7a11_0001 }));
    let mut bytes = tail(0..2).encode(2);
    bytes[4] = 0x81;
    assert_eq!(Tail::decode(&sealed(bytes)), Err(BadTail::Flags { flags: 0x80 }));
    let mut bytes = tail(0..2).encode(2);
    bytes[8] = 3;
    assert_eq!(Tail::decode(&sealed(bytes)), Err(BadTail::Room { lanes: 3, room: 2 }));
}

#[test]
fn members_that_agree_know_all_lanes() {
    let agreed = verdict(|tails| tails[1].own_time_us = 900).expect("they agree");
    let expected: Vec<_> = (0..8).map(lane_tail).collect();
    assert_eq!(agreed.digests, expected.iter().map(|lane| lane.digest).collect::<Vec<_>>());
    assert_eq!(agreed.losses.realism.count, 16);
    assert_eq!(agreed.own_us[1], 900);
    assert_eq!((agreed.skipped, agreed.wishes, agreed.durable), (false, Wishes::default(), None));
}

#[test]
fn the_order_of_the_members_does_not_matter() {
    let swapped = verdict(|tails| tails.swap(0, 2)).expect("they agree");
    assert_eq!(swapped.digests, verdict(|_| ()).expect("they agree").digests);
}

#[test]
fn a_member_of_another_generation_stops_all() {
    let broken = verdict(|tails| tails[2].generation = Generation(2)).expect_err("generations differ");
    assert_eq!(broken, Disagreement::Generation { rank: Rank(2), theirs: Generation(2), ours: GENERATION });
    assert_eq!(broken.to_string(), "rank 2 is in generation 2, this is generation 3");
}

#[test]
fn a_member_at_another_step_stops_all() {
    let broken = verdict(|tails| tails[0].step = Step(69));
    assert_eq!(broken, Err(Disagreement::Step { rank: Rank(0), theirs: Step(69), ours: STEP }));
}

#[test]
fn a_lane_nobody_computed_stops_all() {
    let broken = verdict(|tails| tails[1].lanes.truncate(2));
    assert_eq!(broken, Err(Disagreement::LaneMissing { lane: Lane(4), step: STEP }));
}

#[test]
fn a_lane_computed_twice_stops_all() {
    let broken = verdict(|tails| tails[2].lanes[0].lane = Lane(1));
    let twice = Disagreement::LaneTwice { lane: Lane(1), first: Rank(0), second: Rank(2), step: STEP };
    assert_eq!(broken, Err(twice));
}

#[test]
fn a_lane_the_run_does_not_have_stops_all() {
    let broken = verdict(|tails| tails[2].lanes[0].lane = Lane(8));
    assert_eq!(broken, Err(Disagreement::UnknownLane { rank: Rank(2), lane: Lane(8), lanes: 8, step: STEP }));
}

#[test]
fn states_that_differ_stop_all() {
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let broken = verdict(|tails| (tails[0].state, tails[2].state) = (Some(one), Some(other)));
    let expected = Disagreement::State { first: Rank(0), second: Rank(2), theirs: Box::new((one, other)), step: STEP };
    assert_eq!(broken, Err(expected));
}

#[test]
fn only_states_that_differ_end_the_run() {
    let ending = |change: fn(&mut [Tail; 3])| verdict(change).expect_err("they disagree").ends_the_run();
    assert!(ending(|tails| (tails[0].state, tails[2].state) = (Some(Digest::of(b"a")), Some(Digest::of(b"b")))));
    let generation_only: [fn(&mut [Tail; 3]); 5] = [
        |tails| tails[1].generation = Generation(GENERATION.0 + 1),
        |tails| tails[1].step = Step(STEP.0 + 1),
        |tails| tails[1].lanes.clear(),
        |tails| tails[1].lanes = tails[0].lanes.clone(),
        |tails| tails[2].lanes.push(lane_tail(8)),
    ];
    assert!(!generation_only.into_iter().any(ending));
    assert!(!Disagreement::Silence { step: STEP }.ends_the_run());
}

#[test]
fn states_are_compared_at_the_first_step_and_every_hundred() {
    let compared: Vec<u64> = (0..=300).filter(|step| compares_states(Step(*step))).collect();
    assert_eq!(compared, [0, 100, 200, 300]);
}

#[test]
fn equal_states_are_no_reason_to_stop() {
    let state = Some(Digest::of(b"state"));
    verdict(|tails| tails.iter_mut().for_each(|tail| tail.state = state)).expect("they agree");
}

#[test]
fn without_members_nothing_is_agreed() {
    assert!(agree(&[], GENERATION, STEP, 8).is_err());
    assert_eq!(agree(&[], GENERATION, STEP, 0), Err(Disagreement::Silence { step: STEP }));
}

#[test]
fn one_gradient_that_is_not_finite_skips_the_step_for_all() {
    assert!(verdict(|tails| tails[1].non_finite = true).expect("they agree").skipped);
}

#[test]
fn a_wish_of_one_is_a_wish_of_all() {
    let agreed = verdict(|tails| {
        tails[0].wishes.park = true;
        tails[1].wishes.regroup = true;
        tails[2].wishes.snapshot = true;
    });
    assert_eq!(agreed.expect("they agree").wishes, Wishes { park: true, regroup: true, snapshot: true });
}

#[test]
fn a_checkpoint_is_durable_when_all_parts_of_the_same_step_are() {
    let durable = |steps: [Option<u64>; 3]| {
        let agreed =
            verdict(|tails| tails.iter_mut().zip(steps).for_each(|(tail, step)| tail.durable = step.map(Step)));
        agreed.expect("they agree").durable
    };
    assert_eq!(durable([Some(60), Some(60), Some(60)]), Some(Step(60)));
    assert_eq!(durable([Some(60), None, Some(60)]), None);
    assert_eq!(durable([None, Some(60), Some(60)]), None);
    assert_eq!(durable([Some(60), Some(60), Some(50)]), None);
}

#[test]
fn a_checkpoint_that_one_could_not_write_is_given_up_when_nobody_writes_any_more() {
    let given_up = |parts: [(Option<u64>, bool); 3]| {
        let say = |(tail, (durable, unsaved)): (&mut Tail, (Option<u64>, bool))| {
            (tail.durable, tail.unsaved) = (durable.map(Step), unsaved);
        };
        let agreed = verdict(|tails| tails.iter_mut().zip(parts).for_each(say)).expect("they agree");
        (agreed.durable, agreed.unsaved)
    };
    let (done, failed, writing) = ((Some(60), false), (None, true), (None, false));
    assert_eq!(given_up([done, failed, done]), (None, true));
    assert_eq!(given_up([failed, failed, failed]), (None, true));
    assert_eq!(given_up([done, failed, writing]), (None, false), "the third one still writes");
    assert_eq!(given_up([done, done, done]), (Some(Step(60)), false));
}

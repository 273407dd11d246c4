use super::*;
use crate::spec::{self, model::Preset};
use proptest::prelude::*;

const LANES: u32 = 8;
const CORES: u32 = 2;

/// What a machine would have said on which a round takes `us_per_round` and a byte `us_per_byte`.
fn exchanges(way: Way, lanes: u32) -> Vec<Exchange> {
    let each = |workers: u32, bytes: u64| {
        let us = way.us(Traffic::of_reduction(lanes, workers, bytes as f64)) * crowding(workers, CORES);
        Exchange { workers, bytes, us, busy: false }
    };
    [2, 3, 4].into_iter().flat_map(|workers| [4_096, 300_000, 1_184_516].map(|bytes| each(workers, bytes))).collect()
}

fn parts() -> Parts {
    let recipe = Preset::PaperEyes.recipe();
    Parts {
        machine: "a machine of a test".to_owned(),
        cores: CORES,
        image: recipe.image,
        preset: Preset::PaperEyes,
        batch: 64,
        lanes: LANES,
        refiner_parameters: recipe.refiner.parameters(1) as u64,
        discriminator_parameters: recipe.discriminator.parameters(1) as u64,
        lane: LaneTimes { refiner_us: 180_000.0, discriminator_us: 60_000.0 },
        lane_busy: None,
        data_us: 500.0,
        optimiser_us: 2_000.0,
        reductions: exchanges(Way { us_per_round: 150.0, us_per_byte: 0.002 }, LANES),
        guards: vec![Exchange { workers: 2, bytes: 123_200, us: 800.0, busy: false }],
        regroup_us: 60_000.0,
        cycles: vec![],
    }
}

fn scaling() -> Scaling {
    Scaling::of(parts()).unwrap()
}

/// A machine for each worker, and a network that adds nothing.
fn apart() -> Machines {
    Machines { cores: CORES, workers: 1, wire: None, hours_between_deaths: 1_000.0 }
}

fn load(changes: &[(&str, &str)]) -> Load {
    let text = "name = \"eyes\"\nmodel.preset = \"paper-eyes\"\n[data]\nsynthetic = \"a\"\nreal = \"b\"\n\
                [train]\nsteps = 2_000\nbatch = 64\n";
    let changes: Vec<_> = changes.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    Load::of(&spec::read(text, &changes).unwrap_or_else(|faults| panic!("{faults}")).what)
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * one.abs().max(other.abs()).max(1e-9)
}

#[test]
fn the_job_that_was_measured_takes_its_lanes_one_after_the_other() {
    let mut parts = parts();
    parts.cycles = vec![Measured { workers: 1, us: 3_500_000.0 }];
    let (data, optimiser) = (3.0 * 500.0, 3.0 * 2_000.0);
    let lanes = f64::from(LANES) * (2.0 * 180_000.0 + 60_000.0);
    let checked = Scaling::of(parts).unwrap().checked();
    assert!(is_near(checked[0].predicted_us, lanes + data + optimiser), "{checked:?}");
    assert!(is_near(checked[0].off(), (lanes + data + optimiser) / 3_500_000.0 - 1.0), "{checked:?}");
    assert_eq!(scaling().measured, load(&[]), "a job of its preset, batch and lanes is the one that was measured");
}

#[test]
fn lanes_that_do_not_divide_evenly_are_waited_for() {
    let prediction = scaling().predict(&load(&[]), &apart(), 3);
    assert_eq!((prediction.cause(), prediction.members), (Some(Cause::Uneven), 3));
    // 8 lanes on three: 3, 3 and 2.
    let per_lane = prediction.cycle.compute_us / (8.0 / 3.0);
    assert!(is_near(prediction.cycle.waiting_us, per_lane / 3.0), "{prediction:?}");
    let why = prediction.why(&load(&[]), &apart());
    assert_eq!(why, "8 lanes do not divide evenly, 2.67 each: somebody has 3, and the others wait");
}

#[test]
fn workers_beyond_the_lanes_stand_by() {
    let (scaling, load) = (scaling(), load(&[]));
    let [all, more] = [8, 12].map(|workers| scaling.predict(&load, &apart(), workers));
    assert!(is_near(all.images_per_second, more.images_per_second), "{all:?} {more:?}");
    assert!(is_near(more.efficiency, all.efficiency * 8.0 / 12.0));
    assert_eq!((more.members, more.cause()), (8, Some(Cause::Lanes)));
    assert_eq!(more.why(&load, &apart()), "8 lanes are all there are, and 4 workers stand by");
}

#[test]
fn workers_that_share_a_core_take_turns() {
    let (scaling, load) = (scaling(), load(&[]));
    let of = |workers: u32, together: u32| {
        let machines = Machines { workers: together, hours_between_deaths: f64::INFINITY, ..apart() };
        scaling.predict(&load, &machines, workers)
    };
    let [two, four] = [of(2, 2), of(4, 4)];
    assert!(is_near(two.cycle.compute_us, four.cycle.compute_us), "two cores are two cores: {two:?} {four:?}");
    assert_eq!(four.cause(), Some(Cause::Cores));
    let four_each = Machines { workers: 4, ..apart() };
    let advice = scaling.advice(&load, &four_each, 0.9, 8).unwrap();
    assert_eq!(advice, "2 workers on each machine keep 90% as far as 8 workers");
    // Three on two cores: whoever is done leaves its share of them to the others.
    let three = of(3, 3).cycle;
    assert!(is_near(three.compute_us, two.cycle.compute_us) && is_near(three.waiting_us, 0.0), "{three:?}");
}

#[test]
fn neighbours_slow_a_core_down_as_it_was_measured() {
    let mut parts = parts();
    parts.lane_busy = Some(LaneTimes { refiner_us: 216_000.0, discriminator_us: 72_000.0 });
    let (scaling, load) = (Scaling::of(parts).unwrap(), load(&[]));
    let compute = |cores: u32, together: u32| {
        let machines = Machines { cores, workers: together, ..apart() };
        scaling.predict(&load, &machines, 8).cycle.compute_us
    };
    let alone = compute(2, 1);
    assert!(is_near(compute(2, 2), 1.2 * alone));
    assert!(is_near(compute(5, 3), 1.1 * alone), "half of the other cores are busy");
}

#[test]
fn a_job_of_other_networks_goes_by_its_arithmetic() {
    let (scaling, small) = (scaling(), load(&[("data.image", "{ size = [70, 55], channels = 1 }")]));
    let one = |load: &Load| scaling.predict(load, &apart(), 1).cycle;
    let [eyes, twice] = [one(&load(&[])), one(&small)];
    assert!((1.9..2.1).contains(&(twice.compute_us / eyes.compute_us)), "{eyes:?} {twice:?}");
    assert!(is_near(twice.data_us, 2.0 * eyes.data_us) && is_near(twice.optimiser_us, eyes.optimiser_us));
}

#[test]
fn what_is_not_guarded_is_not_handed_on() {
    let (scaling, alone) = (scaling(), load(&[("train.history.replicas", "0")]));
    assert!(scaling.predict(&load(&[]), &apart(), 4).cycle.guard_us > 0.0);
    assert_eq!(scaling.predict(&alone, &apart(), 4).cycle.guard_us, 0.0);
}

#[test]
fn a_wire_costs_only_between_machines_and_all_of_one_share_it() {
    let (scaling, load, wire) = (scaling(), load(&[]), Some(Way::sold(1.0, 100.0)));
    let reduce = |together: u32, wire: Option<Way>| {
        let machines = Machines { cores: 4, workers: together, wire, ..apart() };
        scaling.predict(&load, &machines, 4).cycle.reduce_us
    };
    assert!(is_near(reduce(4, wire), reduce(4, None)), "all four are on one machine");
    let [one, two] = [1, 2].map(|together| reduce(together, wire) - reduce(together, None));
    assert!(one > 0.0 && two > 1.5 * one, "{one} {two}");
}

#[test]
fn the_place_where_it_falls_is_named_with_its_cause_and_what_lies_beyond() {
    let (scaling, load) = (scaling(), load(&[]));
    let fall = scaling.falls_below(&load, &apart(), 0.9, 32).expect("8 lanes do not feed 32 workers");
    assert_eq!((fall.first.workers, fall.first.cause()), (3, Some(Cause::Uneven)));
    assert_eq!(fall.most, 8);
    assert_eq!(fall.beyond.as_ref().and_then(Prediction::cause), Some(Cause::Lanes));
    let advice = scaling.advice(&load, &apart(), 0.9, 32).unwrap();
    assert_eq!(
        advice,
        "a batch of 512 images has 64 lanes of 8 images, and keeps 90% as far as 32 workers; it is another run"
    );
    assert!(scaling.falls_below(&load, &apart(), 0.9, 2).is_none());
    assert!(scaling.advice(&load, &apart(), 0.9, 2).is_none());
}

#[test]
fn a_slow_network_is_the_cause_and_what_to_change() {
    let (scaling, load) = (scaling(), load(&[]));
    let slow = Machines { wire: Some(Way::sold(0.1, 500.0)), ..apart() };
    let fall = scaling.falls_below(&load, &slow, 0.9, 8).unwrap();
    assert_eq!((fall.first.workers, fall.first.cause()), (2, Some(Cause::Reduce)));
    let advice = scaling.advice(&load, &slow, 0.9, 8).unwrap();
    assert!(advice.contains("one without delay would keep 90% as far as 8 workers"), "{advice}");
}

#[test]
fn deaths_that_are_rare_cost_next_to_nothing_and_frequent_ones_are_named() {
    let (scaling, load) = (scaling(), load(&[]));
    let at = |hours: f64| scaling.predict(&load, &Machines { hours_between_deaths: hours, ..apart() }, 8);
    assert!(at(1_000.0).cycle.regroup_us / at(1_000.0).cycle.us() < 1e-5);
    let storm = at(0.000_1);
    assert_eq!(storm.cause(), Some(Cause::Regroup));
    assert!(storm.why(&load, &apart()).contains("regrouping takes"), "{storm:?}");
}

#[test]
fn figures_that_cannot_be_are_refused_with_their_name() {
    let refused = |change: &dyn Fn(&mut Parts)| {
        let mut parts = parts();
        change(&mut parts);
        let text = serde_json::to_string(&parts).unwrap();
        Parts::read(&text).map_or_else(|unfit| unfit.to_string(), |parts| Scaling::of(parts).unwrap_err().to_string())
    };
    assert_eq!(refused(&|parts| parts.reductions[1].us = 0.0), "reductions[1].us is 0, and must be above 0");
    assert!(refused(&|parts| parts.guards[0].workers = 1).starts_with("guards[0].workers less 1 is 0"));
    assert!(refused(&|parts| parts.lane.refiner_us = -1.0).starts_with("lane.refiner_us is -1"));
    assert_eq!(refused(&|parts| parts.lanes = 7), "7 lanes do not divide half a batch of 64");
    assert!(refused(&|parts| parts.refiner_parameters = 5).contains("a refiner of 5 parameters"));
    assert!(refused(&|parts| parts.reductions.truncate(1)).starts_with("reductions: 1 measured"));
    assert!(refused(&|parts| parts.reductions.iter_mut().for_each(|it| it.busy = true)).contains("0 measured"));
    assert!(Parts::read("{}").unwrap_err().to_string().contains("docs/scale.json"));
}

#[test]
fn parts_read_are_the_parts_written() {
    let text = serde_json::to_string(&parts()).unwrap();
    assert!(!text.contains("lane_busy"), "{text}");
    assert_eq!(Parts::read(&text).unwrap(), parts());
}

#[test]
fn where_only_bytes_or_only_rounds_explain_anything_the_other_is_nothing() {
    for way in [Way { us_per_round: 0.0, us_per_byte: 0.001 }, Way { us_per_round: 90.0, us_per_byte: 0.0 }] {
        let fitted = Way::of_reductions(&exchanges(way, LANES), LANES, CORES).unwrap();
        let near = (fitted.us_per_round - way.us_per_round).abs() < 1e-6
            && (fitted.us_per_byte - way.us_per_byte).abs() < 1e-9;
        assert!(near, "{fitted:?} of {way:?}");
    }
    // Large exchanges that took no longer than small ones.
    let mut odd = exchanges(Way { us_per_round: 90.0, us_per_byte: 0.0 }, LANES);
    odd.iter_mut().filter(|exchange| exchange.bytes > 1_000_000).for_each(|exchange| exchange.us *= 0.9);
    let fitted = Way::of_reductions(&odd, LANES, CORES).unwrap();
    assert!(fitted.us_per_byte == 0.0 && fitted.us_per_round > 0.0, "{fitted:?}");
}

proptest! {
    #[test]
    fn the_fit_finds_what_the_measurements_were_made_of(round in 1.0..5_000.0, byte in 1e-5..1.0, lanes in 4_u32..64) {
        let way = Way { us_per_round: round, us_per_byte: byte };
        let fitted = Way::of_reductions(&exchanges(way, lanes), lanes, CORES).unwrap();
        prop_assert!(is_near(fitted.us_per_round, round) && is_near(fitted.us_per_byte, byte), "{fitted:?}");
    }

    #[test]
    fn one_worker_has_all_its_speed_and_more_have_no_more_each(
        workers in 1_u32..300, together in 1_u32..9, cores in 1_u32..9, doublings in 0_u32..4,
        gigabits in 0.01..400.0, latency in 0.0..1_000.0, hours in 0.1..10_000.0
    ) {
        let batch = (64 << doublings).to_string();
        let (scaling, load) = (scaling(), load(&[("train.batch", &batch)]));
        let machines = Machines {
            cores, workers: together, wire: Some(Way::sold(gigabits, latency)), hours_between_deaths: hours
        };
        prop_assert_eq!(scaling.predict(&load, &machines, 1).efficiency, 1.0);
        let prediction = scaling.predict(&load, &machines, workers);
        prop_assert!(prediction.efficiency <= 1.0 + 1e-9 && prediction.efficiency > 0.0, "{prediction:?}");
        let lost: f64 = prediction.lost.iter().map(|loss| loss.share).sum();
        prop_assert!((prediction.efficiency + lost - 1.0).abs() < 1e-6, "{prediction:?}");
    }

    #[test]
    fn a_faster_network_never_makes_a_run_slower(
        workers in 1_u32..300, together in 1_u32..9, gigabits in 0.01..100.0, latency in 0.0..1_000.0, times in 1.0..50.0
    ) {
        let (scaling, load) = (scaling(), load(&[]));
        let speed = |gigabits: f64, latency: f64| {
            let machines = Machines { workers: together, wire: Some(Way::sold(gigabits, latency)), ..apart() };
            scaling.predict(&load, &machines, workers).images_per_second
        };
        let slow = speed(gigabits, latency);
        prop_assert!(speed(gigabits * times, latency) >= slow && speed(gigabits, latency / times) >= slow);
    }

    #[test]
    fn cutting_every_lane_in_several_never_makes_anybody_wait_longer(
        lanes in 1_u32..65, pieces in 1_u32..5, workers in 1_u32..129
    ) {
        let cut = |lanes: u32| {
            let (batch, lanes) = ((64 * 60 * lanes).to_string(), lanes.to_string());
            load(&[("train.batch", &batch), ("train.lanes", &lanes)])
        };
        let whole = cut(lanes);
        let pieces = Load { lanes: lanes * pieces, ..whole };
        let waiting = |load: &Load| scaling().predict(load, &apart(), workers).cycle.waiting_us;
        prop_assert!(waiting(&pieces) <= waiting(&whole) * (1.0 + 1e-9) + 1e-3);
    }
}

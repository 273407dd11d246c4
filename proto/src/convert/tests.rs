//! Every word crosses the wire and comes back as itself; what means nothing is refused by name.

use super::*;
use crate::v1;
use prost::Message as _;
use std::time::{Duration, UNIX_EPOCH};
use sumac_common::{
    checkpoint::Saved,
    conversation::{
        Basis, Beat, Doing, End, Ending, Fingerprint, Holding, Incarnation, Leaving, Opening, Place, Readiness,
        SlowWorker, SoFar, Wish,
    },
    examination::{Answer, Examination, Finding, Peer},
    ids::{Digest, Generation, JobId, NodeId, Step, Term, WorkerId},
    leases::{Attempt, Held, Receipt, Shard},
    logging::Level,
    losses::{Losses, Mean},
    pace::{Shares, Times},
    piecework::Piecework,
    refinement::{self, Refinement},
    spec::{Device, Resize, Spec, Workers},
    vitals::{Gpu, Vitals},
};

/// Through the bytes, not only through the structs.
fn up_and_back(up: Up) -> Up {
    let bytes = v1::FromWorker::from(up).encode_to_vec();
    v1::FromWorker::decode(bytes.as_slice()).unwrap().try_into().unwrap()
}

fn down_and_back(down: Down) -> Down {
    let bytes = v1::ToWorker::from(down).encode_to_vec();
    v1::ToWorker::decode(bytes.as_slice()).unwrap().try_into().unwrap()
}

fn job() -> JobId {
    "eyes-7f3".into()
}

fn readiness() -> Readiness {
    Readiness {
        data: Digest::of(b"both manifests"),
        lambda: Some(0.1),
        fingerprint: Fingerprint {
            libtorch: "2.11.0".to_owned(),
            device: "cpu".to_owned(),
            instructions: "AVX2".to_owned(),
            threads: 1,
            canary: Digest::of(b"canary"),
        },
    }
}

fn standing() -> Standing {
    Standing {
        job: job(),
        engaged: Some(Generation(0)),
        holds: Some(Holding { generation: Generation(3), step: Step(0) }),
        offered: Some(Holding { generation: Generation(4), step: Step(70) }),
        ready: Some(readiness()),
        ended: Some(End { generation: Generation(3), step: Step(0), ending: Ending::Parked }),
        held: Held {
            leases: vec![(attempt(), vec![Shard(4), Shard(0)])],
            wrote: vec![(attempt(), Shard(3), receipt())],
            asks: true,
        },
    }
}

fn attempt() -> Attempt {
    Attempt { term: Term(3), number: 17 }
}

fn receipt() -> Receipt {
    Receipt { digest: Digest::of(b"part-000003.tar"), refined: 255, bad: 1 }
}

fn refinement() -> Refinement {
    Refinement {
        name: "eyes".to_owned(),
        what: refinement::What {
            input: Digest::of(b"input"),
            samples: 1_000,
            shard_samples: 256,
            refiner: Some(refinement::Trained {
                weights: Digest::of(b"weights"),
                net: spec().what.model.refiner,
                threads: 1,
                origin: refinement::Origin { run: "eyes-7f3".to_owned(), step: 600, lambda: 0.5, seed: 7 },
            }),
            image: spec().what.data.image,
            fit: Some(Resize::Area),
            layout: refinement::Layout::Mirror,
            format: refinement::Format::Same,
            max_bad: 0.001,
        },
        how: refinement::How {
            source: "/data/drawn".into(),
            destination: "/data/refined".into(),
            workers: Workers { min: 1, max: 4, device: Device::Auto },
        },
    }
}

fn seat() -> Seat {
    Seat {
        worker: "gpu-03/0".into(),
        incarnation: Incarnation(u64::MAX),
        node: NodeId("gpu-03".to_owned()),
        store: "[fe80::1]:41000".parse().unwrap(),
        version: "0.1.0".to_owned(),
        device: "cpu (1 thread)".to_owned(),
    }
}

fn beat(doing: Doing) -> Beat {
    let mean = |n: u32| Mean { sum: f64::from(n) / 3.0, count: n.into() };
    Beat {
        job: job(),
        doing,
        generation: Generation(12),
        step: Step(4_213),
        losses: Losses::from_means([0, 1, 2, 3, 4, 5, 6].map(mean)),
        steps_per_second: 11.8,
        images_per_second: 6_042.25,
        history: 50_000,
        times: Times {
            data_us: 1.5,
            forward_us: 20_000.0,
            backward_us: 41_000.5,
            guard_us: 12.0,
            reduce_us: 900.0,
            optimiser_us: 300.0,
            waiting_us: 1_250.0,
        },
        waits_ms: 350,
        shares: Some(Shares { read: 0.1, decode: 0.2, refine: 0.9, encode: 0.3, write: 0.05 }),
        slow: Some(SlowWorker { worker: WorkerId::from("w3"), own_us: 61_000.5, others_us: 20_000.25 }),
    }
}

fn spec() -> Spec {
    let text = r#"
        name = "eyes"
        [data]
        synthetic = "/data/drawn"
        real = "/data/camera"
        image = { size = [35, 55], channels = 1 }
        [model]
        preset = "digits"
        [train]
        steps = 100
        [output]
        dir = "/runs/eyes"
    "#;
    spec::read(text, &[]).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn every_report_comes_back_as_itself() {
    let leaving = [
        Leaving::Told,
        Leaving::Broke("connection closed by b".to_owned()),
        Leaving::Unformed { unreached: vec!["b".into(), "c".into()], why: "timed out after 5s".to_owned() },
        Leaving::Unformed { unreached: vec![], why: String::new() },
    ];
    let endings = [Ending::Finished, Ending::Parked, Ending::Failed("10 steps in a row were not finite".to_owned())];
    let doings = [
        Doing::Preparing,
        Doing::Waiting,
        Doing::Entering,
        Doing::Training,
        Doing::Refining,
        Doing::Evaluating,
        Doing::Sealing,
    ];
    let mut reports = vec![
        Report::Ready { job: job(), readiness: readiness() },
        Report::Unable { job: job(), why: "no images in /data".to_owned() },
        Report::Leaving,
        Report::Entered { job: job(), generation: Generation(2), step: Step(70), redone: 4 },
        Report::Saved { job: job(), step: Step(100), there: vec![] },
        Report::Saved {
            job: job(),
            step: Step(100),
            there: vec![Saved { step: Step(100), bytes: 5_000_000, at_ms: 1_700_000_000_123 }],
        },
        Report::Unsaved { job: job(), step: Step(110), why: "cannot write the manifest".to_owned() },
        Report::Beat(None),
        Report::Vitals(Vitals::default()),
        Report::Vitals(Vitals {
            process_bytes: 170 << 20,
            process_cores: 0.97,
            cores: 16,
            load: 2.5,
            memory_used: 5 << 30,
            memory_total: 64 << 30,
            gpus: vec![Gpu {
                name: "H100".to_owned(),
                busy: 0.93,
                memory_used: 6,
                memory_total: 80,
                temperature: 61,
                watts: 412.5,
            }],
        }),
        Report::Asks { job: job() },
        Report::Wrote { job: job(), attempt: attempt(), shard: Shard(3), receipt: receipt() },
        Report::Failed { job: job(), attempt: attempt(), shard: Shard(0), why: "no room".to_owned() },
        Report::Sealed { job: job() },
    ];
    let left = |why| Report::Left { generation: Generation(1), standing: standing(), why };
    let end = |ending| End { generation: Generation(9), step: Step(600), ending };
    let ended = |ending| Report::Ended { job: job(), end: end(ending) };
    reports.extend(leaving.map(left));
    reports.extend(endings.map(ended));
    reports.extend(doings.map(|doing| Report::Beat(Some(beat(doing)))));
    for report in reports {
        assert_eq!(up_and_back(Up::Said(report.clone())), Up::Said(report));
    }
}

#[test]
fn lines_of_a_log_come_back_as_themselves() {
    let at = UNIX_EPOCH + Duration::new(1_700_000_000, 123_000_000);
    let bare = |level| Line { at, level, text: "attached term=7".to_owned(), job: None, generation: None, step: None };
    let within = Line { job: Some(job()), generation: Some(Generation(2)), step: Some(Step(0)), ..bare(Level::Error) };
    let logged = Up::Logged([Level::Debug, Level::Info, Level::Warn].map(bare).into_iter().chain([within]).collect());
    assert_eq!(up_and_back(logged.clone()), logged);
}

#[test]
fn what_doctor_asks_and_is_answered_comes_back_as_itself() {
    let peer =
        Peer { worker: "a".into(), node: NodeId("gpu-01".to_owned()), store: "10.0.3.14:41877".parse().unwrap() };
    let token = "7f3".to_owned();
    for what in [
        Examination::Look { peers: vec![], job: None, token: None },
        Examination::Look { peers: vec![peer], job: Some(Box::new(spec())), token: Some(token.clone()) },
        Examination::Clear { output: "/runs/eyes".into(), token: token.clone() },
        Examination::Compare { output: "/runs/eyes".into(), token, nodes: vec![NodeId("gpu-02".to_owned())] },
    ] {
        let asked = Down::Examine { number: 3, what };
        assert_eq!(down_and_back(asked.clone()), asked);
    }
    let findings = vec![Finding::good("fine"), Finding::odd("slow", "look"), Finding::bad("gone", "mend")];
    let answer = Answer { engine: "libtorch 2.11.0, AVX2".to_owned(), findings };
    let examined = Up::Examined { number: 3, at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123), answer };
    assert_eq!(up_and_back(examined.clone()), examined);
}

#[test]
fn a_join_comes_back_as_itself_with_and_without_a_standing() {
    let bare = Standing::outside(job());
    for standing in [None, Some(standing()), Some(bare)] {
        let join = Up::Join { seat: seat(), standing };
        assert_eq!(up_and_back(join.clone()), join);
    }
}

#[test]
fn every_order_comes_back_as_itself() {
    let place = |worker: &str| Place { worker: worker.into(), store: "10.0.3.14:41877".parse().unwrap() };
    let opening = |basis| Opening {
        job: job(),
        generation: Generation(2),
        roster: vec![place("b"), place("a")],
        basis,
        so_far: SoFar { workers_seen: 3, generations: 2, steps_redone: 1 },
    };
    let held = Basis::Held {
        generation: Generation(1),
        roster: ["a", "b", "c"].map(WorkerId::from).to_vec(),
        holders: vec![("a".into(), Step(70)), ("b".into(), Step(71))],
    };
    let orders = [
        Order::Prepare { job: job(), spec: Box::new(spec()) },
        Order::Open(Box::new(opening(Basis::Saved))),
        Order::Open(Box::new(opening(held))),
        Order::Close { job: job(), generation: Generation(1) },
        Order::Wish { job: job(), generation: Generation(3), wish: Wish::Regroup },
        Order::Wish { job: job(), generation: Generation(3), wish: Wish::Park },
        Order::Release { job: job(), why: None },
        Order::Release { job: job(), why: Some("its images are others".to_owned()) },
        Order::Piecework { job: job(), work: Box::new(Piecework::Refine(Box::new(refinement()))) },
        Order::Lease { job: job(), attempt: attempt(), shards: vec![Shard(0), Shard(7)] },
        Order::Publish { job: job(), attempt: attempt(), shard: Shard(7) },
        Order::Discard { job: job(), attempt: attempt(), shard: Shard(0) },
        Order::Seal {
            job: job(),
            receipts: Digest::of(b"all"),
            quarantined: vec![(Shard(1), "a: no room".to_owned())],
        },
    ];
    for order in orders {
        assert_eq!(down_and_back(Down::Told(order.clone())), Down::Told(order));
    }
}

#[test]
fn the_first_answer_comes_back_as_itself() {
    for down in [
        Down::Welcome(Term(7)),
        Down::Refused("another version".to_owned()),
        Down::NotYet("the name is taken".to_owned()),
    ] {
        assert_eq!(down_and_back(down.clone()), down);
    }
}

#[test]
fn figures_that_are_not_finite_survive() {
    let mut odd = beat(Doing::Training);
    odd.losses.realism = Mean { sum: f64::NEG_INFINITY, count: 1 };
    assert_eq!(up_and_back(Up::Said(Report::Beat(Some(odd.clone())))), Up::Said(Report::Beat(Some(odd))));
}

fn refused(said: v1::from_worker::Said) -> BadWire {
    Up::try_from(v1::FromWorker { said: Some(said) }).unwrap_err()
}

#[test]
fn an_empty_message_is_refused() {
    let nothing = BadWire::Missing { message: "FromWorker", field: "said" };
    assert_eq!(Up::try_from(v1::FromWorker { said: None }), Err(nothing));
}

#[test]
fn a_join_without_a_seat_is_refused() {
    let join = v1::Join { seat: None, standing: None };
    assert_eq!(refused(v1::from_worker::Said::Join(join)), BadWire::Missing { message: "Join", field: "seat" });
}

#[test]
fn a_nameless_worker_is_refused() {
    let seat = v1::Seat { worker: String::new(), ..seat().into() };
    let join = v1::Join { seat: Some(seat), standing: None };
    assert_eq!(refused(v1::from_worker::Said::Join(join)), BadWire::Missing { message: "Seat", field: "worker" });
}

#[test]
fn a_store_without_a_port_is_refused_with_what_was_written() {
    let seat = v1::Seat { store: "10.0.3.14".to_owned(), ..seat().into() };
    let join = v1::Join { seat: Some(seat), standing: None };
    let refused = refused(v1::from_worker::Said::Join(join));
    assert_eq!(refused.to_string(), "Seat.store is `10.0.3.14`, which is not an address with a port");
}

#[test]
fn an_unspecified_doing_is_refused() {
    let beat = v1::Beat { doing: 0, ..beat(Doing::Training).into() };
    let heartbeat = v1::Heartbeat { beat: Some(beat) };
    let expected = BadWire::Unknown { message: "Beat", field: "doing", value: 0 };
    assert_eq!(refused(v1::from_worker::Said::Heartbeat(heartbeat)), expected);
}

#[test]
fn a_digest_of_another_length_is_refused() {
    let readiness = v1::Readiness { data: vec![1; 31], ..readiness().into() };
    let ready = v1::Ready { job: "eyes-7f3".to_owned(), readiness: Some(readiness) };
    let expected = BadWire::NotADigest { message: "Readiness", field: "data", bytes: 31 };
    assert_eq!(refused(v1::from_worker::Said::Ready(ready)), expected);
}

#[test]
fn a_spec_that_does_not_check_is_refused_with_its_faults() {
    let prepare = v1::Prepare { job: "eyes-7f3".to_owned(), spec_toml: "name = 3".to_owned() };
    let message = v1::ToWorker { said: Some(v1::to_worker::Said::Prepare(prepare)) };
    assert!(
        matches!(Down::try_from(message), Err(BadWire::BadSpec { message: "Prepare", faults }) if !faults.0.is_empty())
    );
}

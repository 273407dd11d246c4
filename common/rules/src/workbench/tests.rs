use super::*;
use crate::{
    conversation::Fingerprint,
    ids::Term,
    refinement::{Format, How, Layout, Origin, Refinement, Trained, What},
    spec::{Device, ImageShape, Workers, model},
};

pub(crate) fn refinement() -> Piecework {
    Piecework::Refine(Box::new(Refinement {
        name: "eyes".to_owned(),
        what: What {
            input: Digest::of(b"input"),
            samples: 100,
            shard_samples: 10,
            refiner: Some(Trained {
                weights: Digest::of(b"weights"),
                net: model::Refiner {
                    width: 8,
                    blocks: 1,
                    kernel: 3,
                    output: model::RefinerOutput::Tanh,
                    padding: model::Padding::Zeros,
                    noise: model::Noise::NONE,
                    light: false,
                    matching: model::Matching::None,
                },
                threads: 1,
                origin: Origin { run: "eyes-7f3".to_owned(), step: 100, lambda: 0.5, seed: 7 },
            }),
            image: ImageShape { channels: 1, height: 35, width: 55 },
            fit: None,
            layout: Layout::Mirror,
            format: Format::Same,
            max_bad: 0.001,
        },
        how: How {
            source: "eyes".into(),
            destination: "refined".into(),
            workers: Workers { min: 1, max: 4, device: Device::Auto },
        },
    }))
}

fn readiness() -> Readiness {
    let fingerprint = Fingerprint {
        libtorch: "2.11.0".to_owned(),
        device: "cpu".to_owned(),
        instructions: "AVX2".to_owned(),
        threads: 1,
        canary: Digest::of(b"song"),
    };
    Readiness { data: Digest::of(b"what"), fingerprint, lambda: None }
}

const LEASE: Attempt = Attempt { term: Term(1), number: 4 };
const RECEIPT: Receipt = Receipt { digest: Digest([7; 32]), refined: 10, bad: 0 };

fn job() -> JobId {
    JobId::from("eyes-r")
}

/// With these shards to do.
fn bench(shards: &[u32]) -> Workbench {
    let mut bench = Workbench::new(job(), Box::new(refinement()));
    bench.step(Event::Prepared(readiness()));
    bench.told(Order::Lease { job: job(), attempt: LEASE, shards: shards.iter().copied().map(Shard).collect() });
    bench
}

fn wrote(shard: Shard) -> Event {
    Event::Wrote { attempt: LEASE, shard, receipt: RECEIPT }
}

#[test]
fn who_is_ready_asks() {
    let mut bench = Workbench::new(job(), Box::new(refinement()));
    assert_eq!(bench.next(), Next::Prepare);
    let said = bench.step(Event::Prepared(readiness()));
    assert_eq!(said, [Report::Ready { job: job(), readiness: readiness() }, Report::Asks { job: job() }]);
    assert!(bench.standing().held.asks);
}

#[test]
fn it_asks_once_when_the_last_shard_is_under_way() {
    let mut bench = bench(&[3, 4]);
    assert_eq!(bench.step(Event::Took), []);
    assert_eq!(bench.step(Event::Took), [Report::Asks { job: job() }]);
    assert_eq!(bench.step(Event::Took), [], "it has asked");
}

#[test]
fn what_is_begun_and_what_is_written_are_said_when_it_attaches() {
    let mut bench = bench(&[3, 4, 5]);
    bench.step(Event::Took);
    bench.step(Event::Took);
    bench.step(wrote(Shard(3)));
    let held = bench.standing().held;
    assert_eq!(held.leases, [(LEASE, vec![Shard(4), Shard(5)])]);
    assert_eq!(held.wrote, [(LEASE, Shard(3), RECEIPT)]);
}

#[test]
fn a_verdict_heard_twice_is_carried_out_once_and_before_anything_else() {
    let mut bench = bench(&[3, 4]);
    bench.step(Event::Took);
    bench.step(wrote(Shard(3)));
    for _ in 0..2 {
        bench.told(Order::Publish { job: job(), attempt: LEASE, shard: Shard(3) });
    }
    assert_eq!(bench.next(), Next::Publish { attempt: LEASE, shard: Shard(3) });
    bench.step(Event::Settled);
    assert_eq!(bench.next(), Next::Take { attempt: LEASE, shard: Shard(4) });
    assert!(bench.standing().held.wrote.is_empty());
}

#[test]
fn it_seals_when_nothing_else_is_to_be_done() {
    let mut bench = bench(&[3]);
    bench.step(Event::Took);
    bench.step(wrote(Shard(3)));
    bench.told(Order::Publish { job: job(), attempt: LEASE, shard: Shard(3) });
    bench.told(Order::Seal { job: job(), receipts: Digest::of(b"all"), quarantined: vec![] });
    assert!(matches!(bench.next(), Next::Publish { .. }));
    bench.step(Event::Settled);
    assert_eq!(bench.next(), Next::Seal { receipts: Digest::of(b"all"), quarantined: &[] });
    assert_eq!(bench.step(Event::Sealed), [Report::Sealed { job: job() }]);
    assert_eq!(bench.next(), Next::Wait);
}

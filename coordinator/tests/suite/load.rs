//! How a coordinator bears a large refinement: how soon it serves again, how many shards a second it commits. `make
//! bench-leases` runs these and prints what they measure; how fast a machine should be is not asserted.

use crate::{
    play::{Played, Running, Sumac, coordinator, operator},
    refining::{ready, receipt, refinement, submit},
};
use rustix::process::Signal;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use sumac::store::{Ended, Store};
use sumac_common::{
    conversation::{Order, Report},
    ids::{JobId, Term},
    leases::{Attempt, Fate, Shard},
    refinement::Refinement,
};
use sumac_proto::{Down, v1};
use tokio::time::timeout_at;

const SHARDS: u32 = 270_000;
const COMMITTED: u32 = 269_000;
const STARTS: usize = 5;
const WORKERS: usize = 8;
/// Commits are counted through so long, after a tenth of it to warm up.
const COUNTED: Duration = Duration::from_secs(10);

/// A state directory and where its refinement writes.
struct Past {
    sumac: Sumac,
    state: PathBuf,
    refinement: Refinement,
    job: String,
}

impl Past {
    /// In which so many shards were committed.
    async fn with(committed: u32) -> Self {
        let sumac = Sumac::new();
        let state = sumac.folder.path().join("state");
        let refinement = refinement(SHARDS.into(), &sumac.folder.path().join("refined"));
        let first = coordinator(&state).await;
        let (_, job) = submit(&first.url(), &refinement).await;
        first.stop().await.unwrap();
        let (store, _) = Store::open(&state).unwrap();
        let attempt = Attempt { term: Term(1), number: 1 };
        let ended = |shard| {
            let fate = Fate::Committed { attempt, receipt: receipt(Shard(shard)) };
            Ended { job: JobId::from(job.id.as_str()), shard: Shard(shard), fate }
        };
        store.keep((0..committed).map(ended).collect()).await.unwrap();
        Self { sumac, state, refinement, job: job.id }
    }

    /// The real program, until it says where it serves.
    async fn serves(&self) -> Serving {
        let begun = Instant::now();
        let state = self.state.display().to_string();
        let mut command = self.sumac.command(&["serve", "--listen", "127.0.0.1:0", "--state", &state]);
        let mut process = self.sumac.starts(&mut command);
        let url = process.serves().await;
        Serving { url, after: begun.elapsed(), process }
    }
}

struct Serving {
    url: String,
    /// From the start of the process.
    after: Duration,
    process: Running,
}

impl Serving {
    async fn ends(self) {
        self.process.signal(Signal::TERM);
        self.process.ends().await.with(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: make bench-leases"]
async fn a_coordinator_starts_with_a_large_refinement() {
    let past = Past::with(COMMITTED).await;
    let (mut served, mut answered) = (vec![], vec![]);
    for _ in 0..STARTS {
        let begun = Instant::now();
        let serving = past.serves().await;
        let (_, job) = submit(&serving.url, &past.refinement).await;
        answered.push(begun.elapsed());
        assert_eq!(job.pieces.unwrap().committed, u64::from(COMMITTED));
        served.push(serving.after);
        serving.ends().await;
    }
    let size = file_size(&past.state);
    println!("start with {COMMITTED} of {SHARDS} shards committed ({:.0} MB of state), {STARTS} starts:", size / 1e6);
    println!("  until it serves    {}", spread(served));
    println!("  until it answers   {}   target < 2 s", spread(answered));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: make bench-leases"]
async fn a_coordinator_commits_the_shards_of_eight_workers() {
    for committed in [0, SHARDS / 2] {
        let past = Past::with(committed).await;
        let serving = past.serves().await;
        // Nobody of its last term will come back.
        let given_up = v1::GiveUpRequest { job: past.job.clone() };
        operator(&serving.url).await.give_up(given_up).await.unwrap();
        let begin = Instant::now() + COUNTED / 10;
        let workers = (0..WORKERS).map(|number| {
            let (url, refinement) = (serving.url.clone(), past.refinement.clone());
            tokio::spawn(async move { published(&url, &format!("w{number}"), &refinement, begin).await })
        });
        let (mut count, mut last) = (0, begin);
        for worker in workers.collect::<Vec<_>>() {
            let (of_it, until) = worker.await.unwrap();
            (count, last) = (count + of_it, last.max(until));
        }
        let seconds = (last - begin).as_secs_f64();
        let rate = f64::from(count) / seconds;
        println!("commits from {WORKERS} workers, {committed} of {SHARDS} shards committed before:");
        println!("  {rate:.0} shards/s through {seconds:.1} s   target >= 1000/s");
        serving.ends().await;
    }
}

/// Shards that were published to this worker within [`COUNTED`] from `begin` on, or until there are no more, and when the last
/// was; it writes whatever it is leased at once.
async fn published(url: &str, name: &str, refinement: &Refinement, begin: Instant) -> (u32, Instant) {
    let mut worker = Played::joins(url, name).await;
    let Order::Piecework { job, .. } = worker.hears_order().await else { panic!("no Piecework") };
    worker.says(Report::Ready { job: job.clone(), readiness: ready(refinement) }).await;
    worker.says(Report::Asks { job: job.clone() }).await;
    let (mut count, mut last) = (0, begin);
    // Where nothing is left to do it is silent, and its stream may end.
    while let Ok(Some(Down::Told(order))) = timeout_at((begin + COUNTED).into(), worker.hears()).await {
        match order {
            Order::Lease { job, attempt, shards } => {
                for shard in shards {
                    worker.says(Report::Wrote { job: job.clone(), attempt, shard, receipt: receipt(shard) }).await;
                }
                worker.says(Report::Asks { job }).await;
            }
            Order::Publish { .. } if Instant::now() > begin => (count, last) = (count + 1, Instant::now()),
            Order::Publish { .. } | Order::Seal { .. } => {}
            other => panic!("neither Lease nor Publish but {other:?}"),
        }
    }
    (count, last)
}

fn file_size(state: &Path) -> f64 {
    std::fs::metadata(state.join("state.db")).unwrap().len() as f64
}

/// Median, least and most.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let (least, most) = (times[0], times[times.len() - 1]);
    format!(
        "{:.2} s (median; {:.2} to {:.2})",
        times[times.len() / 2].as_secs_f64(),
        least.as_secs_f64(),
        most.as_secs_f64()
    )
}

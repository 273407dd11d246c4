//! Seconds per cycle of a real run: `sumac up` with worker processes, watched from outside as it commits its steps. Knows
//! nothing of what a step computes.

use crate::{Setup, scene::Scene};
use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Updates in a cycle: two of the refiner, one of the discriminator.
pub(crate) const STEPS: usize = 3;
/// Between two looks at the run: what a time of a step is uncertain by.
const GLANCE: Duration = Duration::from_millis(2);
/// A run in which nothing is committed for so long is given up.
const PATIENCE: Duration = Duration::from_secs(180);

/// What was seen of some cycles.
pub(crate) struct Run {
    pub(crate) seconds: Vec<f64>,
    /// The largest size in memory of all processes that train, together, in bytes.
    pub(crate) peak: u64,
}

/// A folder with images, in which runs are made one after the other.
pub(crate) struct Track {
    scene: Scene,
    folder: tempfile::TempDir,
    sumac: PathBuf,
    runs: usize,
}

impl Track {
    pub(crate) fn lay(scene: Scene, sumac: &Path) -> anyhow::Result<Self> {
        let sumac = std::path::absolute(sumac)?;
        ensure!(sumac.is_file(), "`{}` is not there: build it first, `make build`", sumac.display());
        let track = Self { scene, folder: tempfile::tempdir()?, sumac, runs: 0 };
        scene.lay(track.folder.path())?;
        Ok(track)
    }

    /// Each of `cycles` cycles. One more goes before them: it starts cold and without history.
    pub(crate) fn run(&mut self, setup: Setup, lanes: u32, cycles: usize) -> anyhow::Result<Run> {
        self.runs += 1;
        let Setup { workers, threads } = setup;
        let (run, n) = (format!("run{}", self.runs), workers.to_string());
        let folder = self.folder.path();
        let of_run = |what: &str| folder.join(format!("{run}{what}"));
        fs::write(of_run(".toml"), self.scene.job())?;
        let says = of_run(".log");
        let overrides = [
            format!("output.dir={run}"),
            format!("train.steps={}", STEPS * (cycles + 1)),
            format!("train.lanes={lanes}"),
            format!("workers.min={n}"),
            format!("workers.max={n}"),
            format!("workers.threads={threads}"),
        ];
        let mut command = self.command();
        command.args(["up", &format!("{run}.toml"), "--workers", &n, "--state", &format!("{run}-state")]);
        for change in &overrides {
            command.args(["--set", change]);
        }
        let log = File::create(&says)?;
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn().context("starting sumac up")?;

        let (up, mut peak) = (child.id().to_string(), 0);
        let mut look = || {
            peak = peak.max(peak_below(&up));
            Ok(child.try_wait()?.is_none())
        };
        let committed = watch(&folder.join(&run).join("metrics.jsonl"), STEPS * (cycles + 1), &mut look);
        if committed.is_err() {
            // Its workers end with it.
            child.kill()?;
        }
        let status = child.wait()?;
        let tale = || fs::read_to_string(&says).unwrap_or_default();
        let committed = committed.with_context(|| format!("watching sumac up on {n} workers: {}", tale()))?;
        ensure!(status.success(), "sumac up on {n} workers ended with {status}: {}", tale());
        self.check(&run, workers, cycles)?;
        // A cycle ends with its last step; the first one only starts the clock.
        let ends: Vec<Instant> = committed.into_iter().skip(STEPS - 1).step_by(STEPS).collect();
        Ok(Run { seconds: ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect(), peak })
    }

    /// How long nothing is committed when one of two workers is killed, at most: until the other goes on alone, or with a successor.
    /// A toy trains, whose steps take no time.
    pub(crate) fn regroups(&mut self) -> anyhow::Result<Duration> {
        let folder = self.folder.path();
        let job = "name = \"toy\"\nmodel.preset = \"toy\"\n[data]\nsynthetic = \"synthetic.npy\"\nreal = \"real.npy\"\n\
                   resize = \"area\"\n[train]\nbatch = 64\nlanes = 8\nsteps = 10_000_000\n[output]\ndir = \"toy\"\n\
                   checkpoint_every = \"1h\"\nsamples_every = 1_000_000\n[workers]\nmin = 1\nmax = 2\n";
        fs::write(folder.join("toy.toml"), job)?;
        let log = File::create(folder.join("toy.log"))?;
        let mut command = self.command();
        command.args(["up", "toy.toml", "--workers", "2", "--state", "toy-state"]);
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn().context("starting sumac up")?;
        let metrics = folder.join("toy/metrics.jsonl");
        let lines = || fs::metadata(&metrics).map_or(0, |metrics| metrics.len());
        let longest = (|| {
            wait_until(|| lines() > 20_000).context("a toy that trains")?;
            let node = children(&child.id().to_string()).into_iter().next().context("up has no node")?;
            let worker = children(&node).into_iter().next_back().context("the node has no worker")?;
            let killed = Command::new("kill").args(["-KILL", &worker]).status()?;
            ensure!(killed.success(), "worker {worker} was not killed");
            let (begun, mut last, mut before) = (Instant::now(), Instant::now(), lines());
            let mut longest = Duration::ZERO;
            // A successor comes within a second or two.
            while begun.elapsed() < Duration::from_secs(8) {
                let now = lines();
                if now > before {
                    longest = longest.max(last.elapsed());
                    (last, before) = (Instant::now(), now);
                }
                thread::sleep(GLANCE);
            }
            Ok(longest)
        })();
        child.kill()?;
        child.wait()?;
        longest
    }

    /// That the run was what it is taken for: all workers from the start, history in every cycle but the first.
    fn check(&self, run: &str, workers: usize, cycles: usize) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.folder.path().join(run).join("summary.json"))?;
        let summary: serde_json::Value = serde_json::from_str(&text)?;
        let seen = summary["workers_seen"].as_u64();
        ensure!(seen == Some(workers as u64), "the run saw {seen:?} workers, not {workers}");
        ensure!(summary["generations"] == 1, "the run went through {} generations", summary["generations"]);
        let drawn = summary["history"]["drawn"].as_u64();
        let half = self.scene.batch() / 2;
        ensure!(
            drawn == Some(u64::from(half) * cycles as u64),
            "{drawn:?} images were drawn from the history in {cycles} cycles of {half}"
        );
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.sumac);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("SUMAC_DEVICE", "cpu")
            .env("SUMAC_CACHE", self.folder.path().join("cache"));
        command
    }
}

/// What all below a process have taken of memory at most, in bytes; 0 where the system does not tell.
fn peak_below(process: &str) -> u64 {
    children(process).iter().map(|child| peak_of(child).unwrap_or_default() + peak_below(child)).sum()
}

fn children(process: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

fn wait_until(is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so() {
        ensure!(begun.elapsed() < PATIENCE, "not seen for {} s", PATIENCE.as_secs());
        thread::sleep(GLANCE);
    }
    Ok(())
}

fn peak_of(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// When each of the first `steps` steps was seen committed, which is when its line ends.
fn watch(
    metrics: &Path,
    steps: usize,
    mut alive: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<Instant>> {
    let (mut seen, mut news) = (Vec::new(), Instant::now());
    loop {
        // Whatever an ended run wrote, it wrote before it was seen to have ended.
        let last_look = !alive()?;
        let written = fs::read(metrics).unwrap_or_default();
        let now = Instant::now();
        let lines = written.iter().filter(|&&byte| byte == b'\n').count();
        if lines > seen.len() {
            seen.resize(lines, now);
            news = now;
        }
        if seen.len() >= steps {
            return Ok(seen);
        }
        if last_look {
            bail!("it ended after {} of {steps} steps", seen.len());
        }
        ensure!(news.elapsed() < PATIENCE, "no step was committed for {} s", PATIENCE.as_secs());
        thread::sleep(GLANCE);
    }
}

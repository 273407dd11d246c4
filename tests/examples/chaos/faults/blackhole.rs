//! A host that vanishes without a word: the link between two network namespaces goes down, no connection is reset.
//!
//! One of the two is this process's own, the other is that of a process that does nothing: when it dies, its namespace goes,
//! and with it both ends of the link. So nothing is left behind, however the campaign ends. Needs root and iproute2.

use crate::{
    campaign::Campaign,
    row::Row,
    stage::{Model, Stage, room, wait_a_moment},
};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use sumac_tests::{Cluster, Process};

/// From the range for trials of network gear (RFC 2544), which no network uses.
const HERE: &str = "198.18.77.1";
const THERE: &str = "198.18.77.2";
const WORKERS: usize = 3;
/// The one on the other side.
const FAR: &str = "w2";

/// Another network, reached by one link.
struct Beyond {
    keeper: Process,
    link: String,
}

impl Beyond {
    fn new() -> Result<Self, String> {
        let link = format!("sumac{}", std::process::id());
        let mut keep = Command::new("setpriv");
        keep.args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo kept; exec sleep infinity"]);
        let keeper = Process::start("the other network", &mut keep);
        let kept = keeper.hear("that it is there", |lines| lines.iter().find(|line| line.text == "kept").cloned());
        if kept.is_none() {
            return Err("no network namespace can be made: this needs root".to_owned());
        }
        let beyond = Self { keeper, link };
        let (link, pid) = (&beyond.link, beyond.keeper.pid().to_string());
        // The address has to reach the wire: with lo down, the far worker would not find itself.
        beyond.ip(false, &["link", "add", link, "type", "veth", "peer", "name", "far", "netns", &pid])?;
        beyond.ip(false, &["address", "add", &format!("{HERE}/30"), "dev", link])?;
        beyond.ip(false, &["link", "set", link, "up"])?;
        beyond.ip(true, &["address", "add", &format!("{THERE}/30"), "dev", "far"])?;
        beyond.ip(true, &["link", "set", "lo", "up"])?;
        beyond.ip(true, &["link", "set", "far", "up"])?;
        Ok(beyond)
    }

    fn inside(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.keeper.pid())]
    }

    /// `ip`, on that side or on this.
    fn ip(&self, is_there: bool, words: &[&str]) -> Result<(), String> {
        let inside = if is_there { self.inside().to_vec() } else { Vec::new() };
        let output = Command::new("env").args(inside).arg("ip").args(words).output();
        let output = output.map_err(|error| format!("ip {}: {error}", words.join(" ")))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn cut(&self) -> Result<(), String> {
        self.ip(true, &["link", "set", "far", "down"])
    }

    fn heal(&self) -> Result<(), String> {
        self.ip(true, &["link", "set", "far", "up"])
    }
}

impl Drop for Beyond {
    fn drop(&mut self) {
        // The kernel takes its time with a namespace; the link has to be gone before the next one is made.
        let _ = self.ip(false, &["link", "delete", &self.link]);
    }
}

pub(crate) fn of_a_host(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("host cut off, healed", model.name());
    let beyond = match Beyond::new() {
        Ok(beyond) => beyond,
        Err(why) => {
            row.notes.push(format!("skipped: {why}"));
            return row;
        }
    };
    let undisturbed = campaign.references.of(model).clone();
    let mut dice = campaign.dice(&row);
    let n = campaign.times(n);
    let mut cluster = Cluster::start_at(room(), &format!("{HERE}:0"));
    cluster.join("w0");
    cluster.join("w1");
    let prefix = [vec!["setpriv".to_owned(), "--pdeathsig".to_owned(), "KILL".to_owned()], beyond.inside().to_vec()];
    let prefix: Vec<&str> = prefix.iter().flatten().map(String::as_str).collect();
    cluster.join_behind(FAR, &prefix);
    let stage = Stage::on(cluster, model, model.job("cut").at_most(WORKERS as u32));
    let (mut played, mut healed) = (0, Vec::new());
    while played < n && stage.has_time() {
        let Some(before) = stage.whole(WORKERS) else { break };
        wait_a_moment(&mut dice);
        let since = Instant::now();
        let cut = beyond.cut();
        let (times, entered) = stage.mended(since, before.generation);
        let healing = Instant::now();
        if let Err(why) = cut.and_then(|()| beyond.heal()) {
            row.missed.push(why);
            break;
        }
        row.time(times);
        if entered.is_none() || stage.whole(WORKERS).is_none() {
            break;
        }
        healed.push(healing.elapsed().as_secs_f64());
        played += 1;
        eprint!("\r  {}: {played}/{n} ", row.fault);
    }
    eprintln!();
    let verdict = stage.end(&undisturbed);
    row.judge(played, &verdict);
    row.redone_max = verdict.redone;
    let slowest = healed.iter().copied().fold(0.0, f64::max);
    row.notes.push(format!("{played} times back among the others, at most {slowest:.1} s after the link was"));
    row.demand(played == n, || format!("played {played} of {n} times before the run ended"));
    row.demand_detection(Duration::from_secs(6));
    row.demand_recovery(Duration::from_secs(15), Duration::from_secs(15));
    row
}

//! What `doctor` asks and what it makes of the answers: measurements in, findings out, each bad one with what to do about it.
//!
//! It refuses to know how anything is measured, and no decision of a run hears any of it.

use crate::{
    conversation::{Fingerprint, Seat},
    ids::{NodeId, Term, WorkerId},
    spec::{Data, Resize, Spec},
    vitals::Gpu,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Clocks that differ by more make logs and ages of different machines hard to read. No result depends on them.
const SKEW_ODD: Duration = Duration::from_secs(1);
/// Shared memory below this is too little for several GPUs on one machine.
const SHARED_ODD: u64 = 1 << 30;
/// A disk with less room soon refuses a checkpoint.
const FREE_ODD: u64 = 1 << 30;
/// A disk that takes longer over a small file holds up whoever writes checkpoints.
const SYNC_ODD: Duration = Duration::from_secs(1);
/// Connections within a machine room take a few milliseconds.
const WAY_ODD: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grade {
    #[serde(rename = "ok")]
    Good,
    /// It works, and perhaps not as meant.
    #[serde(rename = "warn")]
    Odd,
    #[serde(rename = "fail")]
    Bad,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Odd => "warn",
            Self::Bad => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub grade: Grade,
    pub what: String,
    /// What to do about it. Only what is good has none.
    pub remedy: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn good(what: impl Into<String>) -> Self {
        Self { grade: Grade::Good, what: what.into(), remedy: None }
    }

    #[must_use]
    pub fn odd(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Odd, what: what.into(), remedy: Some(remedy.into()) }
    }

    #[must_use]
    pub fn bad(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Bad, what: what.into(), remedy: Some(remedy.into()) }
    }
}

/// One line, and one for the remedy.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<5} {}", self.grade, self.what)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "\n        remedy: {remedy}"))
    }
}

/// What one worker is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Examination {
    /// How its machine is, whether it reaches these, and what it sees of this job. With a token, it leaves a file in the job's output
    /// folder, for the others to see.
    Look { peers: Vec<Peer>, job: Option<Box<Spec>>, token: Option<String> },
    /// Whether it sees the files that these have left there.
    Compare { output: PathBuf, token: String, nodes: Vec<NodeId> },
    /// Take its own away.
    Clear { output: PathBuf, token: String },
}

/// Somebody who should be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub worker: WorkerId,
    pub node: NodeId,
    pub store: SocketAddr,
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What its numbers depend on, in words: equal on all machines, or one of them is turned away.
    pub engine: String,
    pub findings: Vec<Finding>,
}

/// Who looks at whom: one worker of each node at one of every other node, and at all others of its own. Pairs of workers would be
/// millions where pairs of machines are thousands, and what lies between two machines is the same for all on them.
#[must_use]
pub fn rounds(seats: &[Seat]) -> Vec<(Peer, Vec<Peer>)> {
    let mut nodes: BTreeMap<&NodeId, Vec<Peer>> = BTreeMap::new();
    for Seat { worker, node, store, .. } in seats {
        nodes.entry(node).or_default().push(Peer { worker: worker.clone(), node: node.clone(), store: *store });
    }
    nodes.values_mut().for_each(|peers| peers.sort_by(|one, other| one.worker.cmp(&other.worker)));
    let looker = |(node, here): (&&NodeId, &Vec<Peer>)| {
        let (first, rest) = here.split_first()?;
        let others = nodes.iter().filter(|(other, _)| **other != *node).filter_map(|(_, there)| there.first());
        Some((first.clone(), others.chain(rest).cloned().collect()))
    };
    nodes.iter().filter_map(looker).collect()
}

/// A connection that was tried from one machine to another, or within one.
#[must_use]
pub fn way(from: &NodeId, to: &Peer, tried: Result<Duration, String>) -> Finding {
    let Peer { worker, node, store } = to;
    let way = format!("{from} -> {node} ({store}, where {worker} listens)");
    if from != node && store.ip().is_loopback() {
        let remedy = format!(
            "on {node}, give the coordinator by an address that other machines reach, or say --host IP: {} is each machine's own",
            store.ip()
        );
        return Finding::bad(format!("{way}: an address that no other machine reaches"), remedy);
    }
    match tried {
        Ok(took) if took > WAY_ODD => Finding::odd(
            format!("{way}: connected, after {took:.1?}"),
            "training sends gradients this way at every step: look at the network between the two",
        ),
        Ok(took) => Finding::good(format!("{way}: connected in {took:.1?}")),
        Err(why) => Finding::bad(format!("{way}: {why}"), unreached(node, store.ip())),
    }
}

fn unreached(node: &NodeId, address: IpAddr) -> String {
    let is_bridge = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 172 && v4.octets()[1] == 17);
    if is_bridge {
        return format!(
            "{address} looks like docker's bridge, which other hosts do not reach: on {node}, say --host IP, or --network host"
        );
    }
    format!(
        "open all TCP ports between the two machines, both ways; if {node} has several addresses, say --host IP there"
    )
}

/// Of a machine that was asked.
#[must_use]
pub fn silent(within: Duration) -> Finding {
    Finding::bad(
        format!("did not answer within {within:?}"),
        "it hangs, perhaps on a disk or a mount that does not answer: `sumac logs` says what it did last",
    )
}

/// How far a clock is ahead of the coordinator's, in milliseconds.
#[must_use]
pub fn clock(ahead_ms: i64) -> Finding {
    let off = Duration::from_millis(ahead_ms.unsigned_abs());
    let which = if ahead_ms < 0 { "behind" } else { "ahead of" };
    if off > SKEW_ODD {
        return Finding::odd(
            format!("its clock is {off:.1?} {which} the coordinator's"),
            "run a time service such as chrony: no result depends on clocks, but logs of several machines do not fit together",
        );
    }
    Finding::good(format!("its clock is {} ms {which} the coordinator's", off.as_millis()))
}

/// Machines that compute otherwise than most.
#[must_use]
pub fn alike(engines: &BTreeMap<NodeId, String>) -> Vec<Finding> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    engines.values().for_each(|engine| *counts.entry(engine).or_default() += 1);
    let Some((most, _)) = counts.iter().max_by_key(|(_, count)| **count) else { return Vec::new() };
    if counts.len() == 1 {
        return vec![Finding::good(format!("all machines compute alike: {most}"))];
    }
    let others = engines.iter().filter(|(_, engine)| engine != most);
    let finding = |(node, engine): (&NodeId, &String)| {
        Finding::bad(
            format!("{node} has {engine}, most have {most}: a job takes those on that are alike"),
            "give all machines the same libtorch and processors of one kind; ATEN_CPU_CAPABILITY=avx2 brings newer ones down to it",
        )
    };
    others.map(finding).collect()
}

/// The numbers of a machine, found twice: its bits must agree.
#[must_use]
pub fn computes(twice: Result<(Fingerprint, Fingerprint), String>) -> Finding {
    let mend = "run `make setup` again, or set LIBTORCH to a libtorch 2.11 that works";
    match twice {
        Ok((one, two)) if one == two => Finding::good(format!("computes, twice the same bits: {one}")),
        Ok((one, two)) => Finding::bad(format!("computes other bits the second time: {one}; {two}"), mend),
        Err(why) => Finding::bad(format!("cannot compute: {why}"), mend),
    }
}

/// The coordinator itself. `trouble`: why it takes nothing on.
#[must_use]
pub fn coordinator(version: &str, term: Term, trouble: Option<&str>) -> Finding {
    match trouble {
        Some(trouble) => Finding::bad(trouble, "mend the disk that its state directory is on"),
        None => Finding::good(format!("sumac {version}, term {}, saves its state", term.0)),
    }
}

/// Cards, and what drives them.
#[must_use]
pub fn cards(driver: Option<&str>, gpus: &[Gpu]) -> Finding {
    match driver {
        None => Finding::good("no GPU driver: workers compute on the CPU"),
        Some(driver) => {
            let names: Vec<&str> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
            Finding::good(format!(
                "GPU driver {driver}, {}; workers compute on them where LD_LIBRARY_PATH leads to a torch 2.11 with CUDA",
                names.join(", ")
            ))
        }
    }
}

/// Bytes that processes of this machine can share; `None` where there is no such place.
#[must_use]
pub fn shared_memory(bytes: Option<u64>, gpus: usize) -> Finding {
    let remedy = "docker run --shm-size=8g, or an emptyDir of medium Memory at /dev/shm";
    match bytes {
        Some(bytes) if bytes < SHARED_ODD && gpus > 1 => {
            Finding::odd(format!("/dev/shm is {} MiB; GPUs of one machine meet there", bytes >> 20), remedy)
        }
        Some(bytes) => Finding::good(format!("/dev/shm is {} MiB", bytes >> 20)),
        None if gpus > 1 => Finding::odd("there is no /dev/shm; GPUs of one machine meet there", remedy),
        None => Finding::good("no /dev/shm, which workers on the CPU do not need"),
    }
}

/// A small file that was written, synced, renamed and removed in a folder; and the bytes that are free there.
#[must_use]
pub fn folder(what: &str, path: &Path, tried: Result<(Duration, Option<u64>), String>) -> Finding {
    let path = path.display();
    match tried {
        Err(why) => Finding::bad(
            format!("{what} {path}: {why}"),
            "it must be there, on a disk that is not full, and writable for the user that workers run as",
        ),
        Ok((_, Some(free))) if free < FREE_ODD => Finding::odd(
            format!("{what} {path}: writable, {} MiB free", free >> 20),
            "make room: a checkpoint that does not fit is an incident",
        ),
        Ok((took, _)) if took > SYNC_ODD => Finding::odd(
            format!("{what} {path}: writable, but a small file took {took:.1?}"),
            "checkpoints are written while steps go on, and the next one waits for the last: look at that disk",
        ),
        Ok((took, free)) => {
            let free = free.map_or_else(String::new, |free| format!(", {} GiB free", free >> 30));
            Finding::good(format!("{what} {path}: written, synced and renamed in {took:.1?}{free}"))
        }
    }
}

/// What the machine's own name stands for.
#[must_use]
pub fn name(host: &str, found: Result<Vec<IpAddr>, String>) -> Finding {
    match found {
        Err(why) => Finding::good(format!("{host}, its name, has no address ({why}): workers are reached by number")),
        // As Debian has it. Where it matters, the ways from other machines fail.
        Ok(addresses) if addresses.iter().all(IpAddr::is_loopback) => Finding::good(format!(
            "{host}, its name, is {} in its own eyes: give a coordinator here by its address, not by that name",
            listed(&addresses)
        )),
        Ok(addresses) => Finding::good(format!("{host}, its name, is {}", listed(&addresses))),
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    let mut shown: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    shown.dedup();
    shown.join(", ")
}

/// One of a job's data sets, from the headers of some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub images: usize,
    pub looked_into: usize,
    /// Height and width, and how many have it: the most frequent first.
    pub sizes: Vec<([u32; 2], usize)>,
    pub bad: usize,
}

/// Whether it is what the job says. `which`: synthetic or real.
#[must_use]
pub fn data_set(which: &str, path: &Path, data: &Data, seen: Result<Seen, String>) -> Finding {
    let of = format!("data.{which} {}", path.display());
    let look = format!("sumac data validate {}", path.display());
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => return Finding::bad(format!("{of}: {why}"), "it must name the same images on every machine"),
    };
    let wanted = [data.image.height, data.image.width];
    let [images, looked_into, bad] = [seen.images, seen.looked_into, seen.bad];
    if images == 0 {
        return Finding::bad(format!("{of}: no images"), format!("`{look}` says what is there"));
    }
    let others: usize = seen.sizes.iter().filter(|(size, _)| *size != wanted).map(|(_, images)| images).sum();
    if data.resize == Resize::Exact && others > 0 {
        let [height, width] = wanted;
        return Finding::bad(
            format!("{of}: {others} of {looked_into} images are not {height}x{width}, as data.image says"),
            "say how to get there: data.resize = \"area\" or \"crop\"; or give data.image their size",
        );
    }
    if bad as f64 > data.max_bad * looked_into as f64 {
        return Finding::bad(
            format!("{of}: {bad} of {looked_into} images cannot be used"),
            format!("`{look}` names them and says why; data.max_bad allows more"),
        );
    }
    let size = seen.sizes.first().map_or_else(String::new, |([height, width], _)| format!(", {height}x{width}"));
    Finding::good(format!("{of}: {images} images{size}"))
}

/// Whether `node` sees what the others wrote into the output folder.
#[must_use]
pub fn shared_output(node: &NodeId, output: &Path, unseen: &[NodeId]) -> Finding {
    let output = output.display();
    if unseen.is_empty() {
        return Finding::good(format!("{node} sees what the others wrote into {output}"));
    }
    let others: Vec<&str> = unseen.iter().map(|node| node.0.as_str()).collect();
    Finding::bad(
        format!("{node} does not see what {} wrote into {output}", others.join(", ")),
        "output.dir must be one folder that all machines reach (NFS or such), under the same path on each",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conversation::Incarnation, spec};

    fn seat(worker: &str, node: &str, store: &str) -> Seat {
        Seat {
            worker: worker.into(),
            incarnation: Incarnation(1),
            node: NodeId(node.to_owned()),
            store: store.parse().unwrap(),
            version: String::new(),
            device: String::new(),
        }
    }

    fn peer(node: &str, store: &str) -> Peer {
        Peer { worker: "w".into(), node: NodeId(node.to_owned()), store: store.parse().unwrap() }
    }

    fn node(name: &str) -> NodeId {
        NodeId(name.to_owned())
    }

    #[test]
    fn one_worker_of_each_node_looks_at_every_other_node_and_at_its_own() {
        let seats = [("b-1", "b"), ("a-1", "a"), ("a-0", "a"), ("c-0", "c"), ("a-2", "a")];
        let seats = seats.map(|(worker, node)| seat(worker, node, "10.0.0.1:4000"));
        let rounds = rounds(&seats);
        let told: Vec<(&str, Vec<&str>)> = rounds
            .iter()
            .map(|(who, peers)| (who.worker.0.as_str(), peers.iter().map(|peer| peer.worker.0.as_str()).collect()))
            .collect();
        assert_eq!(
            told,
            [("a-0", vec!["b-1", "c-0", "a-1", "a-2"]), ("b-1", vec!["a-0", "c-0"]), ("c-0", vec!["a-0", "b-1"])]
        );
    }

    #[test]
    fn a_loopback_address_is_no_way_to_another_machine_even_if_something_answers_there() {
        let reached = Ok(Duration::from_millis(1));
        assert_eq!(way(&node("a"), &peer("b", "127.0.0.1:9"), reached.clone()).grade, Grade::Bad);
        assert_eq!(way(&node("b"), &peer("b", "127.0.0.1:9"), reached).grade, Grade::Good);
    }

    #[test]
    fn who_is_not_reached_is_named_with_the_address_and_what_may_help() {
        let found = way(&node("gpu-02"), &peer("gpu-04", "10.0.3.14:41877"), Err("timed out after 3s".to_owned()));
        assert_eq!(found.grade, Grade::Bad);
        assert!(found.what.contains("gpu-02 -> gpu-04") && found.what.contains("10.0.3.14:41877"), "{}", found.what);
        let bridge = way(&node("a"), &peer("b", "172.17.0.2:9"), Err("timed out".to_owned()));
        assert!(bridge.remedy.unwrap().contains("docker"));
    }

    #[test]
    fn clocks_a_moment_apart_are_fine_either_way() {
        for (ahead, grade) in [(0, Grade::Good), (-900, Grade::Good), (1_500, Grade::Odd), (-3_600_000, Grade::Odd)] {
            assert_eq!(clock(ahead).grade, grade, "{ahead}");
        }
        assert!(clock(-1_500).what.contains("behind"));
        assert!(clock(i64::MIN).grade == Grade::Odd);
    }

    #[test]
    fn the_machine_that_computes_otherwise_is_named() {
        let mut engines: BTreeMap<NodeId, String> =
            ["a", "b", "c"].map(|name| (node(name), "libtorch 2.11.0, AVX2".to_owned())).into();
        assert_eq!(alike(&engines).iter().map(|found| found.grade).collect::<Vec<_>>(), [Grade::Good]);
        engines.insert(node("b"), "libtorch 2.11.0, AVX512".to_owned());
        let found = alike(&engines);
        assert_eq!(found.len(), 1);
        assert!(found[0].grade == Grade::Bad && found[0].what.starts_with("b has"), "{found:?}");
        assert_eq!(alike(&BTreeMap::new()), []);
    }

    #[test]
    fn little_shared_memory_matters_to_several_cards_only() {
        assert_eq!(shared_memory(Some(64 << 20), 0).grade, Grade::Good);
        assert_eq!(shared_memory(Some(64 << 20), 2).grade, Grade::Odd);
        assert_eq!(shared_memory(Some(8 << 30), 2).grade, Grade::Good);
        assert_eq!(shared_memory(None, 2).grade, Grade::Odd);
    }

    #[test]
    fn a_folder_that_refuses_is_worse_than_a_full_or_a_slow_one() {
        let (path, quick) = (Path::new("/runs"), Duration::from_millis(3));
        assert_eq!(folder("output", path, Ok((quick, Some(9 << 30)))).grade, Grade::Good);
        assert_eq!(folder("output", path, Ok((quick, Some(9 << 20)))).grade, Grade::Odd);
        assert_eq!(folder("output", path, Ok((Duration::from_secs(2), None))).grade, Grade::Odd);
        assert_eq!(folder("output", path, Err("permission denied".to_owned())).grade, Grade::Bad);
    }

    #[test]
    fn images_of_another_size_are_bad_unless_the_job_resizes() {
        let text = "name = \"eyes\"\nmodel.preset = \"digits\"\n[data]\nsynthetic = \"a\"\nreal = \"b\"\n\
                    image = { size = [35, 55], channels = 1 }\n[train]\nsteps = 100\n";
        let read = |changes: &[(String, String)]| spec::read(text, changes).unwrap().what.data;
        let seen = Seen { images: 900, looked_into: 500, sizes: vec![([35, 55], 480), ([70, 110], 20)], bad: 0 };
        let exact = data_set("real", Path::new("b"), &read(&[]), Ok(seen.clone()));
        assert!(exact.grade == Grade::Bad && exact.what.contains("20 of 500"), "{exact:?}");
        let area = read(&[("data.resize".to_owned(), "area".to_owned())]);
        assert_eq!(data_set("real", Path::new("b"), &area, Ok(seen.clone())).grade, Grade::Good);
        let broken = Seen { bad: 3, ..seen };
        assert_eq!(data_set("real", Path::new("b"), &area, Ok(broken)).grade, Grade::Bad);
        let empty = Seen { images: 0, looked_into: 0, sizes: vec![], bad: 0 };
        assert_eq!(data_set("real", Path::new("b"), &area, Ok(empty)).grade, Grade::Bad);
    }

    #[test]
    fn whatever_is_not_good_says_what_to_do() {
        let found = [
            clock(5_000),
            shared_output(&node("a"), Path::new("/runs"), &[node("b")]),
            computes(Err("illegal instruction".to_owned())),
            coordinator("0.1.0", Term(1), Some("its state cannot be saved")),
            silent(Duration::from_secs(30)),
            folder("output", Path::new("/"), Err("no".to_owned())),
        ];
        for finding in found {
            assert!(finding.grade > Grade::Good && finding.remedy.is_some(), "{finding:?}");
        }
    }
}

//! What `doctor` has this process look at: its machine, the ways to others, what it sees of a job. It measures; what to make of
//! it is decided by the rules. It touches nothing that a run computes with, so it may be asked in the midst of one.

use crate::vitals;
use rustix::fs::{StatVfs, statvfs};
use std::{
    fs,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use sumac_common::{
    examination::{self, Answer, Examination, Finding, Peer, Seen},
    ids::NodeId,
    spec::Spec,
};
use sumac_data::{Source, source::Inspection, storage::Roots};

/// A connection that takes longer is none.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Ways that are tried at once: a cluster of 256 machines none of which answers is done in 24 s.
const AT_ONCE: usize = 32;
/// Headers that are read of each data set.
const HEADERS_MAX: usize = 500;
const SHARED: &str = "/dev/shm";

/// Who looks.
#[derive(Clone, Debug)]
pub struct Examiner {
    pub node: NodeId,
    pub cache: PathBuf,
    pub roots: Roots,
}

impl Examiner {
    #[must_use]
    pub fn answer(&self, what: &Examination) -> Answer {
        let findings = match what {
            Examination::Look { peers, job, token } => {
                let of_job = job.iter().flat_map(|job| self.job(job, token.as_deref()));
                self.machine().into_iter().chain(self.ways(peers)).chain(of_job).collect()
            }
            Examination::Compare { output, token, nodes } => vec![self.compare(output, token, nodes)],
            Examination::Clear { output, token } => {
                // Wherever it was left: the folder may be there by now. Most often there is none.
                output.ancestors().for_each(|folder| drop(fs::remove_file(witness(folder, token, &self.node))));
                Vec::new()
            }
        };
        Answer { engine: engine(), findings }
    }

    /// How this machine is.
    #[must_use]
    pub fn machine(&self) -> Vec<Finding> {
        let (driver, gpus) = vitals::cards();
        let host = host_name();
        let found = (host.as_str(), 0).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect::<Vec<IpAddr>>());
        let found = found.map_err(|error| error.to_string());
        let shared = statvfs(SHARED).ok().map(|stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        vec![
            Finding::good(format!("{}{}", engine(), loaded_from())),
            examination::cards(driver.as_deref(), &gpus),
            examination::shared_memory(shared, gpus.len()),
            examination::name(&host, found),
            examination::folder("cache", &self.cache, tried(&self.cache)),
        ]
    }

    fn ways(&self, peers: &[Peer]) -> Vec<Finding> {
        let found = Mutex::new(Vec::new());
        let next = Mutex::new(peers.iter().enumerate());
        thread::scope(|scope| {
            for _ in 0..peers.len().min(AT_ONCE) {
                scope.spawn(|| {
                    loop {
                        let peer = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((at, peer)) = peer else { return };
                        let way = examination::way(&self.node, peer, connect(peer.store));
                        found.lock().unwrap_or_else(PoisonError::into_inner).push((at, way));
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, way)| way).collect()
    }

    /// What is seen of a job from here. With a token, a file is left in its output folder for the others to see.
    #[must_use]
    pub fn job(&self, job: &Spec, token: Option<&str>) -> Vec<Finding> {
        let data = &job.what.data;
        let set = |which: &str, path: &Path| {
            let seen = self.admitted(path).and_then(|()| {
                Source::look(path)
                    .map(|source| seen(&source.inspect(Some(HEADERS_MAX))))
                    .map_err(|error| in_full(&error))
            });
            examination::data_set(which, path, data, seen)
        };
        let output = &job.how.output.dir;
        let written = self.admitted(output).and_then(|()| tried(output));
        if let Some(token) = token.filter(|_| written.is_ok()) {
            // One that is not there when the others look for it is a finding then.
            let _ = fs::write(witness(there(output), token, &self.node), b"");
        }
        vec![
            set("synthetic", &data.synthetic),
            set("real", &data.real),
            examination::folder("output.dir", output, written),
        ]
    }

    fn admitted(&self, path: &Path) -> Result<(), String> {
        self.roots.admit(path).map_err(|outside| outside.to_string())
    }

    fn compare(&self, output: &Path, token: &str, nodes: &[NodeId]) -> Finding {
        let is_unseen = |node: &&NodeId| **node != self.node && !witness(there(output), token, node).exists();
        let unseen: Vec<NodeId> = nodes.iter().filter(is_unseen).cloned().collect();
        examination::shared_output(&self.node, output, &unseen)
    }
}

/// The folder, or the nearest above it that is there.
fn there(folder: &Path) -> &Path {
    folder.ancestors().find(|above| above.is_dir()).unwrap_or(folder)
}

/// What a node leaves for the others to see.
fn witness(folder: &Path, token: &str, node: &NodeId) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    folder.join(format!(".sumac-doctor-{token}-{}", node.0.chars().map(plain).collect::<String>()))
}

/// What numbers depend on, in words.
#[must_use]
pub fn engine() -> String {
    #[cfg(feature = "torch")]
    {
        match crate::native::Facts::read() {
            Ok(facts) => format!("libtorch {}, {}", facts.libtorch, facts.cpu_capability),
            Err(error) => format!("libtorch does not answer: {error}"),
        }
    }
    #[cfg(not(feature = "torch"))]
    {
        format!("no libtorch, {}", std::env::consts::ARCH)
    }
}

/// Where the loader found libtorch, and whether it could drive a GPU.
fn loaded_from() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let library =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.ends_with("libtorch_cpu.so"));
    let Some(folder) = library.and_then(|library| Path::new(library).parent()) else { return String::new() };
    let with = if folder.join("libtorch_cuda.so").exists() { "with CUDA" } else { "without CUDA" };
    format!(", {with}, from {}", folder.display())
}

/// What this machine calls itself.
#[must_use]
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "node".to_owned() } else { name }
}

fn connect(address: SocketAddr) -> Result<Duration, String> {
    let begun = Instant::now();
    match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
        Ok(_) => Ok(begun.elapsed()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(format!("timed out after {CONNECT_WITHIN:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A small file there: written, synced, renamed, removed. Where the folder is not there yet, in the nearest above it that is.
fn tried(folder: &Path) -> Result<(Duration, Option<u64>), String> {
    let there = there(folder);
    let draft = there.join(format!(".sumac-doctor-{}", std::process::id()));
    let name = draft.with_extension("whole");
    let begun = Instant::now();
    let written = fs::File::create(&draft).and_then(|mut file| {
        file.write_all(&[7; 4_096])?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&draft, &name));
    let took = begun.elapsed();
    // Whichever of them is there.
    let _ = fs::remove_file(&draft);
    let removed = renamed.and_then(|()| fs::remove_file(&name));
    removed.map_err(|error| error.to_string())?;
    let free = statvfs(there).ok().map(|StatVfs { f_bavail, f_frsize, .. }| f_bavail.saturating_mul(f_frsize));
    Ok((took, free))
}

fn seen(inspection: &Inspection) -> Seen {
    let sizes = inspection.sizes.iter().map(|size| ([size.height, size.width], size.images)).collect();
    Seen { images: inspection.images, looked_into: inspection.looked_into, sizes, bad: inspection.bad.len() }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use sumac_common::examination::Grade;

    fn examiner(node: &str, cache: &Path) -> Examiner {
        Examiner { node: NodeId(node.to_owned()), cache: cache.to_owned(), roots: Roots::default() }
    }

    fn peer(node: &str, store: SocketAddr) -> Peer {
        Peer { worker: "w".into(), node: NodeId(node.to_owned()), store }
    }

    #[test]
    fn who_listens_is_reached_and_who_does_not_is_named() {
        let room = tempfile::tempdir().unwrap();
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let peers = [peer("here", gone), peer("here", there.local_addr().unwrap())];
        let found = examiner("here", room.path()).ways(&peers);
        assert_eq!(found.iter().map(|it| it.grade).collect::<Vec<_>>(), [Grade::Bad, Grade::Good], "{found:?}");
        assert!(found[0].what.contains(&gone.to_string()));
    }

    #[test]
    fn a_folder_is_tried_without_a_trace_and_need_not_be_there_yet() {
        let room = tempfile::tempdir().unwrap();
        let later = room.path().join("runs/eyes");
        assert!(tried(&later).is_ok());
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
        assert!(tried(Path::new("/proc/self")).is_err());
    }

    #[test]
    fn machines_that_share_a_folder_see_each_other_there_and_others_do_not() {
        let [shared, own] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let nodes = ["a", "b/1"].map(|name| NodeId(name.to_owned()));
        for node in &nodes {
            fs::write(witness(shared.path(), "1-1", node), b"").unwrap();
        }
        fs::write(witness(own.path(), "1-1", &nodes[0]), b"").unwrap();
        let compare = |folder: &Path| examiner("a", folder).compare(folder, "1-1", &nodes).grade;
        assert_eq!((compare(shared.path()), compare(own.path())), (Grade::Good, Grade::Bad));
        // Also where its folder has come to be in the meantime.
        let output = shared.path().join("runs/eyes");
        fs::create_dir_all(&output).unwrap();
        let clear = Examination::Clear { output, token: "1-1".to_owned() };
        nodes.iter().for_each(|node| drop(examiner(&node.0, shared.path()).answer(&clear)));
        let left = fs::read_dir(shared.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!(left, ["runs"]);
    }

    #[test]
    fn this_machine_is_described_and_nothing_in_it_is_judged_bad() {
        let room = tempfile::tempdir().unwrap();
        let found = examiner("here", room.path()).machine();
        assert!(found.len() >= 5 && found.iter().all(|it| it.grade < Grade::Bad), "{found:?}");
    }
}

//! A network of its own: hosts on one switch, each a network namespace, whose links can be cut without a connection being reset.
//!
//! One host is this process's own namespace. The switch and the other hosts are namespaces of processes that do nothing: when
//! these die, all of it goes. So nothing is left behind, however the campaign ends. Needs root and iproute2.

use std::process::Command;
use sumac_tests::Process;

/// From the range for trials of network gear (RFC 2544), which no network uses. The last number is the host's.
const NET: &str = "198.18.77.";
/// The hosts beside this one: 2, 3.
const OTHERS: [u8; 2] = [2, 3];
/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";

pub(crate) struct Network {
    switch: Process,
    others: Vec<(u8, Process)>,
    /// In this process's namespace.
    link: String,
}

impl Network {
    pub(crate) fn new() -> Result<Self, String> {
        let link = format!("sumac{}", std::process::id());
        let mut network = Self { switch: namespace("the switch")?, others: Vec::new(), link };
        network.wire().map(|()| network)
    }

    fn wire(&mut self) -> Result<(), String> {
        let switch = self.switch.pid();
        ip(Some(switch), "link add switch type bridge")?;
        ip(Some(switch), "link set switch up")?;
        ip(None, &format!("link add {} type veth peer name port1 netns {switch}", self.link))?;
        ip(None, &format!("address add {NET}1/24 dev {}", self.link))?;
        ip(None, &format!("link set {} up", self.link))?;
        ip(Some(switch), "link set port1 master switch up")?;
        for host in OTHERS {
            let process = namespace(&format!("host {host}"))?;
            let pid = process.pid();
            self.others.push((host, process));
            ip(Some(switch), &format!("link add port{host} type veth peer name out netns {pid}"))?;
            ip(Some(switch), &format!("link set port{host} master switch up"))?;
            ip(Some(pid), &format!("address add {NET}{host}/24 dev out"))?;
            // With lo down, a worker there would not find itself.
            ip(Some(pid), "link set lo up")?;
            ip(Some(pid), "link set out up")?;
        }
        Ok(())
    }

    /// Where this host is reached.
    pub(crate) fn here(&self) -> String {
        format!("{NET}1")
    }

    /// Words before a command that runs on that host.
    pub(crate) fn on(&self, host: u8) -> Result<Vec<String>, String> {
        let pid = self.pid(host)?;
        Ok(["setpriv", "--pdeathsig", "KILL", "nsenter", &format!("--net=/proc/{pid}/ns/net")]
            .map(str::to_owned)
            .to_vec())
    }

    fn pid(&self, host: u8) -> Result<u32, String> {
        let process = self.others.iter().find(|(other, _)| *other == host).map(|(_, process)| process.pid());
        process.ok_or_else(|| format!("there is no host {host}"))
    }

    /// From everybody.
    pub(crate) fn cut(&self, host: u8) -> Result<(), String> {
        ip(Some(self.pid(host)?), "link set out down")
    }

    pub(crate) fn heal(&self, host: u8) -> Result<(), String> {
        ip(Some(self.pid(host)?), "link set out up")
    }

    /// What one sends to the other is lost; what the other sends arrives.
    pub(crate) fn part(&self, host: u8, other: u8) -> Result<(), String> {
        ip(Some(self.pid(host)?), &format!("neighbour replace {NET}{other} lladdr {NOBODY} dev out nud permanent"))
    }

    pub(crate) fn join(&self, host: u8, other: u8) -> Result<(), String> {
        ip(Some(self.pid(host)?), &format!("neighbour delete {NET}{other} dev out"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The kernel takes its time with a namespace; the link has to be gone before the next one is made.
        let _ = ip(None, &format!("link delete {}", self.link));
    }
}

/// A process that does nothing, in a namespace of its own.
fn namespace(name: &str) -> Result<Process, String> {
    let mut keep = Command::new("setpriv");
    keep.args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo kept; exec sleep infinity"]);
    let keeper = Process::start(name, &mut keep);
    let kept = keeper.hear("that it is there", |lines| lines.iter().find(|line| line.text == "kept").cloned());
    kept.map(|_| keeper).ok_or_else(|| "no network namespace can be made: this needs root".to_owned())
}

/// `ip`, in the namespace of this process or in that of another.
fn ip(within: Option<u32>, words: &str) -> Result<(), String> {
    let inside = within.map(|pid| ["nsenter".to_owned(), format!("--net=/proc/{pid}/ns/net")]);
    let output = Command::new("env").args(inside.iter().flatten()).arg("ip").args(words.split(' ')).output();
    let output = output.map_err(|error| format!("ip {words}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

//! What the system says of this process. Knows nothing of what the process does.

use std::fs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_files: u64,
}

impl Process {
    /// `None` where there is no /proc to ask.
    pub(super) fn look() -> Option<Self> {
        let (virtual_bytes, resident_bytes) = memory(&fs::read_to_string("/proc/self/status").ok()?)?;
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(Self { resident_bytes, virtual_bytes, open_files })
    }
}

/// Virtual and resident, in bytes.
fn memory(status: &str) -> Option<(u64, u64)> {
    let kilobytes = |label: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(label))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kilobytes("VmSize:")? * 1024, kilobytes("VmRSS:")? * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tsumac\nVmPeak:\t     900 kB\nVmSize:\t     800 kB\nVmRSS:\t      12 kB\n";
        assert_eq!(memory(status), Some((819_200, 12_288)));
        assert_eq!(memory("Name:\tsumac\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let process = Process::look().expect("tests run where there is a /proc");
        assert!(
            process.resident_bytes > 0 && process.virtual_bytes >= process.resident_bytes && process.open_files > 2
        );
    }
}

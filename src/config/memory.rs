//! How much memory this process may use: the machine's, or less where a cgroup says so (containers, systemd).

use std::path::{Path, PathBuf};

/// A quarter of it; `None` where the system does not say (no Linux).
pub(super) fn quarter_of_the_machine() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of_meminfo(&text))?;
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = cgroup_limit_files(&own).into_iter().filter_map(|path| {
        std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok())
    });
    limits.chain([machine]).min().map(|bytes| bytes / 4)
}

/// `MemTotal` in bytes.
fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that may hold a limit for a process with this `/proc/self/cgroup`: version 2 (`0::/path`, this group and
/// those around it), and version 1's memory controller. A file that says `max` is no number and so no limit.
fn cgroup_limit_files(own: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            c if c.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let below = Path::new(path.trim_start_matches('/'));
        files.extend(below.ancestors().map(|group| Path::new(root).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_counts_in_kib() {
        assert_eq!(total_of_meminfo("MemTotal:       24672344 kB\nMemFree: 1 kB\n"), Some(24_672_344 * 1024));
        assert_eq!(total_of_meminfo("nothing"), None);
    }

    #[test]
    fn both_versions_of_cgroups_are_asked_up_to_the_root() {
        let files = |own| cgroup_limit_files(own).iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(
            files("7:cpu,memory:/x\n2:pids:/x\n"),
            ["/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }
}

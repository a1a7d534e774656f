//! The available memory, as the system reports it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::units::Bytes;

/// Where control groups of version 2 are mounted, alone or beside those of version 1.
const GROUP_MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The memory that this process can allocate: what is free, and no more than its own limit (`ulimit -v`). `None` if the
/// system does not report it.
pub fn available() -> Option<Bytes> {
    let read = |name| fs::read_to_string(name).unwrap_or_default();
    let process = process_headroom(&read("/proc/self/limits"), &read("/proc/self/status")).map(Bytes::new);
    free().into_iter().chain(process).min()
}

/// The memory that can be allocated before the machine or a control group of this process runs out: swap included, since
/// other programs can be swapped out. `None` if the system does not report it.
pub(super) fn free() -> Option<Bytes> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let swap = field(&meminfo, "SwapFree:").unwrap_or(0).saturating_mul(1024);
    let machine = field(&meminfo, "MemAvailable:")?
        .saturating_mul(1024)
        .saturating_add(swap);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let least = GROUP_MOUNTS
        .iter()
        .flat_map(|mount| group_directories(Path::new(mount), &groups))
        .filter_map(|directory| group_headroom(&directory, swap))
        .fold(machine, u64::min);
    Some(Bytes::new(least))
}

/// The memory of the machine, `None` if the system does not report it.
pub(super) fn physical() -> Option<Bytes> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    field(&meminfo, "MemTotal:")?.checked_mul(1024).map(Bytes::new)
}

/// The number after a name, at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The memory that this process may still map, `None` without a limit. The texts are those of `limits` and `status` in
/// `/proc/self`.
fn process_headroom(limits: &str, status: &str) -> Option<u64> {
    let limit = field(limits, "Max address space")?;
    Some(limit.saturating_sub(field(status, "VmSize:")?.saturating_mul(1024)))
}

/// The directory of this process's group and of each group around it. `groups` is `/proc/self/cgroup`.
fn group_directories(mount: &Path, groups: &str) -> Vec<PathBuf> {
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    let mut directories = vec![mount.to_owned()];
    for name in group.split('/').filter(|name| !name.is_empty()) {
        // A group outside of this namespace has a path of dots, and no directory here.
        if name == ".." {
            break;
        }
        directories.push(directories[directories.len() - 1].join(name));
    }
    directories
}

/// The memory that a group may still allocate: its limit, less what it uses and cannot drop. `None` without a limit.
fn group_headroom(directory: &Path, system_swap: u64) -> Option<u64> {
    let read = |name| fs::read_to_string(directory.join(name)).ok();
    let number = |name| read(name)?.trim().parse::<u64>().ok();
    let limit = number("memory.max")?;
    let used = number("memory.current")?;
    let stat = read("memory.stat").unwrap_or_default();
    let cached = field(&stat, "active_file")
        .unwrap_or(0)
        .saturating_add(field(&stat, "inactive_file").unwrap_or(0));
    let swap = match (number("memory.swap.max"), number("memory.swap.current")) {
        (Some(limit), Some(used)) => limit.saturating_sub(used).min(system_swap),
        _ => system_swap,
    };
    Some(limit.saturating_sub(used.saturating_sub(cached)).saturating_add(swap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_names() {
        let text = "MemTotal:       24684000 kB\nMemAvailable:   24162328 kB\nBroken:\n";
        assert_eq!(field(text, "MemAvailable:"), Some(24_162_328));
        assert_eq!(field(text, "Broken:"), None);
        assert_eq!(field(text, "SwapFree:"), None);
        assert_eq!(field("inactive_file 7\nactive_file 8\n", "active_file"), Some(8));
    }

    #[test]
    fn a_process_may_have_a_limit_of_its_own() {
        let limits = |soft| {
            format!("Max data size   unlimited  unlimited  bytes\nMax address space   {soft}  unlimited  bytes\n")
        };
        let status = "VmPeak:\t 900 kB\nVmSize:\t     4 kB\n";
        assert_eq!(process_headroom(&limits("10000"), status), Some(10000 - 4096));
        assert_eq!(process_headroom(&limits("1000"), status), Some(0));
        assert_eq!(process_headroom(&limits("unlimited"), status), None);
    }

    #[test]
    fn groups_are_looked_at_up_to_the_mount() {
        let groups = "1:cpu:/other\n0::/user.slice/a.scope\n";
        let directories = group_directories(Path::new("/g"), groups);
        assert_eq!(
            directories,
            ["/g", "/g/user.slice", "/g/user.slice/a.scope"].map(PathBuf::from)
        );
        assert_eq!(group_directories(Path::new("/g"), "0::/../x\n"), [PathBuf::from("/g")]);
        assert!(group_directories(Path::new("/g"), "3:memory:/x\n").is_empty());
    }

    #[test]
    fn page_cache_is_no_use_of_memory() {
        let directory = std::env::temp_dir().join(format!("keyslots-group-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("a file");
        assert_eq!(group_headroom(&directory, 0), None);
        write("memory.max", "1000\n");
        write("memory.current", "900\n");
        write("memory.stat", "anon 300\ninactive_file 400\nactive_file 200\n");
        assert_eq!(group_headroom(&directory, 0), Some(700));
        assert_eq!(group_headroom(&directory, 5), Some(705));
        write("memory.swap.max", "0\n");
        write("memory.swap.current", "0\n");
        assert_eq!(group_headroom(&directory, 5), Some(700));
        write("memory.max", "max\n");
        assert_eq!(group_headroom(&directory, 0), None);
        fs::remove_dir_all(&directory).expect("its removal");
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available().is_none_or(|bytes| bytes > Bytes::mib(1)));
        assert!(physical().is_none_or(|bytes| bytes > Bytes::mib(16)));
    }
}

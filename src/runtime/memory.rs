//! The memory of the machine, or of the control group that this process is in.

use std::fs::read_to_string;

/// All of it, in bytes; none where the system does not say.
#[cfg(unix)]
pub(super) fn of_machine() -> Option<u64> {
    let machine = kilobytes("/proc/meminfo", "MemTotal:")?;
    Some(group_limit().map_or(machine, |group| group.min(machine)))
}

/// What is free or can be freed, in bytes; none where the system does not say.
pub(crate) fn available() -> Option<u64> {
    let machine = kilobytes("/proc/meminfo", "MemAvailable:")?;
    Some(free_in_group().map_or(machine, |group| group.min(machine)))
}

fn free_in_group() -> Option<u64> {
    let limit = group_limit()?;
    let used: u64 = number(&read_to_string("/sys/fs/cgroup/memory.current").ok()?)?;
    let facts = read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
    // Pages of files that are not in use are given back.
    let files = of_line(&facts, "inactive_file").unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

fn group_limit() -> Option<u64> {
    number(&read_to_string("/sys/fs/cgroup/memory.max").ok()?)
}

/// The number behind `name`, which is in units of 1024 bytes.
pub(super) fn kilobytes(path: &str, name: &str) -> Option<u64> {
    of_line(&read_to_string(path).ok()?, name)?.checked_mul(1024)
}

fn of_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    number(line.split_whitespace().next()?)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_names() {
        let text = "anon 5\ninactive_file 4096\nMemTotal:  12 kB\n";
        assert_eq!(of_line(text, "inactive_file"), Some(4096));
        assert_eq!(of_line(text, "MemTotal:"), Some(12));
        assert_eq!(of_line(text, "MemAvailable:"), None);
        assert_eq!(number("max\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn less_is_available_than_there_is() {
        let (free, all) = (
            available().expect("a number"),
            of_machine().expect("a number"),
        );
        assert!(free > 0 && free <= all, "{free} of {all}");
    }
}

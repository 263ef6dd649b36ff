//! Wall time, processor time and memory of other programs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run of a program cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time of the program and whatever it waited for.
    pub(crate) processor: Duration,
}

/// Runs a program to its end and measures it. Its output goes to a file beside `log` for when it fails.
pub(crate) fn run(command: &mut Command, log: &Path) -> Cost {
    let output = fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let before = children();
    let begun = Instant::now();
    let status = command.status().unwrap_or_else(|problem| panic!("{command:?}: {problem}"));
    let wall = begun.elapsed();
    let processor = children() - before;
    assert!(
        status.success(),
        "{command:?} failed:\n{}",
        fs::read_to_string(log).unwrap_or_default()
    );
    Cost { wall, processor }
}

/// Processor time of children that were waited for: fields 16 and 17 of `/proc/self/stat`, in hundredths of a second.
fn children() -> Duration {
    ticks("self", [15, 16])
}

/// Processor time that a living process has used.
pub(crate) fn processor_of(pid: u32) -> Duration {
    ticks(&pid.to_string(), [13, 14])
}

fn ticks(process: &str, fields: [usize; 2]) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is the program's name in parentheses and may hold spaces: count from its end.
    let after_name = stat.rsplit_once(')').unwrap().1;
    let values: Vec<u64> =
        after_name.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis(fields.iter().map(|field| values[field - 2] * 10).sum())
}

/// Resident memory of a living process now, and at its highest, in bytes.
pub(crate) fn memory_of(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kilobytes| kilobytes.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    (value("VmRSS:"), value("VmHWM:"))
}

/// The middle one.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
    sorted[sorted.len() / 2]
}

/// Waits for a condition; panics after `limit`.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut so: impl FnMut() -> bool,
) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(pause);
    }
    begun.elapsed()
}

//! Who makes containers that carry files, so that those of a process that was killed can be told from those of one that
//! works beside us.
//!
//! *Caveats.* A process of another machine, or of another PID namespace, is taken to live until its containers are old.

use std::path::Path;

use crate::model::Timestamp;

/// What this process writes on containers that carry files: its name, where its number counts, the number, its start.
pub fn owner(name: &str, now: Timestamp) -> String {
    format!("{name}/{}/{}/{}", place(), std::process::id(), now.as_millis())
}

/// The boot of this machine and the PID namespace: where the number of a process tells which one it is.
fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let space: String = space.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{}:{space}", boot.trim())
}

/// Whether an owner is a process of this machine that has ended.
pub(super) fn is_gone(owner: &str) -> bool {
    let mut parts = owner.rsplit('/');
    let (_start, pid, there) = (parts.next(), parts.next(), parts.next());
    let here = place();
    let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
    match (pid, there) {
        (Some(pid), Some(there)) if there == here && !here.starts_with(':') => {
            !Path::new(&format!("/proc/{pid}")).exists()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_machine_that_has_ended_is_gone() {
        let own = owner("local", Timestamp::from_millis(7));
        assert!(!is_gone(&own));
        let of = |pid: &str, there: &str| format!("local/{there}/{pid}/7");
        // Numbers of processes end at four million.
        assert!(is_gone(&of("4999999", &place())));
        assert!(!is_gone(&of("4999999", "another:4026531836")));
        assert!(!is_gone("moorline") && !is_gone("") && !is_gone("a/b/c/d"));
    }
}

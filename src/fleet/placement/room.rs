//! What a host has, and what is known of it.

use std::fmt;
use std::time::Duration;

use crate::config::settings::{CapacitySettings, Labels};
use crate::model::{EngineFacts, Timestamp};

/// CPUs and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// CPUs in thousandths.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
}

impl Resources {
    /// More than anything reserves: the capacity of a host that does not tell.
    pub const UNLIMITED: Self = Self { cpus: u64::MAX, memory: u64::MAX };

    /// Whether these fit into what is free.
    pub fn fit(self, free: Self) -> bool {
        self.cpus <= free.cpus && self.memory <= free.memory
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_add(other.cpus),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// What is left; nothing when more is taken than there is.
    pub fn minus(self, taken: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_sub(taken.cpus),
            memory: self.memory.saturating_sub(taken.memory),
        }
    }

    /// The scarcer of both as thousandths of the whole.
    pub fn share_of(self, whole: Self) -> u64 {
        let share = |part: u64, whole: u64| match whole {
            0 => 0,
            _ => u64::try_from(u128::from(part) * 1_000 / u128::from(whole)).unwrap_or(1_000),
        };
        share(self.cpus, whole.cpus).min(share(self.memory, whole.memory))
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpus {
            u64::MAX => write!(out, "any CPUs")?,
            cpus if cpus % 1_000 == 0 => write!(out, "{} CPUs", cpus / 1_000)?,
            cpus => {
                let fraction = format!("{:03}", cpus % 1_000);
                write!(out, "{}.{} CPUs", cpus / 1_000, fraction.trim_end_matches('0'))?;
            }
        }
        match self.memory {
            u64::MAX => write!(out, " and any memory"),
            memory => write!(out, " and {} MiB", memory >> 20),
        }
    }
}

/// What is known of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostSight {
    /// It answers.
    Seen,
    /// It does not answer, and did a moment ago: what ran there is taken to run still.
    Silent,
    /// It has not answered since Moorline started: nobody knows what runs there.
    Unseen,
    /// It has not answered for so long that its stateless replicas go elsewhere.
    Lost,
    /// An operator closed it: what is there stays, nothing new comes.
    Closed,
}

/// What is known of a host: `last_seen` since the start at `started`, and how long silence is borne.
pub fn sight(
    reachable: bool,
    last_seen: Option<Timestamp>,
    started: Timestamp,
    now: Timestamp,
    grace: Duration,
) -> HostSight {
    let silent_since = last_seen.unwrap_or(started);
    match (reachable, last_seen) {
        (true, _) => HostSight::Seen,
        (false, _) if grace <= now.since(silent_since) => HostSight::Lost,
        (false, Some(_)) => HostSight::Silent,
        (false, None) => HostSight::Unseen,
    }
}

/// A host as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoom {
    /// Labels of the settings.
    pub labels: Labels,
    /// `os/architecture`, as the Engine tells; empty when unknown.
    pub platform: String,
    /// What reservations may add up to, overcommit included.
    pub capacity: Resources,
    /// What is known of it.
    pub sight: HostSight,
}

/// What reservations on a host may add up to: what the settings say, else what the Engine tells, times overcommit. An
/// amount that neither knows is unlimited.
pub fn capacity(settings: &CapacitySettings, facts: Option<&EngineFacts>) -> Resources {
    let told = |amount: Option<u64>| amount.filter(|amount| 0 < *amount);
    let cpus = settings
        .cpus_thousandths
        .or_else(|| told(facts.map(|facts| u64::from(facts.cpus).saturating_mul(1_000))));
    let memory = settings.memory.or_else(|| told(facts.map(|facts| facts.memory)));
    Resources {
        cpus: overcommitted(cpus, settings.overcommit_cpus_thousandths),
        memory: overcommitted(memory, settings.overcommit_memory_thousandths),
    }
}

fn overcommitted(amount: Option<u64>, thousandths: u64) -> u64 {
    amount.map_or(u64::MAX, |amount| {
        u64::try_from(u128::from(amount) * u128::from(thousandths) / 1_000).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_what_is_said_or_told_times_overcommit() {
        let facts = EngineFacts { cpus: 4, memory: 8 << 30, ..EngineFacts::default() };
        let plain = CapacitySettings::default();
        assert_eq!(capacity(&plain, Some(&facts)), Resources { cpus: 4_000, memory: 8 << 30 });
        assert_eq!(capacity(&plain, None), Resources::UNLIMITED);
        let said = CapacitySettings {
            cpus_thousandths: Some(2_000),
            overcommit_cpus_thousandths: 1_500,
            overcommit_memory_thousandths: 500,
            ..plain
        };
        assert_eq!(capacity(&said, Some(&facts)), Resources { cpus: 3_000, memory: 4 << 30 });
    }

    #[test]
    fn silence_turns_into_loss_after_the_grace() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let grace = Duration::from_mins(5);
        assert_eq!(sight(true, None, at(0), at(900), grace), HostSight::Seen);
        assert_eq!(sight(false, Some(at(10)), at(0), at(309), grace), HostSight::Silent);
        assert_eq!(sight(false, Some(at(10)), at(0), at(310), grace), HostSight::Lost);
        assert_eq!(sight(false, None, at(0), at(299), grace), HostSight::Unseen);
        assert_eq!(sight(false, None, at(0), at(300), grace), HostSight::Lost);
    }

    #[test]
    fn amounts_read_well() {
        let text = |cpus, memory| Resources { cpus, memory }.to_string();
        assert_eq!(text(1_500, 512 << 20), "1.5 CPUs and 512 MiB");
        assert_eq!(text(2_000, 0), "2 CPUs and 0 MiB");
        assert_eq!(Resources::UNLIMITED.to_string(), "any CPUs and any memory");
    }
}

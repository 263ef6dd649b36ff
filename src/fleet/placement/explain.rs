//! Why a replica sits where it sits, or nowhere.

use std::collections::BTreeMap;
use std::fmt;

use super::{ReplicaKey, Resources};
use crate::model::{HostName, ServiceName};

/// Why a replica sits on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is there already, and nothing speaks against it.
    Stays,
    /// It is there, and the host is silent: nobody acts on silence.
    HostSilent,
    /// It is there, and the host takes nothing new.
    HostClosed,
    /// Its data is there.
    DataIsThere {
        /// The volume.
        volume: String,
        /// Whether the host is still among those that the stack may use.
        is_allowed: bool,
    },
    /// It shares something with another service, which is there.
    Beside {
        /// The service.
        service: ServiceName,
        /// Where it came from.
        moved: Option<Moved>,
    },
    /// One is on each host.
    Global,
    /// No other host would do.
    OnlyHost {
        /// Where it came from.
        moved: Option<Moved>,
    },
    /// Of several hosts, this one has the fewest of them, then the most room.
    Chosen {
        /// How many would do.
        of: usize,
        /// The first spread preference that was looked at, as `label: value`.
        spread: Option<String>,
        /// Where it came from.
        moved: Option<Moved>,
    },
}

/// Where a replica came from, and why it had to leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// The host that it left.
    pub from: HostName,
    /// What speaks against that host.
    pub because: Obstacle,
}

/// What speaks against a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The stack does not name it.
    NotNamed,
    /// A constraint excludes it.
    Constraint(String),
    /// Not enough is free.
    Full {
        /// What is free.
        free: Resources,
    },
    /// Room was made for something of higher priority.
    Displaced,
    /// It has as many of the service as are allowed.
    MaxPerHost(u32),
    /// It does not answer.
    Silent,
    /// It has not answered yet, and may run the replica.
    Unseen,
    /// It has not answered for a long time.
    Lost,
    /// An operator closed it.
    Closed,
    /// The data is on another host.
    DataElsewhere {
        /// The volume.
        volume: String,
        /// Where it is.
        host: HostName,
    },
    /// Something on it has what only one can have: `port 80/tcp`.
    Taken(String),
    /// A service that it shares something with is not there.
    NotBeside(ServiceName),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNamed => write!(out, "is not among the stack's hosts"),
            Self::Constraint(text) => write!(out, "is excluded by {text}"),
            Self::Full { free } => write!(out, "has only {free} free"),
            Self::Displaced => write!(out, "was needed for something of higher priority"),
            Self::MaxPerHost(most) => write!(out, "has {most} of them, which is the most allowed"),
            Self::Silent => write!(out, "does not answer"),
            Self::Unseen => write!(out, "has not answered yet and may run it"),
            Self::Lost => write!(out, "is lost"),
            Self::Closed => write!(out, "is closed"),
            Self::DataElsewhere { volume, host } => {
                write!(out, "does not have {volume}, which is on {host}")
            }
            Self::Taken(what) => write!(out, "has something with {what} already"),
            Self::NotBeside(service) => write!(out, "does not have {service}"),
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.from, self.because)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stays => write!(out, "it is there"),
            Self::HostSilent => write!(out, "it was there, and the host does not answer"),
            Self::HostClosed => write!(out, "it is there, and the host is closed"),
            Self::DataIsThere { volume, is_allowed: true } => {
                write!(out, "its data is there ({volume})")
            }
            Self::DataIsThere { volume, is_allowed: false } => write!(
                out,
                "its data is there ({volume}), although the stack no longer asks for this host"
            ),
            Self::Beside { service, moved } => {
                write!(out, "{service} is there")?;
                tell_move(out, moved.as_ref())
            }
            Self::Global => write!(out, "one is on each host"),
            Self::OnlyHost { moved } => {
                write!(out, "no other host would do")?;
                tell_move(out, moved.as_ref())
            }
            Self::Chosen { of, spread, moved } => {
                write!(out, "fewest and most room of {of} hosts")?;
                if let Some(spread) = spread {
                    write!(out, ", spread over {spread}")?;
                }
                tell_move(out, moved.as_ref())
            }
        }
    }
}

fn tell_move(out: &mut fmt::Formatter<'_>, moved: Option<&Moved>) -> fmt::Result {
    moved.map_or(Ok(()), |moved| write!(out, "; {moved}"))
}

/// A replica without a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Which.
    pub replica: ReplicaKey,
    /// What it reserves.
    pub reserved: Resources,
    /// What speaks against each host of the stack; for `global`, only against the one that it is meant for.
    pub obstacles: BTreeMap<HostName, Obstacle>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "no host for {} of {}", self.replica.replica, self.replica.stack)?;
        if self.reserved != Resources::default() {
            write!(out, ", which reserves {}", self.reserved)?;
        }
        if self.obstacles.is_empty() {
            return write!(out, ": the stack has no hosts");
        }
        for (number, (host, obstacle)) in self.obstacles.iter().take(8).enumerate() {
            let sign = if number == 0 { ": " } else { "; " };
            write!(out, "{sign}{host} {obstacle}")?;
        }
        match self.obstacles.len() {
            0..=8 => Ok(()),
            more => write!(out, "; and {} more", more - 8),
        }
    }
}

//! What all stacks of one commit ask of each host by name: who shares a network or volume with whom, and who is in
//! whose way.
//!
//! Filled by `fleet::whole`, read wherever one stack must not decide alone: a volume is removed only when no stack of
//! the commit names it, and two stacks that want one name are told so before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{HostName, Location, ServiceName, StackName, TakenPort};

/// Something of which a host has only one under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claimed {
    /// A network, by its name on the host.
    Network(String),
    /// A volume, by its name on the host.
    Volume(String),
    /// A Compose project.
    Project(String),
    /// A container's name.
    Container(String),
    /// A host port with its protocol, such as `8080/tcp`.
    Port(String),
    /// A fixed address in a network: the network's name on the host, and the address.
    Address {
        /// The network's name on the host.
        network: String,
        /// The address.
        address: String,
    },
    /// Addresses of a network: two networks of a host cannot have the same.
    Subnet {
        /// The subnet, as the one asks for it.
        subnet: String,
        /// The names of both networks on the host.
        networks: Box<[String; 2]>,
    },
}

impl fmt::Display for Claimed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(out, "network {name}"),
            Self::Volume(name) => write!(out, "volume {name}"),
            Self::Project(name) => write!(out, "project name {name}"),
            Self::Container(name) => write!(out, "container name {name}"),
            Self::Port(port) => write!(out, "host port {port}"),
            Self::Address { network, address } => {
                write!(out, "address {address} in network {network}")
            }
            Self::Subnet { subnet, networks } => {
                let [one, other] = &**networks;
                write!(out, "subnet {subnet} of the networks {one} and {other}")
            }
        }
    }
}

impl Claimed {
    /// The number of a host port.
    pub fn port_number(&self) -> Option<u16> {
        match self {
            Self::Port(port) => port.split('/').next()?.parse().ok(),
            _ => None,
        }
    }

    /// What to do where two want it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Project(_) => {
                "name one otherwise: `name:` in its Compose file, or `project:` under its stack in fleet.yaml"
            }
            Self::Network(_) | Self::Volume(_) => {
                "to share it, declare it alike in both; else give one another name"
            }
            Self::Container(_) | Self::Port(_) | Self::Address { .. } | Self::Subnet { .. } => {
                "change one of them, or keep the stacks on different hosts with `hosts`"
            }
        }
    }
}

/// One stack that asks for something, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The stack.
    pub stack: StackName,
    /// The service that needs it; `None` for the stack as a whole.
    pub service: Option<ServiceName>,
    /// Where the manifest says so.
    pub origin: Location,
    /// The hosts that the stack chooses.
    pub hosts: Arc<BTreeSet<HostName>>,
}

impl fmt::Display for Claim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "stack {}", self.stack)?;
        if !self.origin.file.is_empty() {
            write!(out, " ({})", self.origin)?;
        }
        Ok(())
    }
}

/// Two stacks that want one thing on one host, which only one of them can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// What.
    pub what: Claimed,
    /// Who.
    pub one: Claim,
    /// And who else.
    pub other: Claim,
    /// How they differ, where both could have it if they asked for the same; else empty.
    pub difference: String,
}

impl fmt::Display for Clash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, one, other, difference } = self;
        if difference.is_empty() {
            write!(out, "{what} is wanted by {one} and by {other} on one host")
        } else {
            write!(out, "{what} has another {difference} in {one} than in {other}")
        }
    }
}

impl Clash {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        self.what.help()
    }

    /// What keeps a service of a stack on a host from having what it asks for; `None` when this does not concern it.
    pub fn against(&self, stack: &StackName, host: &HostName) -> Option<(&Claim, &Claim)> {
        let (own, rival) = match (self.one.stack == *stack, self.other.stack == *stack) {
            (true, _) => (&self.one, &self.other),
            (_, true) => (&self.other, &self.one),
            (false, false) => return None,
        };
        (own.hosts.contains(host) && rival.hosts.contains(host)).then_some((own, rival))
    }
}

/// What all stacks of a commit ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// All stacks of the commit, by name.
    pub stacks: BTreeSet<StackName>,
    /// Networks and volumes that stacks declare, used or not.
    pub declared: BTreeMap<Claimed, Vec<Claim>>,
    /// Host ports and container names that stacks need for themselves: who waits for whom is told by them.
    pub wanted: BTreeMap<Claimed, Vec<Claim>>,
    /// What only one of two can have.
    pub clashes: Vec<Clash>,
    /// Stacks whose manifests cannot be used: nobody knows what they declare.
    pub unreadable: BTreeMap<StackName, Arc<BTreeSet<HostName>>>,
}

impl Claims {
    /// The first stack that declares something on a host.
    pub fn holder(&self, what: &Claimed, host: &HostName) -> Option<&Claim> {
        self.declared.get(what)?.iter().find(|claim| claim.hosts.contains(host))
    }

    /// What only one of two can have, as far as it concerns a stack on a host: its own claim, and the rival's.
    pub fn clashes_of<'a>(
        &'a self,
        stack: &'a StackName,
        host: &'a HostName,
    ) -> impl Iterator<Item = (&'a Clash, &'a Claim, &'a Claim)> {
        self.clashes.iter().filter_map(move |clash| {
            let (own, rival) = clash.against(stack, host)?;
            Some((clash, own, rival))
        })
    }

    /// A stack of a host whose manifests cannot be used.
    pub fn unreadable_on(&self, host: &HostName) -> Option<&StackName> {
        let mut on_host = self.unreadable.iter().filter(|(_, hosts)| hosts.contains(host));
        on_host.next().map(|(stack, _)| stack)
    }
}

/// One stack's place among the stacks of its commit: whom it shares what with on its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbourhood {
    /// What the stacks of the commit ask for; those of the newest commit too where the stack is kept at another one.
    pub claims: Vec<Arc<Claims>>,
    /// The host; `None` where nothing is known of it.
    pub host: Option<HostName>,
}

impl Neighbourhood {
    /// The stack that declares something, whichever commit it is in.
    pub fn holder(&self, what: &Claimed) -> Option<&Claim> {
        let host = self.host.as_ref()?;
        self.claims.iter().find_map(|claims| claims.holder(what, host))
    }

    /// A stack of this host whose manifests cannot be used.
    pub fn unreadable(&self) -> Option<&StackName> {
        let host = self.host.as_ref()?;
        self.claims.iter().find_map(|claims| claims.unreadable_on(host))
    }

    /// Host ports and container names that stacks of this commit need for themselves on this host.
    pub fn wanted(&self) -> impl Iterator<Item = (&Claimed, &StackName)> {
        let own = self.claims.first().zip(self.host.as_ref());
        own.into_iter().flat_map(|(claims, host)| {
            let all =
                claims.wanted.iter().flat_map(|(what, who)| who.iter().map(move |one| (what, one)));
            all.filter(|(_, claim)| claim.hosts.contains(host))
                .map(|(what, claim)| (what, &claim.stack))
        })
    }

    /// Whether a host port is held by a stack of the commit that does not ask for it any more.
    pub fn give_up(&self, taken: &TakenPort) -> bool {
        let Some(claims) = self.claims.first() else { return false };
        let Ok(stack) = StackName::parse(&taken.stack) else { return false };
        let is_known = claims.stacks.contains(&stack) && !claims.unreadable.contains_key(&stack);
        let port = Claimed::Port(format!("{}/{}", taken.port, taken.protocol));
        is_known && !self.wanted().any(|(what, who)| *what == port && *who == stack)
    }

    /// What only one of two can have, as far as it concerns a stack here.
    pub fn clashes_of<'a>(
        &'a self,
        stack: &'a StackName,
    ) -> impl Iterator<Item = (&'a Clash, &'a Claim, &'a Claim)> {
        let own = self.claims.first().zip(self.host.as_ref());
        own.into_iter().flat_map(move |(claims, host)| claims.clashes_of(stack, host))
    }
}

//! What a reviewer must not overlook: data, rights on the host, ports, and services that are away for a while.

mod away;

use std::collections::BTreeMap;

use super::Report;
use super::change::{Mark, Sort, fates};
use crate::model::{
    Action, ContainerSpec, Drift, HostConfig, Location, Mounting, Plan, Reason, Resource,
};

/// Whether the target branch has the stack already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It has.
    Known,
    /// The pull request brings it.
    New,
    /// The pull request takes it away.
    Gone,
    /// The pull request takes it away from this host, and leaves it on others.
    Left,
}

/// A consequence, and how bad it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Danger {
    /// Of which sort.
    pub risk: Risk,
    /// What.
    pub text: String,
    /// Where the manifest asks for it.
    pub origin: Option<Location>,
}

/// Sorts of danger, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// The pull request allows itself more than the branch does.
    Widened,
    /// Data goes.
    DataRemoved,
    /// Data stays where nobody uses it, or begins anew.
    DataLeft,
    /// Containers that are not kept apart from their host.
    Privileged,
    /// Folders or sockets of the host inside containers.
    HostAccess,
    /// A port of the host is opened.
    Port,
    /// A service is away for a while, or for good.
    Downtime,
}

impl Risk {
    /// In a table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Widened => "allows more",
            Self::DataRemoved => "removes data",
            Self::DataLeft => "leaves data",
            Self::Privileged => "privileged",
            Self::HostAccess => "host access",
            Self::Port => "opens a port",
            Self::Downtime => "downtime",
        }
    }
}

/// Everything dangerous in a report's plans. Paths below `data` are Moorline's own on the host.
pub fn dangers(report: &Report, novelty: Novelty, data: &str) -> Vec<Danger> {
    let plans: Vec<&Plan> = report.rounds.iter().map(|round| &*round.plan).collect();
    let mut found = data_at_risk(report, &plans, novelty);
    found.extend(rights(report, &plans, data));
    let away = away::away(report, &plans).into_iter();
    found.extend(away.map(|(text, origin)| Danger { risk: Risk::Downtime, text, origin }));
    let mut once = BTreeMap::new();
    for danger in found {
        once.entry((danger.risk, danger.text.clone())).or_insert(danger);
    }
    once.into_values().collect()
}

fn data_at_risk(report: &Report, plans: &[&Plan], novelty: Novelty) -> Vec<Danger> {
    let mut found = Vec::new();
    let fates = fates(plans.iter().copied());
    for ((sort, name), fate) in &fates {
        if *sort != Sort::Volume {
            continue;
        }
        let origin = fate.made().and_then(|step| step.origin.clone());
        let (risk, text) = match fate.mark() {
            Some(Mark::Remove) => {
                (Risk::DataRemoved, format!("volume {name} is removed with its data"))
            }
            Some(Mark::Replace) => {
                (Risk::DataRemoved, format!("volume {name} is made anew: its data is removed"))
            }
            Some(Mark::Create) if novelty == Novelty::Known => {
                (Risk::DataLeft, format!("volume {name} is new, and starts empty"))
            }
            _ => continue,
        };
        found.push(Danger { risk, text, origin });
    }
    let removed = |name: &str| {
        fates.get(&(Sort::Volume, name.to_owned())).is_some_and(|fate| fate.mark().is_some())
    };
    found.extend(left_behind(report, removed));
    found
}

/// Volumes that nobody uses any more, and that stay with their data.
fn left_behind(report: &Report, removed: impl Fn(&str) -> bool) -> impl Iterator<Item = Danger> {
    report.found.iter().filter_map(move |drift| match (&drift.resource, &drift.reason) {
        (Resource::Volume(name), Reason::Orphaned) if !removed(name) => {
            let host = &report.target.host;
            let text =
                format!("volume {name} stays behind on {host} with its data, and nobody uses it");
            Some(Danger { risk: Risk::DataLeft, text, origin: drift.origin.clone() })
        }
        _ => None,
    })
}

/// Rights that containers get which they did not have: all of a new container's, and what changes of one that is there.
fn rights(report: &Report, plans: &[&Plan], data: &str) -> Vec<Danger> {
    let mut found = Vec::new();
    for (_, fate) in fates(plans.iter().copied()) {
        let Some(step) = fate.made() else { continue };
        let Action::Create { spec, .. } = &step.action else { continue };
        let Some(replica) = &step.replica else { continue };
        let is_new = fate.mark() == Some(Mark::Create);
        let of_it = |drift: &&Drift| matches!(&drift.resource, Resource::Replica { replica: one, .. } if one == replica);
        let changed: Vec<&Drift> = report.found.iter().filter(of_it).collect();
        let is_wider =
            |attribute: &str| is_new || changed.iter().any(|drift| sets(drift, attribute));
        for (risk, attribute, text) in held(spec, data) {
            if is_wider(&attribute) {
                let field = changed.iter().find(|drift| sets(drift, &attribute));
                let origin = field.and_then(|drift| drift.origin.clone());
                let origin = origin.or_else(|| step.origin.clone());
                found.push(Danger { risk, text: format!("{} {text}", replica.service), origin });
            }
        }
    }
    found
}

/// Whether a drift asks for something under this attribute that is not there.
fn sets(drift: &Drift, attribute: &str) -> bool {
    let Reason::Changed { field, desired: Some(_), .. } = &drift.reason else { return false };
    let below = |whole: &str, part: &str| {
        whole.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    below(field, attribute) || below(attribute, field)
}

/// Capabilities that open the host.
const WIDE_CAPABILITIES: [&str; 9] = [
    "ALL",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "NET_ADMIN",
    "DAC_READ_SEARCH",
    "BPF",
    "SYS_BOOT",
];

/// What a container may do to its host: the sort, the attribute that asks for it, and in words.
fn held(spec: &ContainerSpec, data: &str) -> Vec<(Risk, String, String)> {
    let host = &*spec.host;
    let mut found = Vec::new();
    let mut privileged = |attribute: &str, text: String| {
        found.push((Risk::Privileged, attribute.to_owned(), text));
    };
    if host.privileged {
        privileged("privileged", "is privileged: it may do everything on its host".to_owned());
    }
    for attribute in shared_with_the_host(host) {
        privileged(attribute, format!("shares its host's {attribute} (`host`)"));
    }
    for capability in &host.cap_add {
        let plain = capability.trim_start_matches("CAP_");
        if WIDE_CAPABILITIES.contains(&plain) {
            privileged("cap_add", format!("gets the capability {plain}"));
        }
    }
    for option in host.security_opt.iter().filter(|option| option.contains("unconfined")) {
        privileged("security_opt", format!("runs unconfined ({option})"));
    }
    for device in &host.devices {
        privileged("devices", format!("gets the host's device {}", device.path_on_host));
    }
    found.extend(mounts(host, data));
    found.extend(ports(host));
    found
}

/// Attributes by which a container lives in a namespace of its host.
fn shared_with_the_host(host: &HostConfig) -> impl Iterator<Item = &'static str> {
    let modes = [
        ("network_mode", &host.network_mode),
        ("pid", &host.pid_mode),
        ("ipc", &host.ipc_mode),
        ("userns_mode", &host.userns_mode),
        ("uts", &host.uts_mode),
    ];
    modes.into_iter().filter(|(_, mode)| *mode == "host").map(|(attribute, _)| attribute)
}

fn mounts(host: &HostConfig, data: &str) -> Vec<(Risk, String, String)> {
    let own = data.trim_end_matches('/');
    let is_own = |source: &str| {
        source.strip_prefix(own).is_some_and(|rest| !own.is_empty() && rest.starts_with('/'))
    };
    let hosts = host.mountings().filter_map(|mounting| Some((mounting.host_path()?, mounting)));
    let hosts = hosts.filter(|(source, _)| !is_own(source));
    let said = hosts.map(|(source, Mounting { target, read_only, .. })| {
        let mode = if read_only { " (read-only)" } else { "" };
        let text = if is_socket(source) || source == "/run" || source == "/var/run" {
            format!("gets the host's socket {source}{mode}: whoever is in it may own the host")
        } else {
            format!("gets the host's {source} at {target}{mode}")
        };
        (Risk::HostAccess, format!("volumes.{target}"), text)
    });
    said.collect()
}

fn ports(host: &HostConfig) -> Vec<(Risk, String, String)> {
    let bindings = host.port_bindings.iter().flat_map(|(inside, bindings)| {
        bindings.iter().flatten().map(move |binding| (inside, binding))
    });
    let said = bindings.map(|(inside, binding)| {
        let port = match binding.host_port.as_str() {
            "" | "0" => "a port of the Engine's choice".to_owned(),
            port => format!("port {port}"),
        };
        let at = match binding.host_ip.as_str() {
            "" | "0.0.0.0" | "::" => "on all addresses".to_owned(),
            ip => format!("on {ip}"),
        };
        (Risk::Port, format!("ports.{inside}"), format!("publishes {port} {at} (for {inside})"))
    });
    let mut said: Vec<_> = said.collect();
    if host.publish_all_ports {
        let text = "publishes every port that its image exposes".to_owned();
        said.push((Risk::Port, "ports".to_owned(), text));
    }
    said
}

/// Sockets are named so by custom, in this case only.
fn is_socket(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|end| end == "sock")
}

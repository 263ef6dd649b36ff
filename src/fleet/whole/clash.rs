//! What two stacks of a commit want on one host and only one of them can have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Member;
use crate::model::project::{Network, Service, Volume};
use crate::model::{Claim, Claimed, Clash, Project, ServiceName};

/// What stacks need for themselves: host ports and container names, and who needs them.
pub(super) type Wanted = BTreeMap<Claimed, Vec<Claim>>;

/// Finds all of them, each pair of stacks once, and what stacks need for themselves.
pub(super) fn find(members: &[Member<'_>]) -> (Vec<Clash>, Wanted) {
    let mut found = Found::default();
    let readable =
        || members.iter().filter_map(|member| Some((member, member.project.as_ref().copied()?)));
    let mut wants: BTreeMap<Claimed, Vec<Want>> = BTreeMap::new();
    for (member, project) in readable() {
        for want in wants_of(member, project) {
            wants.entry(want.what.clone()).or_default().push(want);
        }
    }
    for rivals in wants.values() {
        for (place, one) in rivals.iter().enumerate() {
            for other in rivals.iter().skip(place + 1) {
                if one.meets(other) && !(one.spreads && other.spreads) {
                    found.note(one.what.clone(), (&one.claim, &other.claim), String::new());
                }
            }
        }
    }
    let readable: Vec<(&Member<'_>, &Project)> = readable().collect();
    unequal(&readable, &mut found);
    overlapping(&readable, &mut found);
    let wanted = wants
        .into_iter()
        .filter(|(what, _)| matches!(what, Claimed::Port(_) | Claimed::Container(_)))
        .map(|(what, all)| (what, all.into_iter().map(|want| want.claim).collect()))
        .collect();
    (found.all.into_values().collect(), wanted)
}

/// Clashes by what they are about and between whom.
#[derive(Default)]
struct Found {
    all: BTreeMap<(Claimed, String, String), Clash>,
}

impl Found {
    fn note(&mut self, what: Claimed, (one, other): (&Claim, &Claim), difference: String) {
        if one.stack == other.stack || one.hosts.is_disjoint(&other.hosts) {
            return;
        }
        let key = (what.clone(), one.stack.to_string(), other.stack.to_string());
        self.all.entry(key).or_insert_with(|| Clash {
            what,
            one: one.clone(),
            other: other.clone(),
            difference,
        });
    }
}

/// Something that a stack needs for itself.
struct Want {
    what: Claimed,
    claim: Claim,
    /// The host address of a port; empty for all.
    address: String,
    spreads: bool,
}

impl Want {
    /// Whether both cannot be had: ports may be held on different addresses.
    fn meets(&self, other: &Self) -> bool {
        let version = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.is_ipv6());
        match (self.address.as_str(), other.address.as_str()) {
            ("", _) | (_, "") => true,
            (one, other) if one == other => true,
            ("0.0.0.0", address) | (address, "0.0.0.0") => version(address) == Some(false),
            ("::", address) | (address, "::") => version(address) == Some(true),
            _ => false,
        }
    }
}

fn wants_of(member: &Member<'_>, project: &Project) -> Vec<Want> {
    let want = |what, claim, address: &str| Want {
        what,
        claim,
        address: address.to_owned(),
        spreads: member.spreads,
    };
    let mut wants =
        vec![want(Claimed::Project(project.name.to_string()), member.claim(None, "name"), "")];
    for (name, service) in project.services.iter().filter(|(_, one)| one.replicas() > 0) {
        for container in container_names(project, name, service) {
            let claim = member.claim(Some(name), &format!("services.{name}.container_name"));
            wants.push(want(Claimed::Container(container), claim, ""));
        }
        for (place, port) in service.ports.iter().enumerate() {
            let published = port.published.as_str();
            if service.network_mode == "host"
                || matches!(published, "" | "0")
                || published.contains('-')
            {
                continue;
            }
            let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
            let claim = member.claim(Some(name), &format!("services.{name}.ports.{place}"));
            wants.push(want(
                Claimed::Port(format!("{published}/{protocol}")),
                claim,
                &port.host_ip,
            ));
        }
        for (key, config) in &service.networks {
            let (Some(config), Some(network)) = (config, project.networks.get(key)) else {
                continue;
            };
            let fixed =
                [("ipv4_address", &config.ipv4_address), ("ipv6_address", &config.ipv6_address)];
            for (field, address) in fixed.into_iter().filter(|(_, address)| !address.is_empty()) {
                let path = format!("services.{name}.networks.{key}.{field}");
                let (network, address) = (network.name.clone(), address.clone());
                let what = Claimed::Address { network, address };
                wants.push(want(what, member.claim(Some(name), &path), ""));
            }
        }
    }
    wants
}

/// The names of a service's containers: its own, else `PROJECT-SERVICE-NUMBER`.
pub(super) fn container_names(
    project: &Project,
    name: &ServiceName,
    service: &Service,
) -> Vec<String> {
    if !service.container_name.is_empty() {
        return vec![service.container_name.clone()];
    }
    (1..=service.replicas()).map(|number| format!("{}-{name}-{number}", project.name)).collect()
}

/// Networks and volumes that stacks share, and of which they do not ask for the same.
fn unequal(members: &[(&Member<'_>, &Project)], found: &mut Found) {
    let mut networks: BTreeMap<&str, Vec<(Claim, &Network)>> = BTreeMap::new();
    let mut volumes: BTreeMap<&str, Vec<(Claim, &Volume)>> = BTreeMap::new();
    for (member, project) in members {
        for (key, network) in project.networks.iter().filter(|(_, network)| !network.external) {
            let claim = member.claim(None, &format!("networks.{key}"));
            networks.entry(&network.name).or_default().push((claim, network));
        }
        for (key, volume) in project.volumes.iter().filter(|(_, volume)| !volume.external) {
            let claim = member.claim(None, &format!("volumes.{key}"));
            volumes.entry(&volume.name).or_default().push((claim, volume));
        }
    }
    for (name, sharers) in networks {
        each_pair(&sharers, |one, other| {
            if let Some(field) = network_difference(one.1, other.1) {
                let what = Claimed::Network(name.to_owned());
                found.note(what, (&one.0, &other.0), field.to_owned());
            }
        });
    }
    for (name, sharers) in volumes {
        each_pair(&sharers, |one, other| {
            if let Some(field) = volume_difference(one.1, other.1) {
                let what = Claimed::Volume(name.to_owned());
                found.note(what, (&one.0, &other.0), field.to_owned());
            }
        });
    }
}

/// Networks of different names that ask for the same addresses: the Engine makes only the first of them.
fn overlapping(members: &[(&Member<'_>, &Project)], found: &mut Found) {
    let mut all: Vec<(Claim, &str, &str, Subnet)> = Vec::new();
    for (member, project) in members {
        for (key, network) in project.networks.iter().filter(|(_, network)| !network.external) {
            for pool in &network.ipam.config {
                let Some(subnet) = Subnet::parse(&pool.subnet) else { continue };
                let claim = member.claim(None, &format!("networks.{key}"));
                all.push((claim, &network.name, &pool.subnet, subnet));
            }
        }
    }
    each_pair(&all, |(one, network, text, subnet), (other, rival, _, taken)| {
        if network != rival && subnet.meets(taken) {
            let networks = Box::new([(*network).to_owned(), (*rival).to_owned()]);
            let what = Claimed::Subnet { subnet: (*text).to_owned(), networks };
            found.note(what, (one, other), String::new());
        }
    });
}

/// A range of addresses.
#[derive(Debug, Clone, Copy)]
struct Subnet {
    address: IpAddr,
    length: u32,
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (address, length) = (address.parse().ok()?, length.parse().ok()?);
        let most = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        (length <= most).then_some(Self { address, length })
    }

    /// Whether the two have addresses in common: the longer one begins as the shorter one does.
    fn meets(&self, other: &Self) -> bool {
        let length = self.length.min(other.length);
        let (one, other, width) = match (self.address, other.address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        one.checked_shr(width - length).unwrap_or(0)
            == other.checked_shr(width - length).unwrap_or(0)
    }
}

fn each_pair<T>(all: &[T], mut each: impl FnMut(&T, &T)) {
    for (place, one) in all.iter().enumerate() {
        for other in all.iter().skip(place + 1) {
            each(one, other);
        }
    }
}

/// The first attribute in which two networks of one name differ.
fn network_difference(one: &Network, other: &Network) -> Option<&'static str> {
    let Network {
        name: _,
        driver,
        driver_opts,
        ipam,
        external: _,
        internal,
        attachable,
        labels,
        enable_ipv4,
        enable_ipv6,
    } = one;
    let plain = |driver: &str| if driver == "bridge" { String::new() } else { driver.to_owned() };
    [
        ("driver", plain(driver) != plain(&other.driver)),
        ("driver_opts", *driver_opts != other.driver_opts),
        ("ipam", *ipam != other.ipam),
        ("internal", *internal != other.internal),
        ("attachable", *attachable != other.attachable),
        ("labels", *labels != other.labels),
        ("enable_ipv4", *enable_ipv4 != other.enable_ipv4),
        ("enable_ipv6", enable_ipv6.unwrap_or(false) != other.enable_ipv6.unwrap_or(false)),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}

/// The first attribute in which two volumes of one name differ.
fn volume_difference(one: &Volume, other: &Volume) -> Option<&'static str> {
    let Volume { name: _, driver, driver_opts, external: _, labels } = one;
    let plain = |driver: &str| if driver == "local" { String::new() } else { driver.to_owned() };
    [
        ("driver", plain(driver) != plain(&other.driver)),
        ("driver_opts", *driver_opts != other.driver_opts),
        ("labels", *labels != other.labels),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_meet_where_one_lies_in_the_other() {
        for (one, other, meets) in [
            ("10.1.0.0/16", "10.1.2.0/24", true),
            ("10.1.2.0/24", "10.1.3.0/24", false),
            ("10.1.2.0/24", "10.1.2.128/25", true),
            ("0.0.0.0/0", "192.168.0.0/24", true),
            ("fd00:1::/64", "fd00:1::/80", true),
            ("fd00:1::/64", "fd00:2::/64", false),
            ("10.0.0.0/8", "fd00::/8", false),
        ] {
            let (one, other) = (Subnet::parse(one).unwrap(), Subnet::parse(other).unwrap());
            assert_eq!((one.meets(&other), other.meets(&one)), (meets, meets), "{one:?} {other:?}");
        }
        assert!(Subnet::parse("10.0.0.0/33").is_none() && Subnet::parse("10.0.0.0").is_none());
    }
}

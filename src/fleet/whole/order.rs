//! The order that follows from what one stack makes and another one uses, without `after`.

use std::collections::{BTreeMap, BTreeSet};

use super::Member;
use super::clash::container_names;
use crate::model::{Claimed, Project, StackName};

/// Which stacks each stack comes after because it uses something that they make: an external network or volume, a
/// container whose namespaces or volumes it shares. What would close a circle, with these or with what `after` says,
/// is left out.
pub fn implied(members: &[Member<'_>]) -> BTreeMap<StackName, BTreeSet<StackName>> {
    let mut makers: BTreeMap<Claimed, Vec<&Member<'_>>> = BTreeMap::new();
    for member in members {
        for made in member.project.into_iter().flat_map(made_by) {
            makers.entry(made).or_default().push(member);
        }
    }
    let mut order: BTreeMap<StackName, BTreeSet<StackName>> =
        members.iter().map(|one| (one.stack.name.clone(), one.stack.after.clone())).collect();
    let mut implied: BTreeMap<StackName, BTreeSet<StackName>> = BTreeMap::new();
    for member in members {
        let name = &member.stack.name;
        for used in member.project.into_iter().flat_map(used_by) {
            let known = makers.get(&used).into_iter().flatten();
            let mut known = known.filter(|maker| !maker.hosts.is_disjoint(&member.hosts));
            let Some(maker) = known.next().map(|maker| &maker.stack.name) else { continue };
            if maker == name || reaches(&order, maker, name) {
                continue;
            }
            order.entry(name.clone()).or_default().insert(maker.clone());
            implied.entry(name.clone()).or_default().insert(maker.clone());
        }
    }
    implied
}

fn made_by(project: &Project) -> Vec<Claimed> {
    let networks = project.networks.values().filter(|network| !network.external);
    let volumes = project.volumes.values().filter(|volume| !volume.external);
    let containers = project.services.iter().flat_map(|(name, service)| {
        container_names(project, name, service).into_iter().map(Claimed::Container)
    });
    networks
        .map(|network| Claimed::Network(network.name.clone()))
        .chain(volumes.map(|volume| Claimed::Volume(volume.name.clone())))
        .chain(containers)
        .collect()
}

/// Compose's words for what a service takes from outside its project: `external`, and `container:NAME`.
fn used_by(project: &Project) -> Vec<Claimed> {
    let networks = project.networks.values().filter(|network| network.external);
    let volumes = project.volumes.values().filter(|volume| volume.external);
    let mut used: Vec<Claimed> = networks
        .map(|network| Claimed::Network(network.name.clone()))
        .chain(volumes.map(|volume| Claimed::Volume(volume.name.clone())))
        .collect();
    for service in project.services.values() {
        let spaces = [&service.network_mode, &service.pid, &service.ipc];
        let of_containers = spaces.into_iter().chain(&service.volumes_from);
        let named = of_containers.filter_map(|text| text.strip_prefix("container:"));
        let named = named.map(|name| name.split(':').next().unwrap_or_default());
        let linked =
            service.external_links.iter().map(|link| link.split(':').next().unwrap_or(link));
        used.extend(named.chain(linked).map(|name| Claimed::Container(name.to_owned())));
    }
    used
}

/// Whether `from` comes, directly or not, after `to`.
fn reaches(
    order: &BTreeMap<StackName, BTreeSet<StackName>>,
    from: &StackName,
    to: &StackName,
) -> bool {
    let mut seen: BTreeSet<&StackName> = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(order.get(name).into_iter().flatten());
        }
    }
    false
}

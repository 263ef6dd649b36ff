//! Which stack comes after which: who makes what another one only uses.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Project, StackName};

/// What comes first for each stack. Circles are left out: whichever is found later.
pub(super) fn order(
    projects: &BTreeMap<StackName, &Project>,
) -> BTreeMap<StackName, BTreeSet<StackName>> {
    let mut makers: BTreeMap<(&str, &str), &StackName> = BTreeMap::new();
    for (name, project) in projects {
        let networks = project.networks.values().filter(|network| !network.external);
        makers.extend(networks.map(|network| (("network", network.name.as_str()), name)));
        let volumes = project.volumes.values().filter(|volume| !volume.external);
        makers.extend(volumes.map(|volume| (("volume", volume.name.as_str()), name)));
        let named = project.services.values().filter(|service| !service.container_name.is_empty());
        makers.extend(named.map(|service| (("container", service.container_name.as_str()), name)));
    }
    let mut after: BTreeMap<StackName, BTreeSet<StackName>> = BTreeMap::new();
    for (name, project) in projects {
        for used in uses(project) {
            let Some(maker) = makers.get(&(used.0, used.1.as_str())) else { continue };
            if *maker != name && !reaches(&after, maker, name) {
                after.entry(name.clone()).or_default().insert((*maker).clone());
            }
        }
    }
    after
}

/// What a project uses and does not make.
fn uses(project: &Project) -> Vec<(&'static str, String)> {
    let networks = project.networks.values().filter(|network| network.external);
    let volumes = project.volumes.values().filter(|volume| volume.external);
    let mut found: Vec<(&'static str, String)> = networks
        .map(|network| ("network", network.name.clone()))
        .chain(volumes.map(|volume| ("volume", volume.name.clone())))
        .collect();
    for service in project.services.values() {
        let spaces = [&service.network_mode, &service.ipc, &service.pid];
        let containers = spaces.into_iter().chain(&service.volumes_from);
        found.extend(containers.filter_map(|text| {
            let name = text.strip_prefix("container:")?;
            Some(("container", name.split(':').next().unwrap_or(name).to_owned()))
        }));
        found.extend(
            service
                .external_links
                .iter()
                .map(|link| ("container", link.split(':').next().unwrap_or(link).to_owned())),
        );
    }
    found
}

/// Whether `from` comes after `to` already.
fn reaches(
    after: &BTreeMap<StackName, BTreeSet<StackName>>,
    from: &StackName,
    to: &StackName,
) -> bool {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(one) = open.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            open.extend(after.get(one).into_iter().flatten());
        }
    }
    false
}

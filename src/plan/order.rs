//! Services in the order of their dependencies.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Desired, DesiredService, ServiceName};

/// Services so that each comes after those that it depends on or shares namespaces with; by name otherwise.
/// Members of a circle (the loader refuses them) come last, by name.
///
/// Layer by layer, names in each: the order does not depend on that of the file, and a service that is added somewhere
/// moves no other. The loader refuses circles, and this one still ends with one, since a plan is made of any `Desired`.
pub(super) fn by_dependency(desired: &Desired) -> Vec<ServiceName> {
    let mut open: BTreeMap<&ServiceName, BTreeSet<&ServiceName>> = desired
        .services
        .iter()
        .map(|(name, service)| {
            let needs = needs(service)
                .filter(|need| *need != name && desired.services.contains_key(*need))
                .collect();
            (name, needs)
        })
        .collect();
    let mut order = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let ready: Vec<&ServiceName> =
            open.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            order.extend(open.keys().map(|name| (*name).clone()));
            break;
        }
        for name in ready {
            open.remove(name);
            for needs in open.values_mut() {
                needs.remove(name);
            }
            order.push(name.clone());
        }
    }
    order
}

/// Services that are planned before this one: those that it `depends_on`, and those whose namespaces or volumes it shares,
/// because a container cannot be made in the namespace of one that is not there.
fn needs(service: &DesiredService) -> impl Iterator<Item = &ServiceName> {
    let shared = service
        .replicas
        .values()
        .flat_map(|replica| replica.shares.iter().map(|other| &other.service));
    service.depends_on.keys().chain(shared)
}

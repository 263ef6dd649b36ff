//! Networks, volumes and images.

use std::collections::{BTreeMap, BTreeSet};

use super::container::{build_changed, canonical_address, registry_moved};
use super::gaps::Gaps;
use super::look::Look;
use super::mask;
use super::sheet::is_passing_label;
use crate::model::{
    Claimed, Cure, DesiredNetwork, DesiredService, DesiredVolume, Drift, ImagePolicy, ImageRef,
    ImageSight, Ipam, IpamPool, Location, NetworkSpec, Reason, Resource, Value, VolumeSpec,
};

/// A flat view of a network or volume: attribute to text.
type Attributes = BTreeMap<String, String>;

/// Differences of networks.
pub(super) fn networks(look: &Look<'_>, unseen: &Gaps<'_>, out: &mut Vec<Drift>) {
    let mut asked_names: BTreeSet<&str> = BTreeSet::new();
    for (key, network) in &look.desired.networks {
        let name = network.spec.name.as_str();
        asked_names.insert(name);
        if unseen.network(name) {
            continue;
        }
        let drift = |reason, cure| Drift {
            resource: Resource::Network(name.to_owned()),
            reason,
            cure,
            origin: network.origin.clone(),
        };
        match look.observed.networks.get(name) {
            None => out.push(drift(Reason::Missing, missing_cure(network.external))),
            Some(_) if network.external => {}
            Some(there) if !look.shares(&there.ownership) => {
                out.push(drift(Reason::Foreign, Cure::None));
            }
            Some(there) => {
                let changes = network_changes(network, &there.spec);
                out.extend(
                    changes
                        .into_iter()
                        .filter(|(field, _, _)| !look.ignores(&format!("networks.{key}.{field}")))
                        .map(|change| drift(changed(change), Cure::Replace)),
                );
            }
        }
    }
    for (name, there) in &look.observed.networks {
        if !asked_names.contains(name.as_str())
            && there.ownership == crate::model::Ownership::Ours
            && !unseen.network(name)
        {
            let resource = Resource::Network(name.clone());
            out.push(left_over(look, &Claimed::Network(name.clone()), resource));
        }
    }
}

/// Differences of volumes.
pub(super) fn volumes(look: &Look<'_>, unseen: &Gaps<'_>, out: &mut Vec<Drift>) {
    let mut asked_names: BTreeSet<&str> = BTreeSet::new();
    for (key, volume) in &look.desired.volumes {
        let name = volume.spec.name.as_str();
        asked_names.insert(name);
        if unseen.volume(name) {
            continue;
        }
        let drift = |reason, cure| Drift {
            resource: Resource::Volume(name.to_owned()),
            reason,
            cure,
            origin: volume.origin.clone(),
        };
        match look.observed.volumes.get(name) {
            None => out.push(drift(Reason::Missing, missing_cure(volume.external))),
            Some(_) if volume.external => {}
            Some(there) if !look.shares(&there.ownership) => {
                out.push(drift(Reason::Foreign, Cure::None));
            }
            Some(there) => {
                let changes = volume_changes(volume, &there.spec);
                out.extend(
                    changes
                        .into_iter()
                        .filter(|(field, _, _)| !look.ignores(&format!("volumes.{key}.{field}")))
                        .map(|change| drift(changed(change), Cure::Replace)),
                );
            }
        }
    }
    for (name, there) in &look.observed.volumes {
        if !asked_names.contains(name.as_str())
            && there.ownership == crate::model::Ownership::Ours
            && !unseen.volume(name)
        {
            let resource = Resource::Volume(name.clone());
            out.push(left_over(look, &Claimed::Volume(name.clone()), resource));
        }
    }
}

/// What helps against a missing network or volume: one that the manifest calls `external` is somebody else's to make
/// (Compose Specification, networks and volumes, `external`), and is never made here.
///
/// To make it would hide the mistake: an external volume that is missing holds somebody's data elsewhere, and the
/// service would start with none.
fn missing_cure(external: bool) -> Cure {
    if external { Cure::None } else { Cure::Create }
}

/// What no active service of this stack uses: orphaned, unless some stack of the commit declares it, whichever it is.
///
/// A profile that is off, or a service that is gone, leaves volumes behind that the commit still declares. They are
/// claimed then, and not orphaned: switching the profile on again must find its data.
fn left_over(look: &Look<'_>, what: &Claimed, resource: Resource) -> Drift {
    match look.desired.neighbours.holder(what) {
        Some(claim) => Drift {
            resource,
            reason: Reason::Claimed { by: claim.stack.clone() },
            cure: Cure::None,
            origin: Some(claim.origin.clone()).filter(|place| !place.file.is_empty()),
        },
        None => Drift { resource, reason: Reason::Orphaned, cure: Cure::Remove, origin: None },
    }
}

/// A field of a resource, what is asked for and what is there.
type Change = (String, Option<String>, Option<String>);

/// A change as a reason, with values that look like secrets masked.
fn changed((field, desired, observed): Change) -> Reason {
    let value =
        |text: Option<String>, field: &str| text.map(|text| Value(mask::show(field, &text)));
    Reason::Changed { desired: value(desired, &field), observed: value(observed, &field), field }
}

/// Fields in which two resources differ, in the order of their names: each that is asked for and is otherwise or absent, and
/// each that is there and nobody asked for.
fn differences(asked: &Attributes, seen: &Attributes) -> Vec<Change> {
    let names: BTreeSet<&String> = asked.keys().chain(seen.keys()).collect();
    names
        .into_iter()
        .filter(|name| asked.get(*name) != seen.get(*name))
        .map(|name| (name.clone(), asked.get(name).cloned(), seen.get(name).cloned()))
        .collect()
}

/// In what a network differs from what is asked for.
///
/// The Engine fills in what nobody asked for: a subnet and a gateway out of its `default-address-pools` where no `ipam` is
/// given, and options of its own drivers. Those are no differences. A network cannot be changed (the API has no call for
/// it): each difference means another network, and so another endpoint for every container in it.
fn network_changes(network: &DesiredNetwork, there: &NetworkSpec) -> Vec<Change> {
    let asked = network_attributes(&network.spec);
    let mut seen = network_attributes(there);
    let ipv6 = network.spec.enable_ipv6 == Some(true);
    let pools = network.spec.ipam.as_ref().map_or(&[][..], |ipam| &ipam.config);
    // The Engine chooses subnets where none is asked for, and fills in gateways.
    let asked_family = |six: bool| pools.iter().any(|pool| pool.subnet.contains(':') == six);
    let fill: Vec<String> = seen
        .keys()
        .filter(|name| name.starts_with("ipam.config"))
        .filter(|name| {
            let six = name.contains(':');
            let whole_pool_is_engines = !asked_family(six) && (!six || ipv6 || pools.is_empty());
            whole_pool_is_engines || (!asked.contains_key(*name) && !name.ends_with("subnet"))
        })
        .cloned()
        .collect();
    for name in fill {
        seen.remove(&name);
    }
    // Overlay networks get an id from the swarm.
    seen.retain(|name, _| {
        !name.starts_with("driver_opts.com.docker.network.driver.overlay.vxlanid")
    });
    differences(&asked, &seen)
}

/// A network's fields as `GET /networks/{id}` names them, one text each.
///
/// Taken apart in full: a field that the type gains does not compile before somebody says whether it counts.
fn network_attributes(spec: &NetworkSpec) -> Attributes {
    let NetworkSpec {
        name: _,
        driver,
        options,
        internal,
        attachable,
        ingress,
        enable_ipv6,
        enable_ipv4,
        ipam,
        labels,
        // Told by the Engine; follows from the driver.
        scope: _,
    } = spec;
    let mut out = Attributes::new();
    if !matches!(driver.as_str(), "" | "bridge" | "default") {
        out.insert("driver".to_owned(), driver.clone());
    }
    named(&mut out, "driver_opts", options);
    let six = *enable_ipv6 == Some(true);
    let flags = [
        ("internal", *internal),
        ("attachable", *attachable),
        ("ingress", *ingress),
        ("enable_ipv6", six),
    ];
    for (name, _) in flags.into_iter().filter(|(_, on)| *on) {
        out.insert(name.to_owned(), "true".to_owned());
    }
    if *enable_ipv4 == Some(false) {
        out.insert("enable_ipv4".to_owned(), "false".to_owned());
    }
    if let Some(ipam) = ipam {
        ipam_attributes(&mut out, ipam);
    }
    labels_of(&mut out, labels);
    out
}

/// The pools of a network, each below its subnet: their order means nothing, and a range or gateway belongs to its own pool.
fn ipam_attributes(out: &mut Attributes, ipam: &Ipam) {
    let Ipam { driver, config, options } = ipam;
    if !matches!(driver.as_str(), "" | "default") {
        out.insert("ipam.driver".to_owned(), driver.clone());
    }
    named(out, "ipam.options", options);
    for pool in config {
        let IpamPool { subnet, ip_range, gateway, aux_addresses } = pool;
        let subnet = canonical_subnet(subnet);
        let base = format!("ipam.config.{subnet}");
        out.insert(format!("{base}.subnet"), subnet);
        if !ip_range.is_empty() {
            out.insert(format!("{base}.ip_range"), canonical_subnet(ip_range));
        }
        if !gateway.is_empty() {
            // Some Engines tell the gateway with the subnet's length.
            let address = gateway.split('/').next().unwrap_or_default();
            out.insert(format!("{base}.gateway"), canonical_address(address));
        }
        for (host, address) in aux_addresses {
            out.insert(format!("{base}.aux_addresses.{host}"), canonical_address(address));
        }
    }
}

/// A subnet with its address in the usual spelling.
///
/// The bits behind the length are left as they stand: the Engine refuses `10.0.1.7/16` for a network, so none can be
/// there.
fn canonical_subnet(text: &str) -> String {
    match text.split_once('/') {
        Some((address, length)) => format!("{}/{length}", canonical_address(address)),
        None => canonical_address(text),
    }
}

/// In what a volume differs from what is asked for. It cannot be changed either, and holds data: the planner holds what the
/// manifest asks for, unless it may be replaced.
fn volume_changes(volume: &DesiredVolume, there: &VolumeSpec) -> Vec<Change> {
    differences(&volume_attributes(&volume.spec), &volume_attributes(there))
}

/// A volume's fields as `GET /volumes/{name}` names them. Labels of Compose and ours tell who made it, not what it is.
///
/// The mount point and what lies in it are not compared: they are the service's, and the reason that a volume is not
/// simply made anew.
fn volume_attributes(spec: &VolumeSpec) -> Attributes {
    let VolumeSpec { name: _, driver, driver_opts, labels } = spec;
    let mut out = Attributes::new();
    if !matches!(driver.as_str(), "" | "local") {
        out.insert("driver".to_owned(), driver.clone());
    }
    named(&mut out, "driver_opts", driver_opts);
    labels_of(&mut out, labels);
    out
}

/// Entries of a map as fields of their own (`labels.tier`), so that one changed entry is one difference.
fn named(out: &mut Attributes, base: &str, map: &BTreeMap<String, String>) {
    out.extend(map.iter().map(|(name, value)| (format!("{base}.{name}"), value.clone())));
}

/// Labels of the manifest: who made a network or volume is not a difference of its own.
fn labels_of(out: &mut Attributes, labels: &BTreeMap<String, String>) {
    let own = labels.iter().filter(|(name, _)| {
        !is_passing_label(name)
            && !name.starts_with("com.docker.compose.")
            && !name.starts_with("moorline.")
    });
    out.extend(own.map(|(name, value)| (format!("labels.{name}"), value.clone())));
}

/// Images that must be pulled or built first, and the differences that say so.
///
/// Said of the service and not of a container, because the step serves all its replicas, and others that share the
/// reference.
pub(super) fn images(
    look: &Look<'_>,
    unseen: &Gaps<'_>,
    out: &mut Vec<Drift>,
) -> BTreeSet<ImageRef> {
    let mut stale = BTreeSet::new();
    for (name, service) in &look.desired.services {
        if service.replicas.is_empty() || unseen.image(service.image.as_str()) {
            continue;
        }
        let Some((reason, field)) = image_reason(look, service) else { continue };
        if look.ignores(&format!("services.{name}.{field}")) {
            continue;
        }
        let never = service.image_policy == ImagePolicy::Never;
        if !never {
            stale.insert(service.image.clone());
        }
        out.push(Drift {
            resource: Resource::Service(name.clone()),
            reason,
            cure: if never { Cure::None } else { Cure::Create },
            origin: origin(service, field),
        });
    }
    stale
}

/// Why a service's image must be fetched or built before a container is made of it, and which attribute says so.
fn image_reason(look: &Look<'_>, service: &DesiredService) -> Option<(Reason, &'static str)> {
    match look.observed.images.get(&service.image)? {
        ImageSight::Absent => Some((Reason::ImageMissing, "image")),
        ImageSight::Present(image) if build_changed(look, service, image) => {
            Some((Reason::BuildChanged, "build"))
        }
        ImageSight::Present(image) if registry_moved(image) => {
            Some((Reason::ImageMoved { image: service.image.to_string() }, "image"))
        }
        ImageSight::Present(_) => None,
    }
}

/// Where the manifest speaks of an attribute below a service: of it, of what holds it, or of the service.
///
/// `environment.LOG_LEVEL` may come from an `env_file`, which has no line of its own in the manifest; then the line of
/// `environment` or of the service is the nearest place where somebody can change it.
pub(super) fn origin(service: &DesiredService, attribute: &str) -> Option<Location> {
    let mut path = attribute;
    loop {
        if let Some(location) = service.origins.get(path) {
            return Some(location.clone());
        }
        match path.rsplit_once('.') {
            Some((parent, _)) => path = parent,
            None => return service.origin.clone(),
        }
    }
}

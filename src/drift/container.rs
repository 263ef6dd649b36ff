//! One replica against the container that stands for it: fields, image, name and networks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::contents::Difference;
use super::defaults::{self, Knowledge};
use super::look::Look;
use super::sheet::host::{self, Naming};
use super::sheet::witness;
use super::sheet::{Line, Sheet, write_config};
use super::table::{Effect, Field};
use super::{adopt, contents, mask};
use crate::model::{
    ContainerConfig, ContainerSpec, Cure, DesiredReplica, DesiredService, Endpoint, EndpointIpam,
    ImagePolicy, ImageSight, ObservedContainer, ObservedImage, Ownership, Reason, Upload, Value,
};

/// The label that tells the content of files that are copied into a container, or laid over its state.
/// A file's content is nowhere in inspect: without the label a changed config that is copied in would never be seen to
/// differ.
const FILES_LABEL: &str = "moorline.files";

/// Everything in which a container differs from what its replica asks for, but for its state.
///
/// State is judged apart (`state`): a container may be exactly what was asked for and not run, or run and be another
/// one. Both are said, and the planner needs to tell them apart, because the first is started and the second replaced.
pub(super) fn compare(
    look: &Look<'_>,
    service: &DesiredService,
    replica: &DesiredReplica,
    container: &ObservedContainer,
) -> Vec<Difference> {
    let mut found = fields(look, service, replica, container);
    let renamed_image = found.iter().any(|difference| difference.attribute == "image");
    if !renamed_image {
        found.extend(image_moved(look, service, container));
    }
    if container.name != replica.name {
        let cure = if look.is_name_taken(&replica.name) { Cure::None } else { Cure::InPlace };
        found.push(Difference {
            attribute: "container_name".to_owned(),
            reason: Reason::Renamed { observed: container.name.clone() },
            cure,
        });
    }
    found.extend(networks(look, replica, container));
    found.extend(contents::compare(look.desired, replica, container));
    if start_lost_network(container) {
        found.push(Difference {
            attribute: "networks".to_owned(),
            reason: Reason::Broken,
            cure: Cure::Replace,
        });
    }
    found
}

/// A stopped container whose network was made anew cannot be started again: it remembers the old network's id.
///
/// The Engine keeps the network's id in the container's endpoint, and `POST /containers/{id}/start` looks for that id.
/// `docker network rm` and a network of the same name made anew is all that it takes. There is no code for it, only the
/// words.
fn start_lost_network(container: &ObservedContainer) -> bool {
    let error = container.error.to_ascii_lowercase();
    !container.state.is_up() && error.contains("network") && error.contains("not found")
}

/// Differences of the two halves of a specification, field by field.
///
/// Both sides are written on sheets in the same canonical words, so that what is said in two ways is one line: a port as text
/// or as a range, a duration in seconds or nanoseconds. What the image gives, what the Engine fills in and what adoption
/// passes over is settled on the sheets, and only then are they compared.
fn fields(
    look: &Look<'_>,
    service: &DesiredService,
    replica: &DesiredReplica,
    container: &ObservedContainer,
) -> Vec<Difference> {
    let image = image_defaults(look, service, container);
    let know = Knowledge {
        asked: &replica.spec,
        container,
        engine: &look.observed.engine,
        image_known: image.is_some(),
        secrets: &replica.uploads,
        same_spec: container.vouched
            && look.desired.is_seal_of(&replica.replica, container.spec_label.as_deref()),
        asked_then: container.vouched.then(|| witness::asked(&container.spec)).flatten(),
    };
    let (mut asked, mut seen) = sheets(look, image.map(|image| &image.config), &know);
    if let Some(image) = image
        && !know.same_spec
    {
        platform(&mut asked, &mut seen, &replica.spec, image);
    }
    mac_address(&mut asked, &mut seen, &know);
    defaults::reconcile(&mut asked, &mut seen, &know);
    if container.ownership == Ownership::Foreign {
        adopt::reconcile((look, replica), &mut asked, &mut seen, container);
    }
    differences(service, &asked, &seen, &know)
}

/// What is asked for and what inspect shows, each on its sheet. The image's own values go on the asked side, because inspect
/// shows them mixed in: `GET /containers/{id}/json` does not tell what came from where.
fn sheets(
    look: &Look<'_>,
    image: Option<&ContainerConfig>,
    know: &Knowledge<'_>,
) -> (Sheet, Sheet) {
    let own = &know.asked.config;
    let whole = image.map_or_else(|| (**own).clone(), |image| defaults::with_image(own, image));
    let mut asked = Sheet::default();
    write_config(&mut asked, &whole);
    let mut seen = Sheet::default();
    write_config(&mut seen, &know.container.spec.config);
    let (wanted, there) = (&know.asked.host, &know.container.spec.host);
    // A foreseen container has the very configuration that is asked for, which may be megabytes.
    if !Arc::ptr_eq(wanted, there) {
        host::write_host(&mut asked, wanted, look);
        host::write_host(&mut seen, there, look);
    }
    (asked, seen)
}

/// The image that the container was made from, when it is the one that its reference names now: else its own
/// defaults are not known.
///
/// A tag may have moved since. The new image's `CMD` and `ENV` compared with a container of the old one would be a list
/// of differences that nobody made; that the image is another one is said once, by [`image_moved`].
fn image_defaults<'a>(
    look: &Look<'a>,
    service: &DesiredService,
    container: &ObservedContainer,
) -> Option<&'a ObservedImage> {
    match look.observed.images.get(&service.image)? {
        ImageSight::Absent => None,
        ImageSight::Present(image) => {
            let same = container.image_id.is_empty() || container.image_id == image.id;
            (same && container.spec.config.image == service.image.as_str()).then_some(image)
        }
    }
}

/// `linux/arm64` also stands for `linux/arm64/v8`.
///
/// The Engine tells an image's variant only where the image has one, and a manifest names one seldom: the shorter of
/// the two is the prefix of the longer. `linux/arm` and `linux/arm64` are not told apart that way, and need not be: an
/// Engine for the one cannot run the other.
fn platform(asked: &mut Sheet, seen: &mut Sheet, spec: &ContainerSpec, image: &ObservedImage) {
    let (wanted, there) = (spec.platform.as_str(), image.platform.as_str());
    let fits = there.starts_with(wanted) || wanted.starts_with(there);
    if !wanted.is_empty() && !there.is_empty() && !fits {
        asked.put(Field::Platform, wanted);
        seen.put(Field::Platform, there);
    }
}

/// A fixed MAC address, wherever the Engine keeps it: up to API 1.43 it is `Config.MacAddress`, from 1.44 on one of an
/// endpoint, and the older place is no longer shown. Compose's `mac_address` of a service means the one of the network that
/// the container is created on, so any endpoint that has it will do. Nobody asked, nothing differs: the Engine makes one up.
fn mac_address(asked: &mut Sheet, seen: &mut Sheet, know: &Knowledge<'_>) {
    let wanted = know.asked.config.mac_address.to_ascii_lowercase();
    if wanted.is_empty() {
        return;
    }
    let spec = &know.container.spec;
    let mut there = spec.endpoints.values().map(|endpoint| &endpoint.mac_address);
    let told = spec.config.mac_address.to_ascii_lowercase();
    if told != wanted && !there.any(|address| address.eq_ignore_ascii_case(&wanted)) {
        asked.put(Field::MacAddress, wanted);
        seen.put(Field::MacAddress, told);
    }
}

/// Lines that differ between the two sheets.
///
/// A line on the asked side alone is missing, unless this host's kernel discards such a limit. One on the seen side alone is
/// somebody's doing, unless the Engine or the image fills it in. Only `exact` is compared; what is shown of it may be masked.
fn differences(
    service: &DesiredService,
    asked: &Sheet,
    seen: &Sheet,
    know: &Knowledge<'_>,
) -> Vec<Difference> {
    let keys: BTreeSet<&(Field, String)> = asked.0.keys().chain(seen.0.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (field, name) = key;
        let lines = (asked.0.get(key), seen.0.get(key));
        let differs = match lines {
            (Some(wanted), Some(there)) => wanted.exact != there.exact,
            (None, Some(there)) => !know.is_filled_in(*field, name, &there.exact),
            (Some(_), None) => !know.is_discarded(*field, name),
            (None, None) => false,
        };
        if !differs {
            continue;
        }
        let mut difference = changed(service, *field, name, lines);
        // Whoever sets the memory limit sets the swap limit that belongs to it.
        if *field == Field::MemorySwap && know.asked.host.memory > 0 {
            difference.cure = Cure::InPlace;
        }
        if is_secret(*field, name, lines.0, know.secrets) {
            difference.hide();
        }
        found.push(difference);
    }
    found
}

/// Whether a value must not be shown although its name does not say so: it is also the content of a config or secret,
/// or the digest of such content.
///
/// Somebody who writes `DB: ${DB_PASSWORD}` and uses the same value as a secret's content has said that it is one. What
/// a drift shows ends on a commit, where everybody reads it.
fn is_secret(field: Field, name: &str, wanted: Option<&Line>, secrets: &[Upload]) -> bool {
    let is_content = wanted.is_some_and(|line| {
        secrets.iter().any(|file| file.bytes.trim_ascii() == line.exact.as_bytes())
    });
    (field == Field::Labels && name == FILES_LABEL) || (field == Field::Environment && is_content)
}

impl Difference {
    /// Masks what is asked for and what is there.
    fn hide(&mut self) {
        if let Reason::Changed { desired, observed, .. } = &mut self.reason {
            let mask = || Value(mask::MASK.to_owned());
            *desired = desired.as_ref().map(|_| mask());
            *observed = observed.as_ref().map(|_| mask());
        }
    }
}

/// One differing line in the manifest's words: which attribute asks for it, and what would cure it.
///
/// Several attributes of Compose may end in one field of the Engine (`mem_limit` and `deploy.resources.limits.memory`): the
/// one that the manifest uses is named, so that `file:line` leads to it.
fn changed(
    service: &DesiredService,
    field: Field,
    name: &str,
    (wanted, there): (Option<&Line>, Option<&Line>),
) -> Difference {
    let row = field.row();
    let base = row
        .compose
        .iter()
        .find(|base| names_attribute(service, base))
        .or(row.compose.first())
        .copied()
        .unwrap_or_default();
    let attribute = match (field, name) {
        (Field::Labels, FILES_LABEL) => "files".to_owned(),
        (_, "") => base.to_owned(),
        (_, name) => format!("{base}.{name}"),
    };
    let shown = |line: Option<&Line>| line.map(|line| Value(line.shown.clone()));
    // The Engine takes an absent limit for "leave it": only a restart policy has a word for none.
    let live = row.effect == Effect::InPlace && (wanted.is_some() || field == Field::Restart);
    Difference {
        cure: if live { Cure::InPlace } else { Cure::Replace },
        reason: Reason::Changed {
            field: attribute.clone(),
            desired: shown(wanted),
            observed: shown(there),
        },
        attribute,
    }
}

/// Whether the manifest says this attribute of the service, or something below it (`environment.LOG_LEVEL`).
///
/// Of `mem_limit` and `deploy.resources.limits.memory` only the one that stands in the file can be pointed at; the
/// other would lead to the service's first line, and to a reader who finds nothing there.
fn names_attribute(service: &DesiredService, base: &str) -> bool {
    let below = format!("{base}.");
    service.origins.contains_key(base)
        || service
            .origins
            .range(below.clone()..)
            .next()
            .is_some_and(|(attribute, _)| attribute.starts_with(&below))
}

/// Whether a container runs another image than its reference stands for now.
///
/// A tag is a movable name. Three things can have moved it: an image of that name was pulled or built on this host since
/// (its id differs), the registry has another digest under it (asked only where `pull_policy` says so), or the files that
/// it is built from differ. A container whose image the Engine does not name is not accused.
fn image_moved(
    look: &Look<'_>,
    service: &DesiredService,
    container: &ObservedContainer,
) -> Option<Difference> {
    let Some(ImageSight::Present(image)) = look.observed.images.get(&service.image) else {
        return None;
    };
    let other = !container.image_id.is_empty() && container.image_id != image.id;
    let stale = registry_moved(image);
    let rebuild = build_changed(look, service, image);
    let reason = match (rebuild, other || stale) {
        (true, _) => Reason::BuildChanged,
        (false, true) => Reason::ImageMoved { image: service.image.to_string() },
        (false, false) => return None,
    };
    let attribute = if rebuild { "build" } else { "image" };
    Some(Difference { attribute: attribute.to_owned(), reason, cure: Cure::Replace })
}

/// Whether the registry says another digest than those under which the host knows the image.
///
/// An image has several digests on a host: the index's and, on some Engines, the single manifest's, each with the name
/// that it was pulled by. Any of them is enough. An image that was built or loaded has none, and then nothing is said
/// of a registry that it never saw.
pub(super) fn registry_moved(image: &ObservedImage) -> bool {
    image.registry_digest.as_ref().is_some_and(|digest| {
        !image
            .repo_digests
            .iter()
            .any(|known| known.rsplit_once('@').map_or(known.as_str(), |(_, own)| own) == digest)
    })
}

/// Whether an image is to be built from other files than it was. An image without our label, made by something else
/// for a stack that is being adopted, is taken as it is: what went into it is not known.
///
/// The digest is a label of the image and not of the container, since several containers are made of it, and since it
/// says so also after every container is gone.
pub(super) fn build_changed(
    look: &Look<'_>,
    service: &DesiredService,
    image: &ObservedImage,
) -> bool {
    let ImagePolicy::Build(build) = &service.image_policy else { return false };
    let told = image.config.labels.get(adopt::BUILD_LABEL).or(image.taken_as.as_ref());
    match told {
        Some(digest) => digest != build.digest.as_str(),
        None => !look.adopts(),
    }
}

/// Which networks a container is in, and under which names and addresses in each.
///
/// Both directions count: a network that is asked for and not joined, and one that somebody joined it to. The network of
/// `HostConfig.NetworkMode` stands among the joined ones without anybody asking, and a container in another one's namespace
/// shows that one's networks: neither is a difference.
fn networks(
    look: &Look<'_>,
    replica: &DesiredReplica,
    container: &ObservedContainer,
) -> Vec<Difference> {
    let (asked, seen) = (&replica.spec.endpoints, &container.spec.endpoints);
    let mut found = Vec::new();
    for (network, wanted) in asked {
        match seen.get(network) {
            None => found.push(Difference {
                attribute: format!("networks.{}", look.network_key(network)),
                reason: Reason::Disconnected { network: network.clone() },
                cure: Cure::InPlace,
            }),
            Some(there) => {
                found.extend(endpoint(look, network, (wanted, there), replica, container));
            }
        }
    }
    found.extend(lost_interfaces(container, asked).into_iter().map(|reason| Difference {
        attribute: "networks".to_owned(),
        reason,
        cure: Cure::InPlace,
    }));
    let mode = match container.spec.host.network_mode.as_str() {
        "" | "default" => "bridge",
        mode => mode,
    };
    let shared = mode.starts_with("container:");
    for network in seen.keys().filter(|name| !asked.contains_key(*name)) {
        if shared
            || (network == mode && asked.is_empty())
            || look.network(mode) == *network && asked.is_empty()
        {
            continue;
        }
        found.push(Difference {
            attribute: format!("networks.{}", look.network_key(network)),
            reason: Reason::Attached { network: network.clone() },
            cure: Cure::InPlace,
        });
    }
    found
}

/// Networks that a running container is to be in, and of which the Engine says that it has no interface there.
fn lost_interfaces(
    container: &ObservedContainer,
    asked: &BTreeMap<String, Box<Endpoint>>,
) -> Vec<Reason> {
    let lost = asked.keys().filter(|network| container.lost_interfaces.contains(*network));
    lost.map(|network| Reason::EndpointChanged {
        network: network.clone(),
        field: "interface".to_owned(),
        desired: Some(Value("attached".to_owned())),
        observed: None,
    })
    .collect()
}

/// Differences of one endpoint, each of which a reconnection cures.
///
/// Inspect mixes what was asked for with what the Engine gave: `IPAddress` and `EndpointID` are always its own doing, while
/// `IPAMConfig` holds what was asked for and nothing else. Aliases hold the container's short id and, on some Engines, its
/// name or host name too: those pass. `GwPriority` is told from API 1.48 on; an older Engine cannot have it.
fn endpoint(
    look: &Look<'_>,
    network: &str,
    (wanted, there): (&Endpoint, &Endpoint),
    replica: &DesiredReplica,
    container: &ObservedContainer,
) -> Vec<Difference> {
    let id = container.id.as_str();
    let passing = |alias: &str| {
        // Some Engines add the host name to the names of a later network.
        alias == container.name
            || alias == container.spec.config.hostname
            || alias == replica.name
            || (alias.len() >= 12 && id.starts_with(alias))
    };
    let gateway_told = look.observed.engine.api >= (1, 48);
    let lines = |endpoint: &Endpoint, fixed_mac: bool| -> BTreeMap<&'static str, String> {
        let Endpoint {
            ipam_config,
            links,
            aliases,
            driver_opts,
            mac_address,
            gw_priority,
            // Told by the Engine, whatever was asked for.
            endpoint_id: _,
            ip_address: _,
            ipv6_gateway: _,
        } = endpoint;
        let EndpointIpam { ipv4_address, ipv6_address, link_local_ips } =
            ipam_config.clone().unwrap_or_default();
        let names: BTreeSet<&str> =
            aliases.iter().map(String::as_str).filter(|alias| !passing(alias)).collect();
        let mac = if fixed_mac { mac_address.to_ascii_lowercase() } else { String::new() };
        let priority =
            if gateway_told && *gw_priority != 0 { gw_priority.to_string() } else { String::new() };
        let options: Vec<String> =
            driver_opts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        BTreeMap::from([
            ("aliases", names.into_iter().collect::<Vec<_>>().join(", ")),
            ("ipv4_address", ipv4_address),
            ("ipv6_address", canonical_address(&ipv6_address)),
            ("link_local_ips", link_local_ips.join(", ")),
            ("driver_opts", options.join(", ")),
            (
                "links",
                links
                    .iter()
                    .map(|link| host::link(link))
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            ("mac_address", mac),
            ("gw_priority", priority),
        ])
    };
    let fixed_mac = !wanted.mac_address.is_empty();
    let (asked, seen) = (lines(wanted, fixed_mac), lines(there, fixed_mac));
    let value = |text: &String| (!text.is_empty()).then(|| Value(mask::show_text(text)));
    asked
        .iter()
        .zip(seen.values())
        .filter(|((_, wanted), there)| wanted != there)
        .map(|((field, wanted), there)| Difference {
            attribute: format!("networks.{}.{field}", look.network_key(network)),
            reason: Reason::EndpointChanged {
                network: network.to_owned(),
                field: (*field).to_owned(),
                desired: value(wanted),
                observed: value(there),
            },
            // Engines take a fixed MAC address where a container is made, and pass over it when one joins later.
            cure: if *field == "mac_address" { Cure::Replace } else { Cure::InPlace },
        })
        .collect()
}

/// An address in its usual spelling; text that is none stays as it is.
///
/// IPv6 has many spellings of one address (RFC 5952 recommends one): `2001:DB8::0:1` in the manifest and `2001:db8::1`
/// from the Engine.
pub(super) fn canonical_address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

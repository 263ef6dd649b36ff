//! One replica: the whole payload of its create call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::desk::{Desk, at};
use super::files::{self, Files};
use super::network::{self, Called};
use super::{limits, mounts, payload};
use crate::model::project::{Healthcheck, Service};
use crate::model::{
    ContainerConfig, ContainerSpec, DesiredReplica, Empty, HealthConfig, HostConfig, ImageRef,
    LogConfig, PortBinding, Replica, RestartPolicy, ServiceName,
};

/// Makes a replica of a service.
pub(super) fn replica(
    desk: &mut Desk<'_>,
    (name, service): (&ServiceName, &Service),
    image: &ImageRef,
    number: u32,
) -> DesiredReplica {
    // The name is needed first: links, network aliases and whoever shares this container's namespaces speak of it by
    // name.
    let container = payload::container_name(desk, name.as_str(), service, number);
    let mut files = Files::default();
    files::attach(desk, &mut files, name, service);
    let mut host = host(desk, (name, service));
    mounts::write(desk, &mut host, &mut files, (name, service));
    host.links = network::links(desk, service, number);
    let called = Called { service: name, number, name: &container };
    let (mode, endpoints) = network::attach(desk, service, called);
    host.network_mode = mode;
    let shares = share(desk, &mut host, service);
    let mut config = config(service, image);
    // Before API 1.44 (Engine 25) a MAC address belongs to the container and not to its place in a network.
    // `Config.MacAddress` is what such an Engine reads, and a newer one warns of; so each gets the one that it knows.
    if !desk.speaks(1, 44) {
        let primary = endpoints.get(&host.network_mode);
        config.mac_address = primary.map(|place| place.mac_address.clone()).unwrap_or_default();
    }
    // With `network_mode: host`, `none` or `container:` there is no place in a network to say it at.
    if endpoints.is_empty() {
        config.mac_address.clone_from(&service.mac_address);
    }
    config.labels = payload::container_labels(desk, (name, service), number);
    if let Some(label) = files::label(desk, &files) {
        config.labels.insert("moorline.files".to_owned(), label);
    }
    let spec = ContainerSpec {
        config: Arc::new(config),
        host: Arc::new(host),
        endpoints,
        platform: service.platform.clone(),
    };
    let replica = Replica { service: name.clone(), number };
    // The seal is made of the payload before it is put into it: a digest cannot hold itself.
    desk.seals.insert(replica.clone(), payload::seal(desk, &spec));
    let Files { bundles, uploads, .. } = files;
    DesiredReplica { replica, name: container, spec: Arc::new(spec), uploads, bundles, shares }
}

/// `Config`: the half that an image could have as well. What the manifest does not say stays empty, and the Engine takes the
/// image's; an empty list is said, and takes the image's away (`entrypoint: []`).
fn config(service: &Service, image: &ImageRef) -> ContainerConfig {
    // A variable without a value (`NAME`, not `NAME=`) is taken away: the Engine removes the image's own `ENV` of that
    // name, which is what the Compose Specification means by a value that resolves to nothing.
    let env = service.environment.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    });
    ContainerConfig {
        image: image.to_string(),
        cmd: service.command.clone(),
        entrypoint: service.entrypoint.clone(),
        env: env.collect(),
        user: service.user.clone(),
        working_dir: service.working_dir.clone(),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        tty: service.tty,
        open_stdin: service.stdin_open,
        // `docker compose up -d` sends both; they decide nothing of a container that nobody attaches to, but inspect
        // shows them, and a container that compose made is to look the same as ours.
        attach_stdout: true,
        attach_stderr: true,
        stop_signal: service.stop_signal.clone(),
        // Whole seconds, rounded down, as the Engine's field is one: `1500ms` asks for one second, and `500ms` for
        // none.
        stop_timeout: service.stop_grace_period.map(|grace| grace.nanos / 1_000_000_000),
        healthcheck: service.healthcheck.as_ref().map(health),
        exposed_ports: exposed(service),
        // Not in the Specification, and still what the reference does with that word.
        network_disabled: service.network_mode == "disabled",
        ..ContainerConfig::default()
    }
}

/// `healthcheck`. `disable: true` is the test `NONE`, by which the Engine knows not to run the image's. Durations are
/// nanoseconds; zero leaves the image's, or the Engine's 30 s.
fn health(check: &Healthcheck) -> HealthConfig {
    let Healthcheck { test, timeout, interval, retries, start_period, start_interval, disable } =
        check;
    let nanos = |period: &Option<crate::model::project::Period>| period.map_or(0, |one| one.nanos);
    HealthConfig {
        // A check that says `disable: true` and nothing else has an empty test, which would mean "the image's own".
        test: if *disable { vec!["NONE".to_owned()] } else { test.clone() },
        interval: nanos(interval),
        timeout: nanos(timeout),
        retries: retries.and_then(|count| i64::try_from(count).ok()).unwrap_or(0),
        start_period: nanos(start_period),
        start_interval: nanos(start_interval),
    }
}

/// Ports that are only told of: those of `expose`, and the container's side of each published one, as docker compose does.
/// Without a protocol it is TCP.
fn exposed(service: &Service) -> BTreeMap<String, Empty> {
    let published = service.ports.iter().map(|port| format!("{}/{}", port.target, port.protocol));
    let exposed = service.expose.iter().flat_map(|port| expanded(port));
    published.chain(exposed).map(|port| (port, Empty {})).collect()
}

/// `3000-3002/udp` port by port, with the protocol.
fn expanded(port: &str) -> Vec<String> {
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let range = numbers
        .split_once('-')
        .and_then(|(from, to)| Some((from.parse::<u16>().ok()?, to.parse::<u16>().ok()?)));
    match range {
        // An Engine takes ranges in `PortBindings` for published ports from the command line only; the API wants each
        // port.
        Some((from, to)) => (from..=to).map(|number| format!("{number}/{protocol}")).collect(),
        None => vec![format!("{numbers}/{protocol}")],
    }
}

/// `HostConfig`: the half that belongs to this host.
fn host(desk: &mut Desk<'_>, (name, service): (&ServiceName, &Service)) -> HostConfig {
    // Files are read here, so this is done before the rest is written in one piece.
    let (security_opt, open_paths) = security(desk, name, service);
    let logging = service.logging.as_ref();
    let mut host = HostConfig {
        port_bindings: bindings(service),
        restart_policy: restart(service),
        cap_add: capabilities(&service.cap_add, &[]),
        // `cap_drop: [ALL]` with `cap_add: [NET_BIND_SERVICE]` is the usual hardening. The Engine applies drops first
        // and additions after; a name in both lists would depend on that order, so it is only added.
        cap_drop: capabilities(&service.cap_drop, &service.cap_add),
        dns: service.dns.clone(),
        dns_options: service.dns_opt.clone(),
        dns_search: service.dns_search.clone(),
        extra_hosts: service.extra_hosts.iter().map(|entry| entry.replacen('=', ":", 1)).collect(),
        group_add: service.group_add.clone(),
        ipc_mode: service.ipc.clone(),
        pid_mode: service.pid.clone(),
        uts_mode: service.uts.clone(),
        userns_mode: service.userns_mode.clone(),
        cgroupns_mode: service.cgroup.clone(),
        privileged: service.privileged,
        readonly_rootfs: service.read_only,
        security_opt,
        storage_opt: service.storage_opt.clone(),
        sysctls: service.sysctls.clone(),
        shm_size: service.shm_size.0,
        runtime: service.runtime.clone(),
        isolation: service.isolation.clone(),
        // Three values on purpose: unset leaves it to the daemon's own `init` setting, and `false` is a word against
        // it.
        init: service.init,
        log_config: LogConfig {
            kind: logging.map(|log| log.driver.clone()).unwrap_or_default(),
            config: logging.map(|log| log.options.clone()).unwrap_or_default(),
        },
        annotations: service.annotations.clone(),
        // `systempaths=unconfined` is no security option of the API: Docker's client turns it into two empty lists, and
        // an absent list would mean the Engine's defaults (`/proc/kcore` and its like masked).
        masked_paths: open_paths.then(Vec::new),
        readonly_paths: open_paths.then(Vec::new),
        ..HostConfig::default()
    };
    limits::write(&mut host, service);
    host
}

/// Published ports by container port. Several bindings of one port are several entries below it; an empty host port is one
/// that the Engine chooses anew at each start.
fn bindings(service: &Service) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for port in &service.ports {
        let binding =
            PortBinding { host_ip: port.host_ip.clone(), host_port: port.published.clone() };
        bindings
            .entry(format!("{}/{}", port.target, port.protocol))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    bindings
}

/// The restart policy: `deploy.restart_policy` overrides `restart`.
/// `none`, `on-failure` and `any` are the words of `deploy.restart_policy` (Compose Deploy Specification); `no`,
/// `always`, `on-failure[:N]` and `unless-stopped` those of `restart`, which are the Engine's own. `delay` and `window`
/// have no counterpart in the Engine, which doubles its own delay from 100 ms on.
pub(super) fn restart(service: &Service) -> RestartPolicy {
    let word = |name: &str| match name {
        "none" | "no" => "no".to_owned(),
        "any" | "always" => "always".to_owned(),
        other => other.to_owned(),
    };
    let deployed = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref());
    if let Some(policy) = deployed {
        let attempts = policy.max_attempts.and_then(|count| i64::try_from(count).ok());
        return RestartPolicy {
            name: word(&policy.condition),
            maximum_retry_count: attempts.unwrap_or(0),
        };
    }
    let (name, attempts) = service.restart.split_once(':').unwrap_or((&service.restart, ""));
    RestartPolicy { name: word(name), maximum_retry_count: attempts.parse().unwrap_or(0) }
}

/// Capabilities in the spelling of the Engine, sorted; `ALL` swallows the others, what is added is not dropped.
/// The Engine normalises them in the same way and sorts them when it shows them: without that, `net_admin` in the
/// manifest would differ from `CAP_NET_ADMIN` on the host for ever.
fn capabilities(names: &[String], added: &[String]) -> Vec<String> {
    let spelled = |name: &String| {
        let upper = name.trim().to_ascii_uppercase();
        let plain = upper == "ALL" || upper == "RESET" || upper.starts_with("CAP_");
        if plain { upper } else { format!("CAP_{upper}") }
    };
    let all: BTreeSet<String> = names.iter().map(spelled).collect();
    let added: BTreeSet<String> = added.iter().map(spelled).collect();
    if all.contains("ALL") && !added.contains("ALL") {
        return vec!["ALL".to_owned()];
    }
    all.into_iter().filter(|name| !added.contains(name)).collect()
}

/// Security options, and whether the system's paths are to be open. A seccomp profile is a file of the repository.
fn security(desk: &mut Desk<'_>, name: &ServiceName, service: &Service) -> (Vec<String>, bool) {
    let mut options = Vec::new();
    let mut open_paths = false;
    for (place, option) in service.security_opt.iter().enumerate() {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (key, value) {
            ("systempaths", "unconfined") => open_paths = true,
            // `unconfined` and `builtin` are words of the Engine; anything else is a file on the side of whoever writes
            // the manifest, which is the repository here.
            ("seccomp", value) if !matches!(value, "unconfined" | "builtin" | "") => {
                let path = at(name, &format!("security_opt.{place}"));
                options.extend(seccomp(desk, &path, value));
            }
            (_, _) => options.push(option.clone()),
        }
    }
    (options, open_paths)
}

/// A seccomp profile from Git, as one line of JSON: the Engine wants its content, not a path, because the file is on the
/// client's side.
fn seccomp(desk: &mut Desk<'_>, path: &str, file: &str) -> Option<String> {
    let tree = desk.input.tree;
    let below = desk.input.project.below_root(file).unwrap_or(file);
    let found = desk.input.folder.join(below).ok().and_then(|at| tree.file(&at));
    let profile = found.and_then(|file| {
        serde_json::from_slice::<serde::de::IgnoredAny>(&file.bytes).ok()?;
        std::str::from_utf8(&file.bytes).ok()
    });
    let Some(profile) = profile else {
        let message = format!("the seccomp profile {file} is not a JSON file of the repository");
        desk.refuse(path, message, "name a file relative to the project's folder");
        return None;
    };
    Some(format!("seccomp={}", compact(profile)))
}

/// JSON without white space between its tokens, in its own order.
/// Docker's client sends profiles so, and inspect shows the text as it was sent. Parsed and written anew, numbers and
/// the order of keys could change, and each change of a library would look like drift.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted {
            quoted = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
        } else if c == '"' {
            quoted = true;
        }
        if quoted || !c.is_ascii_whitespace() {
            out.push(c);
        }
    }
    out
}

/// Resolves `service:NAME` in network mode, IPC, PID and volumes to the container's name; the replicas shared with.
fn share(desk: &Desk<'_>, host: &mut HostConfig, service: &Service) -> BTreeSet<Replica> {
    let project = desk.input.project;
    let (from, shared) = mounts::volumes_from(desk, service);
    host.volumes_from = from;
    let mut shares: BTreeSet<Replica> = shared.into_iter().collect();
    // `service:NAME` is Compose's word; the Engine knows containers only. The first replica stands for the service, as
    // it does for docker compose. Whoever shares must be made anew when that container is: its id is in the Engine's
    // own record.
    for mode in [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode] {
        let Some(name) = mode.strip_prefix("service:").map(str::to_owned) else { continue };
        let Some((key, other)) = project.services.get_key_value(name.as_str()) else { continue };
        *mode = format!("container:{}", payload::container_name(desk, &name, other, 1));
        shares.insert(Replica { service: key.clone(), number: 1 });
    }
    shares
}

//! What a container gets without being asked: the image's own defaults, and what the Engine fills in.

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::Sheet;
use super::sheet::mounts::ANONYMOUS;
use super::sheet::witness;
use super::table::Field;
use crate::model::{
    ContainerConfig, ContainerSpec, EngineFacts, HealthConfig, ObservedContainer, Upload,
};

/// The configuration that the Engine makes of what is asked for and the image's own: the rules of its create call.
///
/// They are those of the Engine (`daemon/commit.go`, `merge`): a command of one's own keeps the
/// image's entry point, an entry point of one's own drops the image's command. The inspection shows the result alone,
/// so whoever compares has to make it anew.
pub(crate) fn with_image(asked: &ContainerConfig, image: &ContainerConfig) -> ContainerConfig {
    let mut whole = asked.clone();
    if is_empty(whole.entrypoint.as_ref()) {
        if is_empty(whole.cmd.as_ref()) {
            whole.cmd.clone_from(&image.cmd);
        }
        if whole.entrypoint.is_none() {
            whole.entrypoint.clone_from(&image.entrypoint);
        }
    }
    whole.env = merged_environment(&asked.env, &image.env);
    whole.labels = merged(&asked.labels, &image.labels);
    whole.exposed_ports = merged(&asked.exposed_ports, &image.exposed_ports);
    whole.volumes = merged(&asked.volumes, &image.volumes);
    inherit(&mut whole.user, &image.user);
    inherit(&mut whole.working_dir, &image.working_dir);
    inherit(&mut whole.stop_signal, &image.stop_signal);
    if whole.stop_timeout.is_none() {
        whole.stop_timeout = image.stop_timeout;
    }
    if whole.shell.is_empty() {
        whole.shell.clone_from(&image.shell);
    }
    whole.healthcheck = merged_health(asked.healthcheck.as_ref(), image.healthcheck.as_ref());
    whole
}

/// Whether a command or entry point says nothing: absent, or an empty list. For an entry point the two differ to the Engine
/// (an empty list takes the image's away), for the question whether the image's command still holds they do not.
/// `entrypoint: []` with the image's `CMD ["nginx"]` still runs nginx.
fn is_empty(words: Option<&Vec<String>>) -> bool {
    words.is_none_or(Vec::is_empty)
}

/// The image's value where nothing was asked for: an empty text means "not set" in the create call.
fn inherit(text: &mut String, image: &str) {
    if text.is_empty() {
        image.clone_into(text);
    }
}

/// The image's entries and those that are asked for, which win: labels, exposed ports and volumes are added up by the Engine,
/// never taken away.
fn merged<V: Clone>(
    asked: &BTreeMap<String, V>,
    image: &BTreeMap<String, V>,
) -> BTreeMap<String, V> {
    let mut whole = image.clone();
    whole.extend(asked.iter().map(|(name, value)| (name.clone(), value.clone())));
    whole
}

/// The environment that the Engine makes of both: variables that are asked for first, in their order, then the image's whose
/// names were not asked for. `NAME` without `=` takes the image's variable of that name away.
///
/// The order counts: it is shown in inspect, and libc takes the first of two variables of one name.
fn merged_environment(asked: &[String], image: &[String]) -> Vec<String> {
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let asked_names: BTreeSet<String> = asked.iter().map(name).collect();
    let from_image = image.iter().filter(|entry| !asked_names.contains(&name(entry)));
    asked.iter().chain(from_image).cloned().collect()
}

/// The health check that the Engine makes of both: field by field, where zero or an empty test means "as the image has it".
/// `test: ["NONE"]` is a test, and so switches the image's check off.
///
/// So `healthcheck: {interval: 5s}` keeps the image's test and changes how often it is run. There is no way to ask for
/// the Engine's default interval over an image that says another one.
fn merged_health(
    asked: Option<&HealthConfig>,
    image: Option<&HealthConfig>,
) -> Option<HealthConfig> {
    let (Some(asked), Some(image)) = (asked, image) else { return asked.or(image).cloned() };
    let HealthConfig { test, interval, timeout, retries, start_period, start_interval } =
        asked.clone();
    let or = |own: i64, other: i64| if own == 0 { other } else { own };
    Some(HealthConfig {
        test: if test.is_empty() { image.test.clone() } else { test },
        interval: or(interval, image.interval),
        timeout: or(timeout, image.timeout),
        retries: or(retries, image.retries),
        start_period: or(start_period, image.start_period),
        start_interval: or(start_interval, image.start_interval),
    })
}

/// What is known about one comparison.
#[derive(Debug, Clone)]
pub(super) struct Knowledge<'a> {
    pub(super) asked: &'a ContainerSpec,
    pub(super) container: &'a ObservedContainer,
    pub(super) engine: &'a EngineFacts,
    /// Content that is copied into the container.
    pub(super) secrets: &'a [Upload],
    /// The image's own defaults are known, so that what exceeds them was asked for.
    pub(super) image_known: bool,
    /// The container was made from exactly this specification, says the label of one that we made.
    pub(super) same_spec: bool,
    /// What the container was asked to be when it was made, says the label of one that we made.
    pub(super) asked_then: Option<BTreeSet<String>>,
}

impl Knowledge<'_> {
    /// Whether a line that nobody asked for was filled in by the Engine or the image, as far as one can know.
    pub(super) fn is_filled_in(&self, field: Field, name: &str, text: &str) -> bool {
        let engine = self.engine;
        let spec = &self.container.spec;
        // Made by something else: what it asked for is not known either.
        let unlabelled = self.container.spec_label.is_none();
        let nobody_asked = self.nobody_asked(field, name);
        match field {
            // What the image gives. Where it is not the one that the container was made from, nobody can tell what of it was
            // asked for: nothing is accused.
            Field::Image
            | Field::Command
            | Field::Entrypoint
            | Field::Environment
            | Field::Labels
            | Field::User
            | Field::WorkingDir
            | Field::StopSignal
            | Field::StopTimeout
            | Field::Healthcheck
            | Field::Expose
            | Field::Volumes
            | Field::Shell => !self.image_known,
            // The first twelve digits of the id, unless something shares a UTS namespace.
            Field::Hostname => self.is_engine_hostname(text),
            // Who lives in another container's network is told that one's names.
            Field::Domainname => spec.host.network_mode.starts_with("container:"),
            // `GET /info` tells the default driver of this Engine's `daemon.json`; containers name it as if asked for.
            Field::LogDriver => {
                nobody_asked || is_default_of(&engine.log_driver, "json-file", text)
            }
            // Options of `daemon.json` are written into each container that uses the default driver.
            Field::LogOptions => nobody_asked || (unlabelled && self.has_default_log_driver()),
            // `default-shm-size`: 64 MiB unless `daemon.json` says otherwise.
            Field::ShmSize => nobody_asked || text == "67108864",
            // `default-ipc-mode`: private since Engine 20.10, shareable where `daemon.json` says so.
            Field::Ipc => nobody_asked || matches!(text, "private" | "shareable"),
            // `default-cgroupns-mode` follows the version of the host's cgroups.
            Field::Cgroup => nobody_asked || text == self.default_cgroup_namespace(text),
            // `default-runtime`; newer Engines call runc by its containerd shim.
            Field::Runtime => {
                nobody_asked
                    || is_default_of(&engine.runtime, "runc", text)
                    || text == "io.containerd.runc.v2"
            }
            // `init` of `daemon.json`, written down as false where it is off.
            Field::Init => nobody_asked || text == "false",
            // `default-ulimits` are mixed in at creation and look like those that were asked for.
            Field::Ulimits => nobody_asked || unlabelled,
            // Nothing of Compose asks for these; the Engine fills them in for every container that is not privileged.
            Field::MaskedPaths | Field::ReadonlyPaths | Field::CgroupParent => true,
            // `label=disable` is added to containers that see the host's processes (SELinux).
            Field::SecurityOpt => is_engine_security(spec, text),
            // Without a limit of its own, swap is as much again as memory.
            Field::MemorySwap => self.is_engine_swap(),
            // `VOLUME` of a Dockerfile makes an anonymous volume at each place that nothing else is mounted at.
            Field::Mounts => text.starts_with(ANONYMOUS) && spec.config.volumes.contains_key(name),
            _ => false,
        }
    }

    /// Whether we made the container without asking for a setting that it has: then the Engine filled it in, by defaults
    /// that may be others now.
    ///
    /// `daemon.json` may be edited at any time and is read at the Engine's next start. Containers that were made before
    /// keep what they were given then; to replace them all because a default moved is nobody's wish.
    fn nobody_asked(&self, field: Field, name: &str) -> bool {
        match &self.asked_then {
            Some(asked) => !asked.contains(&witness::word(field, name)),
            None => self.same_spec,
        }
    }

    /// Whether we made the container with a setting.
    ///
    /// The other half of [`Self::nobody_asked`]: a container that we did not make tells neither, and both are false of
    /// it.
    fn was_asked(&self, field: Field, name: &str) -> bool {
        match &self.asked_then {
            Some(asked) => asked.contains(&witness::word(field, name)),
            None => self.same_spec,
        }
    }

    /// Whether a limit that was asked for is absent because this host's kernel does not know it: the Engine discards
    /// it with a warning, and would again. Nobody can have taken it away from the live container.
    ///
    /// Replaced, it would come up without the limit again, at each pass for ever. The list is of those that the
    /// Engine's `verifyPlatformContainerResources` takes out where the cgroup lacks a file; all others it refuses.
    pub(super) fn is_discarded(&self, field: Field, name: &str) -> bool {
        self.was_asked(field, name)
            && matches!(
                field,
                Field::BlkioWeight
                    | Field::BlkioWeightDevice
                    | Field::BlkioReadBps
                    | Field::BlkioWriteBps
                    | Field::BlkioReadIops
                    | Field::BlkioWriteIops
                    | Field::MemorySwappiness
                    | Field::MemoryReservation
                    | Field::KernelMemory
                    | Field::OomKillDisable
                    | Field::CpuShares
                    | Field::CpuPeriod
                    | Field::CpuQuota
                    | Field::Cpuset
                    | Field::CpusetMems
            )
    }

    /// Whether a host name is one that the Engine gives: the short id, or that of whoever the UTS or network namespace is
    /// shared with.
    ///
    /// `Config.Hostname` is empty in the create call and never in inspect. With the host's network namespace it is the
    /// host's name; in another container's it is that one's.
    fn is_engine_hostname(&self, text: &str) -> bool {
        let host = &self.container.spec.host;
        let short = !text.is_empty() && self.container.id.as_str().starts_with(text);
        let shared = host.network_mode == "host" || host.network_mode.starts_with("container:");
        let nobody_asked = self.nobody_asked(Field::Hostname, "");
        short || shared || host.uts_mode == "host" || nobody_asked
    }

    /// Whether a container logs by the driver that this Engine gives to those that ask for none.
    fn has_default_log_driver(&self) -> bool {
        let kind = &self.container.spec.host.log_config.kind;
        is_default_of(&self.engine.log_driver, "json-file", kind)
    }

    /// The namespace that the Engine chooses: its own on cgroup v2, the host's on v1; the observed one when the
    /// version is not known.
    fn default_cgroup_namespace<'t>(&self, observed: &'t str) -> &'t str {
        match self.engine.cgroup_version.as_str() {
            "1" => "host",
            "2" => "private",
            _ => observed,
        }
    }

    /// Twice the memory limit, or no limit where the kernel cannot count swap.
    ///
    /// Docker's rule for `MemorySwap` 0 with `Memory` set: as much swap as memory, so the sum is twice. Both limits are
    /// looked at, because an update in place changes the one and leaves the other until the Engine is asked for both.
    fn is_engine_swap(&self) -> bool {
        let (asked, host) = (&self.asked.host, &self.container.spec.host);
        let twice = |memory: i64| memory.saturating_mul(2);
        (host.memory_swap == -1 && !self.engine.counts_swap)
            || host.memory_swap == twice(host.memory)
            || host.memory_swap == twice(asked.memory)
    }
}

/// Whether a value is the default: as the Engine tells it, or the usual one where it does not tell (before it was reached,
/// or in a saved observation of an older version).
fn is_default_of(told: &str, usual: &str, text: &str) -> bool {
    if told.is_empty() { text == usual } else { text == told }
}

/// What the Engine adds to containers that see the host's processes or another container's.
///
/// A label of SELinux would keep the container from seeing the processes that it was opened for, so the Engine switches
/// labelling off (`label=disable`), and writes that down as if asked for.
fn is_engine_security(spec: &ContainerSpec, text: &str) -> bool {
    let host = &spec.host;
    let shares = |mode: &str| mode == "host" || mode.starts_with("container:");
    let opened = host.privileged || shares(&host.pid_mode) || shares(&host.ipc_mode);
    let labels = serde_json::from_str::<Vec<String>>(text)
        .is_ok_and(|all| all.iter().all(|option| option.starts_with("label=")));
    opened && labels
}

/// Takes lines out of both sheets that say the same in two ways, or that this Engine cannot keep.
///
/// Left out, each pair here is a service replaced at every pass: two spellings of one wish are found by comparing with what
/// real Engines answer (`tests/answers`), and never by reading alone.
pub(super) fn reconcile(asked: &mut Sheet, seen: &mut Sheet, know: &Knowledge<'_>) {
    if know.engine.api != (0, 0) && know.engine.api < (1, 44) {
        asked.remove(Field::Healthcheck, "start_interval");
        seen.remove(Field::Healthcheck, "start_interval");
    }
    // An anonymous volume at a place where the image wants one anyway.
    for target in know.container.spec.config.volumes.keys() {
        for sheet in [&mut *asked, &mut *seen] {
            if sheet.text(Field::Mounts, target).is_some_and(|text| text.starts_with(ANONYMOUS)) {
                sheet.remove(Field::Mounts, target);
            }
        }
    }
    // 2 CPUs are a quota of twice the period.
    let (asked_host, host) = (&know.asked.host, &know.container.spec.host);
    let as_quota = host.cpu_period > 0
        && host.nano_cpus == 0
        && host.cpu_quota.saturating_mul(1_000_000_000) / host.cpu_period == asked_host.nano_cpus;
    if asked_host.nano_cpus > 0 && as_quota {
        asked.remove(Field::Cpus, "");
        seen.remove(Field::CpuPeriod, "");
        seen.remove(Field::CpuQuota, "");
    }
    // Where swap cannot be counted, the Engine says "unlimited" whatever was asked for.
    if host.memory_swap == -1 && !know.engine.counts_swap && know.was_asked(Field::MemorySwap, "") {
        asked.remove(Field::MemorySwap, "");
        seen.remove(Field::MemorySwap, "");
    }
    // The Engine's own labels of opened containers next to those that were asked for.
    reconcile_security(asked, seen, know);
    // The network of the create call may be any of those that are asked for: the others are attached all the same.
    let attached = |mode: &str| know.asked.endpoints.contains_key(mode);
    let modes = (asked.text(Field::NetworkMode, ""), seen.text(Field::NetworkMode, ""));
    if let (Some(asked_mode), Some(seen_mode)) = modes
        && attached(asked_mode)
        && attached(seen_mode)
    {
        asked.remove(Field::NetworkMode, "");
        seen.remove(Field::NetworkMode, "");
    }
}

/// Labels of opened containers that the Engine adds to those that were asked for: taken out of what is seen, and only
/// where all that is left over is of that kind. A profile that somebody loosened by hand stays a difference.
fn reconcile_security(asked: &Sheet, seen: &mut Sheet, know: &Knowledge<'_>) {
    let options = |sheet: &Sheet| -> Vec<String> {
        let text = sheet.text(Field::SecurityOpt, "").unwrap_or("[]");
        serde_json::from_str(text).unwrap_or_default()
    };
    let (wanted, there) = (options(asked), options(seen));
    let extra: Vec<&String> = there.iter().filter(|option| !wanted.contains(option)).collect();
    let extra_text = serde_json::to_string(&extra).unwrap_or_default();
    if !extra.is_empty() && is_engine_security(&know.container.spec, &extra_text) {
        let kept: Vec<String> =
            there.iter().filter(|option| !extra.contains(option)).cloned().collect();
        seen.remove(Field::SecurityOpt, "");
        seen.words(Field::SecurityOpt, &kept);
    }
}

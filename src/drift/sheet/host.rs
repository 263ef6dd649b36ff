//! `HostConfig` as lines of a sheet.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mounts;
use crate::drift::sheet::{self, Sheet};
use crate::drift::table::Field;
use crate::model::{DeviceMapping, DeviceRequest, HostConfig, PortBinding, Ulimit};

/// Turns what a side calls another container or network into the name that both sides know.
pub(in crate::drift) trait Naming {
    /// A container's id or name.
    fn container(&self, reference: &str) -> String;
    /// A network's id or name.
    fn network(&self, reference: &str) -> String;
}

/// Writes `HostConfig` into a sheet.
#[expect(
    clippy::too_many_lines,
    reason = "names every field once, so that a new one is not forgotten"
)]
/// The host's half of a container on a sheet, in words that do not depend on how it was said.
///
/// The struct is taken apart in full: a field that is added to it does not compile before it has a line here or is passed
/// over by name. References to other containers and networks go through `naming`, since the Engine shows ids where names
/// were given.
pub(in crate::drift) fn write_host(out: &mut Sheet, host: &HostConfig, naming: &dyn Naming) {
    let HostConfig {
        binds,
        mounts,
        tmpfs,
        port_bindings,
        publish_all_ports,
        network_mode,
        restart_policy,
        auto_remove,
        volumes_from,
        volume_driver,
        links,
        cap_add,
        cap_drop,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        pid_mode,
        uts_mode,
        userns_mode,
        cgroupns_mode,
        cgroup,
        cgroup_parent,
        privileged,
        readonly_rootfs,
        security_opt,
        storage_opt,
        sysctls,
        shm_size,
        runtime,
        isolation,
        init,
        log_config,
        annotations,
        masked_paths,
        readonly_paths,
        devices,
        device_cgroup_rules,
        device_requests,
        ulimits,
        memory,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        kernel_memory,
        oom_kill_disable,
        oom_score_adj,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpu_count,
        cpu_percent,
        cpuset_cpus,
        cpuset_mems,
        pids_limit,
        blkio_weight,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
    } = host;
    mounts::write(out, binds, mounts);
    for (target, options) in tmpfs {
        out.named(Field::Tmpfs, &sheet::trim_path(target), sorted_options(options));
    }
    write_ports(out, port_bindings);
    out.flag(Field::PublishAll, *publish_all_ports);
    let mode = network(network_mode, naming);
    if mode.is_empty() {
        out.set(Field::Links, links.iter().map(|text| link(text)));
    }
    out.put(Field::NetworkMode, mode);
    out.put(Field::Restart, sheet::restart(restart_policy));
    out.flag(Field::AutoRemove, *auto_remove);
    out.set(Field::VolumesFrom, volumes_from.iter().map(|from| shared_volumes(from, naming)));
    out.put(Field::VolumeDriver, volume_driver.clone());
    out.set(Field::CapAdd, cap_add.iter().map(|name| capability(name)));
    out.set(Field::CapDrop, cap_drop.iter().map(|name| capability(name)));
    out.words(Field::Dns, &non_empty(dns));
    out.set(Field::DnsOpt, dns_options.iter().cloned());
    out.words(Field::DnsSearch, &non_empty(dns_search));
    out.set(Field::ExtraHosts, extra_hosts.iter().map(|entry| extra_host(entry)));
    out.set(Field::GroupAdd, group_add.iter().cloned());
    out.put(Field::Ipc, namespace(ipc_mode, naming));
    out.put(Field::Pid, namespace(pid_mode, naming));
    out.put(Field::Uts, uts_mode.clone());
    out.put(Field::Userns, userns_mode.clone());
    out.put(Field::Cgroup, cgroupns_mode.clone());
    out.put(Field::CgroupSpec, cgroup.clone());
    out.put(Field::CgroupParent, cgroup_parent.clone());
    out.flag(Field::Privileged, *privileged);
    out.flag(Field::ReadOnly, *readonly_rootfs);
    out.set(Field::SecurityOpt, security_opt.iter().map(|option| security_option(option)));
    out.map(Field::StorageOpt, storage_opt);
    out.map(Field::Sysctls, sysctls);
    out.number(Field::ShmSize, *shm_size);
    out.put(Field::Runtime, runtime.clone());
    out.put(Field::Isolation, if isolation == "default" { "" } else { isolation });
    out.put(Field::Init, init.map(|on| on.to_string()).unwrap_or_default());
    sheet::write_log(out, log_config);
    out.map(Field::Annotations, annotations);
    out.set(Field::MaskedPaths, masked_paths.iter().flatten().cloned());
    out.set(Field::ReadonlyPaths, readonly_paths.iter().flatten().cloned());
    for device in devices {
        write_device(out, device);
    }
    out.set(Field::DeviceCgroupRules, device_cgroup_rules.iter().cloned());
    out.set(Field::DeviceRequests, device_requests.iter().map(device_request));
    for Ulimit { name, soft, hard } in ulimits {
        out.named(Field::Ulimits, name, format!("{soft}:{hard}"));
    }
    out.number(Field::Memory, *memory);
    out.number(Field::MemoryReservation, *memory_reservation);
    out.number(Field::MemorySwap, *memory_swap);
    if let Some(swappiness) = memory_swappiness.filter(|value| *value >= 0) {
        out.put(Field::MemorySwappiness, swappiness.to_string());
    }
    out.number(Field::KernelMemory, *kernel_memory);
    out.flag(Field::OomKillDisable, *oom_kill_disable == Some(true));
    out.number(Field::OomScoreAdj, *oom_score_adj);
    if *nano_cpus != 0 {
        out.put(Field::Cpus, cpus(*nano_cpus));
    }
    out.number(Field::CpuShares, *cpu_shares);
    out.number(Field::CpuPeriod, *cpu_period);
    out.number(Field::CpuQuota, *cpu_quota);
    out.number(Field::CpuRtPeriod, *cpu_realtime_period);
    out.number(Field::CpuRtRuntime, *cpu_realtime_runtime);
    out.number(Field::CpuCount, *cpu_count);
    out.number(Field::CpuPercent, *cpu_percent);
    out.put(Field::Cpuset, cpuset_cpus.clone());
    out.put(Field::CpusetMems, cpuset_mems.clone());
    out.number(Field::PidsLimit, pids_limit.filter(|limit| *limit > 0).unwrap_or(0));
    out.number(Field::BlkioWeight, *blkio_weight);
    out.set(Field::BlkioWeightDevice, blkio_weight_device.iter().map(text));
    out.set(Field::BlkioReadBps, blkio_device_read_bps.iter().map(text));
    out.set(Field::BlkioWriteBps, blkio_device_write_bps.iter().map(text));
    out.set(Field::BlkioReadIops, blkio_device_read_iops.iter().map(text));
    out.set(Field::BlkioWriteIops, blkio_device_write_iops.iter().map(text));
}

/// A value as JSON text: for lists and structures whose order and members all count.
fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Without empty entries, which some Engines show in lists that nobody filled.
fn non_empty(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !word.is_empty()).cloned().collect()
}

/// 10⁻⁹ CPUs as Compose writes them.
fn cpus(nanos: i64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Options of a temporary file system in one order.
fn sorted_options(options: &str) -> String {
    let mut words: Vec<&str> = options.split(',').filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.join(",")
}

/// Published ports, one line a container port: `8080:80/tcp` of Compose is a binding below `80/tcp` in the Engine's words. An
/// empty list, or null, exposes a port and publishes nothing.
fn write_ports(out: &mut Sheet, ports: &BTreeMap<String, Option<Vec<PortBinding>>>) {
    for (port, bindings) in ports {
        let mut addresses: Vec<String> = bindings.iter().flatten().map(binding).collect();
        addresses.sort();
        addresses.dedup();
        out.named(Field::Ports, &sheet::with_protocol(port), addresses.join(", "));
    }
}

/// One binding as `ADDRESS:PORT`. No port, or 0, is one that the Engine chooses: `HostConfig.PortBindings` shows it as it was
/// asked for, and the chosen one stands in `NetworkSettings.Ports`, which is not compared.
fn binding(binding: &PortBinding) -> String {
    let PortBinding { host_ip, host_port } = binding;
    let port = if host_port == "0" { "" } else { host_port };
    if host_ip.is_empty() { port.to_owned() } else { format!("{host_ip}:{port}") }
}

/// A network mode; empty for the Engine's default network.
fn network(mode: &str, naming: &dyn Naming) -> String {
    match mode {
        "" | "default" | "bridge" => String::new(),
        _ => match mode.strip_prefix("container:") {
            Some(reference) => format!("container:{}", naming.container(reference)),
            None => naming.network(mode),
        },
    }
}

/// An IPC or PID mode.
fn namespace(mode: &str, naming: &dyn Naming) -> String {
    mode.strip_prefix("container:")
        .map_or_else(|| mode.to_owned(), |other| format!("container:{}", naming.container(other)))
}

/// `volumes_from`: the container that lends its volumes by the name that it is known by, and `ro` where that is asked for;
/// `rw` is what is meant without a word.
fn shared_volumes(from: &str, naming: &dyn Naming) -> String {
    let (container, mode) = from.split_once(':').unwrap_or((from, "rw"));
    match mode {
        "rw" => naming.container(container),
        mode => format!("{}:{mode}", naming.container(container)),
    }
}

/// A link without the Engine's absolute form (`/shop-db-1:/shop-web-1/db`).
pub(in crate::drift) fn link(text: &str) -> String {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    let alias = alias.rsplit_once('/').map_or(alias, |(_, last)| last);
    format!("{}:{alias}", container.trim_start_matches('/'))
}

/// A capability without `CAP_` and in capitals: the Engine takes both spellings, and shows either.
fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or_else(|| upper.clone(), str::to_owned)
}

/// A security option with `=` and without `=true`.
fn security_option(option: &str) -> String {
    let text = match option.split_once([':', '=']) {
        Some((name, value)) => format!("{name}={value}"),
        None => option.to_owned(),
    };
    if text == "no-new-privileges=true" { "no-new-privileges".to_owned() } else { text }
}

/// `host:ip` without brackets around the address.
fn extra_host(entry: &str) -> String {
    let (host, address) = entry.split_once([':', '=']).unwrap_or((entry, ""));
    format!("{host}:{}", address.trim_start_matches('[').trim_end_matches(']'))
}

/// A device of the host, below the path that it has in the container. The rights default to `rwm`, as with `docker run`.
fn write_device(out: &mut Sheet, device: &DeviceMapping) {
    let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } = device;
    let permissions = if cgroup_permissions.is_empty() { "rwm" } else { cgroup_permissions };
    let target = if path_in_container.is_empty() { path_on_host } else { path_in_container };
    out.named(Field::Devices, target, format!("{path_on_host} {permissions}"));
}

/// A request for devices of a driver (`gpus`, `deploy.resources.reservations.devices`) as one text. Order inside a set of
/// capabilities means nothing; a count of -1 is all of them.
fn device_request(request: &DeviceRequest) -> String {
    let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
    let mut ids = device_ids.clone();
    ids.sort();
    let mut capabilities = capabilities.clone();
    for all in &mut capabilities {
        all.sort();
    }
    text(&(driver, count, ids, capabilities, options))
}

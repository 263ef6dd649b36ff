//! Resources: limits, reservations, devices.

use std::collections::BTreeMap;

use crate::model::project::{Blkio, Gpu, Limits, Rate, Ratio, Service, Ulimits};
use crate::model::{
    DeviceMapping, DeviceRequest, HostConfig, ThrottleDevice, Ulimit, WeightDevice,
};

/// Writes a service's limits into its host configuration. `deploy.resources` overrides the older attributes.
///
/// 0 is a meaning of its own to the kernel (avoid swapping), and "not said" to the reference, which cannot tell the two
/// apart: so neither do we, or a container that compose made would differ.
pub(super) fn write(host: &mut HostConfig, service: &Service) {
    host.memory = service.mem_limit.0;
    host.memory_swap = service.memswap_limit.0;
    host.memory_reservation = service.mem_reservation.0;
    host.memory_swappiness = Some(service.mem_swappiness.0).filter(|value| *value != 0);
    host.oom_kill_disable = service.oom_kill_disable.then_some(true);
    host.oom_score_adj = service.oom_score_adj;
    host.cgroup_parent.clone_from(&service.cgroup_parent);
    host.cpu_count = service.cpu_count;
    host.cpu_percent = scaled(service.cpu_percent, 100.0);
    host.cpu_period = service.cpu_period;
    host.cpu_quota = service.cpu_quota;
    host.cpu_realtime_period = service.cpu_rt_period;
    host.cpu_realtime_runtime = service.cpu_rt_runtime;
    host.cpu_shares = service.cpu_shares;
    host.nano_cpus = scaled(service.cpus, 1e9);
    host.cpuset_cpus.clone_from(&service.cpuset);
    host.pids_limit = Some(service.pids_limit).filter(|limit| *limit != 0);
    host.device_cgroup_rules.clone_from(&service.device_cgroup_rules);
    if let Some(blkio) = &service.blkio_config {
        write_blkio(host, blkio);
    }
    if let Some(deploy) = &service.deploy {
        write_deploy(
            host,
            deploy.resources.limits.as_ref(),
            deploy.resources.reservations.as_ref(),
        );
    }
    write_devices(host, service);
    host.ulimits = ulimits(&service.ulimits);
}

/// Process limits in the Engine's words.
pub(super) fn ulimits(asked: &BTreeMap<String, Ulimits>) -> Vec<Ulimit> {
    let limits = asked.iter().map(|(name, limit)| {
        // `nofile: 65536` sets both. The model keeps it apart from soft and hard ones, because a merge of two files
        // replaces the one form by the other as a whole.
        let one = |value: i64| if limit.single == 0 { value } else { limit.single };
        Ulimit { name: name.clone(), soft: one(limit.soft), hard: one(limit.hard) }
    });
    limits.collect()
}

/// In single precision, as the reference multiplies.
///
/// `cpus: 0.13` is 129999992 billionths that way and 130000000 in double precision. The Engine shows what it was sent,
/// so the two would differ for ever on a host where docker compose made the container.
#[expect(clippy::cast_possible_truncation, reason = "the reference truncates as well")]
fn scaled(ratio: Ratio, by: f32) -> i64 {
    (ratio.0 * by) as i64
}

/// `deploy.resources`: limits, and what is reserved (Compose Deploy Specification, `resources`). Zero is "not said", and leaves what
/// the older words (`mem_limit`, `cpus`, `pids_limit`) say. CPUs are billionths in the Engine's words.
fn write_deploy(host: &mut HostConfig, limits: Option<&Limits>, reserved: Option<&Limits>) {
    if let Some(limits) = limits {
        if limits.memory.0 != 0 {
            host.memory = limits.memory.0;
        }
        if limits.cpus.0 != 0.0 {
            host.nano_cpus = scaled(limits.cpus, 1e9);
        }
        if limits.pids > 0 {
            host.pids_limit = Some(limits.pids);
        }
    }
    let Some(reserved) = reserved else { return };
    if reserved.memory.0 != 0 {
        host.memory_reservation = reserved.memory.0;
    }
    host.device_requests.extend(reserved.devices.iter().map(|device| request(device, None)));
}

/// `devices`, `device_cgroup_rules`, `gpus` and reserved devices. A path alone is mapped to itself, with all rights.
fn write_devices(host: &mut HostConfig, service: &Service) {
    // A device by its name of the Container Device Interface (`vendor.com/class=name`) is no path: the Engine resolves
    // it by files in `/etc/cdi`, and takes it as a request to the driver `cdi`. A path always begins with a slash.
    let is_cdi = |source: &str, target: &str| {
        source == target && source.contains('=') && source.contains('/') && !source.starts_with('/')
    };
    let mut by_name = Vec::new();
    for device in &service.devices {
        if is_cdi(&device.source, &device.target) {
            by_name.push(device.source.clone());
            continue;
        }
        host.devices.push(DeviceMapping {
            path_on_host: device.source.clone(),
            path_in_container: device.target.clone(),
            cgroup_permissions: device.permissions.clone(),
        });
    }
    if !by_name.is_empty() {
        host.device_requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: by_name,
            ..DeviceRequest::default()
        });
    }
    host.device_requests.extend(service.gpus.iter().map(|gpu| request(gpu, Some("gpu"))));
}

/// A request to a device driver. `gpus` means the capability `gpu` without saying so; a reserved device says all of its own. A
/// count of -1 is every device there is.
fn request(gpu: &Gpu, further: Option<&str>) -> DeviceRequest {
    let mut capabilities = gpu.capabilities.clone();
    capabilities.extend(further.map(str::to_owned));
    DeviceRequest {
        driver: gpu.driver.clone(),
        count: gpu.count.0,
        device_ids: gpu.device_ids.clone(),
        // The API takes a list of alternatives, each a list of what must all be there. Compose can say one alternative
        // only.
        capabilities: vec![capabilities],
        options: gpu.options.clone(),
    }
}

/// `blkio_config`: weights from 10 to 1000, rates in bytes or operations a second, each for a device by its path on the host.
/// On cgroup v2 without the io controller the Engine discards them with a warning.
fn write_blkio(host: &mut HostConfig, blkio: &Blkio) {
    let rates = |rates: &[Rate]| -> Vec<ThrottleDevice> {
        rates
            .iter()
            .map(|rate| ThrottleDevice { path: rate.path.clone(), rate: rate.rate.0 })
            .collect()
    };
    host.blkio_weight = i64::from(blkio.weight);
    host.blkio_weight_device = blkio
        .weight_device
        .iter()
        .map(|device| WeightDevice { path: device.path.clone(), weight: i64::from(device.weight) })
        .collect();
    host.blkio_device_read_bps = rates(&blkio.device_read_bps);
    host.blkio_device_read_iops = rates(&blkio.device_read_iops);
    host.blkio_device_write_bps = rates(&blkio.device_write_bps);
    host.blkio_device_write_iops = rates(&blkio.device_write_iops);
}

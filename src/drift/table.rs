//! What a change of each field does: the table that the comparison uses and that `docs/DRIFT.md` shows.

/// What a change of a field does to a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The Engine changes the running container.
    InPlace,
    /// The container is replaced.
    Replace,
    /// Nothing: the container does not depend on it.
    Ignored,
    /// The manifest is refused: the Engine or Moorline cannot honour it.
    Refused,
}

impl Effect {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::InPlace => "in place",
            Self::Replace => "replaced",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The Engine's field, such as `HostConfig.Memory`; empty for what the Engine does not know.
    pub engine: &'static str,
    /// Compose attributes below the service that lead to it. The first one that the manifest names is reported;
    /// the first of all when it names none.
    pub compose: &'static [&'static str],
    /// What a change does.
    pub effect: Effect,
    /// Remark for readers.
    pub note: &'static str,
}

macro_rules! fields {
    ($($name:ident: $engine:literal, [$($compose:literal),+], $effect:ident, $note:literal;)*) => {
        /// A field that is compared.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Field { $($name,)* }

        impl Field {
            /// All of them, in the table's order.
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its line.
            pub(super) fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        engine: $engine,
                        compose: &[$($compose),+],
                        effect: Effect::$effect,
                        note: $note,
                    },)*
                }
            }
        }
    };
}

fields! {
    Image: "Config.Image", ["image"], Replace, "the text; a tag that moved to another image replaces too";
    Command: "Config.Cmd", ["command"], Replace, "unset: the image's, unless `entrypoint` is set";
    Entrypoint: "Config.Entrypoint", ["entrypoint"], Replace, "unset: the image's";
    Environment: "Config.Env", ["environment"], Replace, "by name; values of secret names are shown as `***`";
    Labels: "Config.Labels", ["labels"], Replace, "by key; revision, config hash, config files, versions and `depends_on` of Compose's labels do not count";
    User: "Config.User", ["user"], Replace, "unset: the image's";
    WorkingDir: "Config.WorkingDir", ["working_dir"], Replace, "unset: the image's";
    Hostname: "Config.Hostname", ["hostname"], Replace, "unset: the short id";
    Domainname: "Config.Domainname", ["domainname"], Replace, "";
    Tty: "Config.Tty", ["tty"], Replace, "";
    StdinOpen: "Config.OpenStdin", ["stdin_open"], Replace, "";
    StdinOnce: "Config.StdinOnce", ["stdin_open"], Replace, "";
    StopSignal: "Config.StopSignal", ["stop_signal"], Replace, "`SIGTERM`, `TERM` and `15` are one";
    StopTimeout: "Config.StopTimeout", ["stop_grace_period"], Replace, "unset: 10 s";
    Healthcheck: "Config.Healthcheck", ["healthcheck"], Replace, "what is not set is the image's; `start_interval` only from API 1.44";
    Expose: "Config.ExposedPorts", ["expose", "ports"], Replace, "with the image's";
    Volumes: "Config.Volumes", ["volumes"], Replace, "the image's anonymous volumes";
    NetworkDisabled: "Config.NetworkDisabled", ["network_mode"], Replace, "";
    Shell: "Config.Shell", ["command"], Replace, "the image's";
    Mounts: "HostConfig.Binds, HostConfig.Mounts", ["volumes"], Replace, "by target; both forms of the Engine are one; files from Git count by content";
    Tmpfs: "HostConfig.Tmpfs", ["tmpfs"], Replace, "by target";
    Ports: "HostConfig.PortBindings", ["ports"], Replace, "by container port; `80` is `80/tcp`";
    PublishAll: "HostConfig.PublishAllPorts", ["ports"], Replace, "";
    NetworkMode: "HostConfig.NetworkMode", ["network_mode", "networks"], Replace, "`service:X` names the container that stands for X now";
    Restart: "HostConfig.RestartPolicy", ["deploy.restart_policy", "restart"], InPlace, "unset: `no`";
    AutoRemove: "HostConfig.AutoRemove", ["restart"], Replace, "";
    VolumesFrom: "HostConfig.VolumesFrom", ["volumes_from"], Replace, "names the containers that stand for the services now";
    VolumeDriver: "HostConfig.VolumeDriver", ["volumes"], Replace, "";
    Links: "HostConfig.Links", ["links"], Replace, "on the default bridge; elsewhere they belong to the network";
    CapAdd: "HostConfig.CapAdd", ["cap_add"], Replace, "with or without `CAP_`";
    CapDrop: "HostConfig.CapDrop", ["cap_drop"], Replace, "with or without `CAP_`";
    Dns: "HostConfig.Dns", ["dns"], Replace, "order counts";
    DnsOpt: "HostConfig.DnsOptions", ["dns_opt"], Replace, "";
    DnsSearch: "HostConfig.DnsSearch", ["dns_search"], Replace, "order counts";
    ExtraHosts: "HostConfig.ExtraHosts", ["extra_hosts"], Replace, "";
    GroupAdd: "HostConfig.GroupAdd", ["group_add"], Replace, "";
    Ipc: "HostConfig.IpcMode", ["ipc"], Replace, "unset: `private` or `shareable`";
    Pid: "HostConfig.PidMode", ["pid"], Replace, "";
    Uts: "HostConfig.UTSMode", ["uts"], Replace, "";
    Userns: "HostConfig.UsernsMode", ["userns_mode"], Replace, "";
    Cgroup: "HostConfig.CgroupnsMode", ["cgroup"], Replace, "unset: the Engine's";
    CgroupSpec: "HostConfig.Cgroup", ["cgroup"], Replace, "";
    CgroupParent: "HostConfig.CgroupParent", ["cgroup_parent"], Replace, "";
    Privileged: "HostConfig.Privileged", ["privileged"], Replace, "";
    ReadOnly: "HostConfig.ReadonlyRootfs", ["read_only"], Replace, "";
    SecurityOpt: "HostConfig.SecurityOpt", ["security_opt"], Replace, "`a:b` and `a=b` are one; `label=disable` of privileged containers does not count";
    StorageOpt: "HostConfig.StorageOpt", ["storage_opt"], Replace, "";
    Sysctls: "HostConfig.Sysctls", ["sysctls"], Replace, "by name";
    ShmSize: "HostConfig.ShmSize", ["shm_size"], Replace, "unset: the Engine's (64 MiB)";
    Runtime: "HostConfig.Runtime", ["runtime"], Replace, "unset: the Engine's";
    Isolation: "HostConfig.Isolation", ["isolation"], Replace, "";
    Init: "HostConfig.Init", ["init"], Replace, "unset: the Engine's";
    LogDriver: "HostConfig.LogConfig.Type", ["logging.driver"], Replace, "unset: the Engine's";
    LogOptions: "HostConfig.LogConfig.Config", ["logging.options"], Replace, "by name; the Engine's own options do not count";
    Annotations: "HostConfig.Annotations", ["annotations"], Replace, "by key";
    MaskedPaths: "HostConfig.MaskedPaths", ["security_opt"], Replace, "unset: the Engine's";
    ReadonlyPaths: "HostConfig.ReadonlyPaths", ["security_opt"], Replace, "unset: the Engine's";
    Devices: "HostConfig.Devices", ["devices"], Replace, "by path in the container";
    DeviceCgroupRules: "HostConfig.DeviceCgroupRules", ["device_cgroup_rules"], Replace, "";
    DeviceRequests: "HostConfig.DeviceRequests", ["deploy.resources.reservations.devices", "gpus"], Replace, "";
    Ulimits: "HostConfig.Ulimits", ["ulimits"], Replace, "by name; the Engine's own limits do not count";
    Memory: "HostConfig.Memory", ["deploy.resources.limits.memory", "mem_limit"], InPlace, "taking the limit away replaces";
    MemoryReservation: "HostConfig.MemoryReservation", ["deploy.resources.reservations.memory", "mem_reservation"], InPlace, "taking it away replaces";
    MemorySwap: "HostConfig.MemorySwap", ["memswap_limit"], InPlace, "unset: twice the memory limit; taking it away replaces";
    MemorySwappiness: "HostConfig.MemorySwappiness", ["mem_swappiness"], Replace, "";
    KernelMemory: "HostConfig.KernelMemory", ["mem_limit"], Replace, "old Engines";
    OomKillDisable: "HostConfig.OomKillDisable", ["oom_kill_disable"], Replace, "";
    OomScoreAdj: "HostConfig.OomScoreAdj", ["oom_score_adj"], Replace, "";
    Cpus: "HostConfig.NanoCpus", ["deploy.resources.limits.cpus", "cpus"], InPlace, "taking the limit away replaces";
    CpuShares: "HostConfig.CpuShares", ["cpu_shares"], InPlace, "taking it away replaces";
    CpuPeriod: "HostConfig.CpuPeriod", ["cpu_period"], InPlace, "taking it away replaces";
    CpuQuota: "HostConfig.CpuQuota", ["cpu_quota"], InPlace, "taking it away replaces";
    CpuRtPeriod: "HostConfig.CpuRealtimePeriod", ["cpu_rt_period"], InPlace, "taking it away replaces";
    CpuRtRuntime: "HostConfig.CpuRealtimeRuntime", ["cpu_rt_runtime"], InPlace, "taking it away replaces";
    CpuCount: "HostConfig.CpuCount", ["cpu_count"], Replace, "Windows";
    CpuPercent: "HostConfig.CpuPercent", ["cpu_percent"], Replace, "Windows";
    Cpuset: "HostConfig.CpusetCpus", ["cpuset"], InPlace, "taking it away replaces";
    CpusetMems: "HostConfig.CpusetMems", ["cpuset"], InPlace, "taking it away replaces";
    PidsLimit: "HostConfig.PidsLimit", ["deploy.resources.limits.pids", "pids_limit"], InPlace, "0, -1 and unset are one; taking the limit away replaces";
    BlkioWeight: "HostConfig.BlkioWeight", ["blkio_config.weight"], InPlace, "taking it away replaces";
    BlkioWeightDevice: "HostConfig.BlkioWeightDevice", ["blkio_config.weight_device"], Replace, "";
    BlkioReadBps: "HostConfig.BlkioDeviceReadBps", ["blkio_config.device_read_bps"], Replace, "";
    BlkioWriteBps: "HostConfig.BlkioDeviceWriteBps", ["blkio_config.device_write_bps"], Replace, "";
    BlkioReadIops: "HostConfig.BlkioDeviceReadIOps", ["blkio_config.device_read_iops"], Replace, "";
    BlkioWriteIops: "HostConfig.BlkioDeviceWriteIOps", ["blkio_config.device_write_iops"], Replace, "";
    MacAddress: "Config.MacAddress", ["mac_address"], Replace, "before API 1.44; later it belongs to the network";
    Platform: "platform", ["platform"], Replace, "compared with the image's";
}

/// Attributes that are not a field of the container's configuration.
const OTHERS: &[Row] = &[
    Row {
        engine: "name",
        compose: &["container_name"],
        effect: Effect::InPlace,
        note: "renamed; DNS names of the old name stay until it is replaced",
    },
    Row {
        engine: "NetworkSettings.Networks",
        compose: &["networks"],
        effect: Effect::InPlace,
        note: "attached and detached; the network of the create call may stay another one of them",
    },
    Row {
        engine: "NetworkSettings.Networks.*",
        compose: &[
            "networks.*.aliases",
            "networks.*.ipv4_address",
            "networks.*.ipv6_address",
            "networks.*.link_local_ips",
            "networks.*.driver_opts",
            "networks.*.mac_address",
            "networks.*.gw_priority",
        ],
        effect: Effect::InPlace,
        note: "detached and attached again with the whole endpoint",
    },
    Row {
        engine: "mounts, label `moorline.files`",
        compose: &["configs", "secrets"],
        effect: Effect::Replace,
        note: "by content, target, owner and mode",
    },
    Row {
        engine: "image label `moorline.build`",
        compose: &["build"],
        effect: Effect::Replace,
        note: "built again when an input's content changes, then replaced",
    },
    Row {
        engine: "",
        compose: &["scale", "deploy.replicas", "deploy.mode"],
        effect: Effect::InPlace,
        note: "containers are added, or the highest numbers removed; the others stay",
    },
    Row {
        engine: "",
        compose: &["depends_on"],
        effect: Effect::Ignored,
        note: "orders the next deployment",
    },
    Row {
        engine: "",
        compose: &["deploy.update_config", "deploy.rollback_config"],
        effect: Effect::Ignored,
        note: "used by the next replacement",
    },
    Row {
        engine: "",
        compose: &["pre_start"],
        effect: Effect::Ignored,
        note: "a job of its own: it runs again when it or the service changes",
    },
    Row {
        engine: "",
        compose: &["post_start", "pre_stop"],
        effect: Effect::Ignored,
        note: "run at the next start or stop",
    },
    Row {
        engine: "",
        compose: &["pull_policy"],
        effect: Effect::Ignored,
        note: "decides when the registry is asked",
    },
    Row {
        engine: "",
        compose: &["deploy.placement", "deploy.resources.reservations.cpus"],
        effect: Effect::Ignored,
        note: "decide on which of several hosts a replica sits ([FLEET.md](FLEET.md)); a container does not carry them",
    },
    Row {
        engine: "",
        compose: &["profiles"],
        effect: Effect::Ignored,
        note: "a service that leaves the active profiles is an orphan",
    },
    Row {
        engine: "",
        compose: &[
            "attach",
            "develop",
            "deploy.endpoint_mode",
            "deploy.labels",
            "deploy.restart_policy.delay",
            "deploy.restart_policy.window",
            "deploy.resources.reservations.generic_resources",
            "credential_spec",
            "pull_refresh_after",
            "build.cache_to",
            "build.sbom",
            "build.provenance",
        ],
        effect: Effect::Ignored,
        note: "not for containers of one Engine",
    },
    Row {
        engine: "",
        compose: &["provider", "models", "use_api_socket"],
        effect: Effect::Refused,
        note: "no Engine call stands for them",
    },
    Row {
        engine: "",
        compose: &[
            "build.ssh",
            "build.secrets",
            "build.additional_contexts",
            "build.entitlements",
            "build.privileged",
        ],
        effect: Effect::Ignored,
        note: "the Engine's own builder cannot do them, nor several `build.platforms` or a context outside the repository: the image has to come from elsewhere",
    },
];

/// The whole table: compared fields first, then the other attributes.
pub fn rows() -> Vec<Row> {
    Field::ALL.iter().map(|field| field.row()).chain(OTHERS.iter().copied()).collect()
}

/// The table as Markdown, as `docs/DRIFT.md` holds it.
pub fn markdown() -> String {
    let mut text =
        String::from("| Compose attribute | Engine | a change is | remark |\n|---|---|---|---|\n");
    for row in rows() {
        let compose: Vec<String> = row.compose.iter().map(|name| format!("`{name}`")).collect();
        let line = [&compose.join(", "), row.engine, row.effect.word(), row.note].join(" | ");
        text.extend(["| ", &line.replace("  ", " "), " |\n"]);
    }
    text
}

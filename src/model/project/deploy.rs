//! `deploy`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::parts::Gpu;
use super::{Bytes, Period, Ratio, is_default, record};

/// `deploy`. `resources` and `placement` are always printed, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deploy {
    /// `replicated`, `global`, `replicated-job`, `global-job`.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: String,
    /// How many containers.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: Option<u32>,
    /// Labels of the service (not of its containers).
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// How updates go.
    #[serde(skip_serializing_if = "is_default")]
    pub update_config: Option<Update>,
    /// How roll-backs go.
    #[serde(skip_serializing_if = "is_default")]
    pub rollback_config: Option<Update>,
    /// Limits and reservations.
    pub resources: Resources,
    /// Restart policy.
    #[serde(skip_serializing_if = "is_default")]
    pub restart_policy: Option<ServiceRestart>,
    /// Placement.
    pub placement: Placement,
    /// `vip` or `dnsrr`.
    #[serde(skip_serializing_if = "is_default")]
    pub endpoint_mode: String,
}

record! {
/// How updates or roll-backs go.
pub struct Update {
    /// Containers at a time; 0 all at once.
    pub parallelism: Option<u64>,
    /// Between two batches.
    pub delay: Period,
    /// `continue`, `pause`, `rollback`.
    pub failure_action: String,
    /// How long a new container is watched.
    pub monitor: Period,
    /// Failures to tolerate, 0 to 1.
    pub max_failure_ratio: Ratio,
    /// `start-first`, `stop-first`.
    pub order: String,
}
}

record! {
/// Limits and reservations.
pub struct Resources {
    /// At most.
    pub limits: Option<Limits>,
    /// At least.
    pub reservations: Option<Limits>,
}
}

record! {
/// Amounts of resources.
pub struct Limits {
    /// CPUs.
    pub cpus: Ratio,
    /// Memory.
    pub memory: Bytes,
    /// Processes.
    pub pids: i64,
    /// Devices.
    pub devices: Vec<Gpu>,
    /// User-defined resources.
    pub generic_resources: Vec<GenericResource>,
}
}

record! {
/// A user-defined resource.
pub struct GenericResource {
    /// One that is counted.
    pub discrete_resource_spec: Option<DiscreteResource>,
}
}

/// A counted resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscreteResource {
    /// Which.
    pub kind: String,
    /// How many.
    pub value: i64,
}

record! {
/// `deploy.restart_policy`.
pub struct ServiceRestart {
    /// `none`, `on-failure`, `any`.
    pub condition: String,
    /// Between two attempts.
    pub delay: Option<Period>,
    /// Before giving up.
    pub max_attempts: Option<u64>,
    /// How long decides about success.
    pub window: Option<Period>,
}
}

record! {
/// Where containers may run.
pub struct Placement {
    /// Constraints, `node.role==manager`.
    pub constraints: Vec<String>,
    /// Preferences.
    pub preferences: Vec<Preference>,
    /// At most on one node.
    pub max_replicas_per_node: u64,
}
}

record! {
/// A placement preference.
pub struct Preference {
    /// The label to spread over.
    pub spread: String,
}
}

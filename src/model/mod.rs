//! The nouns: plain data that every floor speaks of. Nothing here waits, reads or decides.

mod claims;
mod container;
mod desired;
mod diagnostic;
mod drift;
mod forge_kind;
mod given;
mod held;
mod incoming;
mod names;
mod observed;
mod outcome;

mod plan;
mod policy;
pub mod project;
mod remedy;
mod report;
mod secret;
mod timestamp;
mod tree;
mod unseen;

pub use claims::{Claim, Claimed, Claims, Clash, Neighbourhood};
pub use container::{
    BindOptions, ContainerConfig, ContainerSpec, DeviceMapping, DeviceRequest, Empty, Endpoint,
    EndpointIpam, HealthConfig, HostConfig, ImageOptions, Ipam, IpamPool, LogConfig, Mount,
    NetworkSpec, PortBinding, RestartPolicy, ThrottleDevice, TmpfsOptions, Ulimit, VolumeDriver,
    VolumeOptions, VolumeSpec, WeightDevice,
};
pub use desired::{
    BuildSpec, BundleFile, Condition, Dependency, Desired, DesiredNetwork, DesiredReplica,
    DesiredService, DesiredVolume, FailureAction, FileBundle, Hook, ImagePolicy, PARENT_FOLDER,
    UpdateOrder, UpdatePolicy, Upload,
};
pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity};
pub use drift::{Cure, Drift, Reason, Resource, Value};
pub use forge_kind::ForgeKind;
pub use given::{Given, GivenContent, GivenFile, GivenVariables};
pub use held::{Held, HeldBecause, Slowed};
pub use incoming::{Budget, OverBudget, pattern};
pub use names::{
    ContainerId, Digest, HostName, ImageRef, NameProblem, Replica, RepositoryName, Revision,
    ServiceName, StackName,
};
pub use observed::{
    ContainerState, EngineFacts, HealthCheckState, ImageSight, Observed, ObservedContainer,
    ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume, Ownership, TakenPort,
};
pub use outcome::{Outcome, StepOutcome};
pub use plan::{Action, AnonymousVolumes, ContainerHandle, Ending, Plan, Step, StepId};
pub use policy::{AdoptPolicy, DriftPolicy, Policy, PrunePolicy, SyncPolicy, UnsetPolicy};
pub use project::{Extensions, Origins, Project, Service};
pub use remedy::Remedy;
pub use report::{CommitState, CommitStatus, Health, Progress, Sync};
pub use secret::Secret;
pub use timestamp::Timestamp;
pub use tree::{FileMode, ManifestTree, TreeFile, TreePath};
pub use unseen::{Gap, Unseen};

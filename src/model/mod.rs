//! The nouns: plain data that every floor speaks of. Nothing here waits, reads or decides.

mod desired;
mod diagnostic;
mod drift;
mod failure;
mod forge_kind;
mod incoming;
mod known;
mod names;
mod observed;
mod plan;
mod policy;
pub mod project;
mod report;
mod secret;
mod timestamp;
mod tree;

pub use desired::{
    BindOptions, ContainerConfig, ContainerSpec, DeviceMapping, DeviceRequest, Empty, Endpoint,
    EndpointIpam, HealthConfig, HostConfig, ImageOptions, Ipam, IpamPool, LogConfig, Mount,
    MountKind, Mounting, NetworkSpec, PortBinding, RestartPolicy, ThrottleDevice, TmpfsOptions,
    Ulimit, VolumeDriver, VolumeOptions, VolumeSpec, WeightDevice, split_bind,
};
pub use desired::{
    BuildSpec, BundleFile, Condition, Dependency, Desired, DesiredNetwork, DesiredReplica,
    DesiredService, DesiredVolume, FailureAction, FileBundle, Hook, ImagePolicy, SeenFiles, SeenIn,
    StartEmpty, UpdateOrder, UpdatePolicy, Upload,
};
pub use desired::{Claim, Claimed, Claims, Clash, Neighbourhood};
pub use desired::{Given, GivenContent, GivenFile, GivenVariables};
pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity};
pub use drift::{Cure, Drift, Held, HeldBecause, Reason, Resource, Slowed, Value};
pub use failure::{Remedy, chain};
pub use forge_kind::ForgeKind;
pub use incoming::{Budget, OverBudget, pattern};
pub use known::{
    FOLDER_LABEL, Known, LastState, PARENT_FOLDER, PathSight, Predecessor, ServiceState,
    StackFolder, image_repository,
};
pub use names::{
    ContainerId, Digest, HostName, ImageRef, NameProblem, Replica, RepositoryName, Revision,
    ServiceName, StackName,
};
pub use observed::{
    ContainerState, Content, EngineFacts, HealthCheckState, ImageSight, Observed,
    ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume, Ownership,
    TakenPort, TakenSubnet, subnets_meet,
};
pub use observed::{Gap, Unseen};
pub use plan::{
    Action, Again, AnonymousVolumes, Conduct, ContainerHandle, Edge, Ending, Loses, Outcome, Plan,
    Step, StepId, StepOutcome, Takes,
};
pub use policy::{AdoptPolicy, DriftPolicy, Policy, PrunePolicy, SyncPolicy, UnsetPolicy};
pub use project::{Extensions, Origins, Project, Service};
pub use report::{CommitState, CommitStatus, Health, Progress, Sync};
pub use secret::Secret;
pub use timestamp::Timestamp;
pub use tree::{FileMode, ManifestTree, TreeFile, TreePath};

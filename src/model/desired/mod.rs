//! What a commit asks of a host, in the Engine's words.

mod claims;
mod container;
mod given;
mod mounting;
mod stack;

pub use claims::{Claim, Claimed, Claims, Clash, Neighbourhood};
pub use container::{
    BindOptions, ContainerConfig, ContainerSpec, DeviceMapping, DeviceRequest, Empty, Endpoint,
    EndpointIpam, HealthConfig, HostConfig, ImageOptions, Ipam, IpamPool, LogConfig, Mount,
    NetworkSpec, PortBinding, RestartPolicy, ThrottleDevice, TmpfsOptions, Ulimit, VolumeDriver,
    VolumeOptions, VolumeSpec, WeightDevice,
};
pub use given::{Given, GivenContent, GivenFile, GivenVariables};
pub use mounting::{MountKind, Mounting, split_bind};
pub use stack::{
    BuildSpec, BundleFile, Condition, Dependency, Desired, DesiredNetwork, DesiredReplica,
    DesiredService, DesiredVolume, FailureAction, FileBundle, Hook, ImagePolicy, SeenFiles, SeenIn,
    StartEmpty, UpdateOrder, UpdatePolicy, Upload,
};

//! What a host runs, and what of it could not be seen.

mod host;
mod unseen;

pub use host::{
    ContainerState, Content, EngineFacts, HealthCheckState, ImageSight, Observed,
    ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume, Ownership,
    TakenPort, TakenSubnet, subnets_meet,
};
pub use unseen::{Gap, Unseen};

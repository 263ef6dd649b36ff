//! What a host runs, and what of it could not be seen.

mod host;
mod unseen;

pub use host::{
    ContainerState, EngineFacts, HealthCheckState, ImageSight, Observed, ObservedContainer,
    ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume, Ownership, TakenPort,
};
pub use unseen::{Gap, Unseen};

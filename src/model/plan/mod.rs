//! A plan, and what became of it.

mod conduct;
mod outcome;
mod steps;

pub use conduct::{Again, Conduct, Edge, Loses, Takes};
pub use outcome::{Outcome, StepOutcome};
pub use steps::{Action, AnonymousVolumes, ContainerHandle, Ending, Plan, Step, StepId};

//! Many hosts from one repository: which replica sits where, who goes first, and when.
//!
//! Everything here is a function of what it is given: hosts as they were seen, stacks as the fleet file has them, and
//! the time. Nothing is looked up, and the same input gives the same answer.

pub mod approval;
mod clearance;
mod orders;
pub mod placement;
pub mod suspension;
mod waiting;
pub mod waves;
pub mod whole;
pub mod windows;

use std::fmt;

pub use clearance::{Clearance, Hold, clearance};
pub use orders::{Orders, Rollback};
pub use waiting::WaitingOn;

use serde::{Deserialize, Serialize};

use crate::model::{HostName, StackName};

/// One stack on one host: the unit of a loop, a pass and a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetName {
    /// The stack.
    pub stack: StackName,
    /// The host.
    pub host: HostName,
}

impl fmt::Display for TargetName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}", self.stack, self.host)
    }
}

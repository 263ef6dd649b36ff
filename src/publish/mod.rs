//! What is said on commits, and what other daemons say there of their targets.
//!
//! Nothing waits for any of this: a forge that is down delays no deploy.

pub(crate) mod carriers;
pub(crate) mod drift_reports;
pub(crate) mod health;
pub(crate) mod memory;
pub(crate) mod notes;
pub(crate) mod peers;
pub(crate) mod publisher;
pub(crate) mod sink;

//! One target, from what may be done with it to what was done: admission, pass, apply, and what is known of all targets.

pub(crate) mod admission;
pub mod apply;
mod by_hand;
pub(crate) mod context;
mod falls;
pub mod host;
pub(crate) mod limiter;
pub mod pass;
mod proposal;
mod remembering;
pub(crate) mod roster;
pub mod store;
pub(crate) mod survey;
pub mod target;

pub(crate) use by_hand::by_hand;
pub(crate) use proposal::{Proposal, propose};
pub use target::Intent;
pub(crate) use target::{Around, Next, Request, TargetMemory, Turn, target};

//! Differences between what is asked and what runs, and those that are left alone.

mod difference;
mod held;

pub use difference::{Cure, Drift, Reason, Resource, Value};
pub use held::{Held, HeldBecause, Slowed};

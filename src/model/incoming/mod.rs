//! What comes in from others: what it may cost, and the patterns that it holds.

mod budget;
pub mod pattern;

pub use budget::{Budget, OverBudget};

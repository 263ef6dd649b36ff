//! What several tests need.

pub mod engines;
pub mod fake_forge;

//! What several tests need.

pub mod engines;

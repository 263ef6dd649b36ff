//! What several tests need.

pub mod engine_fill;
pub mod engines;

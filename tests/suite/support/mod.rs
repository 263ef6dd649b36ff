//! What several tests need.

pub mod engine_fill;
pub mod engines;
pub mod fake_engine;
pub mod fake_forge;
pub mod world;

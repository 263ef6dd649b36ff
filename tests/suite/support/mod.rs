//! What several tests need.

pub mod daemon;
pub mod engine_fill;
pub mod engines;
pub mod fake_engine;
pub mod fake_forge;
pub mod git_servers;
pub mod git_world;
pub mod proxy;
pub mod real_stack;
pub mod world;

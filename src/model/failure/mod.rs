//! What went wrong: what helps, and how it is said in full.

pub mod chain;
mod remedy;

pub use remedy::Remedy;

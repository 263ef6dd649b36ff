//! The `docker` room against Engines: real ones, and the simulated one.

mod real;
pub(crate) mod terms;

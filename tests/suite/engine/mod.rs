//! The `docker` room against Engines: real ones, and the simulated one.

mod real;
mod terms;

//! The `docker` room against Engines: real ones, and the simulated one.

mod doors;
mod endless;
mod faults;
mod laid;
mod real;
mod recorded;
mod simulated;
mod stories;
pub mod terms;
mod three_hosts;

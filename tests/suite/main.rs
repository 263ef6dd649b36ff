//! One binary for all tests: see `tests/README.md`.
mod config;
mod git;

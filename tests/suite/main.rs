//! One binary for all tests: see `tests/README.md`.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::unused_result_ok,
    clippy::format_push_string,
    missing_docs,
    unreachable_pub,
    reason = "a test stops at the first surprise, looks at the machine that it runs on, and may tell a long story"
)]

mod adoption;
mod asked;
mod comments;
mod compose_real;
mod compose_table;
mod config;
mod corpus;
mod cut_off;
mod daemon;
mod desired;
mod desired_files;
mod documents;
mod drift;
mod drift_real;
mod engine;
mod everyday;
mod examples_real;
mod faults;
mod fleet;
mod folder;
mod forge;
mod git;
mod given;
mod honoured;
mod hostile;
mod house;
mod kills_real;
mod laws;
mod loader_fuzz;
mod lost_folder;
mod manifests;
mod moving;
mod mutations_real;
mod orders;
mod outside;
mod placement;
mod plan;
mod recoveries;
mod rendered;
mod seating;
mod silence;
mod sops;
mod spread;
mod state;
mod stories;
mod support;
mod tales;
mod visible;
mod webhooks;
mod whole;
mod worlds;

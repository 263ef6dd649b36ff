//! A plan, its outcomes and health, said in one line or in many. Text only: nothing here sends it.

pub mod status;
mod verdict;

pub use verdict::{Failure, Report, Round, Target};

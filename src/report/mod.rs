//! A plan, its outcomes and health, said in one line or in many. Text only: nothing here sends it.

pub mod advice;
pub mod brief;
pub mod change;
pub mod comment;
pub mod danger;
pub mod diff;
pub mod drift_report;
pub mod glance;
mod markdown;
pub mod mask;
pub mod proposal;
pub mod secrets;
pub mod status;
mod verdict;
pub mod visible;
mod waiting;

pub use verdict::{Failure, Head, Report, Round, Target, Wait};

//! A plan, its outcomes and health, said in one line or in many. Text only: nothing here sends it.

pub mod advice;
pub mod brief;
pub mod change;
pub mod comment;
pub mod danger;
pub mod diff;
mod discretion;
pub mod drift_report;
pub mod glance;
mod json;
mod markdown;
pub mod proposal;
pub mod status;
mod verdict;
mod waiting;

pub use discretion::{mask, replaced, secrets, visible};
pub use verdict::{Failure, Head, Report, Round, Target, Unproven, Wait};

//! The data folder: what must outlive the process, and locks.
//!
//! What runs where is on the hosts, and what should run is in Git. Here is what neither of them tells: which targets
//! were kept, which commit each reached, what operators said beside Git, and the story of what was done.

pub(crate) mod disk;
pub mod folder;
pub(crate) mod form;
pub mod journal;
pub mod learnt;
pub mod ledger;
pub(crate) mod orders;
pub mod record;

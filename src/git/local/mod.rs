//! Repositories on this machine: read without any protocol, and watched.

mod repository;
mod watch;
mod working_copy;

pub(super) use repository::LocalRepository;
pub use watch::{Watch, watch};
pub use working_copy::{WorkingCopy, working_copy};

//! Moving in: a fleet written from what runs on hosts, and from folders of Compose files.
//!
//! In go the containers of hosts and folders of this machine; out comes a [`Draft`]: the files of a repository, the
//! variables that it needs from outside, and what is to be said about it. Nothing is written here, and nothing on a host
//! is touched.
//!
//! *Guarantees:* no value of a variable, and no file that looks like a secret, is among the files of the repository. What
//! a service may have written is never taken for a file of Git: it stays where it is.

mod copied;
mod draft;
mod environment;
mod fleet_text;
mod nouns;
mod order;
mod references;
mod sources;
mod stack;

pub use draft::draft;
pub use nouns::{Draft, DraftFile, DraftStack, LeftAlone, NeededVariable, Outside};
pub use sources::HostFindings;

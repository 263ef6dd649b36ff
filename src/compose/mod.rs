//! A manifest tree in, a project and diagnostics out.
//!
//! [`load()`] reads Compose files as the Compose Specification and the reference implementation do: parse,
//! interpolate, extend, include, merge, normalise, check. It reports every problem at once, each with its
//! place, and never reads anything but what its [`Files`] give it.

pub mod attributes;
mod canonical;
mod check;
mod consistency;
mod convert;
mod de;
mod env_files;
mod files;
mod interpolate;
mod load;
mod loader;
mod merge;
mod normalize;
mod paths;
mod place;
mod rules;
mod text;
mod values;

pub use files::{Files, ReadProblem, TREE_ROOT, TreeFiles, tree_path};
pub use load::{LoadRequest, Loaded, Lookup, load, load_within};
pub use text::dotenv::variables_of;
pub use values::{LoadPurpose, sealed};

//! Our own two files: text in, validated values and every problem out.
//!
//! The settings file (`moorline.yaml`) is the operator's: where things are and what is allowed. The fleet file
//! (`fleet.yaml`) is Git's: what should run where. Unknown keys, wrong types and missing values are refused with file,
//! line, column, what was expected and the nearest valid name. Nothing here touches a file: the caller brings bytes,
//! and the paths of the repository's tree.

pub mod endpoint;
pub mod fleet_file;
pub mod quantity;
mod reader;
pub mod settings;

pub use endpoint::Endpoint;
pub use fleet_file::{Fleet, HostSelector, Stack};
pub use reader::Key;
pub use settings::{Overrides, Settings};

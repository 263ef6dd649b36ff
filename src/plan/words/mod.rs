//! A plan in words: read aloud, and as data.

mod json;
mod text;

pub use json::{hash, to_json};
pub use text::{render, summary};

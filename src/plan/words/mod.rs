//! A plan in words: read aloud, and as data.

mod json;
mod text;

pub use json::{digest_of_deeds, hash, to_json};
pub use text::{down_while_replaced, render, summary};

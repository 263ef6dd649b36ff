//! YAML text as a tree that remembers positions.
//!
//! The tree keeps what a typed reader would lose: where each key and value stands, how a scalar was written,
//! and the tags `!reset` and `!override`. Anchors and merge keys are resolved; duplicate keys, deep nesting,
//! oversized files and alias bombs are refused.

mod number;
mod parse;
mod problem;
mod scalar;
mod tree;

pub use number::{float_text, parse_float, parse_int};
pub use parse::{
    COPY_BYTES, MAX_BYTES, MAX_DEPTH, NODE_BYTES, parse, parse_as_written, parse_one, parse_within,
};
pub use problem::{nearest, unknown_key};
pub use scalar::{Scalar, Value};
pub use tree::{Entry, Kind, Map, Node, Span, Tag};

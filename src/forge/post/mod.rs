//! What is said, when, and by whom: letters, the book of what was posted, and the courier.

mod book;
mod courier;
mod ledger;
mod letter;

pub use book::{Errand, StatusBook};
pub use courier::{Courier, Postbox};
pub use letter::{Condition, Letter, LetterKey, Pace, Warning};

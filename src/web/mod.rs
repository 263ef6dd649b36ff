//! The daemon's HTTP listener: webhooks in, "look now" out; health for whoever watches. A webhook's content is never
//! believed: it only brings the next look forward.

mod bell;
mod hooks;
mod listener;
pub mod local;

pub use bell::{Bell, LookNow};
pub use hooks::{Answered, Hook, HookBook, Refusal};
pub use listener::{Doors, Readiness, WebError, bind, serve};

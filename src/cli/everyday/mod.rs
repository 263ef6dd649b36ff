//! What people do on an ordinary day: moving in, looking, a nudge.

pub(super) mod caret;
pub(super) mod compare;
pub(super) mod complete;
pub(super) mod hands;
pub(super) mod import;
pub(super) mod logs;
pub(super) mod manual;
pub(super) mod outdated;
pub(super) mod tree;
pub(super) mod wait;

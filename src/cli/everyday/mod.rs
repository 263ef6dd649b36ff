//! What people do on an ordinary day: moving in, looking, a nudge.

pub(super) mod import;

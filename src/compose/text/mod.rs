//! The small languages inside a Compose file: templates, env files, command lines, short syntaxes.

pub(super) mod dotenv;
pub(super) mod ports;
pub(super) mod template;
pub(super) mod volumes;
pub(super) mod words;

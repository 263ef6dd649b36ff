//! The connection: where an Engine is, how it is reached, and one HTTP client over that.

mod dial;
mod endpoint;
mod lines;
mod ssh;
mod wire;

pub use endpoint::{
    Access, Endpoint, EngineSettings, Limits, RegistryAccess, SshEndpoint, SshIdentity,
    TcpSecurity, TlsFiles,
};
pub(super) use lines::Lines;
pub(super) use wire::{Ask, Wire, parse, segment};

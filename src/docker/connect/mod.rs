//! The connection: where an Engine is, how it is reached, and one HTTP client over that.

mod endpoint;

pub use endpoint::{
    Access, Endpoint, EngineSettings, Limits, RegistryAccess, SshEndpoint, SshIdentity,
    TcpSecurity, TlsFiles,
};

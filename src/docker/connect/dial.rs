//! The connector below the HTTP client: whatever address the client asks for, it gets its Engine.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::super::{Cause, EngineError};
use super::endpoint::{Endpoint, TcpSecurity, TlsFiles};
use super::ssh::SshSession;

/// Makes connections to one Engine.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    ssh: Option<SshSession>,
    limit: Duration,
}

impl Dialer {
    pub(super) fn new(endpoint: Endpoint, limit: Duration) -> Self {
        let ssh = match &endpoint {
            Endpoint::Ssh(at) => Some(SshSession::new(at.clone())),
            Endpoint::Unix(_) | Endpoint::Tcp { .. } => None,
        };
        Self(Arc::new(Inner { endpoint, ssh, limit }))
    }
}

impl Inner {
    async fn dial(&self) -> Result<Link, EngineError> {
        let limit = self.limit;
        tokio::time::timeout(limit, self.link()).await.unwrap_or_else(|_| {
            Err(self.unreachable(format!("no connection within {limit:?}").into()))
        })
    }

    async fn link(&self) -> Result<Link, EngineError> {
        let failed = |error: io::Error| self.unreachable(error.into());
        match (&self.endpoint, &self.ssh) {
            (Endpoint::Unix(path), _) => {
                Ok(Link(Box::new(UnixStream::connect(path).await.map_err(failed)?)))
            }
            (Endpoint::Tcp { host, port, security }, _) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
                liven(&socket).map_err(failed)?;
                match security {
                    TcpSecurity::Plain => Ok(Link(Box::new(socket))),
                    TcpSecurity::Tls(files) => self.protect(socket, host, files).await,
                }
            }
            (Endpoint::Ssh(_), Some(session)) => Ok(Link(Box::new(session.open().await?))),
            (Endpoint::Ssh(_), None) => Err(self.unreachable("no session".into())),
        }
    }

    /// The files are read for each connection: certificates may be renewed while we run, and connections are kept.
    async fn protect(
        &self,
        socket: TcpStream,
        host: &str,
        files: &TlsFiles,
    ) -> Result<Link, EngineError> {
        let config = tls_config(files)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| self.unreachable(error.into()))?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
            .map_err(|error| self.unreachable(error.into()))?;
        Ok(Link(Box::new(stream)))
    }

    fn unreachable(&self, source: Cause) -> EngineError {
        EngineError::Unreachable { endpoint: self.endpoint.to_string(), source }
    }
}

/// A peer that vanished without a word is noticed within a minute, also on a quiet stream of events.
fn liven(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let often = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(socket).set_tcp_keepalive(&often)
}

fn tls_config(files: &TlsFiles) -> Result<rustls::ClientConfig, EngineError> {
    let broken = |path: &std::path::Path, source: Cause| EngineError::BadFile {
        path: path.to_owned(),
        source,
    };
    let certificates = |path: &std::path::Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| broken(path, error.to_string().into()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for authority in certificates(&files.ca)? {
        roots.add(authority).map_err(|error| broken(&files.ca, error.into()))?;
    }
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| broken(&files.key, error.to_string().into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
        .map_err(|error| broken(&files.cert, error.into()))
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<Link>;
    type Error = EngineError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.dial().await.map(TokioIo::new) })
    }
}

trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// One connection, of whatever kind.
pub(super) struct Link(Box<dyn Pipe>);

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

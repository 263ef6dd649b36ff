//! Git's protocol, spoken by ourselves: version 2 where the server knows it, else version 0.
//!
//! In: an address, access and questions. Out: references and packs. libgit2 is not asked for anything here: its
//! transports know only version 0 (every reference at each poll), cannot leave out what we do not read, and
//! would bring two more TLS and SSH implementations.

mod fetch;
mod greeting;
mod http;
mod known_hosts;
pub(super) mod lfs;
mod packet;
mod push;
mod ssh;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::GitError;
use super::remote::{Address, Remote};
use super::source::{Access, Limits, Traffic};

pub(super) use fetch::{Filter, Question, fetch};
pub(super) use greeting::{Greeting, RemoteRef, list};
pub(super) use http::Memory;
pub(super) use packet::{Packet, Request};
pub(super) use push::{PushAnswer, push};

/// Bytes asked of a socket at a time.
const CHUNK: usize = 64 << 10;

/// Which of a server's two programs is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// It hands out.
    UploadPack,
    /// It takes in.
    ReceivePack,
}

impl Service {
    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// A conversation with one server about one repository.
#[derive(Debug)]
pub(super) struct Connection {
    pipe: Pipe,
    buffer: BytesMut,
    remote: String,
    limits: Limits,
    traffic: Traffic,
    /// Bytes of this answer that may still come besides objects.
    talk_left: u64,
}

#[derive(Debug)]
enum Pipe {
    Http(Box<http::HttpPipe>),
    Tcp(TcpStream),
    Ssh(ssh::SshPipe),
}

impl Connection {
    /// Connects, and hears what the server can do.
    pub(super) async fn open(
        remote: &Remote,
        access: &Access,
        service: Service,
        memory: &Arc<Memory>,
    ) -> Result<(Self, Greeting), GitError> {
        let name = remote.to_string();
        let pipe = match remote.address() {
            Address::Http(url) => {
                Pipe::Http(Box::new(http::HttpPipe::open(url, access, service, memory).await?))
            }
            Address::Ssh(ssh) => Pipe::Ssh(ssh::SshPipe::open(&name, ssh, access, service).await?),
            Address::Daemon { host, port, path } => {
                Pipe::Tcp(open_daemon(&name, (host, *port, path), access, service).await?)
            }
            Address::Local(_) => {
                return Err(GitError::Unsupported {
                    remote: name,
                    feature: "a local conversation",
                });
            }
        };
        let mut connection = Self {
            pipe,
            buffer: BytesMut::new(),
            remote: name,
            limits: access.limits.clone(),
            traffic: Traffic::default(),
            talk_left: access.limits.answer_bytes,
        };
        let remembered = match &connection.pipe {
            Pipe::Http(pipe) => pipe.remembered(),
            Pipe::Tcp(_) | Pipe::Ssh(_) => None,
        };
        if let Some(greeting) = remembered {
            return Ok((connection, greeting));
        }
        if let Pipe::Http(pipe) = &mut connection.pipe {
            pipe.ask_for_greeting().await?;
        }
        let greeting = greeting::hear(&mut connection).await?;
        if let Pipe::Http(pipe) = &mut connection.pipe {
            pipe.remember(&greeting);
        }
        Ok((connection, greeting))
    }

    /// Sends a request. What was left of the answer before is dropped over HTTP, where each answer is its own.
    pub(super) async fn ask(&mut self, request: Bytes) -> Result<(), GitError> {
        self.traffic.requests += 1;
        self.talk_left = self.limits.answer_bytes;
        let limit = self.limits.progress;
        match &mut self.pipe {
            Pipe::Http(pipe) => {
                self.buffer.clear();
                pipe.post(request).await
            }
            Pipe::Tcp(socket) => {
                match tokio::time::timeout(limit, socket.write_all(&request)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(cause)) => Err(self.unreachable(cause)),
                    Err(_) => Err(self.timeout("sending a request")),
                }
            }
            Pipe::Ssh(pipe) => pipe.send(request, limit).await,
        }
    }

    /// Says goodbye where the server waits for it, so that it does not log a broken connection.
    pub(super) async fn close(mut self) -> Traffic {
        if !matches!(self.pipe, Pipe::Http(_)) {
            let farewell = self.ask(Bytes::from_static(b"0000")).await;
            tracing::trace!(ok = farewell.is_ok(), "left the Git server");
            self.traffic.requests -= 1;
        }
        self.traffic
    }

    /// The next packet of the answer, counted: an answer that has no end is an error.
    pub(super) async fn packet(&mut self) -> Result<Packet, GitError> {
        let packet = self.piece().await?;
        self.count_talk(packet.length())?;
        Ok(packet)
    }

    /// Takes bytes off what an answer may say besides objects.
    fn count_talk(&mut self, bytes: u64) -> Result<(), GitError> {
        match self.talk_left.checked_sub(bytes) {
            Some(left) => self.talk_left = left,
            None => return Err(self.too_large("bytes besides objects", self.limits.answer_bytes)),
        }
        Ok(())
    }

    /// The next packet, whose bytes the caller counts. Packets of an error (`ERR …`) become errors.
    async fn piece(&mut self) -> Result<Packet, GitError> {
        loop {
            let taken = packet::take(&mut self.buffer).map_err(|bad| self.not_git(bad))?;
            match taken {
                Some(Packet::Data(bytes)) if bytes.starts_with(b"ERR ") => {
                    let said = packet::text(bytes.get(4..).unwrap_or_default());
                    return Err(refusal(&self.remote, &said));
                }
                Some(packet) => return Ok(packet),
                None => self.read().await?,
            }
        }
    }

    /// Reads at least one byte more into the buffer.
    async fn read(&mut self) -> Result<(), GitError> {
        let limit = self.limits.progress;
        let read = match &mut self.pipe {
            Pipe::Http(pipe) => tokio::time::timeout(limit, pipe.chunk()).await,
            Pipe::Ssh(pipe) => tokio::time::timeout(limit, pipe.chunk()).await,
            Pipe::Tcp(socket) => {
                let mut chunk = BytesMut::with_capacity(CHUNK);
                match tokio::time::timeout(limit, socket.read_buf(&mut chunk)).await {
                    Ok(Ok(_)) => Ok(Ok(chunk.freeze())),
                    Ok(Err(cause)) => return Err(self.unreachable(cause)),
                    Err(elapsed) => Err(elapsed),
                }
            }
        };
        let bytes = read.map_err(|_elapsed| self.timeout("waiting for an answer"))??;
        if bytes.is_empty() {
            return Err(self.ended());
        }
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// The remote, for errors.
    pub(super) fn remote(&self) -> &str {
        &self.remote
    }

    /// What it cost so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn count_pack(&mut self, bytes: usize) {
        self.traffic.pack_bytes += bytes as u64;
    }

    /// The server's answer is none of Git's.
    pub(super) fn not_git(&self, what: impl std::fmt::Display) -> GitError {
        GitError::NotGit { remote: self.remote.clone(), got: shortened(&what.to_string()) }
    }

    fn too_large(&self, what: &'static str, most: u64) -> GitError {
        GitError::TooLarge { remote: self.remote.clone(), what, most }
    }

    fn unreachable(&self, cause: std::io::Error) -> GitError {
        GitError::Unreachable { remote: self.remote.clone(), source: cause.into() }
    }

    fn timeout(&self, doing: &'static str) -> GitError {
        let limit = self.limits.progress;
        GitError::Timeout { remote: self.remote.clone(), doing, limit }
    }

    fn ended(&self) -> GitError {
        if let Pipe::Ssh(pipe) = &self.pipe
            && let Some(said) = pipe.last_words()
        {
            return refusal(&self.remote, &said);
        }
        let cause = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the server closed the connection in the middle of its answer",
        );
        self.unreachable(cause)
    }
}

async fn open_daemon(
    remote: &str,
    (host, port, path): (&str, u16, &str),
    access: &Access,
    service: Service,
) -> Result<TcpStream, GitError> {
    let mut socket = connect(remote, host, port, access).await?;
    let authority = if port == 9418 { host.to_owned() } else { format!("{host}:{port}") };
    // The version comes after a second NUL, where servers that do not know it do not look.
    let mut request = Request::default();
    request.data(format!("{} {path}\0host={authority}\0\0version=2\0", service.name()).as_bytes());
    let sent = socket.write_all(&request.take()).await;
    sent.map_err(|cause| unreachable(remote, cause))?;
    Ok(socket)
}

/// A TCP connection, within the limit for connecting.
async fn connect(
    remote: &str,
    host: &str,
    port: u16,
    access: &Access,
) -> Result<TcpStream, GitError> {
    let limit = access.limits.connect;
    let socket = match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(cause)) => return Err(unreachable(remote, cause)),
        Err(_) => {
            let remote = remote.to_owned();
            return Err(GitError::Timeout { remote, doing: "connecting", limit });
        }
    };
    socket.set_nodelay(true).map_err(|cause| unreachable(remote, cause))?;
    Ok(socket)
}

fn unreachable(remote: &str, cause: impl Into<super::Cause>) -> GitError {
    GitError::Unreachable { remote: remote.to_owned(), source: cause.into() }
}

/// What a server's words of refusal mean. Forges word them differently; what is not recognised is a failure of
/// the server, which is tried again.
fn refusal(remote: &str, said: &str) -> GitError {
    let lower = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let remote = remote.to_owned();
    let absent = [
        "repository not exported",
        "not found",
        "does not appear to be a git repository",
        "does not exist",
        "no such repository",
        "could not be found",
        "not a git repository",
    ];
    let denied = [
        "permission denied",
        "access denied",
        "not allowed",
        "not permitted",
        "unauthorized",
        "service not enabled",
    ];
    if says(&absent) {
        GitError::NoRepository { remote }
    } else if says(&denied) {
        GitError::Forbidden { remote, said: shortened(said) }
    } else {
        GitError::ServerFailed { remote, said: shortened(said), retry_after: None }
    }
}

/// The first 200 characters of what a server says, on one line, without control characters.
fn shortened(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let words: String = text.trim().chars().map(plain).take(200).collect();
    words.trim().to_owned()
}

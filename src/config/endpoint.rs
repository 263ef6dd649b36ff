//! Where an Engine listens.

use std::fmt;

use crate::model::NameProblem;

/// The port of an Engine with TLS.
pub const TLS_PORT: u16 = 2376;
/// The port of an Engine without TLS.
pub const PLAIN_PORT: u16 = 2375;
/// The port of SSH.
pub const SSH_PORT: u16 = 22;
/// Where an Engine listens on its own host.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Where an Engine listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `unix:///var/run/docker.sock`: a socket on this machine, by its absolute path.
    Unix {
        /// The socket.
        path: String,
    },
    /// `tcp://host:2376`, with or without TLS.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: Option<u16>,
    },
    /// `ssh://user@host[:port][/socket]`: the Engine's socket through SSH.
    Ssh {
        /// User; `None` for the client's own default.
        user: Option<String>,
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// The socket on that host.
        socket: String,
    },
}

impl Endpoint {
    /// The Engine of this machine.
    pub fn local() -> Self {
        Self::Unix { path: DOCKER_SOCKET.to_owned() }
    }

    /// Reads `unix:///path`, `tcp://host[:port]`, `ssh://[user@]host[:port][/path]`.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        let problem = || NameProblem {
            what: "engine endpoint",
            text: without_password(text),
            rule: "`unix:///var/run/docker.sock`, `tcp://host:2376` or `ssh://user@host`",
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(problem)?;
        match scheme {
            "unix" if rest.starts_with('/') && 1 < rest.len() => {
                Ok(Self::Unix { path: rest.to_owned() })
            }
            "tcp" | "https" | "http" => tcp(rest.trim_end_matches('/')).ok_or_else(problem),
            "ssh" => ssh(rest).ok_or_else(problem),
            _ => Err(problem()),
        }
    }
}

/// A text for messages: what stands before an `@` may be a password, unless it is one word after `ssh://`.
fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    match rest.rsplit_once('@') {
        Some((user, _)) if scheme == "ssh" && !user.contains(':') => text.to_owned(),
        Some((_, address)) if scheme.is_empty() => format!("***@{address}"),
        Some((_, address)) => format!("{scheme}://***@{address}"),
        None => text.to_owned(),
    }
}

fn tcp(rest: &str) -> Option<Endpoint> {
    let (host, port) = host_and_port(rest)?;
    Some(Endpoint::Tcp { host, port })
}

fn ssh(rest: &str) -> Option<Endpoint> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, address) = match authority.rsplit_once('@') {
        // A password in an endpoint would be printed wherever the endpoint is.
        Some((user, address)) if !user.is_empty() && !user.contains(':') => (Some(user), address),
        Some(_) => return None,
        None => (None, authority),
    };
    let (host, port) = host_and_port(address)?;
    let socket = if path.is_empty() { DOCKER_SOCKET.to_owned() } else { format!("/{path}") };
    Some(Endpoint::Ssh {
        user: user.map(str::to_owned),
        host,
        port: port.unwrap_or(SSH_PORT),
        socket,
    })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the brackets are taken off.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    let port = if port.is_empty() { None } else { Some(port.parse::<u16>().ok()?) };
    let valid = !host.is_empty() && host.chars().all(is_word) && port != Some(0);
    valid.then(|| (host.to_owned(), port))
}

/// A host with the brackets that IPv6 addresses need before a port.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(out, "[{}]", self.0) } else { out.write_str(self.0) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } => write!(out, "unix://{path}"),
            Self::Tcp { host, port: None } => write!(out, "tcp://{}", Bracketed(host)),
            Self::Tcp { host, port: Some(port) } => {
                write!(out, "tcp://{}:{port}", Bracketed(host))
            }
            Self::Ssh { user, host, port, socket } => {
                write!(out, "ssh://")?;
                if let Some(user) = user {
                    write!(out, "{user}@")?;
                }
                write!(out, "{}", Bracketed(host))?;
                if *port != SSH_PORT {
                    write!(out, ":{port}")?;
                }
                if socket != DOCKER_SOCKET {
                    write!(out, "{socket}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_print_as_they_are_read() {
        for text in [
            "unix:///var/run/docker.sock",
            "unix:///run/user/1000/docker.sock",
            "tcp://core.example.com:2376",
            "tcp://core",
            "tcp://[::1]:2375",
            "ssh://deploy@edge-1.example.com",
            "ssh://edge-1:2222",
            "ssh://deploy@[fe80::1]:2222/run/user/1000/docker.sock",
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "/var/run/docker.sock",
            "unix://docker.sock",
            "unix:///",
            "tcp://",
            "tcp://host:0",
            "tcp://host:port",
            "tcp://a b",
            "ssh://user:password@host",
            "ssh://@host",
            "npipe:////./pipe/docker",
            "tcp://[::1",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_endpoint_does_not_tell_its_password() {
        for (text, shown) in [
            ("tcp://user:p4ss@h:1", "tcp://***@h:1"),
            ("ssh://user:p4ss@h", "ssh://***@h"),
            ("ftp://p4ss@h/x", "ftp://***@h/x"),
            ("user:p4ss@h", "***@h"),
            ("ssh://user@h:x", "ssh://user@h:x"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap_err().text, shown);
        }
    }
}

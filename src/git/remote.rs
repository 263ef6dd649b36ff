//! Where a repository is: text in, an address out. Never shows credentials, because it never holds any.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use crate::model::Digest;

/// The address of a repository.
///
/// Written as `https://host/path`, `http://…`, `ssh://[user@]host[:port]/path`, `[user@]host:path`,
/// `git://host[:port]/path`, `file:///path`, or a path (absolute, or relative to a given folder).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote(Address);

/// An address, by protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    /// Smart HTTP, plain or over TLS. Without user, query, fragment and trailing slash.
    Http(Url),
    /// A command over SSH.
    Ssh(SshAddress),
    /// Git's own protocol, without authentication.
    Daemon { host: String, port: u16, path: String },
    /// A folder on this machine: absolute.
    Local(PathBuf),
}

/// A repository behind an SSH server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SshAddress {
    /// The account; `git` where none is named.
    pub(super) user: String,
    /// Host name or address, without brackets.
    pub(super) host: String,
    /// Port; 22 where none is named.
    pub(super) port: u16,
    /// The path as the server's command gets it.
    pub(super) path: String,
    /// Whether it was written in the short form, and is shown so.
    short: bool,
}

/// Text that is no address of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteProblem {
    /// Nothing is there.
    #[error("the repository's address is empty")]
    Empty,
    /// The address holds a user name, a token or a password.
    #[error("the address of the repository on {host} holds credentials")]
    Credentials {
        /// The host that the address names.
        host: String,
    },
    /// The protocol is none that Moorline speaks.
    #[error("repositories over {scheme:?} are not supported")]
    Scheme {
        /// The protocol that was named.
        scheme: String,
    },
    /// The address lacks a host or a path, or cannot be read at all.
    #[error("this is not the address of a repository: {rule}")]
    Form {
        /// What is missing.
        rule: &'static str,
    },
}

impl RemoteProblem {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Empty | Self::Form { .. } => {
                "write it like `https://git.example.com/acme/fleet.git`, `git@git.example.com:acme/fleet.git` or `/srv/git/fleet.git`"
            }
            Self::Credentials { .. } => {
                "take them out of the address, and name a file that holds the token: `credentials: {token_file: /run/secrets/token}`"
            }
            Self::Scheme { .. } => "use https, http, ssh, git, file, or a path",
        }
    }
}

impl Remote {
    /// Takes an address; a relative path is taken from `base`, which must be absolute.
    pub fn parse(text: &str, base: &Path) -> Result<Self, RemoteProblem> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RemoteProblem::Empty);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return parse_url(&scheme.to_ascii_lowercase(), rest, text).map(Self);
        }
        match text.split_once(':') {
            Some((host, path)) if !host.contains('/') => parse_short(host, path).map(Self),
            _ => Ok(Self(Address::Local(plain_path(&base.join(text))))),
        }
    }

    /// The folder, for a repository on this machine.
    pub fn local_path(&self) -> Option<&Path> {
        match &self.0 {
            Address::Local(path) => Some(path),
            Address::Http(_) | Address::Ssh(_) | Address::Daemon { .. } => None,
        }
    }

    /// The address of a submodule, as `.gitmodules` writes it: relative ones (`../other.git`) are taken from this
    /// repository's own. `None` where it is not on the same server, reached the same way: what lets us in here is shown to
    /// nobody else. On this machine, only what lies in the folder around this repository counts.
    pub(super) fn sibling(&self, text: &str) -> Option<Self> {
        let mut own = self.to_string().trim_end_matches('/').to_owned();
        let is_relative = text.starts_with("./") || text.starts_with("../");
        let address = if is_relative {
            let mut rest = text;
            loop {
                if let Some(further) = rest.strip_prefix("./") {
                    rest = further;
                } else if let Some(further) = rest.strip_prefix("../") {
                    let cut = own.rfind('/').or_else(|| own.rfind(':').map(|at| at + 1))?;
                    own.truncate(cut);
                    rest = further;
                } else {
                    break;
                }
            }
            let slash = if own.ends_with([':', '/']) { "" } else { "/" };
            format!("{own}{slash}{rest}")
        } else {
            text.to_owned()
        };
        let other = Self::parse(&address, Path::new("/")).ok()?;
        let is_near = match (&self.0, &other.0) {
            (Address::Http(own), Address::Http(other)) => own.origin() == other.origin(),
            (Address::Ssh(own), Address::Ssh(other)) => {
                (&own.user, &own.host, own.port) == (&other.user, &other.host, other.port)
            }
            (Address::Daemon { host, port, .. }, Address::Daemon { host: to, port: at, .. }) => {
                (host, port) == (to, at)
            }
            (Address::Local(own), Address::Local(other)) => own
                .parent()
                .is_some_and(|around| around != Path::new("/") && other.starts_with(around)),
            _ => false,
        };
        is_near.then_some(other)
    }

    pub(super) fn address(&self) -> &Address {
        &self.0
    }

    /// A folder name that is safe on every file system and differs for each remote.
    pub(super) fn folder_name(&self) -> String {
        let text = self.to_string();
        let last = text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let stem = last.strip_suffix(".git").unwrap_or(last);
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = stem.chars().take(40).map(safe).collect();
        format!("{name}-{}", Digest::of(text.as_bytes()).short())
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Http(url) => write!(out, "{url}"),
            Address::Ssh(ssh) if ssh.short => write!(out, "{}@{}:{}", ssh.user, ssh.host, ssh.path),
            Address::Ssh(ssh) => {
                write!(out, "ssh://{}@{}", ssh.user, bracketed(&ssh.host))?;
                if ssh.port != 22 {
                    write!(out, ":{}", ssh.port)?;
                }
                let slash = if ssh.path.starts_with('/') { "" } else { "/" };
                write!(out, "{slash}{}", ssh.path)
            }
            Address::Daemon { host, port: 9418, path } => {
                write!(out, "git://{}{path}", bracketed(host))
            }
            Address::Daemon { host, port, path } => {
                write!(out, "git://{}:{port}{path}", bracketed(host))
            }
            Address::Local(path) => write!(out, "{}", path.display()),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn parse_url(scheme: &str, rest: &str, whole: &str) -> Result<Address, RemoteProblem> {
    match scheme {
        "file" => parse_file(rest),
        "http" | "https" => parse_http(whole),
        "ssh" | "git+ssh" | "ssh+git" => parse_ssh(rest),
        "git" => parse_daemon(rest),
        other => Err(RemoteProblem::Scheme { scheme: other.chars().take(20).collect() }),
    }
}

fn parse_file(rest: &str) -> Result<Address, RemoteProblem> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(RemoteProblem::Form { rule: "a file address holds an absolute path" });
    }
    let url = Url::parse(&format!("file://{path}"));
    let path = url.ok().and_then(|url| url.to_file_path().ok());
    path.map(|path| Address::Local(plain_path(&path)))
        .ok_or(RemoteProblem::Form { rule: "the path cannot be read" })
}

fn parse_http(whole: &str) -> Result<Address, RemoteProblem> {
    let form = |rule| RemoteProblem::Form { rule };
    let mut url = Url::parse(whole).map_err(|_unreadable| form("host or port cannot be read"))?;
    let host = url.host_str().ok_or(form("a host is missing"))?.to_owned();
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RemoteProblem::Credentials { host });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(form("neither a query nor a fragment belongs in it"));
    }
    // A server of one repository may have it at its root.
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(Address::Http(url))
}

fn parse_ssh(rest: &str) -> Result<Address, RemoteProblem> {
    let (authority, path) = split_path(rest)?;
    if path.trim_matches('/').is_empty() {
        return Err(RemoteProblem::Form { rule: "a path is missing" });
    }
    let (user, host) = split_user(authority)?;
    let (host, port) = split_port(host, 22)?;
    // `ssh://host/~user/repository` means the path below that user's home folder.
    let path = if path.starts_with("/~") { path.trim_start_matches('/') } else { path };
    Ok(Address::Ssh(SshAddress { user, host, port, path: path.to_owned(), short: false }))
}

fn parse_short(host: &str, path: &str) -> Result<Address, RemoteProblem> {
    // `git:password@host:path`: the first colon is not the one before the path.
    if let Some((_, rest)) = path.split_once('@').filter(|_| !host.contains('@')) {
        let host = rest.split([':', '/']).next().unwrap_or_default().to_owned();
        return Err(RemoteProblem::Credentials { host });
    }
    let (user, host) = split_user(host)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.starts_with('-') {
        return Err(RemoteProblem::Form { rule: "a host is missing" });
    }
    if path.is_empty() {
        return Err(RemoteProblem::Form { rule: "a path is missing" });
    }
    let host = host.to_owned();
    Ok(Address::Ssh(SshAddress { user, host, port: 22, path: path.to_owned(), short: true }))
}

fn parse_daemon(rest: &str) -> Result<Address, RemoteProblem> {
    let (authority, path) = split_path(rest)?;
    if let Some((_, host)) = authority.rsplit_once('@') {
        return Err(RemoteProblem::Credentials { host: host.to_owned() });
    }
    let (host, port) = split_port(authority, 9418)?;
    Ok(Address::Daemon { host, port, path: path.to_owned() })
}

fn split_path(rest: &str) -> Result<(&str, &str), RemoteProblem> {
    let at = rest.find('/').ok_or(RemoteProblem::Form { rule: "a path is missing" })?;
    let (authority, path) = rest.split_at(at);
    if path.contains('\0') || path.contains('\n') {
        return Err(RemoteProblem::Form { rule: "the path cannot be read" });
    }
    Ok((authority, path))
}

fn split_user(authority: &str) -> Result<(String, &str), RemoteProblem> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Ok(("git".to_owned(), authority));
    };
    if user.contains(':') {
        return Err(RemoteProblem::Credentials { host: host.to_owned() });
    }
    Ok((user.to_owned(), host))
}

fn split_port(host: &str, default: u16) -> Result<(String, u16), RemoteProblem> {
    let unreadable = RemoteProblem::Form { rule: "host or port cannot be read" };
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, after)) => (name, after.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(RemoteProblem::Form { rule: "a host is missing" });
    }
    match port {
        None | Some("") => Ok((name.to_owned(), default)),
        Some(port) => {
            port.parse().map(|port| (name.to_owned(), port)).map_err(|_no_number| unreadable)
        }
    }
}

/// The same path without `.` and `..` parts; symbolic links are not looked at.
fn plain_path(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Remote::parse(text, Path::new("/home/ada/fleet")) {
            Ok(remote) => remote.to_string(),
            Err(problem) => format!("refused: {problem}"),
        }
    }

    #[test]
    fn an_address_is_read_in_every_form_that_git_writes() {
        let cases = [
            ("https://git.example.com/acme/fleet.git/", "https://git.example.com/acme/fleet.git"),
            ("HTTP://localhost:3000/a", "http://localhost:3000/a"),
            ("git@example.com:acme/fleet.git", "git@example.com:acme/fleet.git"),
            ("example.com:fleet", "git@example.com:fleet"),
            ("ssh://example.com/srv/fleet.git", "ssh://git@example.com/srv/fleet.git"),
            ("ssh://ada@example.com:2222/~ada/f", "ssh://ada@example.com:2222/~ada/f"),
            ("ssh://ada@[::1]:2222/f", "ssh://ada@[::1]:2222/f"),
            ("git://example.com/fleet", "git://example.com/fleet"),
            ("git://example.com:9999/fleet", "git://example.com:9999/fleet"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("git://127.0.0.1:9999/", "git://127.0.0.1:9999/"),
            ("file:///srv/git/my%20fleet", "/srv/git/my fleet"),
            ("/srv/git/../fleet", "/srv/fleet"),
            ("../other", "/home/ada/other"),
            (".", "/home/ada/fleet"),
            ("./a:b", "/home/ada/fleet/a:b"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_never_shown() {
        for text in [
            "https://ada:s3cret@git.example.com/f.git",
            "https://s3cret@git.example.com/f.git",
            "ssh://git:s3cret@git.example.com/f.git",
            "git:s3cret@git.example.com:f.git",
            "git://s3cret@git.example.com/f.git",
        ] {
            let told = shown(text);
            assert!(told.starts_with("refused"), "{text}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "  ",
            "https://",
            "ftp://host/x",
            "ssh://host",
            "ssh://-oProxyCommand=x/y",
            "host:",
        ] {
            assert!(shown(text).starts_with("refused"), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn submodules_are_on_the_same_server_or_nowhere() {
        let near = |own: &str, text: &str| {
            let own = Remote::parse(own, Path::new("/")).unwrap();
            own.sibling(text).map(|other| other.to_string())
        };
        let https = "https://git.example.com/acme/fleet.git";
        for (text, found) in [
            ("../lib.git", Some("https://git.example.com/acme/lib.git")),
            ("../../other/lib", Some("https://git.example.com/other/lib")),
            ("https://git.example.com/x/y.git", Some("https://git.example.com/x/y.git")),
            ("https://git.example.com:8443/x/y.git", None),
            ("http://git.example.com/x/y.git", None),
            ("https://evil.example.com/x.git", None),
            ("https://user:secret@git.example.com/x.git", None),
            ("../../../../x", None),
            ("git@git.example.com:x/y.git", None),
            ("/etc", None),
        ] {
            assert_eq!(near(https, text).as_deref(), found, "{text}");
        }
        let ssh = "git@git.example.com:acme/fleet.git";
        assert_eq!(near(ssh, "../lib.git").as_deref(), Some("git@git.example.com:acme/lib.git"));
        assert_eq!(near(ssh, "root@git.example.com:acme/lib.git"), None);
        assert_eq!(near("/srv/git/fleet", "../lib").as_deref(), Some("/srv/git/lib"));
        assert_eq!(near("/srv/git/fleet", "../../../etc"), None);
        assert_eq!(near("/srv/git/fleet", "/root/secret"), None);
    }

    #[test]
    fn folder_names_are_safe_and_differ() {
        let name = |text: &str| Remote::parse(text, Path::new("/")).unwrap().folder_name();
        let first = name("https://a.example.com/x/fl%20eet.git");
        assert!(first.starts_with("fl_20eet-"), "{first}");
        assert_ne!(first, name("https://b.example.com/x/fl%20eet.git"));
    }
}

//! The address of a Git repository.

use std::fmt;
use std::path::Path;

use crate::model::{NameProblem, RepositoryName, Secret};

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `ssh://` or `user@host:path`
    Ssh,
    /// `git://`
    Git,
    /// `file://` or a path on this machine.
    Local,
}

/// The address of a Git repository. Prints without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    text: Secret<String>,
    shown: String,
    transport: Transport,
}

impl RemoteUrl {
    /// Reads an https, http, ssh, git or file address, `user@host:path`, or a path.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        let problem =
            |rule| NameProblem { what: "repository", text: without_credentials(text), rule };
        if text.trim().is_empty() || text.contains(char::is_control) {
            return Err(problem("an https, ssh, git or file address, or a path"));
        }
        let transport = match text.split_once("://") {
            Some(("https", rest)) if !rest.is_empty() => Transport::Https,
            Some(("http", rest)) if !rest.is_empty() => Transport::Http,
            Some(("ssh" | "git+ssh" | "ssh+git", rest)) if !rest.is_empty() => Transport::Ssh,
            Some(("git", rest)) if !rest.is_empty() => Transport::Git,
            Some(("file", rest)) if rest.starts_with('/') => Transport::Local,
            Some(_) => return Err(problem("an https, ssh, git or file address, or a path")),
            None if is_scp_like(text) => Transport::Ssh,
            None if text.starts_with('~') => {
                return Err(problem("written in full: `~` is the shell's and is not expanded"));
            }
            None => Transport::Local,
        };
        Ok(Self { shown: without_credentials(text), text: Secret::new(text.to_owned()), transport })
    }

    /// The address as it was given, credentials included.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// How it is reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether it carries a password or token.
    pub fn has_credentials(&self) -> bool {
        *self.text.reveal() != self.shown
    }

    /// A relative path, made absolute below a folder; anything else as it is.
    pub fn below(self, folder: &Path) -> Self {
        let text = self.text.reveal();
        if self.transport != Transport::Local || text.contains("://") || text.starts_with('/') {
            return self;
        }
        let relative = text.strip_prefix("./").unwrap_or(text);
        let path = if relative == "." { folder.to_path_buf() } else { folder.join(relative) };
        let text = path.to_string_lossy().into_owned();
        Self { shown: text.clone(), text: Secret::new(text), transport: Transport::Local }
    }

    /// The host's name, in lower case; `None` for a local one.
    pub fn host(&self) -> Option<String> {
        let host = match self.shown.split_once("://") {
            Some(("file", _)) => return None,
            Some((_, rest)) => {
                let authority = rest.split('/').next().unwrap_or(rest);
                let address = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                address.split(':').next().unwrap_or(address)
            }
            None if self.transport == Transport::Ssh => {
                let authority = self.shown.split(':').next().unwrap_or_default();
                authority.rsplit_once('@').map_or(authority, |(_, host)| host)
            }
            None => return None,
        };
        Some(host.to_ascii_lowercase())
    }

    /// The path on the host, without `.git`: `acme/fleet`. What forges call a project.
    pub fn project(&self) -> String {
        let path = match self.shown.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None if self.transport == Transport::Ssh => {
                self.shown.split_once(':').map_or("", |(_, path)| path)
            }
            None => &self.shown,
        };
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).to_owned()
    }

    /// A name for it: the last part of its path, made valid; `fleet` when nothing is left.
    pub fn name(&self) -> Result<RepositoryName, NameProblem> {
        let project = self.project();
        let last = project.rsplit('/').next().unwrap_or_default();
        let valid: String = last
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .collect();
        let valid = valid.trim_start_matches(['.', '_', '-']);
        RepositoryName::parse(if valid.is_empty() { "fleet" } else { valid })
    }
}

/// `user@host:path` or `host:path`: a colon before any slash.
fn is_scp_like(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !host.starts_with('.') && !path.is_empty()
    })
}

/// The address without what precedes `@`: all of it over http (a token may stand as the user), only the password
/// over ssh (the user is part of the address there).
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some((user, host)) = authority.rsplit_once('@') else {
        return text.to_owned();
    };
    let user = user.split(':').next().unwrap_or_default();
    if scheme.contains("ssh") {
        format!("{scheme}://{user}@{host}{path}")
    } else {
        format!("{scheme}://{host}{path}")
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_transport_host_and_project() {
        for (text, transport, host, project) in [
            (
                "https://git.example.com/acme/fleet.git",
                Transport::Https,
                "git.example.com",
                "acme/fleet",
            ),
            ("https://GitHub.com:443/a/b/", Transport::Https, "github.com", "a/b"),
            ("ssh://git@example.com:2222/acme/fleet", Transport::Ssh, "example.com", "acme/fleet"),
            ("git@example.com:acme/fleet.git", Transport::Ssh, "example.com", "acme/fleet"),
            ("git://example.com/fleet.git", Transport::Git, "example.com", "fleet"),
        ] {
            let remote = RemoteUrl::parse(text).unwrap();
            assert_eq!(remote.transport(), transport);
            assert_eq!(remote.host().as_deref(), Some(host));
            assert_eq!(remote.project(), project);
            assert_eq!(remote.to_string(), text);
        }
        for text in ["/srv/git/fleet.git", "file:///srv/git/fleet.git", "./fleet.git"] {
            let remote = RemoteUrl::parse(text).unwrap();
            assert_eq!((remote.transport(), remote.host()), (Transport::Local, None));
            assert_eq!(remote.name().unwrap().as_str(), "fleet");
        }
    }

    #[test]
    fn credentials_are_kept_but_never_printed() {
        let remote = RemoteUrl::parse("https://me:hunter2@example.com/a/b@c").unwrap();
        assert!(remote.has_credentials());
        assert_eq!(remote.to_string(), "https://example.com/a/b@c");
        assert!(!format!("{remote:?}").contains("hunter2"));
        assert!(remote.reveal().contains("hunter2"));
        let ssh = RemoteUrl::parse("ssh://git:hunter2@example.com/a").unwrap();
        assert_eq!(ssh.to_string(), "ssh://git@example.com/a");
        let wrong = RemoteUrl::parse("ftp://me:hunter2@example.com/a").unwrap_err();
        assert!(!wrong.to_string().contains("hunter2"));
    }

    #[test]
    fn a_relative_path_is_below_the_settings_folder() {
        let below = |text: &str| {
            RemoteUrl::parse(text).unwrap().below(Path::new("/etc/moorline")).to_string()
        };
        assert_eq!(below("fleet.git"), "/etc/moorline/fleet.git");
        assert_eq!(below("."), "/etc/moorline");
        assert_eq!(below("/srv/fleet"), "/srv/fleet");
        assert_eq!(below("https://example.com/a"), "https://example.com/a");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "  ", "https://", "ftp://example.com/a", "file://relative", "~/fleet"] {
            assert!(RemoteUrl::parse(text).is_err(), "{text}");
        }
    }
}

//! What the forge edge is told: where, which project, and with which credentials.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::ForgeError;
use super::address::{Location, groups};
use crate::model::{Digest, ForgeKind, Secret, Timestamp};

/// Reads the wall clock; given from above, because edges do not look at it themselves.
pub type Clock = fn() -> Timestamp;

/// Where the token comes from. Files are read again for every request, so that a renewed token is used at once.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// None: public repositories can be read, nothing can be written.
    Anonymous,
    /// A token.
    Token(Secret<String>),
    /// A file with a token.
    TokenFile(PathBuf),
    /// A user's name and a file with the token: Bitbucket's API tokens (Basic authentication).
    UserTokenFile {
        /// The name, for Bitbucket the account's e-mail address.
        user: String,
        /// The file.
        file: PathBuf,
    },
    /// A GitHub App.
    App {
        /// Its id or client id.
        app: String,
        /// Its private key, PEM (PKCS#1 or PKCS#8).
        key_file: PathBuf,
        /// The installation; asked for when not given.
        installation: Option<u64>,
    },
}

/// Settings of one repository's forge.
#[derive(Debug, Clone)]
pub struct ForgeSettings {
    /// Which kind; asked of the server when not given.
    pub kind: Option<ForgeKind>,
    /// The forge's address, with its sub-path; the API's address is accepted too.
    pub api: Url,
    /// `owner/repository`, or `group/subgroup/project` on GitLab.
    pub project: String,
    /// Whether the project's first parts may be the forge's sub-path: nobody said where the API is.
    pub may_be_below: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// A file of certificate authorities (PEM) beside the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate (DER): nothing else is accepted, and no authority is asked.
    pub pin: Option<Digest>,
    /// A proxy for all requests.
    pub proxy: Option<Url>,
    /// Limit of one request.
    pub patience: Duration,
    /// The clock.
    pub clock: Clock,
}

impl ForgeSettings {
    /// Settings for a repository known by its Git remote (`https://`, `ssh://`, `git@host:path`). `api` is the
    /// forge's address from the settings, if it is there; without it the remote's host is asked by https.
    ///
    /// # Errors
    /// `NoProject` when the remote has no host or no `owner/repository`.
    pub fn for_remote(
        remote: &str,
        kind: Option<ForgeKind>,
        api: Option<Url>,
        clock: Clock,
    ) -> Result<Self, ForgeError> {
        let no_project = || ForgeError::NoProject { remote: without_user(remote) };
        let address = remote_address(remote).ok_or_else(no_project)?;
        let may_be_below = api.is_none() && kind.is_none();
        let locate = kind
            .map_or(groups as fn(&str, Vec<String>) -> Location, |kind| super::table(kind).locate);
        let found = locate(address.host_str().unwrap_or_default(), parts(&address, api.as_ref()));
        let root = match api {
            Some(given) => given,
            None => root(&address, &found).ok_or_else(no_project)?,
        };
        if !found.project.contains('/') {
            return Err(no_project());
        }
        Ok(Self {
            kind,
            api: root,
            project: found.project,
            may_be_below,
            credentials: Credentials::Anonymous,
            ca_file: None,
            pin: None,
            proxy: None,
            patience: Duration::from_secs(30),
            clock,
        })
    }

    /// The same, with the project's first part taken for a sub-path of the forge's address; `None` where there is none
    /// to take.
    pub(super) fn one_below(&self) -> Option<Self> {
        let (first, rest) = self.project.split_once('/')?;
        if !self.may_be_below || !rest.contains('/') {
            return None;
        }
        let mut api = self.api.clone();
        api.path_segments_mut().ok()?.pop_if_empty().push(first);
        Some(Self { api, project: rest.to_owned(), ..self.clone() })
    }

    /// The forge's host and port, for messages.
    pub fn host(&self) -> String {
        host_of(&self.api)
    }
}

/// Host and port of an address, without anything else.
pub(super) fn host_of(address: &Url) -> String {
    let host = address.host_str().unwrap_or("?");
    address.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The remote as an address; `git@host:path` becomes `ssh://host/path`. Without user and password.
fn remote_address(remote: &str) -> Option<Url> {
    let mut address = match Url::parse(remote) {
        Ok(address) if address.has_host() => address,
        _ if remote.contains("://") => return None,
        _ => {
            let (host, path) = remote.split_once(':')?;
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            let path = path.trim_start_matches('/');
            Url::parse(&format!("ssh://{host}/{path}")).ok()?
        }
    };
    let cleared = address.set_username("").is_ok() && address.set_password(None).is_ok();
    (cleared && !address.host_str().unwrap_or("").is_empty()).then_some(address)
}

/// For messages: what stands before `@` may be a credential.
fn without_user(remote: &str) -> String {
    remote_address(remote).map_or_else(
        || remote.rsplit_once('@').map_or(remote, |(_, rest)| rest).to_owned(),
        |address| address.to_string(),
    )
}

/// The parts of a remote's path, without the sub-path of the forge's address where both are served by the same host, and
/// without `.git`.
fn parts(remote: &Url, api: Option<&Url>) -> Vec<String> {
    let of = |address: &Url| -> Vec<String> {
        let parts = address.path().split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let mut parts = of(remote);
    if let Some(api) = api.filter(|api| api.host_str() == remote.host_str()) {
        for part in of(api) {
            if parts.first() != Some(&part) {
                break;
            }
            parts.remove(0);
        }
    }
    if let Some(last) = parts.last_mut()
        && let Some(name) = last.strip_suffix(".git")
    {
        *last = name.to_owned();
    }
    parts
}

/// `https://HOST` for ssh remotes; scheme, port and sub-path of the remote for http ones.
fn root(remote: &Url, found: &Location) -> Option<Url> {
    let host = found.host.as_deref();
    if !matches!(remote.scheme(), "http" | "https") {
        return Url::parse(&format!("https://{}", host.or(remote.host_str())?)).ok();
    }
    let mut root = remote.clone();
    if let Some(host) = host {
        root.set_host(Some(host)).ok()?;
    }
    root.set_path(&found.below.join("/"));
    root.set_query(None);
    root.set_fragment(None);
    Some(root)
}

/// One part of a path, escaped for an address.
pub(super) fn escape_segment(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Timestamp {
        Timestamp::from_millis(0)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn a_remote_tells_the_project_and_the_api() {
        let cases = [
            (
                "https://github.com/acme/fleet.git",
                ForgeKind::GitHub,
                None,
                "acme/fleet",
                "https://api.github.com/",
            ),
            (
                "git@github.com:acme/fleet.git",
                ForgeKind::GitHub,
                None,
                "acme/fleet",
                "https://api.github.com/",
            ),
            (
                "ssh://git@ghe.example.com:2222/acme/fleet",
                ForgeKind::GitHub,
                None,
                "acme/fleet",
                "https://ghe.example.com/api/v3",
            ),
            (
                "https://bob:pw@gitlab.example.com/a/b/c.git",
                ForgeKind::GitLab,
                None,
                "a/b/c",
                "https://gitlab.example.com/api/v4",
            ),
            (
                "https://example.com/gitlab/a/b/c.git",
                ForgeKind::GitLab,
                Some("https://example.com/gitlab"),
                "a/b/c",
                "https://example.com/gitlab/api/v4",
            ),
            (
                "https://example.com/git/acme/fleet.git",
                ForgeKind::Gitea,
                None,
                "acme/fleet",
                "https://example.com/git/api/v1",
            ),
            (
                "http://10.0.0.2:3000/acme/fleet.git",
                ForgeKind::Forgejo,
                None,
                "acme/fleet",
                "http://10.0.0.2:3000/api/v1",
            ),
            (
                "git@bitbucket.org:acme/fleet.git",
                ForgeKind::Bitbucket,
                None,
                "acme/fleet",
                "https://api.bitbucket.org/2.0",
            ),
            (
                "git@internal:acme/fleet.git",
                ForgeKind::Gitea,
                Some("https://git.example.com/api/v1/"),
                "acme/fleet",
                "https://git.example.com/api/v1/",
            ),
        ];
        for (remote, kind, api, project, base) in cases {
            let api = api.map(|text| Url::parse(text).unwrap());
            let settings = ForgeSettings::for_remote(remote, Some(kind), api, clock).unwrap();
            assert_eq!(settings.project, project, "{remote}");
            let rules = crate::forge::table(kind);
            assert_eq!((rules.api)(&settings.api).as_str(), base, "{remote}");
        }
    }

    #[test]
    fn a_remote_without_a_project_is_refused_without_showing_its_password() {
        for remote in
            ["https://bob:hunter22@example.com/x", "/srv/git/fleet.git", "file:///srv/fleet.git"]
        {
            let refused = ForgeSettings::for_remote(remote, None, None, clock).unwrap_err();
            assert!(!refused.to_string().contains("hunter22"), "{refused}");
        }
    }
}

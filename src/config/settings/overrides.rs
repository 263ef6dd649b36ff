//! Flags and environment variables: they have the last word over the settings file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::proxies::ProxyVariables;
use super::{HostSettings, HostTls, RemoteUrl, RepositorySettings, Settings, Transport};
use crate::config::endpoint::Endpoint;
use crate::config::quantity::{DURATION_EXAMPLE, parse_duration};
use crate::model::{Diagnostic, Diagnostics, HostName, Location, TreePath};

/// What flags or environment variables say. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--repository`: the name of a repository of the settings, which is then the only one, or an address.
    pub repository: Option<String>,
    /// `--branch` of every repository.
    pub branch: Option<String>,
    /// `--path` of every repository.
    pub path: Option<String>,
    /// `--interval` of every repository.
    pub interval: Option<String>,
    /// `--token-file` of every repository.
    pub token_file: Option<PathBuf>,
    /// `--ssh-key-file` of every repository.
    pub ssh_key_file: Option<PathBuf>,
    /// `--known-hosts-file` of every repository.
    pub known_hosts_file: Option<PathBuf>,
    /// `--ca-file` of every repository.
    pub ca_file: Option<PathBuf>,
    /// `--host NAME=ENDPOINT`, any number of times: adds a host, or says where a known one is.
    pub hosts: Vec<String>,
    /// Docker's own variables, for the host that is meant where neither settings nor flags name one.
    pub docker: DockerVariables,
    /// The environment's proxies, for remotes and forges of which the settings do not say.
    pub proxies: ProxyVariables,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--listen`: address and port, or `none`.
    pub listen: Option<String>,
    /// Folder that relative paths are below.
    pub folder: PathBuf,
}

/// What the environment says to every Docker client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerVariables {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// The folder of `ca.pem`, `cert.pem` and `key.pem`, where `DOCKER_TLS_VERIFY` is set.
    pub certificates: Option<PathBuf>,
}

impl Settings {
    /// These settings with what the flags say. A `--host` takes the place of the default host.
    ///
    /// # Errors
    /// Every flag that cannot be understood.
    pub fn with(mut self, flags: &Overrides) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        take(&mut problems, "--repository", choose_repository(&mut self, flags));
        take(&mut problems, "DOCKER_HOST", choose_default_host(&mut self, flags));
        take(&mut problems, "--host", choose_hosts(&mut self, flags));
        take(&mut problems, "--listen", choose_listen(&mut self, flags));
        for repository in self.repositories.values_mut() {
            take(&mut problems, "--interval", choose_interval(repository, flags));
            take(&mut problems, "--branch and --path", choose_place(repository, flags));
            choose_files(repository, flags);
            take(&mut problems, "HTTPS_PROXY and its like", choose_proxies(repository, flags));
        }
        if let Some(data) = &flags.data {
            self.data = flags.folder.join(data);
        }
        if problems.has_errors() { Err(problems) } else { Ok(self) }
    }
}

fn take(problems: &mut Diagnostics, flag: &str, outcome: Result<(), String>) {
    if let Err(message) = outcome {
        let problem = Diagnostic::error(Location::file(flag), message);
        // One wrong flag is one problem, however many repositories it concerns.
        if !problems.0.contains(&problem) {
            problems.push(problem);
        }
    }
}

fn choose_repository(settings: &mut Settings, flags: &Overrides) -> Result<(), String> {
    let Some(text) = &flags.repository else { return Ok(()) };
    let known = settings.repositories.iter().find(|(name, known)| {
        name.as_str() == text || known.url.reveal() == text || known.url.to_string() == *text
    });
    let (name, repository) = match known {
        Some((name, known)) => (name.clone(), known.clone()),
        None => {
            let url = RemoteUrl::parse(text).map_err(|problem| problem.to_string())?;
            if url.has_credentials() {
                return Err(format!(
                    "the address of {url} holds credentials: keep them in a file that --token-file names"
                ));
            }
            let url = url.below(&flags.folder);
            let name = url.name().map_err(|problem| problem.to_string())?;
            (name, RepositorySettings::new(url))
        }
    };
    settings.repositories.clear();
    settings.repositories.insert(name, repository);
    Ok(())
}

fn choose_default_host(settings: &mut Settings, flags: &Overrides) -> Result<(), String> {
    let Some(text) = &flags.docker.host else { return Ok(()) };
    if settings.names_hosts || !flags.hosts.is_empty() {
        return Ok(());
    }
    let engine = Endpoint::parse(text).map_err(|problem| problem.to_string())?;
    let file = |name| flags.docker.certificates.as_ref().map(|folder| folder.join(name));
    let tls =
        HostTls { ca_file: file("ca.pem"), cert_file: file("cert.pem"), key_file: file("key.pem") };
    settings.hosts = super::default_hosts(engine, tls);
    Ok(())
}

fn choose_hosts(settings: &mut Settings, flags: &Overrides) -> Result<(), String> {
    if flags.hosts.is_empty() {
        return Ok(());
    }
    if !settings.names_hosts {
        settings.hosts.clear();
    }
    for text in &flags.hosts {
        let (name, endpoint) = text.split_once('=').ok_or_else(|| {
            format!(
                "expected NAME=ENDPOINT such as `local=unix:///var/run/docker.sock`, found {text:?}"
            )
        })?;
        let name = HostName::parse(name).map_err(|problem| problem.to_string())?;
        let engine = Endpoint::parse(endpoint).map_err(|problem| problem.to_string())?;
        match settings.hosts.get_mut(name.as_str()) {
            Some(host) => host.engine = engine,
            None => {
                settings.hosts.insert(name, HostSettings::new(engine));
            }
        }
    }
    Ok(())
}

fn choose_listen(settings: &mut Settings, flags: &Overrides) -> Result<(), String> {
    settings.listen = match flags.listen.as_deref() {
        None => return Ok(()),
        Some("none") => None,
        Some(text) => Some(text.parse::<SocketAddr>().map_err(|_not_an_address| {
            format!(
                "expected an address and port such as `127.0.0.1:7420`, or `none`, found {text:?}"
            )
        })?),
    };
    Ok(())
}

fn choose_interval(repository: &mut RepositorySettings, flags: &Overrides) -> Result<(), String> {
    if let Some(text) = &flags.interval {
        repository.interval = parse_duration(text)
            .filter(|interval| 1_000 <= interval.as_millis())
            .ok_or_else(|| format!("expected {DURATION_EXAMPLE}, at least 1s, found {text:?}"))?;
    }
    Ok(())
}

/// What the settings do not say. The forge may be elsewhere than the remote, and over https where that is over ssh.
fn choose_proxies(repository: &mut RepositorySettings, flags: &Overrides) -> Result<(), String> {
    if repository.proxy.is_some() {
        repository.forge.proxy.clone_from(&repository.proxy);
        return Ok(());
    }
    repository.proxy = flags.proxies.on_the_way_to(&repository.url)?;
    let api = match (&repository.forge.api, repository.url.host()) {
        (Some(api), _) => Some(api.clone()),
        (None, _) if repository.url.transport() == Transport::Http => Some(repository.url.clone()),
        (None, Some(host)) => RemoteUrl::parse(&format!("https://{host}/")).ok(),
        (None, None) => None,
    };
    if let Some(api) = api {
        repository.forge.proxy = flags.proxies.on_the_way_to(&api)?;
    }
    Ok(())
}

fn choose_place(repository: &mut RepositorySettings, flags: &Overrides) -> Result<(), String> {
    if let Some(text) = &flags.path {
        repository.path = TreePath::parse(text).map_err(|problem| problem.to_string())?;
    }
    if let Some(branch) = &flags.branch {
        let branch = super::read::branch(branch).map_err(|problem| problem.to_string())?;
        repository.branch = Some(branch);
    }
    Ok(())
}

fn choose_files(repository: &mut RepositorySettings, flags: &Overrides) {
    let below = |file: &PathBuf| Some(flags.folder.join(file));
    if let Some(file) = &flags.token_file {
        repository.credentials.token_file = below(file);
        repository.forge.token_file = repository.forge.token_file.clone().or_else(|| below(file));
    }
    if let Some(file) = &flags.ssh_key_file {
        repository.credentials.ssh_key_file = below(file);
    }
    if let Some(file) = &flags.known_hosts_file {
        repository.credentials.known_hosts_file = below(file);
    }
    if let Some(file) = &flags.ca_file {
        repository.tls.ca_file = below(file);
    }
}

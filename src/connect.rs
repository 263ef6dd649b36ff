//! From the settings' words to those of the edges: how each remote, Engine and forge is reached.

use std::path::{Path, PathBuf};

use crate::config::Endpoint as HostAddress;
use crate::config::settings::{HostSettings, Limits, RepositorySettings, Settings};
use crate::docker::{
    self, Endpoint, EngineError, EngineSettings, RegistryAccess, SshIdentity, TlsFiles,
};
use crate::forge::{self, ForgeError};
use crate::git::{self, Remote, RemoteProblem, Source};
use crate::model::{Digest, ForgeKind, HostName, Secret};
use crate::report::mask::SecretSet;

use crate::clock;

/// What of the process's environment matters: named here, read in `cli`.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `SSH_AUTH_SOCK`.
    pub ssh_agent: Option<PathBuf>,
    /// `HOME`, for Docker's `config.json`.
    pub home: Option<PathBuf>,
}

/// How a repository's remote is reached.
pub fn source(
    settings: &RepositorySettings,
    limits: &Limits,
    around: &Surroundings,
) -> Result<Source, RemoteProblem> {
    let remote = Remote::parse(settings.url.reveal(), Path::new("/"))?;
    let credentials = &settings.credentials;
    let credentials = if let Some(file) = &credentials.ssh_key_file {
        git::Credentials::SshKey {
            file: file.clone(),
            passphrase_file: credentials.ssh_passphrase_file.clone(),
        }
    } else if let (true, Some(socket)) = (credentials.ssh_agent, &around.ssh_agent) {
        git::Credentials::SshAgent { socket: socket.clone() }
    } else if let Some(file) = &credentials.token_file {
        git::Credentials::Token { file: file.clone(), username: credentials.username.clone() }
    } else {
        git::Credentials::None
    };
    let known_hosts_file = settings
        .credentials
        .known_hosts_file
        .clone()
        .or_else(|| around.home.as_ref().map(|home| home.join(".ssh/known_hosts")));
    let access = git::Access {
        credentials,
        ca_file: settings.tls.ca_file.clone(),
        pin_sha256: settings.tls.pin_sha256.clone(),
        proxy: settings.proxy.as_ref().map(|proxy| Secret::new(proxy.reveal().to_owned())),
        known_hosts_file,
        further: git::Further { lfs: settings.lfs, submodules: settings.submodules },
        limits: git::Limits {
            whole: settings.timeout,
            file_bytes: limits.file_size,
            tree_bytes: limits.tree_size,
            ..git::Limits::default()
        },
    };
    Ok(Source { remote, branch: settings.branch.clone(), path: settings.path.clone(), access })
}

/// How a host's Engine is reached.
pub fn engine(
    name: &HostName,
    host: &HostSettings,
    settings: &Settings,
    around: &Surroundings,
) -> Result<(Endpoint, EngineSettings), EngineError> {
    let tls = match (&host.tls.ca_file, &host.tls.cert_file, &host.tls.key_file) {
        (Some(ca), Some(cert), Some(key)) => {
            Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() })
        }
        _ => None,
    };
    let identity = identity(host, around)?;
    let known_hosts = host
        .ssh
        .known_hosts_file
        .clone()
        .or_else(|| around.home.as_ref().map(|home| home.join(".ssh/known_hosts")));
    let plain = tls.is_none() && matches!(host.engine, HostAddress::Tcp { .. });
    let access = docker::Access { tls, plain, identity, known_hosts };
    let endpoint = Endpoint::parse(&host.engine.to_string(), &access)?;
    let limits = docker::Limits { read: host.timeout, ..docker::Limits::default() };
    let registries = registries(settings, around);
    let owner = docker::owner(name.as_str(), clock::now());
    Ok((endpoint, EngineSettings { limits, registries, owner }))
}

/// How registries are reached: Docker's own file is used where there is one; a file that the settings name must be there.
pub fn registries(settings: &Settings, around: &Surroundings) -> RegistryAccess {
    let usual = around.home.as_ref().map(|home| home.join(".docker/config.json"));
    let config_file =
        settings.registries_file.clone().or_else(|| usual.filter(|file| file.is_file()));
    RegistryAccess { config_file, ..RegistryAccess::default() }
}

fn identity(
    host: &HostSettings,
    around: &Surroundings,
) -> Result<Option<SshIdentity>, EngineError> {
    if let Some(path) = &host.ssh.key_file {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file)
                .map(|text| Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|source| EngineError::BadFile {
                    path: file.clone(),
                    source: source.into(),
                })
        };
        let passphrase = host.ssh.passphrase_file.as_ref().map(read).transpose()?;
        return Ok(Some(SshIdentity::KeyFile { path: path.clone(), passphrase }));
    }
    Ok(around.ssh_agent.clone().map(|socket| SshIdentity::Agent { socket }))
}

/// How a repository's forge is reached; without a kind as far as can be said before the server is asked.
pub fn forge(
    settings: &RepositorySettings,
    kind: Option<ForgeKind>,
) -> Result<forge::ForgeSettings, ForgeError> {
    let api = settings.forge.api.as_ref().and_then(|api| url::Url::parse(api.reveal()).ok());
    let remote = settings.url.reveal();
    let mut into =
        match (forge::ForgeSettings::for_remote(remote, kind, api.clone(), clock::now), api) {
            (Ok(into), _) => into,
            // A mirror on this machine: the settings tell what its address cannot.
            (Err(_), Some(api)) if !settings.forge.project.is_empty() => {
                let address =
                    format!("{}/{}", api.as_str().trim_end_matches('/'), settings.forge.project);
                forge::ForgeSettings::for_remote(&address, kind, Some(api), clock::now)?
            }
            (Err(problem), _) => return Err(problem),
        };
    if !settings.forge.project.is_empty() && settings.forge.project != settings.url.project() {
        into.project.clone_from(&settings.forge.project);
    }
    into.ca_file.clone_from(&settings.tls.ca_file);
    into.pin = settings.tls.pin_sha256.as_ref().and_then(|pin| Digest::parse(pin).ok());
    let proxy = settings.forge.proxy.as_ref();
    into.proxy = proxy.and_then(|proxy| url::Url::parse(proxy.reveal()).ok());
    into.patience = into.patience.min(settings.timeout);
    into.may_be_below &= !settings.forge.names_project;
    into.credentials = forge_credentials(settings);
    Ok(into)
}

fn forge_credentials(settings: &RepositorySettings) -> forge::Credentials {
    if let Some(app) = &settings.forge.app {
        return forge::Credentials::App {
            app: app.id.clone(),
            key_file: app.key_file.clone(),
            installation: app.installation.as_ref().and_then(|id| id.parse().ok()),
        };
    }
    let file =
        settings.forge.token_file.clone().or_else(|| settings.credentials.token_file.clone());
    match (file, &settings.credentials.username) {
        (None, _) => forge::Credentials::Anonymous,
        // Whether its API wants the user's name is the forge's matter.
        (Some(file), Some(user)) => forge::Credentials::UserTokenFile { user: user.clone(), file },
        (Some(file), None) => forge::Credentials::TokenFile(file),
    }
}

/// What the files of a repository's settings hold: nobody may read it anywhere.
pub fn secrets(settings: &RepositorySettings) -> SecretSet {
    let (forge, own) = (&settings.forge, &settings.credentials);
    let key = forge.app.as_ref().map(|app| &app.key_file);
    let files = [
        forge.token_file.as_ref(),
        forge.webhook_secret_file.as_ref(),
        key,
        own.token_file.as_ref(),
        own.ssh_key_file.as_ref(),
        own.ssh_passphrase_file.as_ref(),
    ];
    let mut set = SecretSet::default();
    for file in files.into_iter().flatten() {
        // One that cannot be read is told of by whoever needs it.
        if let Ok(text) = std::fs::read_to_string(file) {
            set.add(&text);
        }
    }
    let addresses = [settings.proxy.as_ref(), forge.proxy.as_ref(), Some(&settings.url)];
    for address in addresses.into_iter().flatten().filter(|url| url.has_credentials()) {
        if let Some(password) =
            url::Url::parse(address.reveal()).ok().and_then(|url| url.password().map(str::to_owned))
        {
            set.add(&unescaped(&password));
            set.add(&password);
        }
    }
    set
}

/// A part of an address as it was before it was escaped.
fn unescaped(text: &str) -> String {
    let form = format!("it={}", text.replace('+', "%2B"));
    let told = url::form_urlencoded::parse(form.as_bytes()).next();
    told.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

//! The operator's settings: where things are, and what is allowed.
//!
//! Everything has a default: `Settings::default()` drives the Engine of this machine, and a repository is all that it
//! lacks. A file ([`parse`]) says more, and flags ([`Overrides`]) have the last word.

mod keys;
mod overrides;
mod proxies;
mod read;
mod remote;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use keys::SETTINGS_KEYS;
pub use overrides::{DockerVariables, Overrides};
pub use proxies::ProxyVariables;
pub use read::parse;
pub use remote::{RemoteUrl, Transport};

use super::endpoint::Endpoint;
use crate::model::{ForgeKind, HostName, RepositoryName, Secret, TreePath};
use crate::schedule;

/// Where the settings file is looked for when none is named.
pub const SETTINGS_FILE: &str = "moorline.yaml";
/// Where Moorline keeps its own data, here and on hosts, unless the settings say otherwise.
pub const DATA_FOLDER: &str = "/var/lib/moorline";
/// Where webhooks and health are listened for, unless the settings say otherwise.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7420);

/// Labels of a host.
pub type Labels = BTreeMap<String, String>;

/// The operator's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Repositories by name.
    pub repositories: BTreeMap<RepositoryName, RepositorySettings>,
    /// Hosts by name; never empty.
    pub hosts: BTreeMap<HostName, HostSettings>,
    /// Whether the settings file names the hosts; the default gives way to environment and flags.
    pub names_hosts: bool,
    /// Limits.
    pub limits: Limits,
    /// Address of the HTTP listener; `None` for none.
    pub listen: Option<SocketAddr>,
    /// Folder of Moorline's own data on this machine.
    pub data: PathBuf,
    /// Docker's `config.json` with credentials of registries.
    pub registries_file: Option<PathBuf>,
    /// Where stacks get variables from outside Git; later ones over earlier ones.
    pub variables: Vec<VariablesFrom>,
    /// Folders outside Git whose files manifests may name as env files.
    pub readable: Vec<PathBuf>,
}

/// Where stacks get variables from outside Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariablesFrom {
    /// An env file.
    File {
        /// The file.
        file: PathBuf,
        /// The stacks that get them, by name, `*` for any run of characters; empty for all.
        stacks: Vec<String>,
    },
    /// A folder that holds an env file a stack, `STACK.env`.
    Folder(PathBuf),
    /// `--set`.
    Flags(BTreeMap<String, Secret<String>>),
    /// The text of an env file that is not written yet.
    Text {
        /// The stack that gets its variables.
        stack: String,
        /// The text.
        text: Secret<String>,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            repositories: BTreeMap::new(),
            hosts: default_hosts(Endpoint::local(), HostTls::default()),
            names_hosts: false,
            limits: Limits::default(),
            listen: Some(LISTEN),
            data: PathBuf::from(DATA_FOLDER),
            registries_file: None,
            variables: Vec::new(),
            readable: Vec::new(),
        }
    }
}

impl Settings {
    /// Labels of each host.
    pub fn host_labels(&self) -> BTreeMap<HostName, Labels> {
        self.hosts.iter().map(|(name, host)| (name.clone(), host.labels.clone())).collect()
    }
}

/// The one host where none is named: `local`.
fn default_hosts(engine: Endpoint, tls: HostTls) -> BTreeMap<HostName, HostSettings> {
    let host = HostSettings { tls, ..HostSettings::new(engine) };
    HostName::parse("local").into_iter().map(|name| (name, host.clone())).collect()
}

/// A repository and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositorySettings {
    /// Where it is.
    pub url: RemoteUrl,
    /// Branch; `None` for the one that the remote's HEAD names.
    pub branch: Option<String>,
    /// Folder that is taken for the root.
    pub path: TreePath,
    /// Between two looks at the branch's head, before jitter.
    pub interval: Duration,
    /// For one exchange with the remote.
    pub timeout: Duration,
    /// Objects of Git LFS are fetched, from the same server.
    pub lfs: bool,
    /// Submodules are fetched, from the same server.
    pub submodules: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// Whom we trust.
    pub tls: RemoteTls,
    /// HTTP proxy on the way to the remote, as a URL.
    pub proxy: Option<RemoteUrl>,
    /// Where statuses and comments go.
    pub forge: ForgeSettings,
}

impl RepositorySettings {
    /// A repository with everything else at its default.
    pub fn new(url: RemoteUrl) -> Self {
        Self {
            forge: ForgeSettings::guessed(&url),
            url,
            branch: None,
            path: TreePath::default(),
            interval: schedule::POLL_INTERVAL,
            timeout: Duration::from_mins(1),
            lfs: false,
            submodules: false,
            credentials: Credentials::default(),
            tls: RemoteTls::default(),
            proxy: None,
        }
    }
}

/// Who we are at a remote: names of files, never secrets themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User over https; forges take any with a token.
    pub username: Option<String>,
    /// File that holds a token or password for https.
    pub token_file: Option<PathBuf>,
    /// Private key for ssh.
    pub ssh_key_file: Option<PathBuf>,
    /// File that holds the key's passphrase.
    pub ssh_passphrase_file: Option<PathBuf>,
    /// Pinned host keys, as OpenSSH writes them.
    pub known_hosts_file: Option<PathBuf>,
    /// The agent that `SSH_AUTH_SOCK` names is asked.
    pub ssh_agent: bool,
}

/// Whom we trust at a remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteTls {
    /// Certificate authorities beside the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 digest of the only certificate that is accepted, as 64 hexadecimal digits.
    pub pin_sha256: Option<String>,
}

/// Where statuses and comments go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeSettings {
    /// Which API; `None` when neither the settings nor the host's name tell, and the server is to be asked.
    pub kind: Option<ReportTo>,
    /// Whether the settings say anything of a forge: then there must be one.
    pub is_written: bool,
    /// Base URL of the API; `None` for the kind's usual one on the repository's host.
    pub api: Option<RemoteUrl>,
    /// HTTP proxy on the way to the API: the repository's where the settings name one.
    pub proxy: Option<RemoteUrl>,
    /// `owner/name`; from the repository's URL unless said.
    pub project: String,
    /// Whether the settings say the project.
    pub names_project: bool,
    /// File that holds a token; that of the repository's credentials unless said.
    pub token_file: Option<PathBuf>,
    /// File that holds the secret of webhooks; without it webhooks are refused.
    pub webhook_secret_file: Option<PathBuf>,
    /// A GitHub App in place of a token.
    pub app: Option<ForgeApp>,
    /// Whether pull requests get plans.
    pub pull_requests: bool,
    /// The issue that carries the drift report, by its number.
    pub drift_issue: Option<u64>,
    /// Whether the deployed commit carries the drift report in a comment.
    pub drift_on_commit: bool,
}

impl ForgeSettings {
    /// What the repository's URL suggests.
    pub fn guessed(url: &RemoteUrl) -> Self {
        Self {
            kind: ReportTo::of_remote(url),
            is_written: false,
            api: None,
            proxy: None,
            project: url.project(),
            names_project: false,
            token_file: None,
            webhook_secret_file: None,
            app: None,
            pull_requests: true,
            drift_issue: None,
            drift_on_commit: false,
        }
    }
}

/// A GitHub App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeApp {
    /// Its id or client id.
    pub id: String,
    /// The installation's id; found through the project when not said.
    pub installation: Option<String>,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Where statuses and comments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportTo {
    /// To a forge that speaks this API.
    Forge(ForgeKind),
    /// Into `refs/notes/moorline` of the repository.
    Notes,
    /// Nowhere.
    Nowhere,
}

impl ReportTo {
    /// The words of the settings, each with its meaning; a forge's usual word stands first.
    pub fn words() -> Vec<(&'static str, Self)> {
        let forges = ForgeKind::ALL
            .iter()
            .flat_map(|kind| kind.words().iter().map(|word| (*word, Self::Forge(*kind))));
        forges.chain([("notes", Self::Notes), ("none", Self::Nowhere)]).collect()
    }

    /// What is public knowledge: the forges that everybody knows by name, and that a repository on this machine has
    /// none. Any other host is asked, not guessed.
    pub fn of_remote(url: &RemoteUrl) -> Option<Self> {
        let Some(host) = url.host() else { return Some(Self::Notes) };
        ForgeKind::of_host(&host).map(Self::Forge)
    }

    /// The forge, where it is one.
    pub fn forge(self) -> Option<ForgeKind> {
        match self {
            Self::Forge(kind) => Some(kind),
            Self::Notes | Self::Nowhere => None,
        }
    }
}

/// A host and how its Engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Where its Engine listens.
    pub engine: Endpoint,
    /// For selection in the fleet file.
    pub labels: Labels,
    /// Files of mutual TLS.
    pub tls: HostTls,
    /// Files of SSH.
    pub ssh: HostSsh,
    /// Folder of Moorline's data on that host.
    pub data: PathBuf,
    /// What placement may count on.
    pub capacity: CapacitySettings,
    /// For one answer of the Engine.
    pub timeout: Duration,
}

impl HostSettings {
    /// A host with everything else at its default.
    pub fn new(engine: Endpoint) -> Self {
        Self {
            engine,
            labels: Labels::new(),
            tls: HostTls::default(),
            ssh: HostSsh::default(),
            data: PathBuf::from(DATA_FOLDER),
            capacity: CapacitySettings::default(),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Files of mutual TLS with an Engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostTls {
    /// Certificate authorities that signed the Engine's certificate.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Our key.
    pub key_file: Option<PathBuf>,
}

impl HostTls {
    /// Whether any file is named, and with it TLS asked for.
    pub fn is_used(&self) -> bool {
        *self != Self::default()
    }
}

/// Files of SSH to a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSsh {
    /// Private key.
    pub key_file: Option<PathBuf>,
    /// File that holds the key's passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Pinned host keys, as OpenSSH writes them.
    pub known_hosts_file: Option<PathBuf>,
    /// The agent that `SSH_AUTH_SOCK` names is asked.
    pub agent: bool,
}

/// What placement may count on at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapacitySettings {
    /// CPUs in thousandths; `None` for what the Engine tells.
    pub cpus_thousandths: Option<u64>,
    /// Memory in bytes; `None` for what the Engine tells.
    pub memory: Option<u64>,
    /// How much more than its CPUs may be reserved, in thousandths: 1500 is half as much again.
    pub overcommit_cpus_thousandths: u64,
    /// How much more than its memory may be reserved, in thousandths.
    pub overcommit_memory_thousandths: u64,
}

impl Default for CapacitySettings {
    fn default() -> Self {
        Self {
            cpus_thousandths: None,
            memory: None,
            overcommit_cpus_thousandths: 1_000,
            overcommit_memory_thousandths: 1_000,
        }
    }
}

/// Limits of time, size and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Steps of one plan at a time.
    pub parallel_steps: usize,
    /// Passes that work at one time; one whose host is silent does not count.
    pub parallel_passes: usize,
    /// One step.
    pub step: Duration,
    /// A wait for health ends after this long without progress.
    pub progress: Duration,
    /// A service without a health check and without `deploy.update_config.monitor` counts as working once it has run for
    /// this long.
    pub watch: Duration,
    /// Between two full looks at a host, before jitter.
    pub full_look: Duration,
    /// A host that cannot be seen for this long counts as lost, and its stateless replicas go elsewhere.
    pub host_lost: Duration,
    /// What becomes of those replicas when the host returns.
    pub returning: Returning,
    /// For running steps to end after the first signal to stop.
    pub stop: Duration,
    /// Size of one file of the repository, in bytes.
    pub file_size: u64,
    /// Size of all files that are read of one revision, in bytes.
    pub tree_size: u64,
}

/// What becomes of a replica that went elsewhere when its lost host returns with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Returning {
    /// It stays where it went; the old container is surplus.
    #[default]
    Stay,
    /// It goes back; the stand-in is surplus.
    Home,
}

impl Returning {
    /// As the settings write it.
    pub const WORDS: [(&'static str, Self); 2] = [("stay", Self::Stay), ("home", Self::Home)];
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel_steps: 8,
            parallel_passes: 64,
            step: Duration::from_mins(5),
            progress: Duration::from_mins(10),
            watch: schedule::WATCH,
            full_look: schedule::FULL_LOOK_INTERVAL,
            host_lost: Duration::from_mins(5),
            returning: Returning::default(),
            stop: Duration::from_mins(2),
            file_size: 10 << 20,
            tree_size: 256 << 20,
        }
    }
}

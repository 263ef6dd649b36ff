//! Flags, environment variables and the settings file, brought together.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::config::settings::{
    self, DockerVariables, Overrides, ProxyVariables, SETTINGS_FILE, Settings, VariablesFrom,
};
use crate::connect::Surroundings;
use crate::daemon::Setup;
use crate::forge::Pace;
use crate::model::{HostName, Secret, StackName};
use crate::oneshot::Wish;

use super::output::{LogFormat, Problems, advised};
use super::secret_files;

/// Flags of every command. Each has an environment variable, and both have the last word over the settings file.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(super) struct Global {
    /// Settings file; `moorline.yaml` in the current folder when it is there.
    #[arg(long, global = true, value_name = "FILE", env = "MOORLINE_SETTINGS")]
    settings: Option<PathBuf>,
    /// Repository to follow: an https, ssh or git address, a path, or a name from the settings.
    #[arg(long, global = true, value_name = "URL", env = "MOORLINE_REPOSITORY")]
    repository: Option<String>,
    /// Branch to follow; the remote's own default otherwise.
    #[arg(long, global = true, value_name = "BRANCH", env = "MOORLINE_BRANCH")]
    branch: Option<String>,
    /// Folder of the repository that is taken for its root.
    #[arg(long, global = true, value_name = "FOLDER", env = "MOORLINE_PATH")]
    path: Option<String>,
    /// Between two looks at the branch's head, such as `60s`.
    #[arg(long, global = true, value_name = "DURATION", env = "MOORLINE_INTERVAL")]
    interval: Option<String>,
    /// File with a token for https remotes and the forge.
    #[arg(long, global = true, value_name = "FILE", env = "MOORLINE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Private key for ssh remotes.
    #[arg(long, global = true, value_name = "FILE", env = "MOORLINE_SSH_KEY_FILE")]
    ssh_key_file: Option<PathBuf>,
    /// Pinned host keys for ssh remotes.
    #[arg(long, global = true, value_name = "FILE", env = "MOORLINE_KNOWN_HOSTS_FILE")]
    known_hosts_file: Option<PathBuf>,
    /// Certificate authorities for https remotes and the forge, beside the system's.
    #[arg(long, global = true, value_name = "FILE", env = "MOORLINE_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// A host and its Engine: `edge-1=ssh://deploy@edge-1.example.com`. May be given several times.
    #[arg(
        long,
        global = true,
        value_name = "NAME=ENDPOINT",
        env = "MOORLINE_HOST",
        value_delimiter = ','
    )]
    host: Vec<String>,
    /// Folder of Moorline's own data on this machine.
    #[arg(long, global = true, value_name = "DIR", env = "MOORLINE_DATA")]
    data: Option<PathBuf>,
    /// Address of the listener for webhooks and health, or `none`.
    #[arg(long, global = true, value_name = "ADDRESS", env = "MOORLINE_LISTEN")]
    listen: Option<String>,
    /// Form of log lines.
    #[arg(long, global = true, value_enum, default_value = "text", env = "MOORLINE_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
}

/// Which stacks.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Stacks {
    /// Only these stacks; all when none is named.
    #[arg(value_name = "STACK")]
    stacks: Vec<String>,
}

impl Stacks {
    /// These; all when none is named.
    pub(super) fn of(stacks: &[String]) -> Self {
        Self { stacks: stacks.to_vec() }
    }
}

/// Variables for interpolation, over all that Git and the settings say.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Variables {
    /// Env file whose variables win over all others but --set; may be given several times
    #[arg(long = "env-file", value_name = "FILE")]
    pub(super) env_files: Vec<PathBuf>,
    /// Variable that wins over all others
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(super) set: Vec<String>,
}

impl Variables {
    /// Adds them to the settings.
    pub(super) fn add_to(&self, settings: &mut Settings, folder: &Path) -> anyhow::Result<()> {
        let files = self
            .env_files
            .iter()
            .map(|file| VariablesFrom::File { file: folder.join(file), stacks: Vec::new() });
        settings.variables.extend(files);
        let pairs = pairs(&self.set)?;
        if !pairs.is_empty() {
            let secret = |(name, value)| (name, Secret::new(value));
            settings.variables.push(VariablesFrom::Flags(pairs.into_iter().map(secret).collect()));
        }
        Ok(())
    }
}

/// `NAME=VALUE`, as flags give them.
pub(super) fn pairs(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            // What was given may be a value.
            None => Err(advised(
                anyhow::anyhow!("--set takes NAME=VALUE, and this is neither"),
                "for a variable without a value write `--set NAME=`",
            )),
        })
        .collect()
}

/// What a command is about.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) setup: Setup,
    pub(super) wish: Wish,
}

impl Chosen {
    pub(super) fn new(
        global: &Global,
        stacks: &Stacks,
        revision: Option<String>,
    ) -> anyhow::Result<Self> {
        let stacks: Result<BTreeSet<StackName>, _> =
            stacks.stacks.iter().map(|name| StackName::parse(name)).collect();
        Ok(Self {
            setup: global.setup(None)?,
            wish: Wish { stacks: stacks?, revision, ..Wish::default() },
        })
    }
}

impl Chosen {
    /// The same with these variables.
    pub(super) fn with(mut self, variables: &Variables) -> anyhow::Result<Self> {
        variables.add_to(&mut self.setup.settings, &working_folder()?)?;
        Ok(self)
    }
}

impl Global {
    /// The settings file, where there is one: for commands that need no repository.
    pub(super) fn settings_alone(&self, folder: &Path) -> anyhow::Result<Option<Settings>> {
        let is_there = self.settings.is_some() || folder.join(SETTINGS_FILE).exists();
        if is_there { self.settings_file(folder).map(Some) } else { Ok(None) }
    }

    /// The settings that follow from file, environment and flags.
    pub(super) fn setup(&self, as_host: Option<&str>) -> anyhow::Result<Setup> {
        let folder = working_folder()?;
        let settings = self.settings_file(&folder)?;
        let path = self.settings.as_ref().map(|path| folder.join(path));
        let of_file = path.as_deref().and_then(Path::parent).unwrap_or(&folder).to_owned();
        let here = folder.clone();
        let flags = Overrides {
            repository: self.repository.clone(),
            branch: self.branch.clone(),
            path: self.path.clone(),
            interval: self.interval.clone(),
            token_file: self.token_file.clone(),
            ssh_key_file: self.ssh_key_file.clone(),
            known_hosts_file: self.known_hosts_file.clone(),
            ca_file: self.ca_file.clone(),
            hosts: self.host.clone(),
            docker: docker_variables(),
            proxies: proxy_variables(),
            data: self.data.clone(),
            listen: self.listen.clone(),
            folder,
        };
        let settings = settings.with(&flags).map_err(Problems)?;
        secret_files::check(&settings, &[&here, &of_file])?;
        for warning in secret_files::readable_by_others(&settings) {
            super::output::note(&format!("warning: {warning}"));
        }
        let as_host = as_host.map(HostName::parse).transpose()?;
        Ok(Setup { settings, around: surroundings(), as_host, pace: Pace::default() })
    }

    fn settings_file(&self, folder: &Path) -> anyhow::Result<Settings> {
        let path = match &self.settings {
            Some(path) => folder.join(path),
            None => {
                let usual = folder.join(SETTINGS_FILE);
                if !usual.exists() {
                    return Ok(Settings::default());
                }
                usual
            }
        };
        let shown = path.display().to_string();
        let text = std::fs::read(&path)
            .with_context(|| format!("cannot read the settings file {shown}"))
            .map_err(|error| advised(error, "name another one with `--settings FILE`"))?;
        let below = path.parent().unwrap_or(folder);
        let (settings, warnings) = settings::parse(&shown, &text, below).map_err(Problems)?;
        for warning in &warnings.0 {
            super::output::note(&warning.to_string());
        }
        Ok(settings)
    }
}

/// The current folder, made absolute here so that nothing below depends on it.
#[expect(clippy::disallowed_methods, reason = "paths become absolute at this door")]
pub(super) fn working_folder() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("cannot tell the current folder")
}

/// Both spellings, the lower case first, as curl does; `HTTP_PROXY` too, because nobody sets it by a request's header here.
fn proxy_variables() -> ProxyVariables {
    let said = |name: &str| {
        let either = [name.to_ascii_lowercase(), name.to_owned()];
        let texts = either.iter().filter_map(std::env::var_os);
        texts.map(|text| text.to_string_lossy().into_owned()).find(|text| !text.trim().is_empty())
    };
    ProxyVariables {
        https: said("HTTPS_PROXY").map(Secret::new),
        http: said("HTTP_PROXY").map(Secret::new),
        all: said("ALL_PROXY").map(Secret::new),
        none: said("NO_PROXY").unwrap_or_default(),
    }
}

fn docker_variables() -> DockerVariables {
    let said = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
    let folder = |home: OsString| Path::new(&home).join(".docker");
    let certificates = said("DOCKER_TLS_VERIFY").and_then(|_wanted| {
        said("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| said("HOME").map(folder))
    });
    let host = said("DOCKER_HOST").map(|text| text.to_string_lossy().into_owned());
    DockerVariables { host, certificates }
}

/// What of the environment matters beside the flags' own variables.
fn surroundings() -> Surroundings {
    let path =
        |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    Surroundings { ssh_agent: path("SSH_AUTH_SOCK"), home: path("HOME") }
}

//! Whether everything that the settings name can be reached, and what a forge's token is good for. Nothing is changed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, Place};
use crate::config::settings::RepositorySettings;
use crate::forge::{Abilities, Ability, Forge, Right};
use crate::git::{Git, Wanted};
use crate::model::{RepositoryName, Severity, chain};
use crate::outside::Outside;

use crate::daemon::{Setup, StartError};
use crate::data::folder::{DataError, DataFolder};
use crate::publish::sink::{self, Sink};
use crate::{connect, redaction};

/// For one forge to say who it is and what we may.
const PATIENCE: Duration = Duration::from_secs(30);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// Only use would tell, or it is left out on purpose.
    Unsure,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `repository fleet`, `forge of fleet`, `host edge-1`.
    pub about: String,
    /// How it is.
    pub grade: Grade,
    /// What was found; for something that lacks, what it needs.
    pub text: String,
}

impl Check {
    fn new(about: impl Into<String>, grade: Grade, text: impl Into<String>) -> Self {
        Self { about: about.into(), grade, text: text.into() }
    }
}

/// Looks at the data folder, every repository with its fleet file and its forge, and every host.
pub async fn examine(setup: &Setup, stop: &CancellationToken) -> Result<Vec<Check>, StartError> {
    let settings = &setup.settings;
    let mut checks = data_folder(setup);
    let git = Arc::new(Git::new(&settings.data.join("git")));
    let outside = Outside::new(settings);
    for (name, repository) in &settings.repositories {
        checks.extend(keys(&outside, name));
        let reached = Box::pin(remote(setup, &git, (name, repository), stop)).await;
        let is_reached = reached.grade == Grade::Good;
        checks.push(reached);
        if is_reached {
            checks.push(Box::pin(fleet_file(setup, &git, (name, repository), stop)).await);
        }
        checks.extend(Box::pin(forge(name, repository, stop)).await);
    }
    for (name, engine) in Box::pin(super::connect(setup)).await? {
        let about = format!("host {name}");
        checks.push(match engine {
            Ok(engine) => {
                let version = engine.facts().version;
                Check::new(about, Grade::Good, format!("Engine {version} answers"))
            }
            Err(failure) => Check::new(about, Grade::Bad, failure.message),
        });
    }
    Ok(checks)
}

/// Whether the keys can be used that open a repository's encrypted files; nothing where the settings name none.
fn keys(outside: &Outside, name: &RepositoryName) -> Option<Check> {
    let keys = outside.keys(Some(name))?;
    let about = format!("keys of {name}");
    Some(if keys.problems.is_empty() {
        Check::new(about, Grade::Good, format!("{} can be used", keys.identities.len()))
    } else {
        Check::new(about, Grade::Bad, keys.problems.join("; "))
    })
}

/// The folder on this machine: whether it can be used, who may read it, what is damaged, and what is left on its disk.
fn data_folder(setup: &Setup) -> Vec<Check> {
    let root = &setup.settings.data;
    let about = "data folder";
    let bad = |error: &DataError| Check::new(about, Grade::Bad, chain::in_full(error));
    let data = match DataFolder::open(root) {
        Ok(data) => data,
        Err(error) => return vec![bad(&error)],
    };
    let mut checks = Vec::new();
    checks.extend(data.orders().err().as_ref().map(bad));
    for name in setup.settings.repositories.keys() {
        checks.extend(data.kept(name).err().as_ref().map(bad));
    }
    let mode = std::fs::metadata(root).map_or(0, |facts| facts.permissions().mode());
    if mode & 0o077 != 0 {
        let text = format!("others may look into {}: `chmod 700` it", root.display());
        checks.push(Check::new(about, Grade::Unsure, text));
    }
    if checks.is_empty() {
        let lives =
            if data.has_daemon() { "a daemon runs with it" } else { "no daemon runs with it" };
        checks.push(Check::new(about, Grade::Good, format!("{}; {lives}", root.display())));
    }
    checks.push(disk(root));
    checks
}

/// What is left on the disk of the data folder: clones, bundles and the story go there.
fn disk(root: &Path) -> Check {
    const MIB: u64 = 1 << 20;
    let about = "disk";
    let facts = match rustix::fs::statvfs(root) {
        Ok(facts) => facts,
        Err(error) => return Check::new(about, Grade::Unsure, error.to_string()),
    };
    let free = facts.f_bavail.saturating_mul(facts.f_frsize) / MIB;
    // Some file systems count no files at all.
    let is_out_of_files = facts.f_files > 0 && facts.f_favail == 0;
    let grade = match free {
        _ if is_out_of_files => Grade::Bad,
        ..64 => Grade::Bad,
        64..1024 => Grade::Unsure,
        1024.. => Grade::Good,
    };
    let files = if is_out_of_files { ", and no file more can be made" } else { "" };
    Check::new(about, grade, format!("{free} MiB are left for {}{files}", root.display()))
}

/// Whether the newest commit can be used.
async fn fleet_file(
    setup: &Setup,
    git: &Arc<Git>,
    (name, repository): (&RepositoryName, &RepositorySettings),
    stop: &CancellationToken,
) -> Check {
    let about = format!("fleet of {name}");
    let source = match connect::source(repository, &setup.settings.limits, &setup.around) {
        Ok(source) => source,
        Err(problem) => return Check::new(about, Grade::Bad, problem.to_string()),
    };
    let labels = setup.settings.host_labels();
    let outside = Arc::new(Outside::new(&setup.settings));
    let place = Place {
        git,
        source: &source,
        repository: name,
        hosts: &labels,
        outside: &outside,
        proposed_for: None,
    };
    let commit = match commit::read(&place, &Wanted::Head, stop).await {
        Ok(commit) => commit,
        Err(error) => return Check::new(about, Grade::Bad, error.to_string()),
    };
    redaction::hide(&commit.secrets());
    let of_stacks = commit.stacks.values().flat_map(|stack| &stack.problems.0);
    let mut errors =
        commit.problems.0.iter().chain(of_stacks).filter(|one| one.severity == Severity::Error);
    match errors.next() {
        Some(first) => {
            let more = match errors.count() {
                0 => String::new(),
                more => format!(" (and {more} more: `moorline validate` names them)"),
            };
            Check::new(about, Grade::Bad, format!("{first}{more}"))
        }
        None => {
            let text = format!(
                "{} stacks at {} can be used",
                commit.stacks.len(),
                commit.revision.short()
            );
            Check::new(about, Grade::Good, text)
        }
    }
}

async fn remote(
    setup: &Setup,
    git: &Git,
    (name, repository): (&RepositoryName, &RepositorySettings),
    stop: &CancellationToken,
) -> Check {
    let about = format!("repository {name}");
    let source = match connect::source(repository, &setup.settings.limits, &setup.around) {
        Ok(source) => source,
        Err(problem) => return Check::new(about, Grade::Bad, problem.to_string()),
    };
    match git.head(&source, stop).await {
        Ok(head) => {
            let branch = source.branch.as_deref().unwrap_or("the default branch");
            let text = format!("{branch} of {} is at {}", source.remote, head.short());
            Check::new(about, Grade::Good, text)
        }
        Err(error) => {
            let help = error.help();
            let advice = if help.is_empty() { String::new() } else { format!("; {help}") };
            Check::new(about, Grade::Bad, format!("{error}{advice}"))
        }
    }
}

/// Where its statuses go, and whether they can.
async fn forge(
    name: &RepositoryName,
    repository: &RepositorySettings,
    stop: &CancellationToken,
) -> Vec<Check> {
    let about = format!("forge of {name}");
    let sink = match sink::of(name, repository) {
        Ok(sink) => sink,
        Err(problem) => return vec![Check::new(about, Grade::Bad, problem.to_string())],
    };
    let forge = match sink {
        Sink::Forge(_, forge) => *forge,
        Sink::Ask(settings) => match sink::ask_once(name, repository, &settings, stop).await {
            Ok(Sink::Forge(_, forge)) => *forge,
            Ok(_) => return vec![Check::new(about, Grade::Good, NOTES)],
            Err(problem) => return vec![Check::new(about, Grade::Bad, problem.in_full())],
        },
        Sink::Notes => return vec![Check::new(about, Grade::Good, NOTES)],
        Sink::Nowhere => {
            let text = "no token, or switched off: nothing is said on commits";
            return vec![Check::new(about, Grade::Unsure, text)];
        }
    };
    let mut checks = abilities(&about, &forge).await;
    if repository.forge.webhook_secret_file.is_none() {
        let text = "webhooks: refused, because there is no `forge.webhook_secret_file`; polling works without";
        checks.push(Check::new(about, Grade::Unsure, text));
    }
    checks
}

const NOTES: &str = "none: statuses go into git notes (`git log --notes=moorline`)";

/// One line for each thing that a token may be good for.
async fn abilities(about: &str, forge: &Forge) -> Vec<Check> {
    let kind = format!("{} at {}", forge.kind().word(), forge.host());
    let told = match tokio::time::timeout(PATIENCE, Box::pin(forge.abilities())).await {
        Ok(Ok(told)) => told,
        Ok(Err(problem)) => {
            return vec![Check::new(about, Grade::Bad, format!("{kind}: {}", problem.in_full()))];
        }
        Err(_) => return vec![Check::new(about, Grade::Bad, format!("{kind} does not answer"))],
    };
    let Abilities { account, read, statuses, comments, .. } = told;
    let who = account.map_or(String::new(), |account| format!(", as {account}"));
    let mut checks = vec![Check::new(about, Grade::Good, format!("{kind}{who}"))];
    let rights = [(Right::Read, read), (Right::Statuses, statuses), (Right::Comments, comments)];
    checks.extend(rights.map(|(right, ability)| match ability {
        Ability::Yes => Check::new(about, Grade::Good, format!("{right}: yes")),
        Ability::No(missing) => {
            Check::new(about, Grade::Bad, format!("{right}: no, the token needs {missing}"))
        }
        Ability::Unknown(needed) => {
            let text = format!("{right}: only trying would tell; the token needs {needed}");
            Check::new(about, Grade::Unsure, text)
        }
    }));
    checks
}

//! Whether everything that the settings name can be reached, and what a forge's token is good for. Nothing is changed.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::settings::RepositorySettings;
use crate::forge::{Abilities, Ability, Forge, Right};
use crate::git::Git;
use crate::model::RepositoryName;

use crate::connect;
use crate::daemon::{Setup, StartError};
use crate::data::folder::DataFolder;
use crate::publish::sink::{self, Sink};

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

/// Looks at every repository, its forge, and every host.
pub async fn examine(setup: &Setup, stop: &CancellationToken) -> Result<Vec<Check>, StartError> {
    let settings = &setup.settings;
    let data = DataFolder::open(&settings.data)?;
    let git = Git::new(&data.git());
    let mut checks = Vec::new();
    for (name, repository) in &settings.repositories {
        checks.push(Box::pin(remote(setup, &git, (name, repository), stop)).await);
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

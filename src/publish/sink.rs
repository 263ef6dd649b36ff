//! Where a repository's statuses and comments go: to its forge, into notes, or nowhere.
//!
//! A kind that the settings name, or that everybody knows by the host's name, is taken as it is. Otherwise nothing is
//! guessed: where the settings speak of a forge, or hold a token, the server is asked until it answers. A plain Git
//! server, of which the settings say nothing, gets notes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::settings::{ReportTo, RepositorySettings, Transport};
use crate::forge::{Forge, ForgeError, ForgeSettings};
use crate::model::{ForgeKind, Remedy, RepositoryName};
use crate::schedule;

use crate::connect;
use crate::publish::health::ReportingHealth;

/// Where it goes, as far as the settings tell.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    /// To this forge.
    Forge(ForgeSettings, Box<Forge>),
    /// To the forge that the server turns out to be.
    Ask(ForgeSettings),
    /// Into `refs/notes/moorline` of the repository.
    Notes,
    /// Nowhere.
    Nowhere,
}

/// What the settings tell. Nothing is asked.
pub(crate) fn of(name: &RepositoryName, settings: &RepositorySettings) -> Result<Sink, ForgeError> {
    let forge = &settings.forge;
    let has_token = forge.token_file.is_some()
        || forge.app.is_some()
        || settings.credentials.token_file.is_some();
    let is_meant = forge.is_written || has_token;
    match forge.kind {
        Some(ReportTo::Nowhere) => Ok(Sink::Nowhere),
        Some(ReportTo::Notes) => Ok(Sink::Notes),
        Some(_) if !is_meant => Ok(without_token(name, settings)),
        Some(ReportTo::Forge(kind)) => known(settings, kind),
        None if !is_meant => Ok(Sink::Notes),
        None => Ok(Sink::Ask(connect::forge(settings, None)?)),
    }
}

/// A well-known forge without a token takes nothing from us; a deploy key may still write notes.
fn without_token(name: &RepositoryName, settings: &RepositorySettings) -> Sink {
    if settings.url.transport() == Transport::Ssh {
        tracing::info!(repository = %name, "no token for the forge: statuses go into git notes");
        return Sink::Notes;
    }
    tracing::info!(repository = %name, "no token for the forge: nothing is said on commits; name one with `--token-file`");
    Sink::Nowhere
}

fn known(settings: &RepositorySettings, kind: ForgeKind) -> Result<Sink, ForgeError> {
    let settings = connect::forge(settings, Some(kind))?;
    let forge = Forge::of_kind(kind, &settings)?;
    Ok(Sink::Forge(settings, Box::new(forge)))
}

impl Sink {
    /// Asks the server where that is needed, until it turns out to be a forge or `stop`: one that is none may only be
    /// starting behind its proxy. What comes back is never [`Sink::Ask`].
    pub(crate) async fn settle(
        self,
        (name, settings): (&RepositoryName, &RepositorySettings),
        troubles: &ReportingHealth,
        stop: &CancellationToken,
    ) -> Self {
        let Self::Ask(asked) = self else { return self };
        let (mut tries, mut said) = (0_u32, String::new());
        loop {
            let answer = stop.run_until_cancelled(Box::pin(Forge::look_up(&asked))).await;
            let problem = match answer {
                None => return Self::Nowhere,
                Some(answer) => match conclude(name, settings, answer) {
                    Ok(settled) => return settled,
                    Err(problem) => problem,
                },
            };
            let text = problem.in_full();
            if said != text {
                let passes = problem.remedy() == Remedy::Retry;
                complain(name, &text, passes);
                troubles.are(vec![format!("nothing is said on commits: {text}")]);
                said = text;
            }
            tries = tries.saturating_add(1);
            let own = schedule::retry_delay(problem.remedy(), tries).unwrap_or(LONGEST);
            let wait = own.min(LONGEST).max(problem.wait().unwrap_or_default());
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Self::Nowhere;
            }
        }
    }
}

fn complain(name: &RepositoryName, problem: &str, passes: bool) {
    if passes {
        tracing::warn!(repository = %name, problem, "cannot tell yet which forge it is; deploys go on");
    } else {
        tracing::error!(repository = %name, problem, "nothing is said on commits");
    }
}

/// Asks the server one time.
pub(crate) async fn ask_once(
    name: &RepositoryName,
    settings: &RepositorySettings,
    asked: &ForgeSettings,
    stop: &CancellationToken,
) -> Result<Sink, ForgeError> {
    match stop.run_until_cancelled(Box::pin(Forge::look_up(asked))).await {
        None => Ok(Sink::Nowhere),
        Some(answer) => conclude(name, settings, answer),
    }
}

/// Between two questions at most.
const LONGEST: Duration = Duration::from_mins(1);

fn conclude(
    name: &RepositoryName,
    settings: &RepositorySettings,
    answer: Result<ForgeSettings, ForgeError>,
) -> Result<Sink, ForgeError> {
    match answer {
        Ok(ForgeSettings { kind: Some(kind), api, project, .. }) => {
            tracing::info!(repository = %name, %api, kind = kind.word(), "forge recognised");
            let settings = ForgeSettings { api, project, ..connect::forge(settings, Some(kind))? };
            let forge = Forge::of_kind(kind, &settings)?;
            Ok(Sink::Forge(settings, Box::new(forge)))
        }
        Ok(unsettled) => Err(ForgeError::UnknownForge { host: unsettled.host() }),
        // A token alone may be for a plain Git server.
        Err(ForgeError::UnknownForge { host }) if !settings.forge.is_written => {
            tracing::info!(repository = %name, %host, "no forge that Moorline knows: statuses go into git notes");
            Ok(Sink::Notes)
        }
        Err(problem) => Err(problem),
    }
}

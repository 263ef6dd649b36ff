//! What merging a pull request would do, for a command: the same plan as on the forge.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::connect;
use crate::daemon::{Setup, StartError};
use crate::data::folder::DataFolder;
use crate::forge::Forge;
use crate::git::Git;
use crate::model::{CommitState, RepositoryName};
use crate::preview::PullRequests;
use crate::preview::once::{ProposalError, Shown};
use crate::publish::sink::{self, Sink};
use crate::reconcile::context::{Context, Foundations};
use crate::reconcile::limiter::PassLimiter;
use crate::redaction;

use super::OnceError;
use super::round::linked;

/// A pull request of one repository.
#[derive(Debug)]
pub struct Proposed {
    /// The repository.
    pub repository: RepositoryName,
    /// Success, or what keeps it from being merged.
    pub state: CommitState,
    /// Whether merging it would change anything.
    pub changes: bool,
    /// The comment, as Markdown.
    pub text: String,
    /// The same as data.
    pub json: serde_json::Value,
}

/// Why a pull request cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ProposedError {
    /// Hosts or settings cannot be used.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The pull request itself.
    #[error("repository {repository}")]
    Proposal {
        /// Which.
        repository: RepositoryName,
        /// Why.
        source: ProposalError,
    },
    /// No repository has a forge.
    #[error(transparent)]
    Nowhere(ProposalError),
}

/// Plans the pull request with this number in each repository that has a forge: usually one.
///
/// # Errors
/// Where a forge, a repository or the settings cannot be used, and where no pull request of that number is open.
pub async fn proposed(
    setup: &Setup,
    number: u64,
    stop: &CancellationToken,
) -> Result<Vec<Proposed>, ProposedError> {
    let settings = &setup.settings;
    let data = DataFolder::open(&settings.data).map_err(|error| once(error.into()))?;
    let engines = super::connect(setup).await.map_err(once)?;
    let hosts = linked(&engines, setup, &data);
    let (git, limiter) = (Arc::new(Git::new(&data.git())), PassLimiter::new(1));
    let limiter = Arc::new(limiter);
    let orders = data.orders().map_err(|error| once(error.into()))?;
    let (_kept, orders) = watch::channel(Arc::new(orders));
    let (mut found, mut absent) = (Vec::new(), None);
    for (name, repository) in &settings.repositories {
        let failed = |source| ProposedError::Proposal { repository: name.clone(), source };
        let told = sink::of(name, repository).map_err(|error| failed(error.into()))?;
        let told = match told {
            Sink::Ask(asked) => sink::ask_once(name, repository, &asked, stop).await,
            other => Ok(other),
        };
        let Sink::Forge(_, forge) = told.map_err(|error| failed(error.into()))? else { continue };
        redaction::hide(&connect::secrets(repository));
        let source = connect::source(repository, &settings.limits, &setup.around)
            .map_err(|source| once(StartError::Remote { name: name.clone(), source }))?;
        let foundations = Foundations {
            settings,
            hosts: &hosts,
            git: &git,
            data: &data,
            limiter: &limiter,
            orders: &orders,
        };
        let pulls = PullRequests {
            name: name.clone(),
            context: Arc::new(Context::new(name, &source, foundations)),
            source,
            git: Git::new(&data.pulls()),
            interval: repository.interval,
            look_now: Arc::new(Notify::new()),
            as_host: setup.as_host.clone(),
            settle: Duration::ZERO,
        };
        match one(&pulls, &forge, number, stop).await {
            Ok(shown) => found.push(of(name, shown)),
            Err(error @ ProposalError::NotOpen { .. }) => {
                absent = absent.or_else(|| Some(failed(error)));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    match absent.filter(|_| found.is_empty()) {
        Some(error) => Err(error),
        None if found.is_empty() => Err(ProposedError::Nowhere(ProposalError::NoForge)),
        None => Ok(found),
    }
}

async fn one(
    pulls: &PullRequests,
    forge: &Forge,
    number: u64,
    stop: &CancellationToken,
) -> Result<Shown, ProposalError> {
    Box::pin(pulls.once(forge, number, stop)).await
}

fn of(repository: &RepositoryName, shown: Shown) -> Proposed {
    let Shown { plan, text, mut json } = shown;
    if let Some(object) = json.as_object_mut() {
        object.insert("repository".to_owned(), repository.as_str().into());
        object.insert("comment".to_owned(), text.as_str().into());
    }
    Proposed {
        repository: repository.clone(),
        state: plan.status().0,
        changes: plan.changes_something(),
        text,
        json,
    }
}

fn once(error: StartError) -> ProposedError {
    OnceError::from(error).into()
}

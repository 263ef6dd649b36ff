//! One pull request, planned once for a command: the same plan and the same words as its comment.

use tokio_util::sync::CancellationToken;

use crate::forge::{Forge, ForgeError};
use crate::git::GitError;
use crate::report::comment::{self, PlanComment};

use super::{LoopState, Planned, Proposal, PullRequests, words};

/// A pull request as its comment shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// What merging it would do.
    pub(crate) plan: PlanComment,
    /// The comment.
    pub(crate) text: String,
    /// The same as data.
    pub(crate) json: serde_json::Value,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// The forge could not be asked.
    #[error("the forge cannot be asked for pull requests")]
    Forge(#[from] ForgeError),
    /// The repository could not be read.
    #[error("pull request {number} cannot be read")]
    Git {
        /// Which.
        number: u64,
        /// Why.
        source: GitError,
    },
    /// It is not open, or wants to be merged into another branch.
    #[error(
        "pull request {number} is not open for the branch that is followed; {}",
        open_ones(open)
    )]
    NotOpen {
        /// Which.
        number: u64,
        /// Those that are.
        open: Vec<u64>,
    },
    /// Something that it changes is being deployed.
    #[error("{target} is being deployed; a plan would be out of date in a moment")]
    Busy {
        /// What.
        target: String,
    },
    /// There is no forge to ask.
    #[error("no repository of the settings has a forge whose pull requests could be asked for")]
    NoForge,
}

fn open_ones(open: &[u64]) -> String {
    if open.is_empty() {
        return "none is".to_owned();
    }
    let numbers: Vec<String> = open.iter().map(ToString::to_string).collect();
    format!("open: {}", numbers.join(", "))
}

impl PullRequests {
    /// Plans one pull request now. Nothing is written to the forge.
    ///
    /// # Errors
    /// Where the forge or the repository cannot be asked, or the pull request is not open.
    pub(crate) async fn once(
        &self,
        forge: &Forge,
        number: u64,
        stop: &CancellationToken,
    ) -> Result<Shown, ProposalError> {
        let mut state = LoopState { branch: self.source.branch.clone(), ..LoopState::default() };
        let mut ours = Vec::new();
        for request in Box::pin(forge.open_pull_requests()).await? {
            if self.is_ours(&request, &mut state, stop).await == Some(true) {
                ours.push(request);
            }
        }
        let Some(request) = ours.iter().find(|request| request.number == number) else {
            let open = ours.iter().map(|request| request.number).collect();
            return Err(ProposalError::NotOpen { number, open });
        };
        let failed = |source| ProposalError::Git { number, source };
        let base = self.git.head(&self.source, stop).await.map_err(failed)?;
        let planned = Box::pin(self.plan_one(request, &base, &mut state, stop)).await;
        let Proposal { comment: plan, head } = match planned.map_err(failed)? {
            Planned::Made(proposal) => proposal,
            Planned::NotNow(target) => {
                return Err(ProposalError::Busy { target: target.to_string() });
            }
        };
        let secrets = self.context.store.secrets();
        let link = words::links(forge, &self.source.path, &head);
        let text = comment::plan(&plan, words::dialect(forge), &link, &secrets);
        let json = comment::to_json(&plan, number, &secrets);
        Ok(Shown { plan, text, json })
    }
}

//! Plans that are nobody's turn: of pull requests, and against saved observations.

use std::any::Any;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::commit::LoadedStack;
use crate::docker::Depth;
use crate::model::{LastState, Observed, Policy, Predecessor, Remedy, Revision};
use crate::report::{Failure, Report, Target};

use super::pass::{self, Beside, Memory, Mode, Share, Sharing, Sight, Work};

/// A stack as somebody proposes it, or a host as it was seen: what is planned without being anybody's turn.
pub(crate) struct Proposal<'a> {
    /// Which stack on which host.
    pub(crate) target: &'a Target,
    /// The stack, as proposed.
    pub(crate) stack: &'a LoadedStack,
    /// The proposed commit.
    pub(crate) revision: &'a Revision,
    /// What is allowed.
    pub(crate) policy: &'a Policy,
    /// The host.
    pub(crate) sight: Sight<'a>,
    /// Folder of Moorline's data on it.
    pub(crate) host_data: &'a str,
    /// What of the stack is this host's.
    pub(crate) share: Option<Share>,
    /// What the target reached.
    pub(crate) reached: Option<Revision>,
    /// Where its data lay when it was last seen.
    pub(crate) state: LastState,
    /// Stacks that it seems to have been before.
    pub(crate) before: Vec<Predecessor>,
}

/// What would be done about a proposal. Nothing is changed, locked or remembered, and no registry is asked about what a
/// stranger names.
pub(crate) async fn propose(proposal: Proposal<'_>, stop: &CancellationToken) -> Report {
    let mut memory = Memory::default().knowing(proposal.state);
    memory.reached = proposal.reached;
    let share = proposal.share.map(|share| move |_: &Observed| ready(share.clone()).boxed());
    let work = Work {
        target: proposal.target,
        stack: proposal.stack,
        revision: proposal.revision,
        policy: proposal.policy,
        sight: proposal.sight,
        host_data: proposal.host_data,
        mode: Mode::Foresee,
        share: share.as_ref().map(|share| share as &Sharing<'_>),
        approvals: &[],
        beside: Beside { before: proposal.before, ..Beside::default() },
        depth: Depth::Changed,
        listener: Arc::new(|_| {}),
        clock: clock::now,
    };
    let passed = AssertUnwindSafe(pass::run(&work, &mut memory, stop)).catch_unwind().await;
    passed.unwrap_or_else(|panic| {
        let failure = panicked(proposal.target, &*panic);
        Report::failed(proposal.target.clone(), proposal.revision.clone(), clock::now(), failure)
    })
}

/// A bug in one pass is this target's failure, and nobody else's.
pub(super) fn panicked(target: &Target, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let said = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let message = format!("internal error: {}", said.unwrap_or("a pass panicked"));
    tracing::error!(stack = %target.stack, host = %target.host, "{message}");
    Failure { message, remedy: Remedy::Operator }
}

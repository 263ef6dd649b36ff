//! Plans the stacks that a merge would touch, against the live hosts. Nothing is applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::checkout::{Checkout, LoadedStack};
use crate::config::fleet_file::{Stack, Vanished, vanished};
use crate::config::settings::{Labels, Limits};
use crate::docker::Depth;
use crate::model::{HostName, Policy, Remedy, RepositoryName, StackName};
use crate::pass::{self, Memory, Mode, Work};
use crate::report::comment::PlanComment;
use crate::report::proposal::{self, Novelty};
use crate::report::{Failure, Report, Target};

use super::super::clock;
use super::super::files::DataFolder;
use super::super::host::{Host, Link};

/// What planning needs besides the commits.
pub(super) struct Planner<'a> {
    pub(super) name: &'a RepositoryName,
    pub(super) hosts: &'a BTreeMap<HostName, Arc<Host>>,
    pub(super) labels: &'a BTreeMap<HostName, Labels>,
    pub(super) limits: &'a Limits,
    pub(super) data: &'a DataFolder,
}

/// One stack on one host, as merging would have it.
struct Change {
    target: Target,
    stack: Arc<LoadedStack>,
    policy: Policy,
    novelty: Novelty,
}

impl Planner<'_> {
    /// Fills a comment with the plans of everything that differs between the target branch and the merge result.
    pub(super) async fn fill(
        &self,
        comment: &mut PlanComment,
        (base, merged): (&Checkout, &Checkout),
        stop: &CancellationToken,
    ) {
        let changes = self.changes(comment, base, merged);
        let mut reports = Vec::new();
        for change in &changes {
            reports.push((Box::pin(self.plan(change, merged, stop)).await, change.novelty));
        }
        let all: Vec<&Report> = reports.iter().map(|(report, _)| report).collect();
        comment.plan_hash = proposal::hash(&all);
        comment.stacks =
            reports.iter().map(|(report, novelty)| proposal::of(report, *novelty)).collect();
        let touched: BTreeSet<&StackName> =
            changes.iter().map(|change| &change.target.stack).collect();
        match merged.stacks.keys().filter(|name| !touched.contains(name)).count() {
            0 => {}
            1 => comment.notes.push("1 other stack is not touched.".to_owned()),
            many => comment.notes.push(format!("{many} other stacks are not touched.")),
        }
    }

    /// What differs, in the order of stacks and hosts.
    fn changes(
        &self,
        comment: &mut PlanComment,
        base: &Checkout,
        merged: &Checkout,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, stack) in &merged.stacks {
            let before = base.stacks.get(name);
            let policy = self.policy(comment, before.map(|before| &before.stack), &stack.stack);
            let (had, has) = (before.map(|before| self.targets(before)), self.targets(stack));
            let had = had.unwrap_or_default();
            let same = before.is_some_and(|before| before.digest == stack.digest);
            for host in has.iter().filter(|host| !same || !had.contains(*host)) {
                let novelty = if had.contains(host) { Novelty::Known } else { Novelty::New };
                changes.push(self.change(host, Arc::clone(stack), (policy.clone(), novelty)));
            }
            // It leaves these hosts; where it asks for none any more, it stays where it is.
            for host in had.iter().filter(|host| !has.contains(*host) && !has.is_empty()) {
                let gone = Arc::new(LoadedStack::emptied(stack.stack.clone()));
                let mut policy = policy.clone();
                policy.prune.volumes = false;
                changes.push(self.change(host, gone, (policy, Novelty::Gone)));
            }
        }
        let names = |checkout: &Checkout| checkout.stacks.keys().cloned().collect();
        match vanished(&names(base), &names(merged)) {
            Vanished::None => {}
            Vanished::All { .. } => {
                let note = "No stack is left. That looks like a mistake: nothing would be removed.";
                comment.notes.push(note.to_owned());
            }
            Vanished::Some(gone) => {
                for before in gone.iter().filter_map(|name| base.stacks.get(name)) {
                    let policy = before.stack.policy(self.limits);
                    for host in self.targets(before) {
                        let emptied = Arc::new(LoadedStack::emptied(before.stack.clone()));
                        changes.push(self.change(&host, emptied, (policy.clone(), Novelty::Gone)));
                    }
                }
            }
        }
        changes
    }

    fn change(
        &self,
        host: &HostName,
        stack: Arc<LoadedStack>,
        (policy, novelty): (Policy, Novelty),
    ) -> Change {
        let name = stack.stack.name.clone();
        let target = Target { repository: self.name.clone(), stack: name, host: host.clone() };
        Change { target, stack, policy, novelty }
    }

    fn targets(&self, stack: &LoadedStack) -> BTreeSet<HostName> {
        let chosen = stack.stack.hosts.select(self.labels).into_iter();
        chosen.filter(|host| self.hosts.contains_key(host)).collect()
    }

    /// The target branch's word; that of a fleet file without one for a stack that is new.
    fn policy(&self, comment: &mut PlanComment, before: Option<&Stack>, after: &Stack) -> Policy {
        let usual = Stack::new(after.name.clone(), after.path.clone(), after.origin.clone());
        let allowed = before.unwrap_or(&usual).policy(self.limits);
        let asked = after.policy(self.limits);
        if allowed != asked {
            comment.notes.push(format!(
                "{}: what is allowed would change ({}). Planned with what is allowed now.",
                after.name,
                differences(&allowed, &asked).join(", ")
            ));
        }
        allowed
    }

    async fn plan(&self, change: &Change, merged: &Checkout, stop: &CancellationToken) -> Report {
        let Change { target, stack, policy, .. } = change;
        let failed = |failure: Failure| {
            let mut report =
                Report::failed(target.clone(), merged.revision.clone(), clock::now(), failure);
            report.problems.clone_from(&stack.problems);
            report
        };
        let unseen = |message: String| failed(Failure { message, remedy: Remedy::Retry });
        if stack.project.is_none() {
            return unseen("the manifest cannot be used".to_owned());
        }
        let Some(host) = self.hosts.get(&target.host) else {
            return unseen("no such host".to_owned());
        };
        let link = host.link().borrow().clone();
        let engine = match link {
            Link::Up(engine) => engine,
            Link::Connecting => return unseen("not connected yet".to_owned()),
            // The time since when is not said: it would change the comment for nothing.
            Link::Down { failure, .. } => return failed(failure),
        };
        let mut memory = Memory::since(self.data.recall(target).reached);
        let work = Work {
            target,
            stack,
            revision: &merged.revision,
            policy,
            engine: &engine,
            host_data: &host.data,
            mode: Mode::Show,
            share: None,
            approvals: &[],
            // What is known of the host is enough, and no registry is asked about what a stranger names.
            depth: Depth::Changed,
            listener: Arc::new(|_| {}),
            clock: clock::now,
        };
        pass::run(&work, &mut memory, stop).await
    }
}

/// What two policies do not share, in the fleet file's words.
fn differences(one: &Policy, other: &Policy) -> Vec<&'static str> {
    let Policy { sync, drift, ignore, prune, adopt, .. } = one;
    let all = [
        ("sync", *sync != other.sync),
        ("drift", *drift != other.drift),
        ("ignore", *ignore != other.ignore),
        ("prune", *prune != other.prune),
        ("adopt", *adopt != other.adopt),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(word, _)| word).collect()
}

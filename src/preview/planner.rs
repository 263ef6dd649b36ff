//! Plans the stacks that a merge would touch, against the live hosts. Nothing is applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::commit::{Commit, LoadedStack};
use crate::config::fleet_file::{Stack, Vanished, Window, vanished};
use crate::docker::Depth;
use crate::fleet::waves::{Gate, Line, Standing, gates};
use crate::fleet::{self, Clearance, TargetName, WaitingOn, windows};
use crate::model::{CommitState, HostName, Policy, Remedy, RepositoryName, StackName};
use crate::reconcile::pass::{Share, Sight};
use crate::reconcile::{self, Proposal};
use crate::report::comment::PlanComment;
use crate::report::danger::Danger;
use crate::report::proposal::{self, Circumstances, Novelty};
use crate::report::{Failure, Report, Target, Wait};

use super::files;
use super::moved::{self, Side};
use super::widened::{self, Sides};

use crate::clock;
use crate::reconcile::context::Context;
use crate::reconcile::host::Link;
use crate::reconcile::survey::seen_by;

/// What planning needs besides the commits.
pub(crate) struct Planner<'a> {
    pub(crate) name: &'a RepositoryName,
    pub(crate) context: &'a Context,
}

/// One stack on one host, as merging would have it.
struct Change {
    target: Target,
    stack: Arc<LoadedStack>,
    policy: Policy,
    novelty: Novelty,
    /// What the pull request allows that the branch does not.
    dangers: Vec<Danger>,
    /// What would keep the merge result from being deployed here.
    wait: Option<Wait>,
}

impl Planner<'_> {
    /// Fills a comment with the plans of everything that differs between the target branch and the merge result. Gives
    /// the first target that is being deployed: what it runs now is not what would be changed, and nothing is planned.
    pub(crate) async fn fill(
        &self,
        comment: &mut PlanComment,
        (base, merged): (&Commit, &Commit),
        stop: &CancellationToken,
    ) -> Option<Target> {
        let changes = self.changes(comment, base, merged);
        let mut targets = changes.iter().map(|change| &change.target);
        if let Some(target) = targets.find(|target| self.context.store.is_half_way(target)) {
            return Some(target.clone());
        }
        let shares = if changes.iter().any(|change| change.stack.spreads) {
            self.shares(merged).await
        } else {
            BTreeMap::new()
        };
        let mut reports = Vec::new();
        for change in &changes {
            let share = shares.get(&change.target.stack).filter(|_| change.stack.spreads);
            let mut report = Box::pin(self.plan(change, share, merged, stop)).await;
            report.wait = report.wait.take().or_else(|| change.wait.clone());
            reports.push((report, change));
        }
        self.note_waves(&mut reports, merged);
        let all: Vec<&Report> = reports.iter().map(|(report, _)| report).collect();
        comment.plan_hash = proposal::hash(&all);
        let mut sides = Vec::new();
        for (report, change) in &reports {
            sides.push(Side { report, novelty: change.novelty, stack: &change.stack });
        }
        let moves = moved::find(&sides, (base, merged));
        let given_up = |own: &Target| {
            let others = reports.iter().map(|(report, _)| report);
            let others =
                others.filter(|report| report.target.host == own.host && report.target != *own);
            others.flat_map(proposal::stopped).collect::<BTreeSet<String>>()
        };
        comment.stacks = reports
            .iter()
            .map(|(report, change)| {
                let host = self.context.hosts.get(&change.target.host);
                let data = host.map_or_else(String::new, |host| host.data.clone());
                let before = base.stacks.get(&change.target.stack).map(|stack| &**stack);
                let mut dangers = change.dangers.clone();
                dangers.extend(moves.dangers.get(&change.target).cloned());
                let around = Circumstances {
                    novelty: change.novelty,
                    data,
                    dangers,
                    is_told_elsewhere: moves.left.contains(&change.target),
                    given_up: given_up(&change.target),
                    files: files::changed(before, &change.stack),
                };
                proposal::of(report, around)
            })
            .collect();
        let touched: BTreeSet<&StackName> =
            changes.iter().map(|change| &change.target.stack).collect();
        match merged.stacks.keys().filter(|name| !touched.contains(name)).count() {
            0 => {}
            1 => comment.notes.push("1 other stack is not touched.".to_owned()),
            many => comment.notes.push(format!("{many} other stacks are not touched.")),
        }
        None
    }

    /// Whom each target will wait for: those before it that have something to do, by `after` and by waves.
    fn note_waves(&self, reports: &mut [(Report, &Change)], merged: &Commit) {
        let Some(fleet) = &merged.fleet else { return };
        let busy = |target: &TargetName| {
            let own = reports.iter().find(|(report, _)| report.target.name() == *target);
            own.is_some_and(|(report, _)| {
                report.rounds.iter().any(|round| !round.plan.steps.is_empty())
            })
        };
        let standing = |target: TargetName| {
            let standing = if busy(&target) { Standing::Waiting } else { Standing::Done };
            (target, standing)
        };
        let all = self.context.all_targets(merged).into_iter();
        let standings: BTreeMap<TargetName, Standing> = all.map(standing).collect();
        let (hosts, now) = (&*self.context.labels, clock::now());
        let gates = gates(Line { fleet, hosts, standings: &standings, now });
        for (report, _) in reports {
            let gate = gates.get(&report.target.name());
            if let Some(gate) = gate.filter(|gate| **gate != Gate::Go && report.wait.is_none()) {
                let on = WaitingOn::Gate(gate.clone());
                report.wait = Some(Wait { on, until: None, state: CommitState::Pending });
            }
        }
    }

    /// The shares of stacks whose replicas are spread over hosts. Hosts are looked at only where nothing is known of such
    /// a stack on them yet.
    async fn shares(&self, merged: &Commit) -> BTreeMap<StackName, Share> {
        let looked = self.context.look_at_unknown(merged, Depth::Changed).await;
        let looked: Vec<_> = looked
            .into_iter()
            .map(|(target, observed)| (target, observed.as_ref().and_then(seen_by)))
            .collect();
        self.context.roster.shares(merged, &looked)
    }

    /// What differs, in the order of stacks and hosts. What the merge result allows decides: whoever may merge may change
    /// it.
    fn changes(&self, comment: &mut PlanComment, base: &Commit, merged: &Commit) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, stack) in &merged.stacks {
            let before = base.stacks.get(name);
            let policy = stack.stack.policy(&self.context.limits);
            let (had, has) = (before.map(|before| self.targets(before)), self.targets(stack));
            let had = had.unwrap_or_default();
            let same = before.is_some_and(|before| before.digest == stack.digest);
            for host in &has {
                let dangers = before.map_or_else(Vec::new, |before| {
                    self.widened((base, before), (merged, stack), (&had, host))
                });
                // What waits now and would not any more is a change too.
                let is_released = self.wait(base, name, host).is_some()
                    && self.wait(merged, name, host).is_none();
                if same && had.contains(host) && dangers.is_empty() && !is_released {
                    continue;
                }
                let novelty = if had.contains(host) { Novelty::Known } else { Novelty::New };
                let wait = self.wait(merged, name, host);
                let change = self.change(host, Arc::clone(stack), (policy.clone(), novelty));
                changes.push(Change { dangers, wait, ..change });
            }
            // It leaves these hosts; where it asks for none any more, it stays where it is.
            for host in had.iter().filter(|host| !has.contains(*host) && !has.is_empty()) {
                let gone = Arc::new(LoadedStack::emptied(stack.stack.clone()));
                let mut policy = policy.clone();
                policy.prune.volumes = false;
                changes.push(self.change(host, gone, (policy, Novelty::Left)));
            }
        }
        let names = |commit: &Commit| commit.stacks.keys().cloned().collect();
        match vanished(&names(base), &names(merged)) {
            Vanished::None => {}
            Vanished::All { .. } => {
                let note = "No stack is left. That looks like a mistake: nothing would be removed.";
                comment.notes.push(note.to_owned());
            }
            Vanished::Some(gone) => {
                for before in gone.iter().filter_map(|name| base.stacks.get(name)) {
                    let policy = before.stack.policy(&self.context.limits);
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
        Change { target, stack, policy, novelty, dangers: Vec::new(), wait: None }
    }

    fn targets(&self, stack: &LoadedStack) -> BTreeSet<HostName> {
        let chosen = stack.stack.hosts.select(&self.context.labels).into_iter();
        chosen.filter(|host| self.context.hosts.contains_key(host)).collect()
    }

    /// What a stack is allowed more than before, on one host.
    fn widened(
        &self,
        (base, before): (&Commit, &LoadedStack),
        (merged, after): (&Commit, &LoadedStack),
        (hosts, host): (&BTreeSet<HostName>, &HostName),
    ) -> Vec<Danger> {
        let (before, after) = (&before.stack, &after.stack);
        let windows = [self.windows(base, before, host), self.windows(merged, after, host)];
        let now_on = after.hosts.select(&self.context.labels);
        let moves = hosts.iter().any(|had| !now_on.contains(had));
        let sides = Sides { before, after, windows, hosts, host, moves };
        widened::widened(&sides, clock::now())
    }

    fn windows<'a>(
        &self,
        commit: &'a Commit,
        stack: &'a Stack,
        host: &HostName,
    ) -> Vec<&'a Window> {
        let labels = self.context.labels.get(host).cloned().unwrap_or_default();
        let of = |fleet| windows::of_target(fleet, stack, host, &labels);
        commit.fleet.as_ref().map_or_else(Vec::new, of)
    }

    /// What keeps a commit from being deployed to a stack on a host now: a suspension, an operator's order, a window.
    fn wait(&self, commit: &Commit, name: &StackName, host: &HostName) -> Option<Wait> {
        let stack = &commit.stacks.get(name)?.stack;
        let (now, orders) = (clock::now(), self.context.orders.borrow().clone());
        let opening = windows::opening(&self.windows(commit, stack, host), now);
        let target = TargetName { stack: name.clone(), host: host.clone() };
        match fleet::clearance(&target, stack, &orders.brakes, (&opening, &Gate::Go), now) {
            Clearance::All => None,
            Clearance::Nothing(hold) | Clearance::RecoverOnly(hold) => {
                Some(Wait { on: hold.on, until: hold.until, state: CommitState::Pending })
            }
        }
    }

    async fn plan(
        &self,
        change: &Change,
        share: Option<&Share>,
        merged: &Commit,
        stop: &CancellationToken,
    ) -> Report {
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
        let Some(host) = self.context.hosts.get(&target.host) else {
            return unseen("no such host".to_owned());
        };
        let link = host.link().borrow().clone();
        let engine = match link {
            Link::Up(engine) => engine,
            Link::Connecting => return unseen("not connected yet".to_owned()),
            // The time since when is not said: it would change the comment for nothing.
            Link::Down { failure, .. } => return failed(failure),
        };
        let record = self.context.data.recall(target);
        let state = record.state();
        let proposal = Proposal {
            target,
            stack,
            revision: &merged.revision,
            policy,
            sight: Sight::Live(&engine),
            host_data: &host.data,
            share: share.cloned(),
            reached: record.reached,
            state,
            before: merged.before(target),
        };
        let mut report = reconcile::propose(proposal, stop).await;
        if let Some(heir) = self.heir(target, merged) {
            report.wait =
                Some(Wait { on: WaitingOn::Data(heir), until: None, state: CommitState::Pending });
        }
        report
    }

    /// A stack that seems to be this one, which leaves, and that will wait for a word about the data of it.
    fn heir(&self, target: &Target, merged: &Commit) -> Option<TargetName> {
        let heirs = merged.heirs.get(&(target.stack.clone(), target.host.clone()))?;
        heirs.iter().find(|heir| !self.context.store.has_its_data(heir)).map(Target::name)
    }
}

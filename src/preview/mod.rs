//! Pull requests get the plan of what merging them would do: one status and one comment, edited in place.
//!
//! Found by polling and by webhook. Planned from the merge result against the live hosts, under the target branch's
//! policy; nothing of a pull request is executed, decrypted or built, and its clones are kept apart from those that
//! deployments are read from. Planned again when the base, the head or the hosts change; stale when that is not
//! possible; withdrawn when the pull request closes.

mod files;
mod memory;
mod merge;
mod merged;
mod moved;
pub(crate) mod once;
mod planner;
mod widened;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, Commit, Place};
use crate::forge::{Fate, Forge, ForgeError, Head, Postbox, PullRequest};
use crate::git::{Git, GitError, Source, Wanted};
use crate::model::{Digest, HostName, Remedy, RepositoryName, Revision, Timestamp};
use crate::report::Target;
use crate::report::comment::{Freshness, PlanComment};
use crate::schedule;

use crate::clock;
use crate::reconcile::context::Context;
use memory::Memory;
use merged::Merged;
use words::Words;

/// What a repository's pull requests are planned with.
#[derive(Debug)]
pub(crate) struct PullRequests {
    /// The repository.
    pub name: RepositoryName,
    /// Where it is.
    pub source: Source,
    /// Clones of their own.
    pub git: Git,
    /// Between two looks at the list.
    pub interval: Duration,
    /// What it shares with the repository's other loops.
    pub context: Arc<Context>,
    /// "Look now", from webhooks and signals.
    pub look_now: Arc<Notify>,
    /// The only host, when each host has a daemon of its own.
    pub as_host: Option<HostName>,
    /// Between a change on a host and the plans that follow from it: what comes in between is one change.
    pub settle: Duration,
}

/// One pull request as it was last planned.
#[derive(Debug, Clone)]
struct Known {
    head: Head,
    base: Revision,
    sight: Digest,
    /// What was said; `None` when nothing could be.
    comment: Option<PlanComment>,
    failures: u32,
    /// A failed attempt is made again then.
    again_at: Option<Timestamp>,
    /// Since when it waits for a deployment that is on its way.
    behind: Option<Timestamp>,
}

/// What is remembered between looks.
#[derive(Debug, Default)]
struct LoopState {
    open: Vec<PullRequest>,
    known: BTreeMap<u64, Known>,
    /// The target branch's commit, as it was loaded last.
    base: Option<Arc<Commit>>,
    /// The default branch's name, once it is known.
    branch: Option<String>,
    warned: BTreeSet<String>,
    /// Those that were merged and are not deployed yet.
    merged: BTreeMap<u64, Merged>,
    /// The head of the branch, and since when it is.
    head: Option<(Revision, Timestamp)>,
}

impl LoopState {
    /// The head of the branch as it is now.
    fn sees(&mut self, head: Option<Revision>) {
        if let Some(head) = head
            && self.head.as_ref().is_none_or(|(known, _)| *known != head)
        {
            self.head = Some((head, clock::now()));
        }
    }
}

impl PullRequests {
    /// Plans until `stop`.
    pub(crate) async fn run(self, forge: Forge, postbox: Postbox, stop: &CancellationToken) {
        if self.source.remote.local_path().is_some() {
            tracing::info!(repository = %self.name, "pull requests of a repository on this machine are not planned");
            return;
        }
        let words = Words::new(&forge, &self.source.path, postbox, self.as_host.as_ref());
        let mut memory = Memory::open(self.context.data.forge(), &self.name);
        let mut course = LoopState { branch: self.source.branch.clone(), ..LoopState::default() };
        let mut list_at = clock::now();
        let mut round = 0_u64;
        loop {
            let changed = self.context.store.changed();
            course.sees(self.context.store.head());
            if list_at <= clock::now() {
                let wait =
                    match Box::pin(self.list(&forge, (&words, &mut memory), &mut course, stop))
                        .await
                    {
                        Ok(()) => {
                            let seed = schedule::seed(self.name.as_str(), round);
                            schedule::jittered(self.interval, 10, seed)
                        }
                        Err(wait) => wait,
                    };
                round = round.wrapping_add(1);
                list_at = clock::now().plus(wait);
            }
            self.follow_merged((&words, &mut memory), &mut course);
            Box::pin(self.plan_all((&words, &mut memory), &mut course, stop)).await;
            let due = course.known.values().filter_map(|known| known.again_at).min();
            let pause = due.map_or(list_at, |due| due.min(list_at)).since(clock::now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look_now.notified() => list_at = clock::now(),
                () = tokio::time::sleep(pause.max(LEAST_PAUSE)) => {}
                () = changed => {
                    let settle = tokio::time::sleep(self.settle);
                    if stop.run_until_cancelled(settle).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Asks for the list; withdraws what is no longer on it. An error says how long to wait.
    async fn list(
        &self,
        forge: &Forge,
        (words, memory): (&Words, &mut Memory),
        course: &mut LoopState,
        stop: &CancellationToken,
    ) -> Result<(), Duration> {
        let asked = stop.run_until_cancelled(Box::pin(forge.open_pull_requests())).await;
        let open = match asked {
            None => return Ok(()),
            Some(Ok(open)) => open,
            Some(Err(problem)) => return Err(self.complain(&problem, course)),
        };
        course.warned.clear();
        let mut ours = Vec::new();
        for request in open {
            match self.is_ours(&request, course, stop).await {
                Some(true) => ours.push(request),
                Some(false) => {}
                // A list that cannot be understood withdraws nothing.
                None => return Err(NOT_YET),
            }
        }
        ours.sort_by_key(|request| request.number);
        let numbers: BTreeSet<u64> = ours.iter().map(|request| request.number).collect();
        let gone: Vec<u64> = memory
            .numbers()
            .filter(|number| !numbers.contains(number) && !course.merged.contains_key(number))
            .collect();
        for number in gone {
            match stop.run_until_cancelled(forge.fate(number)).await {
                None => return Ok(()),
                Some(Ok(Fate::Merged(commit))) => self.merged(number, commit, memory, course),
                Some(Err(problem)) if problem.remedy() == Remedy::Retry => {
                    return Err(self.complain(&problem, course));
                }
                Some(_) => {
                    tracing::info!(repository = %self.name, number, "pull request is closed; its plan is withdrawn");
                    words.withdraw(
                        number,
                        "The pull request is closed, or no longer for this branch.",
                    );
                    memory.forget(number);
                }
            }
            course.known.remove(&number);
        }
        for number in numbers {
            memory.is_open(number);
        }
        course.open = ours;
        Ok(())
    }

    /// One that was merged: its plan stays, and what becomes of it is added.
    fn merged(
        &self,
        number: u64,
        commit: Option<Head>,
        memory: &mut Memory,
        course: &mut LoopState,
    ) {
        tracing::info!(repository = %self.name, number, "pull request is merged");
        let Some(shown) = memory.body(number) else {
            memory.forget(number);
            return;
        };
        let plan = course.known.get(&number).and_then(|known| known.comment.as_ref());
        let stacks = plan.map(|plan| plan.stacks.iter().map(|stack| stack.name.clone()).collect());
        let known_head = course.known.get(&number).map(|known| known.base.clone());
        let merged = Merged {
            commit,
            head: known_head.or_else(|| self.context.store.head()),
            since: clock::now(),
            stacks: stacks.unwrap_or_default(),
            shown,
        };
        course.merged.insert(number, merged);
    }

    /// Says what became of those that were merged.
    fn follow_merged(&self, (words, memory): (&Words, &mut Memory), course: &mut LoopState) {
        let now = clock::now();
        let began = course.head.as_ref().map_or(now, |(_, since)| *since);
        let store = &self.context.store;
        let mut done = Vec::new();
        for (number, merged) in &course.merged {
            let verdict = merged.verdict(store, self.as_host.as_ref(), (began, now));
            let said = (verdict.mark, verdict.words.as_str());
            words.outcome(*number, said, &merged.shown, &store.secrets());
            if verdict.is_last {
                done.push(*number);
            }
        }
        for number in done {
            course.merged.remove(&number);
            memory.forget(number);
        }
    }

    /// Whether it wants to be merged into the branch that is followed; `None` when that cannot be told yet.
    async fn is_ours(
        &self,
        request: &PullRequest,
        course: &mut LoopState,
        stop: &CancellationToken,
    ) -> Option<bool> {
        if let Some(branch) = &course.branch {
            return Some(*branch == request.base_branch);
        }
        // The remote's default branch is followed, and is not known by name.
        let head = self.git.head(&self.source, stop).await.ok()?;
        let name = format!("refs/heads/{}", request.base_branch);
        match self.git.resolve(&self.source, &name, stop).await {
            Ok(found) if found == head => {
                course.branch = Some(request.base_branch.clone());
                Some(true)
            }
            Ok(_) | Err(GitError::NoBranch { .. } | GitError::NoRevision { .. }) => Some(false),
            Err(_) => None,
        }
    }

    /// Plans what is new or changed.
    async fn plan_all(
        &self,
        (words, memory): (&Words, &mut Memory),
        course: &mut LoopState,
        stop: &CancellationToken,
    ) {
        let Some(base) = self.context.store.head() else { return };
        if course.open.is_empty() || !self.hosts_are_tried() {
            return;
        }
        let sight = self.sight();
        for request in &course.open {
            let Head::Full(head) = &request.head else { continue };
            let is_new = course.known.get(&request.number).is_none_or(|it| it.head != request.head);
            if is_new && !memory.knows(request.number, &request.head) {
                words.planning(request, head);
            }
        }
        for request in course.open.clone() {
            if stop.is_cancelled()
                || !is_due(course.known.get(&request.number), &request, &base, &sight)
            {
                continue;
            }
            let planned = self.plan_one(&request, &base, course, stop).await;
            if stop.is_cancelled() {
                return;
            }
            words.hide(&self.context.store.secrets());
            let known = course.known.remove(&request.number);
            let now = Known {
                head: request.head.clone(),
                base: base.clone(),
                sight: sight.clone(),
                comment: None,
                failures: 0,
                again_at: None,
                behind: None,
            };
            let (now, body) = self.say(words, &request, (planned, known), now);
            memory.planned(request.number, &request.head, body.as_deref());
            course.known.insert(request.number, now);
        }
    }

    /// Says what came of planning, and what is to be remembered.
    fn say(
        &self,
        words: &Words,
        request: &PullRequest,
        (planned, before): (Result<Planned, GitError>, Option<Known>),
        now: Known,
    ) -> (Known, Option<String>) {
        let failures = before.as_ref().map_or(0, |known| known.failures);
        let said = before.as_ref().and_then(|known| known.comment.clone());
        let retry = |remedy: Remedy| {
            let failures = failures.saturating_add(1);
            let wait = schedule::retry_delay(remedy, failures);
            let wait = wait.unwrap_or_else(|| self.interval.max(UNWILLING));
            (failures, Some(clock::now().plus(wait)))
        };
        match planned {
            Ok(Planned::NotNow(busy)) => self.wait_for(words, request, (&busy, before), now),
            Ok(Planned::Made(Proposal { comment, head })) => {
                let same = said.as_ref().filter(|said| {
                    comment.unseen()
                        && !said.unseen()
                        && said.head == comment.head
                        && said.base == comment.base
                });
                let comment = match same {
                    // The plan that stands was made from the same commits: it is kept, and marked.
                    Some(said) => {
                        let why = "a host cannot be seen now".to_owned();
                        PlanComment { freshness: Freshness::Stale(why), ..said.clone() }
                    }
                    None => comment,
                };
                let body = words.say(request, &head, &comment, &self.context.store.secrets());
                (Known { comment: Some(comment), ..now }, body)
            }
            // The list is older than the branch, or the reference than the list: the next look knows more. What stays so is
            // told like any other failure.
            Err(GitError::NoRevision { .. }) if failures < LATE_REFERENCES => {
                let (failures, again_at) = retry(Remedy::Retry);
                (Known { comment: said, failures, again_at, ..now }, None)
            }
            Err(error) => {
                let (failures, again_at) = retry(error.remedy());
                if failures == 1 || failures == LATE_REFERENCES + 1 {
                    tracing::warn!(repository = %self.name, number = request.number, %error, "cannot plan the pull request");
                }
                let head = match &request.head {
                    Head::Full(head) => Some(head.clone()),
                    Head::Short(_) => said.as_ref().map(|said| said.head.clone()),
                };
                let why = error.to_string();
                let comment = said
                    .map(|said| PlanComment { freshness: Freshness::Stale(why.clone()), ..said });
                let body = match (&comment, head) {
                    (Some(comment), Some(head)) => {
                        words.say(request, &head, comment, &self.context.store.secrets())
                    }
                    (None, Some(head)) => {
                        words.cannot(request, &head, &why);
                        None
                    }
                    (_, None) => None,
                };
                (Known { comment, failures, again_at, ..now }, body)
            }
        }
    }

    /// What is planned while something is being deployed would be a plan of a moment. What was said stands; when it takes
    /// long it is marked as old.
    fn wait_for(
        &self,
        words: &Words,
        request: &PullRequest,
        (busy, before): (&Target, Option<Known>),
        now: Known,
    ) -> (Known, Option<String>) {
        let (at, before) = (clock::now(), before.as_ref());
        let behind = before.and_then(|known| known.behind).unwrap_or(at);
        let again_at = Some(at.plus(DEPLOYING_PAUSE));
        let mut comment = before.and_then(|known| known.comment.clone());
        let mut body = None;
        if DEPLOYING_PATIENCE <= at.since(behind) {
            match (&mut comment, &now.head) {
                (Some(said), head) => {
                    let why = format!("{busy} is being deployed; it is renewed when that is done");
                    said.freshness = Freshness::Stale(why);
                    let secrets = self.context.store.secrets();
                    // A plan of the head before is old as well, and the new head has none yet.
                    let head = if let Head::Full(head) = head { head } else { &said.head }.clone();
                    body = words.say(request, &head, said, &secrets);
                }
                (None, Head::Full(head)) => words.waits(request, head, busy),
                (None, Head::Short(_)) => {}
            }
        }
        (Known { comment, again_at, behind: Some(behind), ..now }, body)
    }

    /// What merging would do, as a comment.
    async fn plan_one(
        &self,
        request: &PullRequest,
        base: &Revision,
        course: &mut LoopState,
        stop: &CancellationToken,
    ) -> Result<Planned, GitError> {
        let target = self.base(base, course, stop).await?;
        let at = merge::head_at(&self.source, request)?;
        let merged = self.git.merge(&self.source, base, &at, stop).await?;
        let (head, revision) = match merge::outcome(merged) {
            Ok(found) => found,
            Err((head, why)) => {
                let comment = PlanComment { refused: vec![why], ..empty(base, &head) };
                return Ok(Planned::Made(Proposal { comment, head }));
            }
        };
        let mut commit = self.commit(&Wanted::Revision(revision), Some(&*target), stop).await?;
        let mut comment = empty(base, &head);
        self.hand_on(&mut commit, &mut comment);
        if let Some(problem) = commit.fleet_problem() {
            comment.refused.push(problem);
            return Ok(Planned::Made(Proposal { comment, head }));
        }
        let planner = planner::Planner { name: &self.name, context: &self.context };
        let busy = Box::pin(planner.fill(&mut comment, (&target, &commit), stop)).await;
        Ok(busy.map_or_else(|| Planned::Made(Proposal { comment, head }), Planned::NotNow))
    }

    /// The target branch's commit.
    async fn base(
        &self,
        base: &Revision,
        course: &mut LoopState,
        stop: &CancellationToken,
    ) -> Result<Arc<Commit>, GitError> {
        let outside = self.context.cache.outside.state_now().await;
        let holds = |known: &&Arc<Commit>| known.revision == *base && known.outside == outside;
        if let Some(known) = course.base.as_ref().filter(holds) {
            return Ok(Arc::clone(known));
        }
        let read = self.commit(&Wanted::Revision(base.clone()), None, stop).await?;
        let read = Arc::new(read);
        course.base = Some(Arc::clone(&read));
        Ok(read)
    }

    /// Tells a proposed commit what was kept before and leaves with it, so that what seems renamed is seen as such.
    fn hand_on(&self, commit: &mut Commit, comment: &mut PlanComment) {
        let wanted = self.context.targets(commit).into_iter().collect();
        let hosts = self.context.hosts.keys().cloned().collect();
        if let Err(error) =
            commit::removed::foresee(commit, &self.context.data, &self.name, &wanted, &hosts)
        {
            comment.notes.push(format!("it is not known where data lies: {error}"));
        }
    }

    async fn commit(
        &self,
        wanted: &Wanted,
        proposed_for: Option<&Commit>,
        stop: &CancellationToken,
    ) -> Result<Commit, GitError> {
        let (git, source) = (&self.git, &self.source);
        let (hosts, outside) = (&self.context.labels, &self.context.cache.outside);
        let repository = &self.name;
        let place = Place { git, source, repository, hosts, outside, proposed_for };
        let commit = Box::pin(commit::read(&place, wanted, stop)).await?;
        self.context.store.hide(&commit.secrets());
        Ok(commit)
    }

    /// Whether each host was reached or found out of reach: before that every plan would say "not seen".
    fn hosts_are_tried(&self) -> bool {
        use crate::reconcile::host::Link;
        self.context.hosts.values().all(|host| !matches!(*host.link().borrow(), Link::Connecting))
    }

    /// What is known of the hosts: when it changes, plans may.
    fn sight(&self) -> Digest {
        use crate::reconcile::host::Link;
        let hosts = self.context.hosts.iter().map(|(name, host)| {
            let up = matches!(*host.link().borrow(), Link::Up(_));
            format!("{name} {up}")
        });
        let lines: Vec<String> = hosts.chain([self.context.store.sight().to_string()]).collect();
        Digest::of(lines.join("\n").as_bytes())
    }

    fn complain(&self, problem: &ForgeError, course: &mut LoopState) -> Duration {
        if course.warned.insert(problem.to_string()) {
            tracing::warn!(repository = %self.name, %problem, "cannot list pull requests; deploys go on");
        }
        match problem {
            ForgeError::RateLimited { wait, .. } => (*wait).max(self.interval),
            _ if problem.remedy() == Remedy::Retry => self.interval,
            _ => self.interval.max(UNWILLING),
        }
    }
}

/// Between two rounds, so that a due time in the past does not spin.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// When it cannot be told yet which pull requests are ours.
const NOT_YET: Duration = Duration::from_secs(5);
/// Between two looks at a deployment that a plan waits for; its end is heard of anyway.
const DEPLOYING_PAUSE: Duration = Duration::from_secs(5);
/// A plan that waits for longer is marked as old.
const DEPLOYING_PATIENCE: Duration = Duration::from_mins(1);
/// Failed looks for a head that the list names and that is nowhere, before that is said: forges write both at their own pace.
const LATE_REFERENCES: u32 = 3;
/// After the forge refused to list.
const UNWILLING: Duration = Duration::from_mins(10);

/// What came of planning.
enum Planned {
    /// A plan, or why there is none.
    Made(Proposal),
    /// Nothing: this target is being deployed.
    NotNow(Target),
}

/// What merging would do.
struct Proposal {
    comment: PlanComment,
    /// The commit that carries the status.
    head: Revision,
}

fn is_due(known: Option<&Known>, request: &PullRequest, base: &Revision, sight: &Digest) -> bool {
    let Some(known) = known else { return true };
    let again = known.again_at.is_some_and(|at| at <= clock::now());
    let changed = known.head != request.head || known.base != *base || known.sight != *sight;
    again || changed
}

fn empty(base: &Revision, head: &Revision) -> PlanComment {
    PlanComment {
        refused: Vec::new(),
        stacks: Vec::new(),
        base: base.clone(),
        head: head.clone(),
        plan_hash: None,
        notes: Vec::new(),
        freshness: Freshness::Fresh,
    }
}

//! What the turns of one repository's targets share, in the daemon and in a command alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::clock;
use crate::commit::cache::CommitCache;
use crate::commit::{Commit, removed};
use crate::config::settings::{HostSettings, Labels, Limits, Settings};
use crate::data::folder::DataFolder;
use crate::docker::{Depth, Scope};
use crate::fleet::{Orders, TargetName};
use crate::git::{Git, Source};
use crate::model::{HostName, Observed, RepositoryName, StackName};
use crate::outside::Outside;
use crate::report::{Report, Target};

use super::host::{Host, Link};
use super::limiter::PassLimiter;
use super::roster::Roster;
use super::store::Store;
use super::survey;
use crate::state::{Change, NewHead, State};

/// What all of them work with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The repository.
    pub repository: RepositoryName,
    /// Hosts that this process keeps.
    pub hosts: BTreeMap<HostName, Arc<Host>>,
    /// Labels of all hosts of the settings.
    pub labels: Arc<BTreeMap<HostName, Labels>>,
    /// What is known of the targets, and where reports go.
    pub store: Arc<Store>,
    /// Locks and memory.
    pub data: DataFolder,
    /// Limits of passes.
    pub limits: Limits,
    /// Passes that work at one time.
    pub limiter: Arc<PassLimiter>,
    /// Who sits where.
    pub roster: Roster,
    /// Other commits than the head.
    pub cache: CommitCache,
    /// What operators said beside Git.
    pub orders: watch::Receiver<Arc<Orders>>,
}

/// What the process has before it looks at its first repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foundations<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) hosts: &'a BTreeMap<HostName, Arc<Host>>,
    pub(crate) git: &'a Arc<Git>,
    pub(crate) data: &'a DataFolder,
    pub(crate) limiter: &'a Arc<PassLimiter>,
    pub(crate) orders: &'a watch::Receiver<Arc<Orders>>,
}

impl Context {
    /// That of one repository, of which nothing is known yet.
    pub(crate) fn new(
        repository: &RepositoryName,
        source: &Source,
        foundations: Foundations<'_>,
    ) -> Self {
        let Foundations { settings, hosts, git, data, limiter, orders } = foundations;
        let labels = Arc::new(settings.host_labels());
        let known = State::new(Arc::clone(&labels), hosts.keys().cloned());
        let capacity = |(name, host): (&HostName, &HostSettings)| (name.clone(), host.capacity);
        let cache = CommitCache {
            git: Arc::clone(git),
            source: source.clone(),
            repository: repository.clone(),
            hosts: Arc::clone(&labels),
            outside: Arc::new(Outside::new(settings)),
            held: tokio::sync::Mutex::default(),
        };
        let roster = Roster {
            hosts: hosts.clone(),
            labels: Arc::clone(&labels),
            capacities: settings.hosts.iter().map(capacity).collect(),
            grace: settings.limits.host_lost,
            returning: settings.limits.returning,
            started: clock::now(),
            orders: orders.clone(),
            inner: std::sync::Mutex::default(),
            changed: Notify::new(),
            settled: watch::Sender::new(0),
        };
        Self {
            repository: repository.clone(),
            hosts: hosts.clone(),
            store: Arc::new(Store::new(known)),
            data: data.clone(),
            limits: settings.limits.clone(),
            limiter: Arc::clone(limiter),
            roster,
            cache,
            orders: orders.clone(),
            labels,
        }
    }

    /// A commit is the newest one: `targets` are kept at it, and `awaited` are those that others may have to wait for.
    pub(crate) fn begin(&self, commit: &Commit, targets: &[Target], awaited: BTreeSet<TargetName>) {
        let digests = commit.stacks.iter().map(|(name, it)| (name.clone(), it.digest.clone()));
        self.store.hide(&commit.secrets());
        self.roster.begin(commit);
        self.store.apply(Change::Head(Box::new(NewHead {
            head: commit.head(),
            fleet: commit.fleet.clone(),
            asks: digests.collect(),
            targets: targets.to_vec(),
            awaited,
            at: clock::now(),
        })));
    }

    /// Stacks times hosts, as far as this process keeps them.
    pub(crate) fn targets(&self, commit: &Commit) -> BTreeSet<Target> {
        let all = self.all_targets(commit).into_iter();
        let kept = all.filter(|target| self.hosts.contains_key(&target.host));
        kept.map(|target| self.target(&target.stack, &target.host)).collect()
    }

    /// Stacks times hosts of the whole fleet: those of other daemons are waited for too.
    pub(crate) fn all_targets(&self, commit: &Commit) -> BTreeSet<TargetName> {
        let targets = |stack: &StackName, hosts: BTreeSet<HostName>| {
            let name = |host| TargetName { stack: stack.clone(), host };
            hosts.into_iter().map(name).collect::<Vec<_>>()
        };
        let stacks = commit.stacks.values().map(|it| &it.stack);
        stacks.flat_map(|it| targets(&it.name, it.hosts.select(&self.labels))).collect()
    }

    /// What is asked for no more and is still to be emptied.
    pub(crate) fn retired<'a>(&'a self, commit: &'a Commit) -> impl Iterator<Item = Target> + 'a {
        commit.retired.keys().map(|(stack, host)| self.target(stack, host))
    }

    /// A stack of the same host that is not in sync with a commit yet, or that nobody looks at.
    pub(crate) fn unsettled(&self, commit: &Commit, target: &Target) -> Option<StackName> {
        let all = self.targets(commit).into_iter().chain(self.retired(commit));
        let mut others =
            all.filter(|other| other.host == target.host && other.stack != target.stack);
        others.find(|other| !self.store.is_settled(other)).map(|other| other.stack)
    }

    /// What goes last waits for everything on the host: whoever has got there wakes those that wait.
    pub(crate) fn ring_pruners(&self, commit: &Commit, report: &Report) {
        let target = &report.target;
        let (Some(host), Some(stack)) = (self.hosts.get(&target.host), commit.stack_of(target))
        else {
            return;
        };
        host.prunes(&target.stack, removed::has_data_to_prune(report, stack));
        if report.is_good() && report.outcomes().next().is_some() {
            host.ring_pruners(&target.stack);
        }
    }

    fn target(&self, stack: &StackName, host: &HostName) -> Target {
        Target { repository: self.repository.clone(), stack: stack.clone(), host: host.clone() }
    }

    /// Looks at the spread stacks of a commit on hosts where nothing is known of them yet; `None` where that failed.
    pub(crate) async fn look_at_unknown(
        &self,
        commit: &Commit,
        depth: Depth,
    ) -> Vec<(TargetName, Option<Observed>)> {
        let Self { repository, roster, labels, hosts, limiter, .. } = self;
        let targets = survey::targets_of(survey::spread(commit), labels);
        let looks = roster.unknown(targets).into_iter().map(async |target| {
            let link = hosts.get(&target.host).map(|host| host.link().borrow().clone());
            let Some(Link::Up(engine)) = link else { return (target, None) };
            let scope = Scope::new(target.stack.clone(), repository.clone());
            let look = || engine.observe(&scope, depth, clock::now());
            let observed = limiter.run(look).await.ok();
            (target, observed)
        });
        futures_util::future::join_all(looks).await
    }
}

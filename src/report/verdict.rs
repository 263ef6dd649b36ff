//! Everything that one pass has to say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::drift::Findings;
use crate::fleet::{TargetName, WaitingOn};
use crate::model::{
    CommitState, ContainerState, Diagnostics, Drift, Health, HealthCheckState, Held, HostName,
    Observed, ObservedContainer, Outcome, Plan, Remedy, Replica, RepositoryName, Revision,
    ServiceName, StackName, StepOutcome, Sync, Timestamp,
};

/// One stack on one host: the unit of a pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The repository that asks.
    pub repository: RepositoryName,
    /// The stack.
    pub stack: StackName,
    /// The host.
    pub host: HostName,
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}", self.stack, self.host)
    }
}

impl Target {
    /// The same without its repository.
    pub fn name(&self) -> TargetName {
        TargetName { stack: self.stack.clone(), host: self.host.clone() }
    }
}

/// What keeps a commit from being deployed to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What.
    pub on: WaitingOn,
    /// When it ends by itself; `None` when only an event or a person ends it.
    pub until: Option<Timestamp>,
    /// What the commit is told.
    pub state: CommitState,
}

/// The newest commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its id.
    pub revision: Revision,
    /// The first line of its message.
    pub subject: String,
    /// Problems of its fleet file, which keep everything as it is.
    pub fleet_problem: Option<String>,
}

/// Why a pass could not look, or not load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What went wrong, with causes.
    pub message: String,
    /// What helps.
    pub remedy: Remedy,
}

/// One plan of a pass and what became of it. A pass may need several: the second sees what the first made.
#[derive(Debug, Clone)]
pub struct Round {
    /// The plan.
    pub plan: Arc<Plan>,
    /// One outcome a step; empty when the plan was only shown.
    pub outcomes: Vec<StepOutcome>,
}

impl Round {
    /// A plan that was not carried out.
    pub fn shown(plan: Arc<Plan>) -> Self {
        Self { plan, outcomes: Vec::new() }
    }
}

/// A container that stands for a replica, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaLine {
    /// The replica.
    pub replica: String,
    /// The container's name.
    pub container: String,
    /// What it does.
    pub state: ContainerState,
    /// What its health check says.
    pub health: HealthCheckState,
    /// The image that it was made from.
    pub image: String,
    /// The commit that made it.
    pub revision: Option<Revision>,
    /// Since when it does that.
    pub since: Option<Timestamp>,
}

impl ReplicaLine {
    /// One line a replica: its container, or while that is down the predecessor that serves in its place.
    fn of_all(observed: &Observed, findings: &Findings) -> Vec<Self> {
        let mut standing: BTreeMap<&Replica, &ObservedContainer> = BTreeMap::new();
        for container in &observed.containers {
            let Some(replica) = &container.replica else { continue };
            let Some(keeper) = findings.keepers.get(replica) else { continue };
            let stands = container.id == *keeper;
            let known = standing.get(replica).is_some_and(|one| one.state.is_up());
            if container.state.is_up() && (stands || !known) || stands && !known {
                standing.insert(replica, container);
            }
        }
        standing.into_iter().map(|(replica, container)| Self::of(replica, container)).collect()
    }

    fn of(replica: &Replica, container: &ObservedContainer) -> Self {
        Self {
            replica: replica.to_string(),
            container: container.name.clone(),
            state: container.state,
            health: container.health,
            image: container.spec.config.image.clone(),
            revision: container.revision.clone(),
            since: if container.state.is_up() {
                container.started_at
            } else {
                container.finished_at
            },
        }
    }
}

impl fmt::Display for ReplicaLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} ", self.replica, self.image)?;
        match self.state {
            ContainerState::Exited(0) => write!(out, "complete")?,
            ContainerState::Exited(code) => write!(out, "exited ({code})")?,
            ContainerState::Created => write!(out, "created")?,
            ContainerState::Running => write!(out, "running")?,
            ContainerState::Paused => write!(out, "paused")?,
            ContainerState::Restarting => write!(out, "restarting")?,
            ContainerState::Removing => write!(out, "removing")?,
            ContainerState::Dead => write!(out, "dead")?,
            ContainerState::Unknown => write!(out, "unknown")?,
        }
        match self.health {
            HealthCheckState::None => {}
            HealthCheckState::Starting => write!(out, " (starting)")?,
            HealthCheckState::Healthy => write!(out, " (healthy)")?,
            HealthCheckState::Unhealthy => write!(out, " (unhealthy)")?,
        }
        if let Some(since) = self.since {
            write!(out, " since {since}")?;
        }
        match &self.revision {
            Some(revision) => write!(out, " from {}", revision.short()),
            None => Ok(()),
        }
    }
}

/// A replica that has still to show that it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unproven {
    /// Whose replica it is.
    pub service: ServiceName,
    /// Its number.
    pub number: u32,
    /// When it will have shown it, if it goes on running; `None` while it does not run.
    pub until: Option<Timestamp>,
    /// Whether it crashed a moment ago.
    pub crashed: bool,
}

/// Everything that one pass has to say.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which stack on which host.
    pub target: Target,
    /// The commit that asks.
    pub revision: Revision,
    /// When the pass ended.
    pub at: Timestamp,
    /// Whether the host is what the commit says.
    pub sync: Sync,
    /// How the stack is doing: as its worst service.
    pub health: Health,
    /// How each service is doing.
    pub services: BTreeMap<ServiceName, Health>,
    /// What stands there now.
    pub replicas: Vec<ReplicaLine>,
    /// What differed when the pass began.
    pub found: Vec<Drift>,
    /// What differs now.
    pub remaining: Vec<Drift>,
    /// What was planned and done.
    pub rounds: Vec<Round>,
    /// Problems of the manifests.
    pub problems: Diagnostics,
    /// Why it could not look, if it could not.
    pub failure: Option<Failure>,
    /// What keeps the commit from being deployed here, if anything does.
    pub wait: Option<Wait>,
    /// Why each replica that sits here does, where replicas are spread over hosts.
    pub seats: Vec<String>,
    /// Whether the plan is carried out only once it is approved.
    pub needs_word: bool,
    /// What runs and has not run for long enough to be called working.
    pub unproven: Vec<Unproven>,
    /// Whether steps are still to come by themselves: then it is deploying, not failing.
    pub is_under_way: bool,
}

impl Report {
    /// A report of a pass that could not look.
    pub fn failed(target: Target, revision: Revision, at: Timestamp, failure: Failure) -> Self {
        Self {
            target,
            revision,
            at,
            sync: Sync::Unknown,
            health: Health::Unknown,
            services: BTreeMap::new(),
            replicas: Vec::new(),
            found: Vec::new(),
            remaining: Vec::new(),
            rounds: Vec::new(),
            problems: Diagnostics::default(),
            failure: Some(failure),
            wait: None,
            needs_word: false,
            seats: Vec::new(),
            unproven: Vec::new(),
            is_under_way: false,
        }
    }

    /// Takes over what a look found.
    pub fn now_found(&mut self, findings: &Findings, observed: &Observed) {
        self.replicas = ReplicaLine::of_all(observed, findings);
        self.services.clone_from(&findings.health);
        self.remaining.clone_from(&findings.drifts);
        self.health = findings.health.values().copied().max().unwrap_or(Health::Healthy);
        self.sync = if !findings.unseen.is_empty() {
            Sync::Unknown
        } else if findings.drifts.iter().all(Drift::is_kept) {
            Sync::Synced
        } else {
            Sync::OutOfSync
        };
    }

    /// What is kept of it once it was told: steps that were all carried out are history, which the journal keeps, and of
    /// a deployment on a thousand hosts they are many.
    pub fn at_rest(mut self) -> Self {
        self.found = Vec::new();
        if self.all_done() {
            for round in self.rounds.iter_mut().filter(|round| !round.outcomes.is_empty()) {
                let Plan { stack, revision, held, warnings, steps: _ } = &*round.plan;
                round.plan = Arc::new(Plan {
                    stack: stack.clone(),
                    revision: revision.clone(),
                    steps: Vec::new(),
                    held: held.clone(),
                    warnings: warnings.clone(),
                });
                round.outcomes = Vec::new();
            }
        }
        self
    }

    /// All outcomes, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.rounds.iter().flat_map(|round| round.outcomes.iter().map(|outcome| &outcome.outcome))
    }

    /// What failed: the step's text and the error. Failures that a later round made good do not count.
    pub fn failures(&self) -> impl Iterator<Item = (String, &str)> {
        let last = if self.sync == Sync::Synced {
            None
        } else {
            self.rounds.iter().rev().find(|r| !r.outcomes.is_empty())
        };
        last.into_iter().flat_map(|round| {
            round.outcomes.iter().filter_map(|outcome| match &outcome.outcome {
                Outcome::Failed { error, .. } => {
                    let step = round.plan.steps.iter().find(|step| step.id == outcome.step)?;
                    Some((step.action.to_string(), error.as_str()))
                }
                Outcome::Done | Outcome::Blocked { .. } | Outcome::Cancelled => None,
            })
        })
    }

    /// Takes over what has still to show that it works: it is on its way until then.
    pub fn is_unproven(&mut self, unproven: Vec<Unproven>) {
        for one in &unproven {
            let health = self.services.entry(one.service.clone()).or_insert(Health::Progressing);
            *health = Health::Progressing.max(*health);
            self.health = self.health.max(Health::Progressing);
        }
        self.unproven = unproven;
    }

    /// When everything that runs will have shown that it works, if it goes on running.
    pub fn proven_at(&self) -> Option<Timestamp> {
        self.unproven.iter().filter_map(|one| one.until).max()
    }

    /// A replica that crashed a moment ago, and has not run for long enough since.
    pub fn crashed(&self) -> Option<&Unproven> {
        self.unproven.iter().find(|one| one.crashed)
    }

    /// Whether something is held that something which happens on the host may end.
    pub fn waits_for_the_host(&self) -> bool {
        self.held().any(|held| held.why.may_end_by_itself())
    }

    /// Whether the Engine is removing a container that is to be made anew.
    pub fn waits_for_a_removal(&self) -> bool {
        self.held().any(|held| held.why == crate::model::HeldBecause::BeingRemoved)
    }

    /// What was left alone in the last round.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.rounds.last().into_iter().flat_map(|round| round.plan.held.iter())
    }

    /// The service that a deployment waits for, if it is one.
    pub fn waiting_for(&self) -> Option<String> {
        self.services
            .iter()
            .find(|(_, health)| **health == Health::Progressing)
            .map(|(name, _)| format!("waiting for {name}"))
    }

    /// The first degraded service with what is said of it.
    pub fn first_degraded(&self) -> Option<String> {
        let (name, _) = self.services.iter().find(|(_, health)| **health == Health::Degraded)?;
        let drift = self.remaining.iter().find(|drift| {
            matches!(&drift.resource, crate::model::Resource::Replica { replica, .. } if replica.service == *name)
        });
        let held = drift.and_then(|drift| self.held().find(|held| held.drift == *drift));
        Some(match (drift, held) {
            (Some(drift), Some(held)) => {
                format!("{} {}, {}", drift.resource, drift.reason, held.why)
            }
            (Some(drift), None) => format!("{} {}", drift.resource, drift.reason),
            (None, _) => name.to_string(),
        })
    }

    /// Whether every step of every round was done.
    pub fn all_done(&self) -> bool {
        self.outcomes().all(|outcome| *outcome == Outcome::Done)
    }

    /// What helps, when something failed.
    pub fn remedy(&self) -> Option<Remedy> {
        let failed = self.outcomes().filter_map(|outcome| match outcome {
            Outcome::Failed { remedy, .. } => Some(*remedy),
            Outcome::Done | Outcome::Blocked { .. } | Outcome::Cancelled => None,
        });
        self.failure.as_ref().map(|failure| failure.remedy).into_iter().chain(failed).min()
    }
}

//! What does not converge: differences that are still there after they were cured.
//!
//! An Engine may ignore, copy or discard what it is told. Curing the same difference over and over would restart a
//! service for ever and change nothing, so each cure is counted until a look no longer finds the difference.
//!
//! *Guarantees:* a difference that a look did not find starts afresh; another wish is another difference. *Caveats:*
//! counts are kept with the target, so that another process goes on with them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Findings;
use crate::model::{
    Action, Cure, Drift, Outcome, Plan, Reason, Replica, Resource, Step, StepOutcome,
};

/// After so many cures that changed nothing a difference is held.
/// One that failed by chance gets a second try, and a third tells chance from rule. Each costs a restart of the
/// service.
pub const CURES_MAX: u32 = 3;

/// How often each difference was cured without effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Symptom, u32)>", into = "Vec<(Symptom, u32)>")]
pub struct Cures(BTreeMap<Symptom, u32>);

/// A difference without what changes from look to look: the container, and what it shows.
/// Without what is there: an Engine that rounds a limit shows another value after each attempt, and each would count
/// from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Symptom {
    resource: Resource,
    reason: Reason,
}

impl Symptom {
    /// Only what a cure ends for good: a container that stopped again is another matter, and is given time elsewhere.
    fn of(drift: &Drift) -> Option<Self> {
        let reason = match drift.reason.clone() {
            Reason::Changed { field, desired, .. } => {
                Reason::Changed { field, desired, observed: None }
            }
            Reason::EndpointChanged { network, field, desired, .. } => {
                Reason::EndpointChanged { network, field, desired, observed: None }
            }
            Reason::Renamed { .. } => Reason::Renamed { observed: String::new() },
            same @ (Reason::Disconnected { .. }
            | Reason::Attached { .. }
            | Reason::LeftBehind { .. }
            | Reason::ImageMoved { .. }
            | Reason::BuildChanged) => same,
            Reason::Missing
            | Reason::NotStarted
            | Reason::Stopped { .. }
            | Reason::Paused
            | Reason::Unhealthy
            | Reason::Restarting
            | Reason::Broken
            | Reason::Surplus
            | Reason::Orphaned
            | Reason::Claimed { .. }
            | Reason::Foreign
            | Reason::Superseded
            | Reason::TakenBack { .. }
            | Reason::NotRun
            | Reason::JobFailed { .. }
            | Reason::ByHand
            | Reason::ImageMissing => return None,
        };
        let resource = match drift.resource.clone() {
            Resource::Replica { replica, .. } => Resource::Replica { replica, container: None },
            other => other,
        };
        Some(Self { resource, reason })
    }
}

impl From<Vec<(Symptom, u32)>> for Cures {
    fn from(all: Vec<(Symptom, u32)>) -> Self {
        Self(all.into_iter().collect())
    }
}

impl From<Cures> for Vec<(Symptom, u32)> {
    fn from(cures: Cures) -> Self {
        cures.0.into_iter().collect()
    }
}

impl Cures {
    /// Whether nothing was cured in vain.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A look found these: what it found no more was cured. Of what it could not see nothing is known.
    ///
    /// Whoever looks at half a host must not forget: what was not seen is not gone.
    pub fn look(&mut self, findings: &Findings) {
        if self.0.is_empty() {
            return;
        }
        let there: BTreeSet<Symptom> = findings.drifts.iter().filter_map(Symptom::of).collect();
        let hidden = |resource: &Resource| match resource {
            Resource::Replica { replica, .. } => findings.unseen.contains(replica),
            _ => false,
        };
        self.0.retain(|symptom, _| there.contains(symptom) || hidden(&symptom.resource));
    }

    /// A plan was carried out for these differences: each whose steps were done counts as cured once.
    ///
    /// Only steps that were done count. An update that failed says something about the update and nothing about the
    /// difference.
    pub fn carried_out(&mut self, drifts: &[Drift], plan: &Plan, outcomes: &[StepOutcome]) {
        let done: BTreeSet<_> = outcomes
            .iter()
            .filter(|outcome| outcome.outcome == Outcome::Done)
            .map(|outcome| outcome.step)
            .collect();
        let steps: Vec<&Step> = plan.steps.iter().filter(|step| done.contains(&step.id)).collect();
        for drift in drifts {
            if let Some(symptom) = Symptom::of(drift)
                && steps.iter().any(|step| cures(step, drift))
            {
                let count = self.0.entry(symptom).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// How often it was cured without effect, when that is often enough to let it be.
    ///
    /// Then it is held, with the count, until the wish changes or the difference goes away by itself.
    pub fn exhausted(&self, drift: &Drift) -> Option<u32> {
        let count = *self.0.get(&Symptom::of(drift)?)?;
        (CURES_MAX <= count).then_some(count)
    }

    /// Another definition of a replica is tried afresh.
    pub fn forget(&mut self, replica: &Replica) {
        self.0.retain(|symptom, _| match &symptom.resource {
            Resource::Replica { replica: other, .. } => other != replica,
            _ => true,
        });
    }
}

/// Whether a step is what a difference needed: another container cures all that its replica had.
fn cures(step: &Step, drift: &Drift) -> bool {
    let replica = match &drift.resource {
        Resource::Replica { replica, .. } => Some(replica),
        _ => None,
    };
    let serves = step.replica.as_ref() == replica;
    match drift.cure {
        Cure::None => false,
        Cure::Replace if replica.is_some() => {
            serves && matches!(step.action, Action::Create { .. })
        }
        Cure::InPlace if matches!(drift.reason, Reason::Changed { .. }) => {
            serves && matches!(step.action, Action::Update { .. })
        }
        Cure::InPlace | Cure::Replace | Cure::Revive | Cure::Create | Cure::Remove => {
            serves && step.because == drift.reason
        }
    }
}

/// What a difference shows on the host, for whoever is told that it stays.
pub(crate) fn observed_value(reason: &Reason) -> Option<crate::model::Value> {
    match reason {
        Reason::Changed { observed, .. } | Reason::EndpointChanged { observed, .. } => {
            observed.clone()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CURES_MAX, Cures, Findings};
    use crate::model::{
        Action, ContainerHandle, ContainerId, ContainerSpec, Cure, Drift, Outcome, Plan, Reason,
        Replica, Resource, Revision, ServiceName, StackName, Step, StepId, StepOutcome, Value,
    };

    fn replica() -> Replica {
        Replica { service: ServiceName::parse("web").unwrap(), number: 1 }
    }

    fn drift(asked: &str, there: &str, container: &str) -> Drift {
        Drift {
            resource: Resource::Replica {
                replica: replica(),
                container: ContainerId::parse(&container.repeat(64)).ok(),
            },
            reason: Reason::Changed {
                field: "mem_limit".to_owned(),
                desired: Some(Value(asked.to_owned())),
                observed: Some(Value(there.to_owned())),
            },
            cure: Cure::InPlace,
            origin: None,
        }
    }

    fn plan(drift: &Drift) -> Plan {
        let container = ContainerHandle::Planned { name: "shop-web-1".to_owned() };
        let step = Step {
            id: StepId(1),
            action: Action::Update { container, spec: ContainerSpec::default().into() },
            replica: Some(replica()),
            because: drift.reason.clone(),
            origin: None,
            after: BTreeSet::new(),
        };
        Plan {
            stack: StackName::parse("shop").unwrap(),
            revision: Revision::parse(&"0".repeat(40)).unwrap(),
            steps: vec![step],
            held: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn cure(cures: &mut Cures, drift: &Drift, outcome: Outcome) {
        let outcomes = [StepOutcome { step: StepId(1), outcome, millis: 1 }];
        cures.carried_out(std::slice::from_ref(drift), &plan(drift), &outcomes);
    }

    fn found(drifts: &[Drift]) -> Findings {
        Findings { drifts: drifts.to_vec(), ..Findings::default() }
    }

    #[test]
    fn a_difference_that_outlives_three_cures_is_exhausted_whatever_it_shows_and_wherever() {
        let mut cures = Cures::default();
        for (round, there) in ["1", "2", "3"].into_iter().enumerate() {
            let seen = drift("64m", there, ["a", "b", "c"][round]);
            cures.look(&found(std::slice::from_ref(&seen)));
            assert_eq!(cures.exhausted(&seen), None);
            cure(&mut cures, &seen, Outcome::Done);
        }
        assert_eq!(cures.exhausted(&drift("64m", "4", "d")), Some(CURES_MAX));
        assert_eq!(cures.exhausted(&drift("32m", "4", "d")), None, "another wish");
    }

    #[test]
    fn what_a_look_found_cured_starts_afresh_and_what_failed_does_not_count() {
        let (mut cures, seen) = (Cures::default(), drift("64m", "1", "a"));
        for _ in 0..2 * CURES_MAX {
            cure(&mut cures, &seen, Outcome::Cancelled);
        }
        assert_eq!(cures, Cures::default());
        for _ in 0..2 * CURES_MAX {
            cure(&mut cures, &seen, Outcome::Done);
            cures.look(&found(&[]));
        }
        assert_eq!(cures.exhausted(&seen), None);
        for _ in 0..CURES_MAX {
            cure(&mut cures, &seen, Outcome::Done);
        }
        let unseen = Findings { unseen: [replica()].into(), ..Findings::default() };
        cures.look(&unseen);
        assert!(cures.exhausted(&seen).is_some(), "what was not seen was not cured");
        cures.forget(&replica());
        assert_eq!(cures.exhausted(&seen), None);
    }
}

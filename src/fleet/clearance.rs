//! What a target may do now: one answer from suspensions, windows and waves.

use super::suspension::Brakes;
use super::waves::Gate;
use super::windows::Opening;
use super::{TargetName, WaitingOn};
use crate::config::fleet_file::Stack;
use crate::model::Timestamp;

/// What a target may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clearance {
    /// Whatever its plan says.
    All,
    /// Only bring back what it was: what a commit changed is held.
    RecoverOnly(Hold),
    /// Nothing: it is looked at and reported.
    Nothing(Hold),
}

/// Why something is held, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub on: WaitingOn,
    /// When it is to be looked at again; `None` when only an event ends it.
    pub until: Option<Timestamp>,
}

/// What a target may do now. Suspension stops everything; windows and waves stop changes, never recovery.
pub fn clearance(
    target: &TargetName,
    stack: &Stack,
    brakes: &Brakes,
    (opening, gate): (&Opening, &Gate),
    now: Timestamp,
) -> Clearance {
    if let Some(brake) = brakes.holding(target, now) {
        let hold = Hold { on: WaitingOn::Brake(brake.clone()), until: brake.suspension.until };
        return Clearance::Nothing(hold);
    }
    if let Some(suspension) = stack.suspend.as_ref().filter(|suspension| suspension.holds(now)) {
        let on = WaitingOn::Suspension(suspension.clone());
        return Clearance::Nothing(Hold { on, until: suspension.until });
    }
    if let Opening::Shut { until, .. } = opening {
        let on = WaitingOn::Window(opening.clone());
        return Clearance::RecoverOnly(Hold { on, until: *until });
    }
    match gate {
        Gate::Go => Clearance::All,
        Gate::Wait { until, .. } => {
            Clearance::RecoverOnly(Hold { on: WaitingOn::Gate(gate.clone()), until: *until })
        }
        Gate::Stopped { .. } => {
            Clearance::RecoverOnly(Hold { on: WaitingOn::Gate(gate.clone()), until: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suspension::Brake;
    use super::*;
    use crate::config::fleet_file::Suspension;
    use crate::model::{HostName, Location, StackName, TreePath};

    #[test]
    fn suspension_stops_everything_and_windows_and_waves_stop_changes_only() {
        let now = Timestamp::from_millis(10);
        let name = StackName::parse("shop").unwrap();
        let target = TargetName { stack: name.clone(), host: HostName::parse("a").unwrap() };
        let mut stack = Stack::new(name.clone(), TreePath::default(), Location::file("fleet.yaml"));
        let mut brakes = Brakes::default();
        let shut =
            Opening::Shut { until: Some(Timestamp::from_millis(20)), because: String::new() };
        let stopped = Gate::Stopped { by: target.clone(), why: "failed: x".to_owned() };
        let ask = |stack: &Stack, brakes: &Brakes, opening: &Opening, gate: &Gate| {
            clearance(&target, stack, brakes, (opening, gate), now)
        };
        assert_eq!(ask(&stack, &brakes, &Opening::Open, &Gate::Go), Clearance::All);
        assert_eq!(
            ask(&stack, &brakes, &shut, &stopped),
            Clearance::RecoverOnly(Hold {
                on: WaitingOn::Window(shut.clone()),
                until: Some(Timestamp::from_millis(20))
            })
        );
        let held = Hold { on: WaitingOn::Gate(stopped.clone()), until: None };
        assert_eq!(ask(&stack, &brakes, &Opening::Open, &stopped), Clearance::RecoverOnly(held));
        stack.suspend = Some(Suspension { reason: "move".to_owned(), until: None });
        let held = Hold { on: WaitingOn::Suspension(stack.suspend.clone().unwrap()), until: None };
        assert_eq!(ask(&stack, &brakes, &shut, &stopped), Clearance::Nothing(held));
        brakes.suspend(Brake {
            stack: Some(name),
            host: None,
            by: "ada".to_owned(),
            since: now,
            suspension: Suspension { reason: "audit".to_owned(), until: None },
        });
        let Clearance::Nothing(hold) = ask(&stack, &brakes, &Opening::Open, &Gate::Go) else {
            panic!("not held");
        };
        assert!(matches!(&hold.on, WaitingOn::Brake(brake) if brake.suspension.reason == "audit"));
    }
}

//! Approvals: `sync: manual` applies exactly the plan that was approved, or holds.

use serde::{Deserialize, Serialize};

use super::TargetName;
use crate::model::{Digest, Timestamp};

/// Someone said yes to a plan, named by its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Approval {
    /// For which target.
    pub target: TargetName,
    /// Hash of the plan.
    pub plan: Digest,
    /// Who.
    pub by: String,
    /// When it ends; `None` for never.
    pub until: Option<Timestamp>,
}

/// Whether a plan was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was, by this person.
    Approved {
        /// Who.
        by: String,
    },
    /// It was not.
    Missing,
    /// It was, but the approval has ended.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Another plan was: since then the commit or the host changed.
    Changed {
        /// The plan that was approved.
        approved: Digest,
    },
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Approved { by } => write!(out, "approved by {by}"),
            Self::Missing => write!(out, "waits for approval"),
            Self::Expired { at } => write!(out, "waits for approval: the last one ended at {at}"),
            Self::Changed { approved } => write!(
                out,
                "waits for approval: plan {} was approved, and it is another now",
                approved.short()
            ),
        }
    }
}

/// Whether the plan of a target was approved.
pub fn verdict(
    approvals: &[Approval],
    target: &TargetName,
    plan: &Digest,
    now: Timestamp,
) -> Verdict {
    let holds = |approval: &&Approval| approval.until.is_none_or(|until| now < until);
    let ours = || approvals.iter().filter(|approval| approval.target == *target);
    let same = || ours().filter(|approval| approval.plan == *plan);
    if let Some(approval) = same().find(holds) {
        return Verdict::Approved { by: approval.by.clone() };
    }
    if let Some(at) = same().filter_map(|approval| approval.until).max() {
        return Verdict::Expired { at };
    }
    match ours().rfind(holds) {
        Some(other) => Verdict::Changed { approved: other.plan.clone() },
        None => Verdict::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostName, StackName};

    #[test]
    fn only_the_plan_that_was_approved_is_carried_out_and_only_while_that_holds() {
        let target = |stack: &str| TargetName {
            stack: StackName::parse(stack).unwrap(),
            host: HostName::parse("a").unwrap(),
        };
        let at = Timestamp::from_millis;
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let approval = |until| Approval {
            target: target("shop"),
            plan: one.clone(),
            by: "ada".to_owned(),
            until,
        };
        let ask = |approvals: &[Approval], stack, plan, now| {
            verdict(approvals, &target(stack), plan, at(now)).to_string()
        };
        let forever = [approval(None)];
        assert_eq!(ask(&forever, "shop", &one, 5), "approved by ada");
        assert_eq!(ask(&forever, "blog", &one, 5), "waits for approval");
        assert!(ask(&forever, "shop", &two, 5).contains("and it is another now"));
        let short = [approval(Some(at(5)))];
        assert_eq!(ask(&short, "shop", &one, 4), "approved by ada");
        assert!(ask(&short, "shop", &one, 5).contains("the last one ended at"));
        assert_eq!(ask(&short, "shop", &two, 5), "waits for approval");
    }
}

//! What operators said beside Git: suspensions, rollbacks, approvals.

use serde::{Deserialize, Serialize};

use super::TargetName;
use super::approval::Approval;
use super::suspension::Brakes;
use crate::config::fleet_file::Suspension;
use crate::model::{Revision, StackName, Timestamp};

/// Keeps a stack at an earlier commit, because an operator rejected a later one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rollback {
    /// The stack.
    pub stack: StackName,
    /// The commit that it is kept at.
    pub to: Revision,
    /// The head that was rejected. A later commit that changes the stack ends the rollback.
    pub rejects: Revision,
    /// Who.
    pub by: String,
    /// When.
    pub since: Timestamp,
    /// Why, and until when.
    #[serde(flatten)]
    pub suspension: Suspension,
}

impl std::fmt::Display for Rollback {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "rolled back to {} by {} since {}", self.to.short(), self.by, self.since)?;
        if let Some(until) = self.suspension.until {
            write!(out, " until {until}")?;
        }
        write!(out, ": {}", self.suspension.reason)
    }
}

/// Everything that operators said beside Git.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orders {
    /// What is switched off.
    pub brakes: Brakes,
    /// What is kept at an earlier commit: one entry a stack.
    pub rollbacks: Vec<Rollback>,
    /// Plans that may be carried out.
    pub approvals: Vec<Approval>,
}

impl Orders {
    /// The rollback of a stack that holds now.
    pub fn rollback(&self, stack: &StackName, now: Timestamp) -> Option<&Rollback> {
        self.rollbacks
            .iter()
            .find(|rollback| rollback.stack == *stack && rollback.suspension.holds(now))
    }

    /// Keeps a stack at an earlier commit; an earlier rollback of it is replaced.
    pub fn roll_back(&mut self, rollback: Rollback) {
        self.end_rollback(&rollback.stack);
        self.rollbacks.push(rollback);
        self.rollbacks.sort();
    }

    /// Ends a stack's rollback, and says whether there was one.
    pub fn end_rollback(&mut self, stack: &StackName) -> bool {
        let before = self.rollbacks.len();
        self.rollbacks.retain(|rollback| rollback.stack != *stack);
        self.rollbacks.len() < before
    }

    /// Lets a plan be carried out. What was approved for the target before is no longer.
    pub fn approve(&mut self, approval: Approval) {
        self.approvals.retain(|other| other.target != approval.target);
        self.approvals.push(approval);
        self.approvals.sort();
    }

    /// A target's approval was used: one yes is one deployment.
    pub fn use_up(&mut self, target: &TargetName) -> bool {
        let before = self.approvals.len();
        self.approvals.retain(|approval| approval.target != *target);
        self.approvals.len() < before
    }

    /// Drops what has ended by itself.
    pub fn drop_ended(&mut self, now: Timestamp) {
        self.brakes.drop_ended(now);
        self.rollbacks.retain(|rollback| rollback.suspension.holds(now));
        self.approvals.retain(|approval| approval.until.is_none_or(|until| now < until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_replaces_the_one_before_and_ends_by_itself_or_by_hand() {
        let shop = StackName::parse("shop").unwrap();
        let revision = |digit: &str| Revision::parse(&digit.repeat(40)).unwrap();
        let at = Timestamp::from_millis;
        let to = |digit| Rollback {
            stack: shop.clone(),
            to: revision(digit),
            rejects: revision("f"),
            by: "ada".to_owned(),
            since: at(0),
            suspension: Suspension { reason: "broken".to_owned(), until: Some(at(100)) },
        };
        let mut orders = Orders::default();
        orders.roll_back(to("1"));
        orders.roll_back(to("2"));
        assert_eq!(orders.rollback(&shop, at(99)).unwrap().to, revision("2"));
        assert_eq!(orders.rollback(&shop, at(100)), None);
        let text = serde_json::to_string(&orders).unwrap();
        assert_eq!(serde_json::from_str::<Orders>(&text).unwrap(), orders);
        assert!(orders.end_rollback(&shop) && !orders.end_rollback(&shop));
        orders.roll_back(to("1"));
        orders.drop_ended(at(100));
        assert_eq!(orders, Orders::default());
    }
}

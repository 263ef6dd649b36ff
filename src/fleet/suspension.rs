//! What operators switched off, why, and until when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::TargetName;
use crate::config::fleet_file::Suspension;
use crate::model::{HostName, StackName, Timestamp};

/// Something that an operator switched off: a stack, a host, or one stack on one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Brake {
    /// The stack; `None` for all on the host.
    pub stack: Option<StackName>,
    /// The host; `None` for all of the stack's.
    pub host: Option<HostName>,
    /// Who switched it off.
    pub by: String,
    /// When.
    pub since: Timestamp,
    /// Why, and until when.
    #[serde(flatten)]
    pub suspension: Suspension,
}

impl Brake {
    fn concerns(&self, target: &TargetName) -> bool {
        self.stack.as_ref().is_none_or(|stack| *stack == target.stack)
            && self.host.as_ref().is_none_or(|host| *host == target.host)
    }
}

impl std::fmt::Display for Brake {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "suspended by {} since {}", self.by, self.since)?;
        if let Some(until) = self.suspension.until {
            write!(out, " until {until}")?;
        }
        write!(out, ": {}", self.suspension.reason)
    }
}

/// Everything that operators switched off. Serialises as a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Brakes(Vec<Brake>);

impl Brakes {
    /// Switches something off; an earlier brake on exactly the same is replaced.
    pub fn suspend(&mut self, brake: Brake) {
        self.release(brake.stack.as_ref(), brake.host.as_ref());
        self.0.push(brake);
        self.0.sort();
    }

    /// Switches exactly this on again, and says whether it was off.
    pub fn resume(&mut self, stack: Option<&StackName>, host: Option<&HostName>) -> bool {
        let before = self.0.len();
        self.release(stack, host);
        self.0.len() < before
    }

    /// Leaves out what holds these stacks: whoever takes them down does so in spite of it.
    pub fn release_stacks(&mut self, stacks: &BTreeSet<StackName>) {
        self.0.retain(|brake| brake.stack.as_ref().is_none_or(|stack| !stacks.contains(stack)));
    }

    fn release(&mut self, stack: Option<&StackName>, host: Option<&HostName>) {
        self.0.retain(|brake| brake.stack.as_ref() != stack || brake.host.as_ref() != host);
    }

    /// What holds a target back now, if anything does.
    pub fn holding(&self, target: &TargetName, now: Timestamp) -> Option<&Brake> {
        self.0.iter().find(|brake| brake.suspension.holds(now) && brake.concerns(target))
    }

    /// Whether a whole host is switched off now.
    pub fn closes(&self, host: &HostName, now: Timestamp) -> bool {
        self.0.iter().any(|brake| {
            brake.stack.is_none()
                && brake.host.as_ref().is_none_or(|closed| closed == host)
                && brake.suspension.holds(now)
        })
    }

    /// Drops what has ended by itself, and returns it.
    pub fn drop_ended(&mut self, now: Timestamp) -> Vec<Brake> {
        let (holding, ended) =
            std::mem::take(&mut self.0).into_iter().partition(|brake| brake.suspension.holds(now));
        self.0 = holding;
        ended
    }

    /// The next instant at which one ends by itself.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|brake| brake.suspension.until).filter(|until| now < *until).min()
    }

    /// All, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = &Brake> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn target(stack: &str, host: &str) -> TargetName {
        TargetName { stack: StackName::parse(stack).unwrap(), host: HostName::parse(host).unwrap() }
    }

    fn brake(stack: Option<&str>, host: Option<&str>, until: Option<i64>) -> Brake {
        Brake {
            stack: stack.map(|stack| StackName::parse(stack).unwrap()),
            host: host.map(|host| HostName::parse(host).unwrap()),
            by: "ada".to_owned(),
            since: at(0),
            suspension: Suspension { reason: "move".to_owned(), until: until.map(at) },
        }
    }

    #[test]
    fn stacks_hosts_and_targets_are_switched_off_and_on_again() {
        let mut brakes = Brakes::default();
        brakes.suspend(brake(Some("shop"), None, Some(100)));
        brakes.suspend(brake(None, Some("b"), None));
        brakes.suspend(brake(Some("blog"), Some("a"), None));
        let is_off = |brakes: &Brakes, stack, host, now| {
            brakes.holding(&target(stack, host), at(now)).is_some()
        };
        assert!(is_off(&brakes, "shop", "a", 99) && !is_off(&brakes, "shop", "a", 100));
        assert!(is_off(&brakes, "shop", "b", 100) && is_off(&brakes, "wiki", "b", 0));
        assert!(is_off(&brakes, "blog", "a", 0) && !is_off(&brakes, "blog", "c", 0));
        assert!(brakes.closes(&HostName::parse("b").unwrap(), at(0)));
        assert!(!brakes.closes(&HostName::parse("a").unwrap(), at(0)));
        assert_eq!(brakes.next_end(at(0)), Some(at(100)));
        assert_eq!(brakes.drop_ended(at(100)).len(), 1);
        assert!(brakes.resume(None, Some(&HostName::parse("b").unwrap())));
        assert!(!brakes.resume(None, Some(&HostName::parse("b").unwrap())));
        assert_eq!(brakes.iter().count(), 1);
    }

    #[test]
    fn brakes_survive_being_written_down() {
        let mut brakes = Brakes::default();
        brakes.suspend(brake(Some("shop"), None, Some(100)));
        let text = serde_json::to_string(&brakes).unwrap();
        assert_eq!(
            text,
            r#"[{"stack":"shop","host":null,"by":"ada","since":"1970-01-01T00:00:00Z","reason":"move","until":"1970-01-01T00:00:00.1Z"}]"#
        );
        assert_eq!(serde_json::from_str::<Brakes>(&text).unwrap(), brakes);
    }
}

//! The fleet file: what should run where.
//!
//! [`parse`] reads one, [`discover()`] makes up for its absence, and [`vanished`] keeps an emptied one from being taken
//! at its word.

mod discover;
mod keys;
mod read;
mod selector;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use discover::{COMPOSE_FILES, discover};
pub use keys::FLEET_KEYS;
pub use read::{Surroundings, parse, read};
pub use selector::{HostChoice, HostSelector, likely_hosts};
pub use window::{Cron, Window, WindowKind};

use super::settings::Limits;
use crate::model::{
    AdoptPolicy, DriftPolicy, Location, Policy, PrunePolicy, StackName, SyncPolicy, Timestamp,
    TreePath, UnsetPolicy,
};

/// Where the fleet file is, below the source's path.
pub const FLEET_FILE: &str = "fleet.yaml";
/// How long a wave, or the stacks that another one comes after, may take to become healthy unless the fleet file says
/// otherwise.
pub const WAVE_DEADLINE: Duration = Duration::from_mins(15);

/// What should run where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Stacks by name.
    pub stacks: BTreeMap<StackName, Stack>,
    /// Hosts in the order in which a change reaches them; empty for all at once. Hosts of no wave are the last.
    pub waves: Vec<Wave>,
    /// How long a wave may take to become healthy.
    pub wave_deadline: Duration,
    /// When changes may happen, for every stack.
    pub windows: Vec<Window>,
    /// No stack is meant to be left: the last ones go.
    pub empty: bool,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            stacks: BTreeMap::new(),
            waves: Vec::new(),
            wave_deadline: WAVE_DEADLINE,
            windows: Vec::new(),
            empty: false,
        }
    }
}

/// One wave of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wave {
    /// These.
    Hosts(HostSelector),
    /// Those that no other wave names.
    Rest,
}

/// One stack: a Compose project that is kept on some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name.
    pub name: StackName,
    /// The Compose project's name; `None` for what the Compose files say in `name:`, else the stack's name.
    pub project: Option<StackName>,
    /// Where the fleet file declares it; the folder when it was discovered.
    pub origin: Location,
    /// Its folder.
    pub path: TreePath,
    /// Its own folder on its hosts, for relative binds that are not in Git; `None` for one in Moorline's data folder, or
    /// where it was before. Absolute, with `/`.
    pub directory: Option<String>,
    /// Compose files; empty for Compose's own names in the folder.
    pub files: Vec<TreePath>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Variables for interpolation.
    pub environment: BTreeMap<String, String>,
    /// Files of variables for interpolation; empty for `.env` in the folder.
    pub env_files: Vec<TreePath>,
    /// Files of variables that stacks share, as `defaults` names them: at the repository's root, and in the stack's folder
    /// over it. The stack's own are over them.
    pub shared_env_files: Vec<String>,
    /// What becomes of it when variables have no value.
    pub unset: UnsetPolicy,
    /// Where it runs.
    pub hosts: HostSelector,
    /// Stacks that must be in sync and healthy first.
    pub after: BTreeSet<StackName>,
    /// Stacks that come first although nobody says so, because they make what this one uses. Known once all stacks of
    /// the commit were read.
    pub implied: BTreeSet<StackName>,
    /// Whether passes apply what they plan.
    pub sync: SyncPolicy,
    /// Whether drift on the host is corrected.
    pub drift: DriftPolicy,
    /// Fields that others own.
    pub ignore: Vec<String>,
    /// What is removed when no manifest asks for it any more.
    pub prune: PrunePolicy,
    /// Containers that something else made under this project's name.
    pub adopt: AdoptPolicy,
    /// Switched off, and why.
    pub suspend: Option<Suspension>,
    /// When changes may happen to it, beside the fleet's windows.
    pub windows: Vec<Window>,
    /// Who gets room first when hosts are full: the higher.
    pub priority: i32,
}

impl Stack {
    /// A stack in a folder with everything else at its default.
    pub fn new(name: StackName, path: TreePath, origin: Location) -> Self {
        Self {
            name,
            project: None,
            origin,
            path,
            implied: BTreeSet::new(),
            directory: None,
            files: Vec::new(),
            profiles: Vec::new(),
            environment: BTreeMap::new(),
            env_files: Vec::new(),
            shared_env_files: Vec::new(),
            unset: UnsetPolicy::default(),
            hosts: HostSelector::Unsaid,
            after: BTreeSet::new(),
            sync: SyncPolicy::Auto,
            drift: DriftPolicy::Correct,
            ignore: Vec::new(),
            prune: PrunePolicy::default(),
            adopt: AdoptPolicy::Refuse,
            suspend: None,
            windows: Vec::new(),
            priority: 0,
        }
    }

    /// What the operator allows for it.
    pub fn policy(&self, limits: &Limits) -> Policy {
        Policy {
            sync: self.sync,
            drift: self.drift,
            ignore: self.ignore.clone(),
            prune: self.prune,
            adopt: self.adopt,
            parallel_steps: limits.parallel_steps,
            step_limit: limits.step,
            progress_limit: limits.progress,
            watch: limits.watch,
        }
    }
}

/// Switched off by an operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Suspension {
    /// Why.
    pub reason: String,
    /// When it ends by itself; `None` for never.
    pub until: Option<Timestamp>,
}

impl Suspension {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What became of the stacks of the last good revision in the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vanished {
    /// All are still there.
    None,
    /// These are gone: their containers are pruned where policy says so.
    Some(BTreeSet<StackName>),
    /// Every single one is gone. That is how a broken repository, a wrong branch and a wrong path look, so nothing is
    /// removed until a person says so.
    All {
        /// How many there were.
        had: usize,
    },
}

/// Compares the stacks of the last good revision with those of the next.
pub fn vanished(before: &BTreeSet<StackName>, after: &BTreeSet<StackName>) -> Vanished {
    let gone: BTreeSet<StackName> = before.difference(after).cloned().collect();
    if gone.is_empty() {
        Vanished::None
    } else if after.is_empty() {
        Vanished::All { had: before.len() }
    } else {
        Vanished::Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> BTreeSet<StackName> {
        words.iter().map(|word| StackName::parse(word).unwrap()).collect()
    }

    #[test]
    fn a_fleet_that_is_suddenly_empty_is_not_taken_at_its_word() {
        assert_eq!(vanished(&names(&["a", "b"]), &names(&[])), Vanished::All { had: 2 });
        assert_eq!(vanished(&names(&["a"]), &names(&[])), Vanished::All { had: 1 });
        assert_eq!(vanished(&names(&["a", "b"]), &names(&["b"])), Vanished::Some(names(&["a"])));
        assert_eq!(vanished(&names(&["a"]), &names(&["a", "b"])), Vanished::None);
        assert_eq!(vanished(&names(&[]), &names(&[])), Vanished::None);
    }

    #[test]
    fn a_suspension_ends_by_itself() {
        let suspension = |until| Suspension { reason: "move".to_owned(), until };
        let at = Timestamp::from_millis;
        assert!(suspension(None).holds(at(i64::MAX)));
        assert!(suspension(Some(at(10))).holds(at(9)));
        assert!(!suspension(Some(at(10))).holds(at(10)));
    }
}

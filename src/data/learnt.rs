//! What passes learn and the next process goes on with: which containers are of our making, which cures were in vain, and
//! when a host was last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::drift::Cures;
use crate::model::{ContainerId, HostName, LastState, Timestamp};
use crate::report::Target;

use super::disk::write_whole;
use super::folder::{DataError, DataFolder};

/// What a pass learnt of a target.
#[derive(Debug, Clone, Default)]
pub struct Learnt {
    /// See the `made` of a target's record.
    pub made: BTreeSet<ContainerId>,
    /// See the `cures` of a target's record.
    pub cures: Cures,
    /// See the `taken` of a target's record.
    pub taken: BTreeMap<String, String>,
}

impl DataFolder {
    /// Remembers where the data of a target that is kept was seen.
    pub fn keep_state(&self, target: &Target, state: &LastState) -> Result<(), DataError> {
        let mut record = self.recall(target);
        match &mut record.kept {
            Some(kept) if kept.state != *state => kept.state.clone_from(state),
            Some(_) | None => return Ok(()),
        }
        self.remember(target, &record)
    }

    /// Remembers what a pass learnt of a target.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn note(&self, target: &Target, learnt: Learnt) -> Result<(), DataError> {
        let mut record = self.recall(target);
        let Learnt { made, cures, taken } = learnt;
        if (record.made.as_ref(), &record.cures, &record.taken) == (Some(&made), &cures, &taken) {
            return Ok(());
        }
        (record.made, record.cures, record.taken) = (Some(made), cures, taken);
        self.remember(target, &record)
    }

    /// When a host was last seen, by whichever process; `None` where it never was.
    pub fn last_seen(&self, host: &HostName) -> Option<Timestamp> {
        let text = fs::read_to_string(self.seen_file(host)).ok()?;
        text.trim().parse().ok().map(Timestamp::from_millis)
    }

    /// Remembers that a host is there. It does no harm when that cannot be written.
    pub fn note_seen(&self, host: &HostName, now: Timestamp) {
        let path = self.seen_file(host);
        let text = now.as_millis().to_string();
        let made = || fs::create_dir_all(path.parent().unwrap_or(self.root()));
        let written = made().and_then(|()| write_whole(&path, text.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%host, %error, "cannot remember that the host was seen");
        }
    }

    fn seen_file(&self, host: &HostName) -> PathBuf {
        self.root().join("targets").join(host.as_str()).join("last-seen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RepositoryName, StackName};

    #[test]
    fn what_was_learnt_is_there_for_the_next_process() {
        let root = tempfile::tempdir().unwrap();
        let target = Target {
            repository: RepositoryName::parse("fleet").unwrap(),
            stack: StackName::parse("shop").unwrap(),
            host: HostName::parse("a").unwrap(),
        };
        let made = BTreeSet::from([ContainerId::parse(&"a".repeat(64)).unwrap()]);
        let taken = BTreeMap::from([("sha256:1".to_owned(), "digest".to_owned())]);
        let learnt = Learnt { made: made.clone(), taken: taken.clone(), ..Learnt::default() };
        DataFolder::open(root.path()).unwrap().note(&target, learnt).unwrap();
        let next = DataFolder::open(root.path()).unwrap();
        let record = next.recall(&target);
        assert_eq!((record.made, record.taken), (Some(made), taken));
        assert_eq!(next.last_seen(&target.host), None);
        next.note_seen(&target.host, Timestamp::from_millis(7));
        assert_eq!(next.last_seen(&target.host), Some(Timestamp::from_millis(7)));
        assert!(
            next.kept(&target.repository).unwrap().is_empty(),
            "a note is no record of a target"
        );
    }
}

//! What must outlive the data folder: orders, kept targets and reached revisions, as each host remembers them too.
//!
//! In: the data folder. Out: a text for each host and repository, which the Engine keeps (`docker`), and what a folder
//! that was lost learns from it. A text that cannot be understood is an error, never "there was nothing".
//!
//! Orders of two folders are told apart by their lineage, which a folder takes over from the first host that it learns
//! from. Within one lineage the one that was changed more often is the newer; of two lineages all brakes and rollbacks
//! hold, and no approval does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::data::folder::{DataError, DataFolder};
use crate::data::form::{Kept, VERSION, Version};
use crate::data::record::TargetRecord;
use crate::drift::Cures;
use crate::fleet::Orders;
use crate::model::{HostName, RepositoryName, StackName};

/// What a host remembers of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    version: u32,
    orders: Kept,
    targets: BTreeMap<StackName, TargetRecord>,
}

impl DataFolder {
    /// The repositories whose ledgers hosts keep, and the key of each.
    pub fn ledger_keys(&self) -> impl Iterator<Item = (&RepositoryName, &str)> {
        self.ledgers.keys()
    }

    /// Rung when what a host is to remember may have changed.
    pub(crate) fn ledger_bell(&self, host: &HostName) -> Arc<Notify> {
        self.ledgers.bell(host)
    }

    /// Changes when hosts tell of stacks that this folder did not know.
    pub(crate) fn learned(&self) -> watch::Receiver<u64> {
        self.ledgers.learned()
    }

    /// Orders changed, which every host remembers.
    pub(crate) fn ring_ledgers(&self) {
        self.ledgers.ring_all();
    }

    /// What a host is to remember of a repository; `None` where there is nothing to remember.
    ///
    /// # Errors
    /// Where the folder cannot be read, or holds what cannot be understood.
    pub fn ledger(
        &self,
        repository: &RepositoryName,
        host: &HostName,
    ) -> Result<Option<String>, DataError> {
        let orders = self.kept_orders()?;
        let mut targets = BTreeMap::new();
        for (_, mut record) in self.records(host)? {
            // Losing these costs three cures in vain.
            record.cures = Cures::default();
            if let Some(kept) = record.known()
                && kept.target.repository == *repository
            {
                targets.insert(kept.target.stack.clone(), record);
            }
        }
        if targets.is_empty() && orders.orders == Orders::default() {
            return Ok(None);
        }
        let ledger = Ledger { version: VERSION, orders, targets };
        serde_json::to_string(&ledger).map(Some).map_err(|error| self.unusable(error.into()))
    }

    /// Takes from a host's ledger what this folder does not know. Says whether there was anything.
    ///
    /// # Errors
    /// Where the ledger cannot be understood, or the folder cannot be read or written.
    pub fn learn(&self, host: &HostName, text: &str) -> Result<bool, DataError> {
        let named = || PathBuf::from(format!("the ledger on host {host}"));
        let version: Version = serde_json::from_str(text)
            .map_err(|source| DataError::Damaged { file: named(), source: source.into() })?;
        if let Some(newer) = version.newer() {
            return Err(DataError::Damaged { file: named(), source: newer.into() });
        }
        let ledger: Ledger = serde_json::from_str(text)
            .map_err(|source| DataError::Damaged { file: named(), source: source.into() })?;
        let mut learned = false;
        for record in ledger.targets.into_values() {
            let Some(kept) = record.known().filter(|kept| kept.target.host == *host) else {
                continue;
            };
            if !matches!(self.record(&kept.target), Ok(Some(_))) {
                tracing::info!(stack = %kept.target.stack, %host, "learned from the host that this stack is kept there");
                self.remember(&kept.target.clone(), &record)?;
                learned = true;
            }
        }
        if learned {
            self.ledgers.has_learned();
        }
        let _lock = self.lock_orders()?;
        let own = self.kept_orders()?;
        let together = own.with(&ledger.orders);
        if together != own {
            tracing::info!(%host, "learned operators' orders from the host");
            self.write_kept_orders(&together)?;
            learned = true;
        }
        Ok(learned)
    }

    /// Whether this folder never heard what all hosts remember: it is new, or what was in it is lost.
    pub fn is_fresh(&self) -> bool {
        !self.heard_file().exists()
    }

    /// Every host was heard.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn was_told(&self) -> Result<(), DataError> {
        let text = serde_json::json!({"version": VERSION}).to_string();
        super::disk::write_whole(&self.heard_file(), text.as_bytes())
            .map_err(|source| self.unusable(source))
    }

    fn heard_file(&self) -> PathBuf {
        self.root().join("hosts-heard.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fleet_file::{Stack, Suspension};
    use crate::fleet::Rollback;
    use crate::model::{Location, Revision, Timestamp, TreePath};
    use crate::report::Target;

    fn folder(root: &std::path::Path) -> DataFolder {
        let keys = [(RepositoryName::parse("fleet").unwrap(), "key".to_owned())];
        DataFolder::open(root).unwrap().with_ledgers(keys.into())
    }

    fn target(stack: &str) -> Target {
        Target {
            repository: RepositoryName::parse("fleet").unwrap(),
            stack: StackName::parse(stack).unwrap(),
            host: HostName::parse("a").unwrap(),
        }
    }

    fn keep(data: &DataFolder, stack: &str) {
        let name = StackName::parse(stack).unwrap();
        let policy = Stack::new(name, TreePath::default(), Location::file(String::new()));
        data.keep(&target(stack), &policy, None).unwrap();
    }

    fn roll_back(data: &DataFolder, stack: &str, since: i64) {
        let rollback = Rollback {
            stack: StackName::parse(stack).unwrap(),
            to: Revision::parse(&"1".repeat(40)).unwrap(),
            rejects: Revision::parse(&"2".repeat(40)).unwrap(),
            by: "ada".to_owned(),
            since: Timestamp::from_millis(since),
            suspension: Suspension { reason: "broken".to_owned(), until: None },
        };
        data.change_orders(|orders| orders.roll_back(rollback)).unwrap();
    }

    fn ledger(data: &DataFolder) -> Option<String> {
        data.ledger(&target("shop").repository, &target("shop").host).unwrap()
    }

    fn rolled_back(data: &DataFolder) -> Vec<String> {
        data.orders().unwrap().rollbacks.iter().map(|one| one.stack.to_string()).collect()
    }

    #[test]
    fn a_lost_folder_learns_from_a_host_what_it_kept_and_what_was_ordered() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = folder(one.path());
        assert_eq!(ledger(&data), None);
        keep(&data, "shop");
        let revision = Revision::parse(&"3".repeat(40)).unwrap();
        data.reach(&target("shop"), (&revision, None), Timestamp::from_millis(5)).unwrap();
        roll_back(&data, "shop", 1);
        let text = ledger(&data).unwrap();
        let lost = folder(other.path());
        assert!(lost.is_fresh() && lost.learn(&target("shop").host, &text).unwrap());
        assert_eq!(lost.kept(&target("shop").repository).unwrap().len(), 1);
        assert_eq!(lost.recall(&target("shop")).reached, Some(revision));
        assert_eq!(rolled_back(&lost), ["shop"]);
        assert!(!lost.learn(&target("shop").host, &text).unwrap(), "nothing is learned twice");
        assert_eq!(ledger(&lost).unwrap(), text);
    }

    #[test]
    fn what_was_taken_back_stays_so_and_what_was_said_meanwhile_holds_too() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = folder(one.path());
        keep(&data, "shop");
        roll_back(&data, "shop", 1);
        let old = ledger(&data).unwrap();
        data.change_orders(|orders| orders.end_rollback(&target("shop").stack)).unwrap();
        assert!(!data.learn(&target("shop").host, &old).unwrap());
        assert_eq!(rolled_back(&data), [] as [String; 0]);
        // Said to a folder that was lost before it could ask the host.
        let lost = folder(other.path());
        roll_back(&lost, "blog", 2);
        lost.learn(&target("shop").host, &old).unwrap();
        assert_eq!(rolled_back(&lost), ["blog", "shop"]);
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_and_a_newer_form_too() {
        let root = tempfile::tempdir().unwrap();
        let data = folder(root.path());
        for text in ["", "{}", "nonsense", "{\"version\": 2}", "{\"version\": 1}"] {
            let error = data.learn(&target("shop").host, text).unwrap_err();
            assert!(error.to_string().contains("the ledger on host a"), "{error}");
        }
        keep(&data, "shop");
        let file = root.path().join("targets/a/fleet.shop.json");
        for text in ["", "{\"reached\": 3}", "{\"version\": 9}"] {
            std::fs::write(&file, text).unwrap();
            assert!(data.kept(&target("shop").repository).is_err(), "{text:?}");
            assert!(data.ledger(&target("shop").repository, &target("shop").host).is_err());
        }
        keep(&data, "shop");
        assert_eq!(data.kept(&target("shop").repository).unwrap().len(), 1, "it is written anew");
        std::fs::write(root.path().join("orders.json"), "{\"version\": 9}").unwrap();
        let error = data.orders().unwrap_err();
        assert!(error.to_string().contains("orders.json"), "{error}");
    }

    #[test]
    fn files_of_earlier_versions_are_read_and_find_their_place() {
        let root = tempfile::tempdir().unwrap();
        let data = folder(root.path());
        keep(&data, "shop");
        let new = root.path().join("targets/a/fleet.shop.json");
        let text = std::fs::read_to_string(&new).unwrap().replace("\"version\":1,", "");
        std::fs::remove_file(&new).unwrap();
        std::fs::write(root.path().join("targets/fleet.shop@a.json"), text).unwrap();
        std::fs::write(root.path().join("orders.json"), "{\"rollbacks\": []}").unwrap();
        let data = folder(root.path());
        assert_eq!(data.kept(&target("shop").repository).unwrap().len(), 1);
        assert_eq!(data.orders().unwrap(), Orders::default());
        assert!(new.exists());
    }
}

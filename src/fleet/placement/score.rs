//! Which of several hosts that would do is best.

use std::collections::BTreeMap;

use super::HostRoom;
use crate::model::HostName;

/// How good a host is for one more replica; the least is best.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    /// Replicas of the service on hosts with the same label, a preference each.
    pub(super) spread: Vec<u32>,
    /// Replicas of the service on the host.
    pub(super) count: u32,
    /// Thousandths of the host that would be taken.
    pub(super) taken: u64,
    /// Replicas on the host.
    pub(super) total: u32,
    /// The name, so that there is always an answer.
    pub(super) host: &'a HostName,
}

/// For each label, how many replicas of the service sit on hosts with the same value. A later label counts within the
/// group of the earlier ones, as Swarm's tree of preferences does. Hosts without a label are a group of their own.
pub(super) fn spread(
    hosts: &BTreeMap<HostName, HostRoom>,
    counts: Option<&BTreeMap<&HostName, u32>>,
    labels: &[String],
    host: &HostName,
) -> Vec<u32> {
    let values = |name: &HostName, depth: usize| -> Vec<Option<&str>> {
        let room = hosts.get(name.as_str());
        let labels = labels.iter().take(depth);
        labels.map(|label| room?.labels.get(label).map(String::as_str)).collect()
    };
    (1..=labels.len())
        .map(|depth| {
            let group = values(host, depth);
            counts
                .into_iter()
                .flatten()
                .filter(|(name, _)| values(name, depth) == group)
                .map(|(_, count)| *count)
                .sum()
        })
        .collect()
}

//! Which hosts: by name, by label, or by both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::settings::Labels;
use crate::model::HostName;

/// Which hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostSelector {
    /// Nothing was said: the only host, if there is but one.
    #[default]
    Unsaid,
    /// Every host.
    All,
    /// Each host that one of these chooses.
    Any(Vec<HostChoice>),
}

/// One choice of hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostChoice {
    /// This host.
    Name(HostName),
    /// Hosts whose labels have, for each of these keys, one of these values.
    Labels(BTreeMap<String, BTreeSet<String>>),
}

impl HostChoice {
    /// Whether it chooses a host with these labels.
    pub fn chooses(&self, name: &HostName, labels: &Labels) -> bool {
        match self {
            Self::Name(chosen) => chosen == name,
            Self::Labels(wanted) => wanted.iter().all(|(key, values)| {
                labels.get(key).is_some_and(|value| values.contains(value.as_str()))
            }),
        }
    }
}

impl HostSelector {
    /// Whether it chooses a host, `count` hosts being there in all.
    pub fn chooses(&self, name: &HostName, labels: &Labels, count: usize) -> bool {
        match self {
            Self::Unsaid => count == 1,
            Self::All => true,
            Self::Any(choices) => choices.iter().any(|choice| choice.chooses(name, labels)),
        }
    }

    /// The hosts that it chooses.
    pub fn select(&self, hosts: &BTreeMap<HostName, Labels>) -> BTreeSet<HostName> {
        hosts
            .iter()
            .filter(|(name, labels)| self.chooses(name, labels, hosts.len()))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Hosts as a fleet file alone lets them be supposed, where no settings are known: one for each name that it says, one
/// for each choice of labels, and one where it says nothing.
pub fn likely_hosts(fleet: &super::Fleet) -> BTreeMap<HostName, Labels> {
    let mut hosts = BTreeMap::new();
    let all = fleet.stacks.values().map(|stack| &stack.hosts);
    let choices = all.filter_map(|selector| match selector {
        HostSelector::Any(choices) => Some(choices),
        HostSelector::Unsaid | HostSelector::All => None,
    });
    for (number, choice) in choices.flatten().enumerate() {
        match choice {
            HostChoice::Name(name) => drop(hosts.insert(name.clone(), Labels::new())),
            HostChoice::Labels(wanted) => {
                let first = |(key, values): (&String, &BTreeSet<String>)| {
                    Some((key.clone(), values.first()?.clone()))
                };
                let labels = wanted.iter().filter_map(first).collect();
                hosts.extend(HostName::parse(&format!("host-{number}")).map(|name| (name, labels)));
            }
        }
    }
    if hosts.is_empty() {
        hosts.extend(HostName::parse("local").map(|name| (name, Labels::new())));
    }
    hosts
}

impl fmt::Display for HostChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(out, "{name}"),
            Self::Labels(wanted) => {
                for (number, (key, values)) in wanted.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    write!(out, "{comma}{key}: {}", values.join(" or "))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_chosen_by_name_by_label_or_both() {
        let host = |name: &str| HostName::parse(name).unwrap();
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let hosts = BTreeMap::from([
            (host("a"), labels(&[("zone", "x"), ("disk", "ssd")])),
            (host("b"), labels(&[("zone", "x")])),
            (host("c"), labels(&[])),
        ]);
        let wanted = |pairs: &[(&str, &str)]| {
            HostChoice::Labels(
                pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), BTreeSet::from([(*value).to_owned()])))
                    .collect(),
            )
        };
        let chosen = |choices: Vec<HostChoice>| -> Vec<String> {
            let chosen = HostSelector::Any(choices).select(&hosts);
            chosen.iter().map(ToString::to_string).collect()
        };
        assert_eq!(chosen(vec![HostChoice::Name(host("c"))]), ["c"]);
        assert_eq!(chosen(vec![wanted(&[("zone", "x")])]), ["a", "b"]);
        assert_eq!(chosen(vec![wanted(&[("zone", "x"), ("disk", "ssd")])]), ["a"]);
        assert_eq!(
            chosen(vec![wanted(&[("disk", "ssd")]), HostChoice::Name(host("c"))]),
            ["a", "c"]
        );
        assert_eq!(HostSelector::All.select(&hosts).len(), 3);
        assert_eq!(HostSelector::Unsaid.select(&hosts).len(), 0);
    }
}

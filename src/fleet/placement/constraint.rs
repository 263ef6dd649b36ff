//! Placement constraints, as Compose and Swarm write them.

use std::fmt;

use super::HostRoom;
use crate::model::HostName;

/// What a constraint is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Name,
    Role,
    Os,
    Architecture,
    Label(String),
}

/// One constraint: `node.labels.zone == a`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constraint {
    subject: Subject,
    is_equal: bool,
    value: String,
    text: String,
}

/// A constraint that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintProblem {
    /// Not of the form `attribute == value` or `attribute != value`.
    #[error("{0:?} is not a constraint: expected `attribute == value` or `attribute != value`")]
    Form(String),
    /// An attribute that hosts do not have.
    #[error(
        "hosts have no attribute {0:?}: expected node.hostname, node.labels.NAME, node.platform.os or node.platform.arch"
    )]
    Attribute(String),
}

impl Constraint {
    /// Reads `attribute == value` or `attribute != value`. Attributes are `node.hostname` (the host's name in the
    /// settings; also `node.id`), `node.labels.NAME` (also `engine.labels.NAME`), `node.platform.os`,
    /// `node.platform.arch` and `node.role`, which plain hosts do not have and which is therefore never in the way.
    pub fn parse(text: &str) -> Result<Self, ConstraintProblem> {
        let form = || ConstraintProblem::Form(text.to_owned());
        let (attribute, is_equal, value) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((attribute, value)), _) => (attribute, true, value),
            (None, Some((attribute, value))) => (attribute, false, value),
            (None, None) => return Err(form()),
        };
        let (attribute, value) = (attribute.trim(), value.trim());
        if attribute.is_empty() || value.is_empty() {
            return Err(form());
        }
        let subject =
            subject(attribute).ok_or_else(|| ConstraintProblem::Attribute(attribute.to_owned()))?;
        let sign = if is_equal { "==" } else { "!=" };
        let text = format!("{attribute} {sign} {value}");
        Ok(Self { subject, is_equal, value: value.to_owned(), text })
    }

    /// Whether only the host's Engine can tell if it holds.
    pub fn asks_for_platform(&self) -> bool {
        matches!(self.subject, Subject::Os | Subject::Architecture)
    }

    /// Whether it lets a host be used. Values are compared without regard to case, as Swarm does.
    pub fn allows(&self, name: &HostName, host: &HostRoom) -> bool {
        let (os, architecture) = host.platform.split_once('/').unwrap_or((&host.platform, ""));
        let found = match &self.subject {
            Subject::Role => return true,
            Subject::Name => name.as_str(),
            Subject::Os => os,
            Subject::Architecture => architecture_word(architecture),
            Subject::Label(key) => host.labels.get(key).map_or("", String::as_str),
        };
        let wanted = match self.subject {
            Subject::Architecture => architecture_word(&self.value),
            _ => &self.value,
        };
        found.eq_ignore_ascii_case(wanted) == self.is_equal
    }
}

fn subject(attribute: &str) -> Option<Subject> {
    let label =
        attribute.strip_prefix("node.labels.").or_else(|| attribute.strip_prefix("engine.labels."));
    match (attribute, label) {
        (_, Some(label)) if !label.is_empty() => Some(Subject::Label(label.to_owned())),
        ("node.hostname" | "node.id", _) => Some(Subject::Name),
        ("node.role", _) => Some(Subject::Role),
        ("node.platform.os", _) => Some(Subject::Os),
        ("node.platform.arch", _) => Some(Subject::Architecture),
        _ => None,
    }
}

/// Kernels and Go have different words for one architecture; both are written in manifests.
fn architecture_word(text: &str) -> &str {
    match text {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "arm/v7" => "arm",
        other => other,
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HostSight, Resources};
    use super::*;

    #[test]
    fn constraints_compare_names_labels_and_platforms() {
        let host = HostRoom {
            labels: [("zone".to_owned(), "a".to_owned())].into(),
            platform: "linux/amd64".to_owned(),
            capacity: Resources::UNLIMITED,
            sight: HostSight::Seen,
        };
        let name = HostName::parse("edge-1").unwrap();
        for (text, allowed) in [
            ("node.labels.zone == a", true),
            ("node.labels.zone==A", true),
            ("node.labels.zone != a", false),
            ("node.labels.disk != ssd", true),
            ("node.labels.disk == ssd", false),
            ("engine.labels.zone == a", true),
            ("node.hostname == edge-1", true),
            ("node.hostname != edge-1", false),
            ("node.platform.os == linux", true),
            ("node.platform.arch == x86_64", true),
            ("node.platform.arch == arm64", false),
            ("node.role == manager", true),
        ] {
            let constraint = Constraint::parse(text).unwrap();
            assert_eq!(constraint.allows(&name, &host), allowed, "{text}");
        }
        for text in ["", "zone", "node.labels.zone = a", "== a", "node.labels. == a", "node.x == a"]
        {
            assert!(Constraint::parse(text).is_err(), "{text}");
        }
    }
}

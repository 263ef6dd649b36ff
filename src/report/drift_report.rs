//! The full drift report in Markdown: what differs, why, where the manifest asks for it, and the difference itself.

use super::comment::Dialect;
use super::markdown::{Writer, code, plain};
use super::mask::{SecretSet, mask};
use crate::model::{Health, HostName, Revision, StackName};

/// How one stack on one host differs from Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackDrift {
    /// The stack.
    pub name: StackName,
    /// The host.
    pub host: HostName,
    /// How it is doing.
    pub health: Health,
    /// What differs.
    pub findings: Vec<Finding>,
    /// All differences as a unified diff.
    pub diff: String,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `web-1: config changed`.
    pub text: String,
    /// `compose.yaml:12`, if the manifest asks for it.
    pub origin: Option<String>,
    /// The page of that line at that commit.
    pub link: Option<String>,
}

/// Everything that the report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftReport {
    /// The deployed commit.
    pub revision: Revision,
    /// All stacks that were looked at.
    pub stacks: Vec<StackDrift>,
}

/// The report; where nothing differs it says so.
pub fn render(report: &DriftReport, dialect: Dialect, secrets: &SecretSet) -> String {
    let footer = format!("\n---\nAgainst commit {}.\n", code(report.revision.short()));
    let mut out = Writer::new(dialect, footer.len());
    let drifted: Vec<&StackDrift> =
        report.stacks.iter().filter(|stack| !stack.findings.is_empty()).collect();
    out.line(&format!("## Moorline: {}", headline(report.stacks.len(), drifted.len())));
    for stack in drifted {
        let count = stack.findings.len();
        let differences = if count == 1 { "difference" } else { "differences" };
        let title =
            format!("{} on {}: {}, {count} {differences}", stack.name, stack.host, stack.health);
        let lines: Vec<String> =
            stack.findings.iter().map(|finding| line(finding, secrets)).collect();
        out.section(&title, &lines, &mask(&stack.diff, secrets));
    }
    out.close("`moorline drift` shows them");
    mask(&format!("{}{footer}", out.finish()), secrets)
}

fn headline(all: usize, drifted: usize) -> String {
    match drifted {
        0 => format!("in sync ({all} looked at)"),
        1 => "1 stack drifted".to_owned(),
        many => format!("{many} stacks drifted"),
    }
}

fn line(finding: &Finding, secrets: &SecretSet) -> String {
    let text = plain(&mask(&finding.text, secrets));
    let origin = match (&finding.origin, &finding.link) {
        (Some(origin), Some(link)) => {
            format!(" ([{}]({}))", plain(origin), link.replace([' ', '(', ')', '<', '>'], ""))
        }
        (Some(origin), None) => format!(" ({})", code(origin)),
        (None, _) => String::new(),
    };
    format!("- {text}{origin}")
}

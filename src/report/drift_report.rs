//! The full drift report in Markdown: what differs, why, where the manifest asks for it, and the difference itself; and
//! the same as data.

use serde_json::json;

use super::comment::Dialect;
use super::markdown::{Writer, code, plain};
use super::mask::{SecretSet, mask, without};
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
    /// Why it could not be compared, if it could not: then nothing is known of its differences.
    pub unknown: Option<String>,
}

impl StackDrift {
    /// Whether it was seen to differ.
    pub fn is_drifted(&self) -> bool {
        self.unknown.is_none() && !self.findings.is_empty()
    }

    fn sync(&self) -> &'static str {
        match (&self.unknown, self.findings.is_empty()) {
            (Some(_), _) => "unknown",
            (None, true) => "synced",
            (None, false) => "out-of-sync",
        }
    }
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
    /// All stacks that are kept, on all hosts.
    pub stacks: Vec<StackDrift>,
}

/// The report; where nothing differs it says so.
pub fn render(report: &DriftReport, dialect: Dialect, secrets: &SecretSet) -> String {
    let footer = format!("\n---\nAgainst commit {}.\n", code(report.revision.short()));
    let mut out = Writer::new(dialect, footer.len());
    let drifted: Vec<&StackDrift> =
        report.stacks.iter().filter(|stack| stack.is_drifted()).collect();
    out.line(&format!("## Moorline: {}", headline(report, drifted.len())));
    let unknown = report.stacks.iter().filter_map(|stack| Some((stack, stack.unknown.as_ref()?)));
    for (number, (stack, why)) in unknown.enumerate() {
        if number == 0 {
            out.blank();
        }
        let why = plain(&mask(why, secrets));
        out.line(&format!("- ❔ {} on {}: {why}", stack.name, stack.host));
    }
    for stack in &drifted {
        let count = stack.findings.len();
        let differences = if count == 1 { "difference" } else { "differences" };
        let title =
            format!("{} on {}: {}, {count} {differences}", stack.name, stack.host, stack.health);
        let lines: Vec<String> =
            stack.findings.iter().map(|finding| line(finding, secrets)).collect();
        out.section(&title, &lines, &mask(&stack.diff, secrets));
    }
    if !drifted.is_empty() {
        out.whole_section("The same as data", "json", &data(report, secrets));
    }
    out.close("`moorline drift` shows them");
    // Our own marks between letters stay.
    without(&format!("{}{footer}", out.finish()), secrets)
}

/// What became of a report whose commit is no longer the deployed one.
pub fn overtaken(by: &Revision) -> String {
    format!("## Moorline: closed\n\nCommit {} is deployed now.\n", code(by.short()))
}

fn headline(report: &DriftReport, drifted: usize) -> String {
    let all = report.stacks.len();
    let unknown = report.stacks.iter().filter(|stack| stack.unknown.is_some()).count();
    let seen = all.saturating_sub(unknown);
    let words = match (drifted, seen) {
        (0, 0) => return format!("{} unknown", stacks(unknown)),
        (0, seen) => format!("in sync ({seen} looked at)"),
        (many, _) => format!("{} drifted", stacks(many)),
    };
    if unknown == 0 { words } else { format!("{words}, {unknown} unknown") }
}

fn stacks(count: usize) -> String {
    if count == 1 { "1 stack".to_owned() } else { format!("{count} stacks") }
}

/// What is not in sync, as JSON.
fn data(report: &DriftReport, secrets: &SecretSet) -> String {
    let shown = report.stacks.iter().filter(|stack| stack.sync() != "synced");
    let stacks: Vec<serde_json::Value> = shown
        .map(|stack| {
            let differences: Vec<serde_json::Value> = stack
                .findings
                .iter()
                .map(|finding| {
                    json!({
                        "text": mask(&finding.text, secrets),
                        "origin": finding.origin,
                        "link": finding.link,
                    })
                })
                .collect();
            json!({
                "stack": stack.name,
                "host": stack.host,
                "sync": stack.sync(),
                "health": stack.health,
                "why": stack.unknown.as_ref().map(|why| mask(why, secrets)),
                "differences": differences,
            })
        })
        .collect();
    let value = json!({ "revision": report.revision, "stacks": stacks });
    serde_json::to_string_pretty(&value).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(name: &str, text: Option<&str>, unknown: Option<&str>) -> StackDrift {
        let finding = |text: &str| Finding {
            text: text.to_owned(),
            origin: Some("shop/compose.yaml:3".to_owned()),
            link: Some("https://git.example.com/x#L3".to_owned()),
        };
        StackDrift {
            name: StackName::parse(name).unwrap(),
            host: HostName::parse("edge-1").unwrap(),
            health: Health::Degraded,
            findings: text.map(finding).into_iter().collect(),
            diff: "-a: password-of-shop\n+b\n".to_owned(),
            unknown: unknown.map(str::to_owned),
        }
    }

    fn shown(stacks: Vec<StackDrift>, dialect: Dialect) -> String {
        let report = DriftReport { revision: Revision::parse(&"a".repeat(40)).unwrap(), stacks };
        render(&report, dialect, &SecretSet::of(["password-of-shop"]))
    }

    const WIDE: Dialect = Dialect { limit: 60_000, folds: true };

    #[test]
    fn a_host_that_was_not_seen_has_not_drifted() {
        let all = vec![
            stack("blog", None, None),
            stack("shop", Some("web-1 stopped"), None),
            stack("wiki", None, Some("edge-1 does not answer")),
        ];
        let text = shown(all.clone(), WIDE);
        assert!(text.starts_with("## Moorline: 1 stack drifted, 1 unknown\n"), "{text}");
        assert!(text.contains("- ❔ wiki on edge-1: edge-1 does not answer"), "{text}");
        let (_, rest) = text.split_once("```json\n").unwrap();
        let data: serde_json::Value =
            serde_json::from_str(rest.split_once("\n```").unwrap().0).unwrap();
        let of =
            |number: usize, key: &str| data["stacks"][number][key].as_str().unwrap().to_owned();
        assert_eq!([of(0, "stack"), of(0, "sync")], ["shop", "out-of-sync"]);
        assert_eq!([of(1, "stack"), of(1, "sync")], ["wiki", "unknown"]);
        assert_eq!(data["stacks"][0]["differences"][0]["origin"], "shop/compose.yaml:3");
        assert!(!text.contains("password-of-shop"), "{text}");
        let unseen = shown(vec![stack("wiki", None, Some("gone"))], WIDE);
        assert!(unseen.starts_with("## Moorline: 1 stack unknown\n"), "{unseen}");
        let healed =
            shown(vec![stack("shop", None, None), stack("wiki", None, Some("gone"))], WIDE);
        assert!(healed.starts_with("## Moorline: in sync (1 looked at), 1 unknown\n"), "{healed}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let many: Vec<StackDrift> = (0..500)
            .map(|number| stack(&format!("stack-{number}"), Some("web-1 stopped"), None))
            .collect();
        let dialect = Dialect { limit: 31_744, folds: false };
        let text = shown(many, dialect);
        assert!(text.len() <= dialect.limit, "{}", text.len());
        assert!(text.contains("left out, too long for a comment"), "{text}");
        assert!(!text.contains("```json"));
    }
}

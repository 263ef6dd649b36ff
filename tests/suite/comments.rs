//! The pull request's comment: what it says, how long it may be, and what it must not say. Whole comments are files in
//! `tests/comments`; `UPDATE=1` writes them anew.

use std::path::Path;

use moorline::model::{CommitState, Digest, HostName, Location, Revision, StackName};
use moorline::report::change::{Change, Mark};
use moorline::report::comment::{
    Counts, Dialect, FileChange, Freshness, PlanComment, Problem, StackPlan, Verdict, outcome,
    plan, withdrawn,
};
use moorline::report::danger::{Danger, Risk};
use moorline::report::mask::SecretSet;

const GITHUB: Dialect = Dialect { limit: 64_512, folds: true };
const BITBUCKET: Dialect = Dialect { limit: 31_744, folds: false };

fn stack(name: &str, verdict: Verdict, plan_text: &str) -> StackPlan {
    let changes = verdict == Verdict::Changes;
    StackPlan {
        name: StackName::parse(name).unwrap(),
        host: HostName::parse("edge-1").unwrap(),
        verdict,
        counts: if changes {
            Counts { create: 1, replace: 1, ..Counts::default() }
        } else {
            Counts::default()
        },
        dangers: Vec::new(),
        changes: Vec::new(),
        files: Vec::new(),
        plan_text: plan_text.to_owned(),
        warnings: Vec::new(),
        waits: None,
        held: Vec::new(),
        problems: Vec::new(),
    }
}

fn of(stacks: Vec<StackPlan>) -> PlanComment {
    PlanComment {
        refused: Vec::new(),
        stacks,
        base: Revision::parse(&"a".repeat(40)).unwrap(),
        head: Revision::parse(&"b".repeat(40)).unwrap(),
        plan_hash: Some(Digest::of(b"plan")),
        notes: Vec::new(),
        freshness: Freshness::Fresh,
    }
}

fn link(at: &Location) -> Option<String> {
    Some(format!("https://git.example.com/acme/fleet/src/commit/bbbb/{}#L{}", at.file, at.line))
}

fn shown(comment: &PlanComment, dialect: Dialect, secrets: &SecretSet) -> String {
    plan(comment, dialect, &link, secrets)
}

fn at(file: &str, line: u32) -> Option<Location> {
    Some(Location { file: file.to_owned(), line, column: 5 })
}

fn change(mark: Mark, name: &str, details: &[&str], origin: Option<Location>) -> Change {
    let details = details.iter().map(|text| (*text).to_owned()).collect();
    Change { mark, name: name.to_owned(), details, origin }
}

fn danger(risk: Risk, text: &str, origin: Option<Location>) -> Danger {
    Danger { risk, text: text.to_owned(), origin }
}

fn problem(text: &str, line: u32) -> Problem {
    Problem { text: text.to_owned(), origin: at("shop/compose.yaml", line) }
}

/// Compares with a file, or writes it.
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/comments").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE=1 writes it", file.display());
}

/// A shop whose database loses its volume, and a new version of its web server.
fn shop() -> StackPlan {
    let manifest = "stacks/shop/compose.yaml";
    let mut shop = stack(
        "shop",
        Verdict::Changes,
        "   1  pull web:2: web-1 image changed\n   2  stop shop-web-1 after 1: image changed\nnote  web-1 is down while it is replaced",
    );
    shop.counts = Counts { create: 2, change: 1, replace: 1, remove: 1 };
    shop.dangers = vec![
        danger(
            Risk::Widened,
            "prune.volumes is switched on: volumes that nobody asks for are removed with their data",
            at("fleet.yaml", 4),
        ),
        danger(Risk::DataRemoved, "volume shop_old is removed with its data", None),
        danger(
            Risk::HostAccess,
            "agent gets the host's socket /var/run/docker.sock (read-only): whoever is in it may own the host",
            at(manifest, 21),
        ),
        danger(
            Risk::Port,
            "web publishes port 8080 on all addresses (for 80/tcp)",
            at(manifest, 9),
        ),
        danger(
            Risk::Downtime,
            "web is down while it is replaced, for at most 10 m 10 s",
            at(manifest, 4),
        ),
    ];
    shop.changes = vec![
        change(Mark::Remove, "volume shop_old", &["orphaned"], None),
        change(
            Mark::Replace,
            "web-1",
            &[
                "image web:1 → web:2",
                "env LOG_LEVEL info → debug",
                "env DB_PASSWORD *** (differs)",
                "port 80/tcp (none) → 8080",
            ],
            at(manifest, 4),
        ),
        change(
            Mark::Change,
            "db-1",
            &["deploy.resources.limits.memory 512 MiB → 1 GiB"],
            at(manifest, 14),
        ),
        change(Mark::Create, "agent-1", &["image agent:1"], at(manifest, 18)),
        change(Mark::Create, "network shop_agents", &[], at(manifest, 30)),
    ];
    shop.files = vec![
        FileChange {
            path: "stacks/shop/nginx.conf".to_owned(),
            diff: Some("--- a/stacks/shop/nginx.conf\n+++ b/stacks/shop/nginx.conf\n@@ -1,2 +1,2 @@\n server {\n-  listen 80;\n+  listen 8080;\n".to_owned()),
        },
        FileChange { path: "stacks/shop/token".to_owned(), diff: None },
    ];
    shop.held = vec!["volume shop_data driver changed: its data would be lost".to_owned()];
    shop
}

#[test]
fn danger_comes_first_then_a_narrow_table_then_each_container_then_what_is_folded() {
    let mut blog = stack("blog", Verdict::Unchanged, "");
    blog.counts = Counts::default();
    let mut comment = of(vec![blog, shop()]);
    comment.notes.push("4 other stacks are not touched.".to_owned());
    golden("a_dangerous_change.md", &shown(&comment, GITHUB, &SecretSet::default()));
    golden(
        "a_dangerous_change_without_folding.md",
        &shown(&comment, BITBUCKET, &SecretSet::default()),
    );
    let (state, words) = comment.status();
    assert_eq!(state, CommitState::Success);
    assert!(words.starts_with("danger: shop: prune.volumes is switched on"), "{words}");
}

#[test]
fn a_harmless_change_is_short() {
    let mut web = stack("web", Verdict::Changes, "   1  create web-web-2: missing");
    web.counts = Counts { create: 1, ..Counts::default() };
    web.changes = vec![change(Mark::Create, "web-2", &["image web:1"], at("web/compose.yaml", 3))];
    let comment = of(vec![web]);
    golden("a_harmless_change.md", &shown(&comment, GITHUB, &SecretSet::default()));
    assert_eq!(comment.status().1, "1 stack changes: 1 to create");
}

#[test]
fn a_refusal_says_everything_at_once_and_has_no_hash() {
    let mut shop = stack("shop", Verdict::Refused, "");
    shop.problems = vec![
        problem("shop/compose.yaml:3:5: error: unknown attribute \"imag\"", 3),
        problem("shop/compose.yaml:7:5: error: \"80:80:80:80\" is not a port", 7),
    ];
    let comment = PlanComment { plan_hash: None, ..of(vec![shop]) };
    golden("a_refused_manifest.md", &shown(&comment, GITHUB, &SecretSet::default()));
    let told = comment.status();
    assert_eq!(told.0, CommitState::Failure);
    assert!(
        told.1.starts_with("1 stack refused: shop/compose.yaml:3:5: error: unknown"),
        "{told:?}"
    );
}

/// So many sites that get the same, and one that is dangerous.
fn sites(count: usize) -> PlanComment {
    let site = |number: usize| {
        let name = format!("site-{number:03}");
        let mut site =
            stack(&name, Verdict::Changes, &format!("   1  stop {name}-web-1: image changed"));
        site.counts = Counts { replace: 1, ..Counts::default() };
        let manifest = format!("{name}/compose.yaml");
        site.dangers = vec![danger(
            Risk::Downtime,
            "web is down while it is replaced, for at most 20 s",
            at(&manifest, 3),
        )];
        site.changes =
            vec![change(Mark::Replace, "web-1", &["image web:1 → web:2"], at(&manifest, 3))];
        site
    };
    let mut all: Vec<StackPlan> = (1..count).map(site).collect();
    all.push(shop());
    of(all)
}

#[test]
fn forty_and_four_hundred_stacks_fit_and_the_dangerous_one_is_first() {
    golden("forty_stacks.md", &shown(&sites(40), GITHUB, &SecretSet::default()));
    for dialect in [GITHUB, BITBUCKET] {
        let text = shown(&sites(400), dialect, &SecretSet::default());
        assert!(text.len() <= dialect.limit, "{}", text.len());
        assert!(text.contains("site-001 on edge-1 and 398 more like it"), "{text}");
        let (shop, site) =
            (text.find("- 🔴 shop on edge-1").unwrap(), text.find("site-001").unwrap());
        assert!(shop < site, "the dangerous one comes first\n{text}");
        assert!(!text.contains("left out"), "{text}");
    }
    // Four hundred that differ do not fit whole; what is dangerous does.
    let mut differing = sites(400);
    for (number, stack) in differing.stacks.iter_mut().enumerate() {
        stack.changes.push(change(
            Mark::Create,
            &format!("extra-{number}"),
            &["image extra:1"],
            None,
        ));
    }
    let text = shown(&differing, BITBUCKET, &SecretSet::default());
    assert!(text.len() <= BITBUCKET.limit, "{}", text.len());
    assert!(text.contains("volume shop\\_old is removed with its data"), "{text}");
}

#[test]
fn after_the_merge_the_plan_stays_folded_beneath_the_outcome() {
    let before = shown(&of(vec![shop()]), GITHUB, &SecretSet::default());
    let said = ("✅", "merged as bbbbbbbbbbbb, deployed in 5 s: in sync on 1 host");
    golden("after_the_merge.md", &outcome(said, &before, GITHUB, &SecretSet::default()));
}

#[test]
fn hostile_text_stays_inert_and_nothing_invisible_is_said() {
    let mut shop = shop();
    shop.warnings = vec![
        "@alice please merge https://evil.example/#1 !2 www.evil.example <img src=x> GH-7 :tada: | [x](y) **b** `c`".to_owned(),
        "a\u{202e}b\u{200b}c\u{2066}d".to_owned(),
    ];
    shop.changes[1].details.push("env X a\u{202e}b → ``` </details> @bob".to_owned());
    let text = shown(&of(vec![shop]), GITHUB, &SecretSet::default());
    golden("hostile_text.md", &text);
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    assert!(!text.contains(hidden), "{text}");
    assert!(
        text.contains(
            "`@alice` please merge `https://evil.example/#1` `!2` `www.evil.example` &lt;img"
        ),
        "{text}"
    );
    let said = PlanComment { refused: vec!["x\u{202e}y".to_owned()], ..of(Vec::new()) }.status().1;
    assert_eq!(said, "cannot be planned: x\\u{202e}y");
}

#[test]
fn a_new_base_alone_is_no_other_comment() {
    let one = of(vec![shop()]);
    let other = PlanComment { base: Revision::parse(&"c".repeat(40)).unwrap(), ..one.clone() };
    let none = SecretSet::default();
    assert_eq!(shown(&one, GITHUB, &none), shown(&other, GITHUB, &none));
}

#[test]
fn the_status_says_what_the_comment_says() {
    let cases = [
        (vec![], CommitState::Success, "nothing to do"),
        (vec![Verdict::Held], CommitState::Success, "nothing to do, 1 stack held"),
        (
            vec![Verdict::Changes, Verdict::Changes],
            CommitState::Success,
            "2 stacks change: 2 to create, 2 to replace",
        ),
        (
            vec![Verdict::Changes, Verdict::Unseen],
            CommitState::Error,
            "1 stack could not be planned",
        ),
        (vec![Verdict::Refused, Verdict::Unseen], CommitState::Failure, "1 stack refused"),
    ];
    for (verdicts, state, words) in cases {
        let named = verdicts.into_iter().zip(["shop", "store"]);
        let stacks = named.map(|(verdict, name)| stack(name, verdict, "")).collect();
        assert_eq!(of(stacks).status(), (state, words.to_owned()));
    }
    // On two hosts it is still one stack.
    let twice = of(vec![stack("shop", Verdict::Changes, ""), stack("shop", Verdict::Changes, "")]);
    assert_eq!(twice.status().1, "1 stack changes: 2 to create, 2 to replace");
    let mut old = of(vec![stack("shop", Verdict::Changes, "")]);
    old.freshness = Freshness::Stale("edge-1 has not been seen for an hour".into());
    assert_eq!(old.status().0, CommitState::Error);
    assert!(
        shown(&old, GITHUB, &SecretSet::default())
            .contains("**This plan is stale**: edge-1 has not")
    );
}

/// Worlds of many sizes, without chance.
fn worlds() -> impl Iterator<Item = PlanComment> {
    (0..24_usize).map(|world| {
        let stacks = (0..(world * world * 9) % 211).map(|number| {
            let verdicts = [
                Verdict::Changes,
                Verdict::Unchanged,
                Verdict::Refused,
                Verdict::Held,
                Verdict::Unseen,
            ];
            let line = format!("+ line with ``` and ```` and </details> of {number} ünïcödé 🚢\n");
            let mut made = stack(
                &format!("stack-{number}"),
                verdicts[(world + number) % 5],
                &line.repeat((world * number * 7) % 397),
            );
            made.warnings = vec!["replacement @alice #1 <b>".repeat(number % 9); number % 4];
            made.problems =
                vec![
                    problem(&"compose.yaml:1: | bad `thing`".repeat(1 + number % 40), 1);
                    number % 3
                ];
            made
        });
        of(stacks.collect())
    })
}

#[test]
fn a_comment_of_any_size_fits_and_closes_what_it_opens() {
    for comment in worlds() {
        for dialect in [GITHUB, BITBUCKET, Dialect { limit: 4000, folds: true }] {
            let text = shown(&comment, dialect, &SecretSet::default());
            assert!(text.len() <= dialect.limit, "{} of {}", text.len(), dialect.limit);
            assert!(text.starts_with("## Moorline: ") && text.contains("plan `"), "{text}");
            let mut fence: Option<String> = None;
            let (mut open, mut closed) = (0, 0);
            for line in text.lines() {
                let ticks: String = line.chars().take_while(|c| *c == '`').collect();
                match &fence {
                    Some(begun) if *begun == line => fence = None,
                    None if 3 <= ticks.len() && line.ends_with("diff") => fence = Some(ticks),
                    None => {
                        open += line.matches("<details>").count();
                        closed += line.matches("</details>").count();
                        let outside: String = line.split('`').step_by(2).collect();
                        assert!(!outside.contains("@alice") && !outside.contains("<b>"), "{line}");
                    }
                    Some(_) => {}
                }
            }
            assert_eq!((fence, open), (None, closed));
            assert_eq!(shown(&comment, dialect, &SecretSet::default()), text, "not the same twice");
        }
    }
}

#[test]
fn no_secret_survives_not_even_where_the_text_is_cut() {
    let secrets = SecretSet::of(["s3cr3t-value-0123456789"]);
    for length in (0..200).step_by(7) {
        let text = format!(
            "{}\nPASSWORD=s3cr3t-value-0123456789\n{}",
            "x".repeat(length),
            "y\n".repeat(4000)
        );
        let mut shop = stack("shop", Verdict::Changes, &text);
        shop.warnings.push("log in with s3cr3t-value-0123456789".into());
        shop.problems.push(problem("czNjcjN0LXZhbHVlLTAxMjM0NTY3ODk=", 1));
        let said = shown(&of(vec![shop]), Dialect { limit: 1500 + length, folds: true }, &secrets);
        for leak in ["s3cr3t", "czNjcjN0"] {
            assert!(!said.contains(leak), "{said}");
        }
    }
    assert!(!withdrawn("closed by s3cr3t-value-0123456789", &secrets).contains("s3cr3t"));
}

//! The pull request's comment: what it says, how long it may be, and what it must not say.

use moorline::model::{CommitState, Digest, HostName, Revision, StackName};
use moorline::report::comment::{
    Counts, Dialect, Freshness, PlanComment, StackPlan, Verdict, plan, withdrawn,
};
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
        plan_text: plan_text.to_owned(),
        warnings: Vec::new(),
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
        plan_hash: Digest::of(b"plan"),
        notes: Vec::new(),
        freshness: Freshness::Fresh,
    }
}

#[test]
fn the_verdict_comes_first_then_the_table_then_each_plan_folded() {
    let mut shop = stack("shop", Verdict::Changes, "  1  create web-2\n- web: v1\n+ web: v2");
    shop.warnings.push("web-1 is down while it is replaced".into());
    shop.held.push("volume data: prune.volumes is off".into());
    let comment = of(vec![stack("blog", Verdict::Unchanged, ""), shop]);
    let text = plan(&comment, GITHUB, &SecretSet::default());
    let expected = "\
## Moorline: 1 stack changes: 1 to create, 1 to replace

| stack | host | verdict | create | change | replace | remove |
|---|---|---|--:|--:|--:|--:|
| `shop` | `edge-1` | ✏️ changes | 1 | 0 | 1 | 0 |
| `blog` | `edge-1` | ✅ nothing to do | 0 | 0 | 0 | 0 |

**Warnings**

- ⚠️ `shop`: web-1 is down while it is replaced

<details><summary>shop on edge-1: 1 to create, 1 to replace</summary>

- ✋ held: volume data: prune.volumes is off

```diff
  1  create web-2
- web: v1
+ web: v2
```

</details>

---
Head `bbbbbbbbbbbb` on base `aaaaaaaaaaaa`, plan `";
    assert!(text.starts_with(expected), "{text}");
    let unfolded = plan(&comment, BITBUCKET, &SecretSet::default());
    assert!(
        !unfolded.contains("<details>") && unfolded.contains("#### shop on edge-1"),
        "{unfolded}"
    );
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
        plan(&old, GITHUB, &SecretSet::default())
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
                vec!["compose.yaml:1: | bad `thing`".repeat(1 + number % 40); number % 3];
            made
        });
        of(stacks.collect())
    })
}

#[test]
fn a_comment_of_any_size_fits_and_closes_what_it_opens() {
    for comment in worlds() {
        for dialect in [GITHUB, BITBUCKET, Dialect { limit: 4000, folds: true }] {
            let text = plan(&comment, dialect, &SecretSet::default());
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
                        assert!(!line.contains("@alice") && !line.contains("<b>"), "{line}");
                    }
                    Some(_) => {}
                }
            }
            assert_eq!((fence, open), (None, closed));
            assert_eq!(plan(&comment, dialect, &SecretSet::default()), text, "not the same twice");
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
        shop.problems.push("czNjcjN0LXZhbHVlLTAxMjM0NTY3ODk=".into());
        let shown = plan(&of(vec![shop]), Dialect { limit: 1500 + length, folds: true }, &secrets);
        for leak in ["s3cr3t", "czNjcjN0"] {
            assert!(!shown.contains(leak), "{shown}");
        }
    }
    assert!(!withdrawn("closed by s3cr3t-value-0123456789", &secrets).contains("s3cr3t"));
}

//! Homes: what is known of targets lives in the pure `state`, and a pass is put together in `reconcile` alone.
//!
//! Rooms that wait and act keep handles (tasks, bells, locks) and hand values on. Whatever they would *keep* of a target
//! beside that is a second copy which somebody has to remember to bring up to date; `docs/decisions` says of the
//! exceptions why they are none.

use super::{Source, assert_none, map, mentions, sources};

/// From this floor on rooms wait and act.
const HANDS: u32 = 4;

/// Kept by target all the same: the file, the field, and why that is no knowledge of the target.
const HANDLES: &[(&str, &str, &str)] = &[
    ("src/daemon/repository.rs", "by_target", "the loops' tasks, and what ends them"),
    ("src/oneshot/round.rs", "last", "whose last turn is still to be heard in this round"),
    ("src/oneshot/mod.rs", "stacks", "what the command line names"),
    ("src/preview/moved.rs", "dangers", "a value that is worked out for one comment and handed on"),
    ("src/preview/moved.rs", "left", "a value that is worked out for one comment and handed on"),
    ("src/preview/merged.rs", "stacks", "what one pull request touches, handed on"),
    ("src/reconcile/host/mod.rs", "bells", "who is rung"),
    ("src/reconcile/host/mod.rs", "pruners", "who is rung when a host comes to rest"),
    ("src/reconcile/roster.rs", "awaited", "turns that wait for the next placement"),
    ("src/cli/glance.rs", "stacks", "what one command reads off commits, to print it"),
];

/// What is known of one target, by its type.
const KNOWLEDGE: [&str; 10] = [
    "CommitStatus",
    "Cures",
    "HostSight",
    "LastState",
    "Placement",
    "Recoveries",
    "Report",
    "Seen",
    "SeenUp",
    "Standing",
];

/// Structs that hold such a thing all the same: the file, the struct, and why that is no second copy.
const CARRIERS: &[(&str, &str, &str)] = &[
    ("src/reconcile/pass.rs", "Memory", "what one pass leaves to the next; its loop alone has it"),
    ("src/reconcile/proposal.rs", "Proposal", "what a comment's pass is told, handed on"),
    ("src/reconcile/target.rs", "Turn", "what came of a turn, handed on"),
    ("src/oneshot/round.rs", "Saying", "the turn that a round has still to end with"),
    ("src/oneshot/round.rs", "Course", "what a round says of a target at its end"),
    ("src/preview/moved.rs", "Side", "one half of a comparison, borrowed"),
];

/// A field of a struct.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    of: String,
    name: String,
    kind: String,
}

/// The fields of all structs of a text as `rustfmt` lays it out. What is borrowed is somebody else's.
fn fields(code: &str) -> Vec<Field> {
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let Some((_, head)) = line.split_once("struct ") else { continue };
        if !line.ends_with('{') || line.starts_with("    ") {
            continue;
        }
        let body = lines.by_ref().take_while(|line| *line != "}");
        let of = super::word(head).to_owned();
        // A type that goes over lines goes on until the next field.
        for line in body {
            let field = line.strip_prefix("    ").filter(|line| !line.starts_with(' '));
            let field = field.and_then(|line| line.split_once(':'));
            let name = field.map(|(head, _)| head.rsplit(' ').next().unwrap_or(head));
            match (name, field, found.last_mut()) {
                (Some(name), Some((_, kind)), _) if super::word(name) == name => {
                    let (name, kind) =
                        (name.to_owned(), kind.trim().trim_end_matches(',').to_owned());
                    found.push(Field { of: of.clone(), name, kind });
                }
                (_, _, Some(last)) if last.of == of => last.kind.push_str(line.trim()),
                _ => {}
            }
        }
    }
    found.retain(|field| !field.kind.starts_with('&'));
    found
}

/// Whether it keeps something for each of many targets or stacks.
fn is_by_target(kind: &str) -> bool {
    ["Map<", "Set<", "Vec<", "Deque<"].iter().any(|collection| {
        kind.split(collection).skip(1).any(|inside| {
            let depth_zero = inside.find(['<', '>']).map_or(inside, |end| &inside[..end]);
            let key = match depth_zero.strip_prefix('(') {
                Some(pair) => pair.split(')').next().unwrap_or(pair),
                None => depth_zero.split(',').next().unwrap_or(depth_zero),
            };
            ["Target", "TargetName", "StackName", "ReplicaKey"].iter().any(|it| mentions(key, it))
        })
    })
}

fn hands() -> impl Iterator<Item = Source> {
    let floors = map();
    sources()
        .into_iter()
        .filter(move |source| floors.get(&source.room).is_some_and(|it| HANDS <= *it))
}

#[test]
fn what_is_known_of_targets_is_kept_in_state_and_nowhere_else() {
    let mut problems = Vec::new();
    let (mut handles, mut carriers) = (0, 0);
    for source in hands() {
        for Field { of, name, kind } in fields(&source.code) {
            let is = |(path, word, _): &&(&str, &str, &str), of: &str| {
                *path == source.path && *word == of
            };
            if is_by_target(&kind) {
                match HANDLES.iter().find(|it| is(it, &name)) {
                    Some(_) => handles += 1,
                    None => problems.push(format!(
                        "{}: `{of}.{name}` keeps {kind}: let `state` know it, as a change and a view",
                        source.path
                    )),
                }
            } else if KNOWLEDGE.iter().any(|it| mentions(&kind, it)) {
                match CARRIERS.iter().find(|it| is(it, &of)) {
                    Some(_) => carriers += 1,
                    None => problems.push(format!(
                        "{}: `{of}.{name}` holds {kind}: let `state` know it, as a change and a view",
                        source.path
                    )),
                }
            }
        }
    }
    assert_none(&problems);
    // What is excused is there: a list of exceptions only shrinks.
    assert_eq!(handles, HANDLES.len(), "an exception of `HANDLES` is gone: take its line out");
    assert!(CARRIERS.len() <= carriers, "an exception of `CARRIERS` is gone: take its line out");
}

/// What a pass is put together from, and who does it beside `reconcile`: nobody.
const PASS: &[(&str, &str)] = &[
    ("plan::make", "makes plans"),
    ("plan::foresee(", "makes plans"),
    ("plan::Input {", "makes plans"),
    ("drift::detect(", "compares"),
    ("pass::run(", "runs passes"),
    ("apply::run(", "carries plans out"),
    ("placement::confine(", "shares stacks out"),
    ("lock_target(", "locks targets"),
    (".carry_out(", "changes hosts"),
    ("TargetMemory {", "remembers for passes"),
    ("Admission {", "admits commits"),
];

#[test]
fn a_pass_is_put_together_in_reconcile_and_nowhere_else() {
    let mut problems = Vec::new();
    let mut seen = vec![false; PASS.len()];
    for source in hands() {
        for ((what, does), seen) in PASS.iter().zip(&mut seen) {
            if !source.code.contains(what) {
                continue;
            }
            if source.room == "reconcile" {
                *seen = true;
            } else {
                problems.push(format!(
                    "{} {does} by itself (`{what}`): ask `reconcile::target` or `reconcile::propose`",
                    source.path
                ));
            }
        }
    }
    assert_none(&problems);
    let gone: Vec<&str> =
        PASS.iter().zip(seen).filter(|(_, seen)| !seen).map(|((what, _), _)| *what).collect();
    assert!(gone.is_empty(), "`reconcile` has no {gone:?} any more: this rule looks for nothing");
}

/// A pass is asked for by a [`Request`](moorline::reconcile), by the daemon's loops and the one-shot round.
#[test]
fn whoever_wants_a_pass_says_so_in_one_request() {
    let asks: Vec<String> = hands()
        .filter(|source| source.room != "reconcile" && source.code.contains(" Request {"))
        .filter(|source| source.code.contains("reconcile::"))
        .map(|source| source.path)
        .collect();
    assert_eq!(asks, ["src/daemon/target.rs", "src/oneshot/round.rs"]);
}

#[test]
fn the_reader_of_fields_knows_what_is_kept_by_target() {
    let code = "pub struct Book {\n    pub(crate) by: Arc<Mutex<BTreeMap<Target, u8>>>,\n    long:\n        BTreeMap<(StackName, HostName), u8>,\n    hosts: BTreeMap<HostName, StackName>,\n    lent: &'a BTreeSet<TargetName>,\n}\n";
    let fields = fields(code);
    let by_target: Vec<&str> = fields
        .iter()
        .filter(|field| is_by_target(&field.kind))
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(by_target, ["by", "long"], "{fields:?}");
}

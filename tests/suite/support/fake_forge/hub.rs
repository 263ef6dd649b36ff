//! What GitHub's API and those made after it show alike.

use serde_json::{Value, json};

use super::{Pull, Received, Reply, World, page};

/// The list of open pull requests; `mergeable` as the forge tells it before it knows.
pub(super) fn pulls(
    world: &World,
    request: &Received,
    mergeable: &Value,
    (size, most): (&str, usize),
) -> Reply {
    let open = world.pulls.iter().filter(|pull| pull.open);
    let found = open.map(|pull| shown(world, pull, mergeable));
    page(request, found.collect(), size, most, 30)
}

/// One pull request, open or not.
pub(super) fn pull(world: &World, number: &str) -> Reply {
    let found = world.pulls.iter().find(|pull| pull.number.to_string() == number);
    let Some(pull) = found else {
        return Reply::refused(404, json!({ "message": "Not Found" }));
    };
    let mut told = shown(world, pull, &Value::Null);
    told["merged"] = json!(pull.merged.is_some());
    Reply::ok(told)
}

fn shown(world: &World, pull: &Pull, mergeable: &Value) -> Value {
    json!({
        "number": pull.number, "title": "a change", "state": if pull.open { "open" } else { "closed" },
        "draft": pull.draft,
        "user": { "login": "alice" }, "mergeable": mergeable, "merge_commit_sha": pull.merged,
        "head": { "ref": pull.branch, "sha": pull.head, "label": "x",
                  "repo": pull.from.as_ref().map(|from| json!({ "full_name": from })) },
        "base": { "ref": pull.into, "sha": "0".repeat(40), "repo": { "full_name": world.project } },
    })
}

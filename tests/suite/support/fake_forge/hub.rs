//! What GitHub's API and those made after it show alike.

use serde_json::{Value, json};

use super::{Received, Reply, World, page};

/// The list of open pull requests; `mergeable` as the forge tells it before it knows.
pub(super) fn pulls(
    world: &World,
    request: &Received,
    mergeable: &Value,
    (size, most): (&str, usize),
) -> Reply {
    let open = world.pulls.iter().filter(|pull| pull.open);
    let found = open.map(|pull| {
        json!({
            "number": pull.number, "title": "a change", "state": "open", "draft": false,
            "user": { "login": "alice" }, "mergeable": mergeable, "merge_commit_sha": null,
            "head": { "ref": pull.branch, "sha": pull.head, "label": "x",
                      "repo": pull.from.as_ref().map(|from| json!({ "full_name": from })) },
            "base": { "ref": "main", "sha": "0".repeat(40), "repo": { "full_name": world.project } },
        })
    });
    page(request, found.collect(), size, most, 30)
}

//! Bitbucket Cloud: keys of 40 characters, a link that must be there, abbreviated heads, pages with `next`.

use serde_json::{Value, json};

use super::{Comment, Received, Reply, Status, TIME, World};

pub(super) fn answer(world: &mut World, request: &Received) -> Reply {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    let expected = world.token.as_ref().map(|token| format!("Bearer {token}"));
    if expected.is_some() && request.token != expected {
        return error(401, "Token is invalid, expired, or not supported for this endpoint.");
    }
    if let ("GET", ["user"]) = (method, parts.as_slice()) {
        return Reply::ok(
            json!({ "type": "user", "uuid": "{moorline-bot}", "display_name": "Moorline" }),
        );
    }
    let ["repositories", owner, name, rest @ ..] = parts.as_slice() else {
        return error(404, "Resource not found");
    };
    if format!("{owner}/{name}") != world.project {
        return error(404, "Repository acme/other not found");
    }
    match (method, rest) {
        ("GET", []) => {
            let scopes =
                if world.rights.comments { "pullrequest, repository:write" } else { "repository" };
            Reply::ok(json!({ "type": "repository", "full_name": world.project }))
                .header("x-oauth-scopes", scopes)
        }
        ("POST", ["commit", sha, "statuses", "build"]) => create_status(world, request, sha),
        ("GET", ["commit", sha, "statuses"]) => {
            let found =
                world.statuses.iter().filter(|status| status.sha == *sha).map(status).collect();
            pages(request, found)
        }
        ("GET", ["pullrequests"]) => {
            let open = world.pulls.iter().filter(|pull| pull.open);
            let found = open.map(|pull| {
                json!({
                    "type": "pullrequest", "id": pull.number, "title": "a change", "state": "OPEN", "draft": pull.draft,
                    "author": { "type": "user", "display_name": "Alice", "nickname": "alice" },
                    "source": { "branch": { "name": pull.branch }, "commit": { "hash": pull.head.get(..12) },
                                "repository": pull.from.as_ref().map(|from| json!({ "full_name": from })) },
                    "destination": { "branch": { "name": pull.into }, "commit": { "hash": "000000000000" },
                                     "repository": { "full_name": world.project } },
                })
            });
            pages(request, found.collect())
        }
        ("GET", ["pullrequests", number]) => {
            let found = world.pulls.iter().find(|pull| pull.number.to_string() == *number);
            let Some(pull) = found else { return error(404, "Resource not found") };
            let state = match (pull.open, &pull.merged) {
                (true, _) => "OPEN",
                (false, Some(_)) => "MERGED",
                (false, None) => "DECLINED",
            };
            let merged = pull.merged.as_ref().map(|id| json!({ "hash": id.get(..12) }));
            Reply::ok(json!({ "id": pull.number, "state": state, "merge_commit": merged }))
        }
        ("GET", ["pullrequests", number, "comments"]) => {
            pages(request, world.comments_at(&format!("issues/{number}"), comment))
        }
        ("POST", ["pullrequests", number, "comments"]) => {
            write_comment(world, request, &format!("issues/{number}"), None)
        }
        ("GET", ["commit", sha, "comments"]) => {
            pages(request, world.comments_at(&format!("commits/{sha}"), comment))
        }
        ("POST", ["commit", sha, "comments"]) => {
            write_comment(world, request, &format!("commits/{sha}"), None)
        }
        ("PUT", ["commit", sha, "comments", id]) => {
            write_comment(world, request, &format!("commits/{sha}"), id.parse().ok())
        }
        ("PUT", ["pullrequests", number, "comments", id]) => {
            write_comment(world, request, &format!("issues/{number}"), id.parse().ok())
        }
        _ => error(404, "Resource not found"),
    }
}

fn error(code: u16, message: &str) -> Reply {
    Reply::refused(code, json!({ "type": "error", "error": { "message": message } }))
}

fn pages(request: &Received, items: Vec<Value>) -> Reply {
    let per = request.query("pagelen").map_or(10, |text| text.parse().unwrap()).min(50);
    let number: usize = request.query("page").map_or(1, |text| text.parse().unwrap());
    let total = items.len();
    let shown: Vec<Value> = items.into_iter().skip((number - 1) * per).take(per).collect();
    let mut body = json!({ "values": shown, "pagelen": per, "page": number, "size": total });
    if number * per < total {
        body["next"] =
            json!(format!("https://api.bitbucket.invalid/2.0{}?page={}", request.path, number + 1));
    }
    Reply::ok(body)
}

fn create_status(world: &mut World, request: &Received, sha: &str) -> Reply {
    if !world.rights.statuses {
        return error(403, "Your credentials lack one or more required privilege scopes.");
    }
    if !world.commits.contains_key(sha) {
        return error(404, "Commit not found");
    }
    let key = request.field("key").unwrap_or_default();
    let state = request.field("state").unwrap_or_default();
    if key.is_empty() || 40 < key.len() {
        return error(400, "key: Ensure this value has at most 40 characters");
    }
    if request.field("url").is_none_or(str::is_empty) {
        return error(400, "url: required key not provided");
    }
    if !["INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"].contains(&state) {
        return error(400, "state: not a valid choice");
    }
    let name = request.field("name").unwrap_or(key);
    let made = world.made(sha, request, [name, state, "url"]);
    let told = status(&made);
    // One status a key: it is overwritten.
    world.statuses.retain(|status| status.sha != made.sha || status.context != made.context);
    world.statuses.push(made);
    Reply::created(told)
}

fn status(status: &Status) -> Value {
    let digest =
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, status.context.as_bytes());
    json!({
        "type": "build", "key": hex::encode(digest), "name": status.context, "state": status.state,
        "description": status.description, "url": status.url, "refname": null, "created_on": TIME, "updated_on": TIME,
    })
}

fn comment(comment: &Comment) -> Value {
    json!({
        "type": "pullrequest_comment", "id": comment.id, "deleted": false, "created_on": TIME, "updated_on": TIME,
        "content": { "type": "rendered", "raw": comment.body, "markup": "markdown", "html": "" },
        "user": { "type": "user", "uuid": format!("{{{}}}", comment.author), "display_name": "Moorline" },
    })
}

fn write_comment(world: &mut World, request: &Received, place: &str, id: Option<u64>) -> Reply {
    if !world.rights.comments {
        return error(403, "Your credentials lack one or more required privilege scopes.");
    }
    let raw = request
        .body
        .as_ref()
        .and_then(|body| body["content"]["raw"].as_str())
        .unwrap_or_default()
        .to_owned();
    if 32_768 < raw.chars().count() {
        return error(400, "content: too long");
    }
    let written = world.write_comment((Some(place), id), raw, comment);
    written.unwrap_or_else(|| error(404, "Comment not found"))
}

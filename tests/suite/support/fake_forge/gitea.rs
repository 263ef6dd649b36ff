//! Gitea and Forgejo: `status` in answers, pages of 50, whole seconds, 500 for an unknown commit.

use serde_json::{Value, json};

use moorline::model::ForgeKind as Kind;

use super::{Comment, Received, Reply, Status, TIME, World, account, hub, page};

pub(super) fn answer(world: &mut World, request: &Received) -> Reply {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    if let ("GET", ["version"]) = (method, parts.as_slice()) {
        let version = if world.kind == Kind::Forgejo { "13.0.2+gitea-1.22.0" } else { "1.26.4" };
        return Reply::ok(json!({ "version": version }));
    }
    let expected = world.token.as_ref().map(|token| format!("token {token}"));
    if expected.is_some() && request.token != expected {
        return Reply::refused(
            401,
            json!({ "message": "invalid username, password or token", "url": "" }),
        );
    }
    if let ("GET", ["user"]) = (method, parts.as_slice()) {
        return Reply::ok(account(world));
    }
    let ["repos", owner, name, rest @ ..] = parts.as_slice() else { return missing() };
    if format!("{owner}/{name}") != world.project {
        return missing();
    }
    match (method, rest) {
        ("GET", []) => Reply::ok(
            json!({ "full_name": world.project, "permissions": { "push": world.rights.statuses } }),
        ),
        ("POST", ["statuses", sha]) => create_status(world, request, sha),
        ("GET", ["commits", sha, "statuses"]) => {
            if !world.commits.contains_key(*sha) {
                return missing();
            }
            // All of a second's rows are equally new: the order among them is arbitrary.
            let mut found: Vec<&Status> =
                world.statuses.iter().filter(|status| status.sha == *sha).collect();
            found.sort_by_key(|status| (status.id % 3, status.id));
            page(request, found.into_iter().map(status).collect(), "limit", 50, 30)
        }
        ("GET", ["pulls", number]) => hub::pull(world, number),
        ("GET", ["pulls"]) => hub::pulls(world, request, &json!(true), ("limit", 50)),
        // This list has no pages.
        ("GET", ["issues", number, "comments"]) => {
            let place = format!("issues/{number}");
            Reply::ok(Value::Array(world.comments_at(&place, comment)))
        }
        ("POST", ["issues", number, "comments"]) => {
            write_comment(world, request, Some(&format!("issues/{number}")), None)
        }
        ("PATCH", ["issues", "comments", id]) => {
            write_comment(world, request, None, id.parse().ok())
        }
        _ => missing(),
    }
}

fn missing() -> Reply {
    Reply::refused(
        404,
        json!({ "message": "The target couldn't be found.", "url": "", "errors": [] }),
    )
}

fn denied(scope: &str) -> Reply {
    let message =
        format!("token does not have at least one of required scope(s), required=[{scope}]");
    Reply::refused(403, json!({ "message": message, "url": "" }))
}

fn create_status(world: &mut World, request: &Received, sha: &str) -> Reply {
    if !world.rights.statuses {
        return denied("write:repository");
    }
    if !world.commits.contains_key(sha) {
        return Reply::refused(500, json!({ "message": "", "url": "" }));
    }
    let state = request.field("state").unwrap_or_default();
    assert!(
        ["pending", "success", "error", "failure", "warning"].contains(&state),
        "Gitea would store {state:?}"
    );
    let context = request.field("context").unwrap_or("default").trim();
    let mut made = world.made(sha, request, [context, state, "target_url"]);
    made.description = made.description.trim().to_owned();
    let told = status(&made);
    world.statuses.push(made);
    Reply::created(told)
}

fn status(status: &Status) -> Value {
    json!({
        "id": status.id, "status": status.state, "context": status.context, "description": status.description,
        "target_url": status.url.clone().unwrap_or_default(), "created_at": TIME, "updated_at": TIME,
        "creator": { "login": "moorline-bot" }, "url": "",
    })
}

fn comment(comment: &Comment) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "user": { "login": comment.author }, "created_at": TIME,
        "updated_at": TIME, "assets": [], "html_url": "", "issue_url": "", "pull_request_url": "",
        "original_author": "", "original_author_id": 0,
    })
}

fn write_comment(
    world: &mut World,
    request: &Received,
    place: Option<&str>,
    id: Option<u64>,
) -> Reply {
    if !world.rights.comments {
        return denied("write:issue");
    }
    let body = request.field("body").unwrap_or_default().to_owned();
    world.write_comment((place, id), body, comment).unwrap_or_else(missing)
}

//! Azure DevOps: everything below a project of an organisation, an API version that must be named, statuses in genre and
//! name on commits and on pull requests, comments in threads, and a page to sign in for a token that it does not know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Comment, Pull, Received, Reply, Status, TIME, World};

pub(super) fn answer(world: &mut World, request: &Received) -> Reply {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let expected =
        world.token.as_ref().map(|token| format!("Basic {}", STANDARD.encode(format!(":{token}"))));
    if expected.is_some() && request.token != expected {
        return Reply::refused(203, json!("<html>Sign in to your account</html>"));
    }
    if request.query("api-version") != Some("7.1") {
        return error(400, "VssVersionNotSpecifiedException", "No api-version was supplied");
    }
    let method = request.method.as_str();
    if let ("GET", [_, "_apis", "connectionData"]) = (method, parts.as_slice()) {
        return Reply::ok(
            json!({ "authenticatedUser": { "id": world.account, "providerDisplayName": "Moorline" } }),
        );
    }
    let [owner, project, "_apis", "git", "repositories", name, rest @ ..] = parts.as_slice() else {
        return error(404, "VssServiceException", "TF400813: no such resource");
    };
    if format!("{owner}/{project}/{name}") != world.project {
        return error(404, "GitRepositoryNotFoundException", "TF401019: no such repository");
    }
    match (method, rest) {
        ("GET", []) => {
            Reply::ok(json!({ "id": "5fe", "name": name, "project": { "name": project } }))
        }
        ("POST", ["commits", sha, "statuses"]) => status_on_commit(world, request, sha),
        ("POST", ["pullRequests", number, "statuses"]) => {
            if !number
                .parse()
                .is_ok_and(|number: u64| world.pulls.iter().any(|pull| pull.number == number))
            {
                return error(
                    404,
                    "GitPullRequestNotFoundException",
                    "TF401180: no such pull request",
                );
            }
            status_on(world, request, &format!("pull/{number}"))
        }
        ("GET", ["commits", sha, "statuses"]) => {
            let of = world.statuses.iter().filter(|status| status.sha == *sha);
            pages(request, of.map(status).collect(), ("top", "skip"))
        }
        ("GET", ["pullrequests"]) => {
            let open = world.pulls.iter().filter(|pull| pull.open);
            pages(request, open.map(|one| pull(one, world)).collect(), ("$top", "$skip"))
        }
        ("GET", ["pullrequests", number]) => {
            let found = world.pulls.iter().find(|pull| pull.number.to_string() == *number);
            found.map_or_else(
                || error(404, "GitPullRequestNotFoundException", "TF401180: no such pull request"),
                |one| Reply::ok(pull(one, world)),
            )
        }
        ("GET", ["pullRequests", number, "threads"]) => {
            let found = world.comments_at(&format!("issues/{number}"), thread);
            Reply::ok(json!({ "count": found.len(), "value": found }))
        }
        ("POST", ["pullRequests", number, "threads"]) => {
            let body = request.body.as_ref().map_or(Value::Null, Clone::clone);
            let content = body["comments"][0]["content"].as_str().unwrap_or_default().to_owned();
            write(world, (&format!("issues/{number}"), None), content, thread)
        }
        ("PATCH", ["pullRequests", number, "threads", id, "comments", "1"]) => {
            let content = request.field("content").unwrap_or_default().to_owned();
            write(world, (&format!("issues/{number}"), id.parse().ok()), content, first)
        }
        _ => error(404, "VssServiceException", "TF400813: no such resource"),
    }
}

fn error(code: u16, kind: &str, message: &str) -> Reply {
    Reply::refused(
        code,
        json!({ "$id": "1", "message": message, "typeKey": kind, "eventId": 3000 }),
    )
}

fn pages(request: &Received, items: Vec<Value>, (top, skip): (&str, &str)) -> Reply {
    let number = |name: &str| request.query(name).map(|text| text.parse::<usize>().unwrap());
    let per = number(top).unwrap_or(100).min(1000);
    let shown: Vec<Value> = items.into_iter().skip(number(skip).unwrap_or(0)).take(per).collect();
    Reply::ok(json!({ "count": shown.len(), "value": shown }))
}

fn status_on_commit(world: &mut World, request: &Received, sha: &str) -> Reply {
    if !world.commits.contains_key(sha) {
        return error(404, "GitCommitDoesNotExistException", "TF401175: no such commit");
    }
    status_on(world, request, sha)
}

fn status_on(world: &mut World, request: &Received, place: &str) -> Reply {
    if !world.rights.statuses {
        return error(
            403,
            "GitNeedsPermissionException",
            "TF401027: You need the Git 'Contribute' permission",
        );
    }
    let body = request.body.as_ref().map_or(Value::Null, Clone::clone);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (genre, name) = (text(&body["context"]["genre"]), text(&body["context"]["name"]));
    let state = text(&body["state"]);
    if name.is_empty() || !["pending", "succeeded", "failed", "error"].contains(&state.as_str()) {
        return error(400, "InvalidArgumentValueException", "A value is not valid");
    }
    let context = if genre.is_empty() { name } else { format!("{genre}/{name}") };
    let made = world.made(place, request, [&context, &state, "targetUrl"]);
    let told = status(&made);
    world.statuses.push(made);
    Reply::created(told)
}

fn status(status: &Status) -> Value {
    let (genre, name) = status.context.split_once('/').unwrap_or(("", &status.context));
    json!({
        "id": status.id, "state": status.state, "description": status.description, "targetUrl": status.url,
        "context": { "genre": genre, "name": name }, "creationDate": TIME, "updatedDate": TIME,
        "createdBy": { "id": "moorline-bot", "displayName": "Moorline" },
    })
}

fn pull(pull: &Pull, world: &World) -> Value {
    let own = pull.from.as_ref() == Some(&world.project);
    let name = pull.from.as_ref().and_then(|from| from.rsplit_once('/'));
    let fork = match name {
        _ if own => Value::Null,
        Some((project, name)) => {
            let project = project.rsplit('/').next();
            json!({ "repository": { "name": name, "project": { "name": project } } })
        }
        None => json!({ "repository": null }),
    };
    let mut told = json!({
        "pullRequestId": pull.number, "status": match (pull.open, &pull.merged) { (true, _) => "active", (false, Some(_)) => "completed", (false, None) => "abandoned" },
        "title": "a change", "isDraft": pull.draft,
        "createdBy": { "id": "a1", "displayName": "Alice", "uniqueName": "alice" },
        "sourceRefName": format!("refs/heads/{}", pull.branch), "targetRefName": format!("refs/heads/{}", pull.into),
        "lastMergeSourceCommit": { "commitId": pull.head },
        "lastMergeCommit": pull.merged.as_ref().map(|id| json!({ "commitId": id })),
        "mergeStatus": "succeeded", "creationDate": TIME,
    });
    if !own {
        told["forkSource"] = fork;
    }
    told
}

/// One comment, as it is told by itself.
fn first(comment: &Comment) -> Value {
    json!({
        "id": 1, "parentCommentId": 0, "content": comment.body, "commentType": "text", "isDeleted": false,
        "author": { "id": comment.author, "displayName": "Moorline" }, "publishedDate": TIME,
    })
}

fn thread(comment: &Comment) -> Value {
    json!({
        "id": comment.id, "status": "closed", "isDeleted": false, "publishedDate": TIME, "comments": [first(comment)],
    })
}

fn write(
    world: &mut World,
    (place, id): (&str, Option<u64>),
    content: String,
    shown: fn(&Comment) -> Value,
) -> Reply {
    if !world.rights.comments {
        return error(
            403,
            "GitNeedsPermissionException",
            "TF401027: You need the Git 'PullRequestContribute' permission",
        );
    }
    if 150_000 < content.chars().count() {
        return error(400, "InvalidArgumentValueException", "The comment is too long");
    }
    let written = world.write_comment((Some(place), id), content, shown);
    written
        .unwrap_or_else(|| error(404, "CommentThreadNotFoundException", "TF401181: no such thread"))
}

//! GitLab: pipelines, and the state machine of external statuses (`create_commit_status_service.rb`).

use serde_json::{Value, json};

use super::{Comment, Received, Reply, Status, TIME, World, account, page};

pub(super) fn answer(world: &mut World, request: &Received) -> Reply {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    if world.token.is_some() && request.token != world.token {
        return Reply::refused(401, json!({ "message": "401 Unauthorized" }));
    }
    if let ("GET", ["user"]) = (method, parts.as_slice()) {
        return Reply::ok(account(world));
    }
    if let ("GET", ["version"]) = (method, parts.as_slice()) {
        return Reply::ok(json!({ "version": "19.2.0", "revision": "0286e4c" }));
    }
    let ["projects", project, rest @ ..] = parts.as_slice() else {
        return missing("404 Not Found");
    };
    if *project != world.project {
        return missing("404 Project Not Found");
    }
    match (method, rest) {
        ("GET", []) => {
            let level = if world.rights.statuses { 30 } else { 20 };
            Reply::ok(json!({ "id": 5, "path_with_namespace": world.project,
                "permissions": { "project_access": null, "group_access": { "access_level": level } } }))
        }
        ("GET", ["repository", "commits", sha]) => match world.commits.get(*sha) {
            Some(runs) => {
                let pipeline =
                    runs.then(|| json!({ "id": 77, "ref": "main", "status": "running" }));
                Reply::ok(json!({ "id": sha, "short_id": sha.get(..8), "last_pipeline": pipeline }))
            }
            None => missing("404 Commit Not Found"),
        },
        ("POST", ["statuses", sha]) => create_status(world, request, sha),
        ("GET", ["repository", "commits", sha, "statuses"]) => {
            // Without `all` only the newest of each name is listed.
            let newest = world.statuses.iter().filter(|status| {
                status.sha == *sha
                    && world
                        .status(sha, &status.context)
                        .is_some_and(|newest| newest.id == status.id)
            });
            page(request, newest.map(status).collect(), "per_page", 100, 20)
        }
        ("GET", ["merge_requests"]) => {
            assert_eq!(request.query("state"), Some("opened"));
            let open = world.pulls.iter().filter(|pull| pull.open);
            let found = open.map(|pull| {
                json!({
                    "iid": pull.number, "title": "a change", "state": "opened", "draft": pull.draft, "sha": pull.head,
                    "author": { "username": "alice" }, "source_branch": pull.branch, "target_branch": pull.into,
                    "source_project_id": if pull.from.as_ref() == Some(&world.project) { Some(5) } else { pull.from.as_ref().map(|_| 6) },
                    "target_project_id": 5, "merge_commit_sha": null,
                })
            });
            page(request, found.collect(), "per_page", 100, 20)
        }
        ("GET", ["merge_requests", number]) => {
            let found = world.pulls.iter().find(|pull| pull.number.to_string() == *number);
            let Some(pull) = found else {
                return Reply::refused(404, json!({ "message": "404 Not found" }));
            };
            let state = match (pull.open, &pull.merged) {
                (true, _) => "opened",
                (false, Some(_)) => "merged",
                (false, None) => "closed",
            };
            Reply::ok(json!({
                "iid": pull.number, "state": state, "sha": pull.head,
                "merge_commit_sha": pull.merged, "squash_commit_sha": null,
            }))
        }
        ("GET", [folder @ ("merge_requests" | "issues"), number, "notes"]) => {
            let place = place(folder, number);
            let mut found: Vec<Value> =
                vec![json!({ "id": 1, "body": "approved this merge request", "system": true,
                "author": { "username": "moorline-bot" } })];
            found.extend(world.comments_at(&place, comment));
            page(request, found, "per_page", 100, 20)
        }
        ("POST", [folder @ ("merge_requests" | "issues"), number, "notes"]) => {
            write_note(world, request, &place(folder, number), None)
        }
        ("PUT", [folder @ ("merge_requests" | "issues"), number, "notes", id]) => {
            write_note(world, request, &place(folder, number), id.parse().ok())
        }
        ("GET", ["repository", "commits", sha, "discussions"]) => {
            let found = world.comments_at(&format!("commits/{sha}"), comment);
            page(request, found.into_iter().map(discussion).collect(), "per_page", 100, 20)
        }
        ("POST", ["repository", "commits", sha, "discussions"]) => {
            let mut reply = write_note(world, request, &format!("commits/{sha}"), None);
            if reply.code == 201 {
                reply.body = discussion(reply.body);
            }
            reply
        }
        ("PUT", ["repository", "commits", sha, "discussions", of, "notes", id]) => {
            assert_eq!(*of, format!("d{id}"), "the note is in another discussion");
            write_note(world, request, &format!("commits/{sha}"), id.parse().ok())
        }
        _ => missing("404 Not Found"),
    }
}

/// A discussion with one note; its id is no number.
fn discussion(note: Value) -> Value {
    json!({ "id": format!("d{}", note["id"]), "individual_note": false, "notes": [note] })
}

fn place(folder: &str, number: &str) -> String {
    if folder == "issues" { format!("gitlab-issues/{number}") } else { format!("issues/{number}") }
}

fn missing(message: &str) -> Reply {
    Reply::refused(404, json!({ "message": message }))
}

fn create_status(world: &mut World, request: &Received, sha: &str) -> Reply {
    if !world.rights.statuses {
        return Reply::refused(403, json!({ "message": "403 Forbidden" }));
    }
    let Some(runs) = world.commits.get(sha).copied() else {
        return missing("404 Commit Not Found");
    };
    if request.field("target_url").is_some_and(|link| 255 < link.chars().count()) {
        return Reply::refused(
            400,
            json!({ "message": { "target_url": ["is too long (maximum is 255 characters)"] } }),
        );
    }
    let pipeline = request.body.as_ref().and_then(|body| body.get("pipeline_id"));
    assert!(
        !runs || pipeline == Some(&json!(77)),
        "a second pipeline would be opened beside the one that runs"
    );
    let state = request.field("state").unwrap_or_default().to_owned();
    let name = request.field("name").unwrap_or("default").to_owned();
    let last = world.status(sha, &name).cloned();
    let under_way = last.filter(|last| ["pending", "running"].contains(&last.state.as_str()));
    let (event, from) = match (&under_way, state.as_str()) {
        (Some(last), "pending") => ("enqueue", last.state.clone()),
        (Some(last), "running") if last.state == "running" => ("run", last.state.clone()),
        (_, "pending" | "running" | "success" | "failed" | "canceled" | "skipped") => {
            ("", String::new())
        }
        _ => return Reply::refused(400, json!({ "error": "state does not have a valid value" })),
    };
    if !event.is_empty() {
        let message = format!(
            "Cannot transition status via :{event} from :{from} (Reason(s): Status cannot transition via \"{event}\")"
        );
        return Reply::refused(400, json!({ "message": message }));
    }
    let mut made = world.made(sha, request, [&name, &state, "target_url"]);
    // A row that is under way is changed; a finished one gets a successor.
    if let Some(last) = &under_way {
        made.id = last.id;
    }
    let told = status(&made);
    world.statuses.retain(|status| status.id != made.id);
    world.statuses.push(made);
    Reply::created(told)
}

fn status(status: &Status) -> Value {
    json!({
        "id": status.id, "status": status.state, "name": status.context, "description": status.description,
        "target_url": status.url, "sha": status.sha, "ref": "main", "allow_failure": false, "coverage": null,
        "created_at": TIME, "started_at": null, "finished_at": null, "author": { "username": "moorline-bot" },
    })
}

fn comment(comment: &Comment) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "system": false, "author": { "username": comment.author },
        "created_at": TIME, "updated_at": TIME, "internal": false, "resolvable": false, "type": null,
    })
}

fn write_note(world: &mut World, request: &Received, place: &str, id: Option<u64>) -> Reply {
    if !world.rights.comments {
        return Reply::refused(
            403,
            json!({ "error": "insufficient_scope", "error_description": "The request requires higher privileges", "scope": "api" }),
        );
    }
    let body = request.field("body").unwrap_or_default().to_owned();
    if 1_000_000 < body.chars().count() {
        return Reply::refused(
            400,
            json!({ "message": "400 (Bad request) \"Note {:note=>[\\\"is too long\\\"]}\" not given" }),
        );
    }
    let place = Some(place);
    world.write_comment((place, id), body, comment).unwrap_or_else(|| missing("404 Not found"))
}

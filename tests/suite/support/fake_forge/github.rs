//! GitHub Enterprise Server: 140, 255, 1000 and 65 536; 404 where others say 403; contexts without case.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{Comment, Received, Reply, Status, TIME, World, account, hub, page};

pub(super) fn answer(world: &mut World, request: &Received) -> Reply {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    if let ("GET", ["meta"]) = (method, parts.as_slice()) {
        return Reply::ok(
            json!({ "verifiable_password_authentication": false, "installed_version": "3.19.0" }),
        )
        .header("x-github-enterprise-version", "3.19.0");
    }
    if let Some(reply) = app(world, request, &parts) {
        return reply;
    }
    // Either word is good, as it is there.
    let words = ["Bearer", "token"].into_iter();
    let told =
        |token: &String| words.clone().any(|word| request.token == Some(format!("{word} {token}")));
    if world.token.as_ref().is_some_and(|token| !told(token)) {
        return Reply::refused(
            401,
            json!({ "message": "Bad credentials", "documentation_url": "https://docs.github.com/rest" }),
        );
    }
    if let ("GET", ["user"]) = (method, parts.as_slice()) {
        return Reply::ok(account(world));
    }
    let ["repos", owner, name, rest @ ..] = parts.as_slice() else { return missing() };
    let asked = format!("{owner}/{name}");
    if world.renamed_from.as_deref() == Some(&asked) {
        let to = request.path.replacen(&asked, &world.project, 1);
        return Reply::refused(301, json!({ "message": "Moved Permanently" }))
            .header("location", format!("/api/v3{to}"));
    }
    if asked != world.project {
        return missing();
    }
    match (method, rest) {
        ("GET", []) => {
            Reply::ok(json!({ "full_name": world.project, "permissions": { "push": true } }))
                .header(
                    "x-oauth-scopes",
                    if world.rights.comments { "repo" } else { "repo:status" },
                )
        }
        ("POST", ["statuses", sha]) => create_status(world, request, sha),
        ("GET", ["commits", sha, "statuses"] | ["statuses", sha]) => {
            let found = world
                .statuses
                .iter()
                .rev()
                .filter(|status| status.sha == *sha)
                .map(status)
                .collect();
            page(request, found, "per_page", 100, 30)
        }
        ("GET", ["pulls", number]) => hub::pull(world, number),
        ("GET", ["pulls"]) => hub::pulls(world, request, &Value::Null, ("per_page", 100)),
        ("GET", ["issues", number, "comments"]) => {
            let found = world.comments_at(&format!("issues/{number}"), comment);
            page(request, found, "per_page", 100, 30)
        }
        ("POST", ["issues", number, "comments"]) => {
            write_comment(world, request, Some(&format!("issues/{number}")), None)
        }
        ("GET", ["commits", sha, "comments"]) => {
            let found = world.comments_at(&format!("commits/{sha}"), comment);
            page(request, found, "per_page", 100, 30)
        }
        ("POST", ["commits", sha, "comments"]) => {
            write_comment(world, request, Some(&format!("commits/{sha}")), None)
        }
        ("PATCH", ["issues", "comments", id] | ["comments", id]) => {
            write_comment(world, request, None, id.parse().ok())
        }
        _ => missing(),
    }
}

fn missing() -> Reply {
    Reply::refused(
        404,
        json!({ "message": "Not Found", "documentation_url": "https://docs.github.com/rest" }),
    )
}

fn denied(right: &str) -> Reply {
    Reply::refused(403, json!({ "message": "Resource not accessible by personal access token" }))
        .header("x-accepted-github-permissions", right)
}

fn invalid(field: &str, message: &str) -> Reply {
    let error =
        json!({ "resource": "Status", "field": field, "code": "custom", "message": message });
    Reply::refused(422, json!({ "message": "Validation Failed", "errors": [error] }))
}

fn create_status(world: &mut World, request: &Received, sha: &str) -> Reply {
    if !world.rights.statuses {
        return denied("statuses=write");
    }
    if !world.commits.contains_key(sha) {
        return Reply::refused(
            422,
            json!({ "message": format!("No commit found for SHA: {sha}") }),
        );
    }
    let state = request.field("state").unwrap_or_default();
    let description = request.field("description").unwrap_or_default();
    let context = request.field("context").unwrap_or("default").to_owned();
    if !["error", "failure", "pending", "success"].contains(&state) {
        return invalid("state", "state is not included in the list");
    }
    if 140 < description.chars().count() {
        return invalid("description", "description is too long (maximum is 140 characters)");
    }
    if 255 < context.chars().count() {
        return invalid("context", "context is too long (maximum is 255 characters)");
    }
    let same =
        |status: &&Status| status.sha == sha && status.context.eq_ignore_ascii_case(&context);
    if 1000 <= world.statuses.iter().filter(same).count() {
        return Reply::refused(
            422,
            json!({ "message": "Validation Failed", "errors": [{ "message": "This SHA and context has reached the maximum number of statuses." }] }),
        );
    }
    let made = world.made(sha, request, [&context, state, "target_url"]);
    let told = status(&made);
    world.statuses.push(made);
    Reply::created(told)
}

fn status(status: &Status) -> Value {
    json!({
        "id": status.id, "state": status.state, "context": status.context, "description": status.description,
        "target_url": status.url, "created_at": TIME, "updated_at": TIME, "creator": { "login": "moorline-bot" },
        "avatar_url": "", "node_id": "x", "url": format!("https://ghe/api/v3/repos/acme/fleet/statuses/{}", status.sha),
    })
}

fn comment(comment: &Comment) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "user": { "login": comment.author }, "created_at": TIME,
        "updated_at": TIME, "author_association": "MEMBER", "html_url": "", "issue_url": "", "node_id": "x", "url": "",
    })
}

fn write_comment(
    world: &mut World,
    request: &Received,
    place: Option<&str>,
    id: Option<u64>,
) -> Reply {
    if !world.rights.comments {
        return denied("issues=write; pull_requests=write");
    }
    let body = request.field("body").unwrap_or_default().to_owned();
    if 65_536 < body.encode_utf16().count() {
        return Reply::refused(
            422,
            json!({ "message": "Validation Failed", "errors": [{ "message": "body is too long (maximum is 65536 characters)" }] }),
        );
    }
    world.write_comment((place, id), body, comment).unwrap_or_else(missing)
}

/// The App's calls: a token that is signed with its key, and the installation's.
fn app(world: &mut World, request: &Received, parts: &[&str]) -> Option<Reply> {
    let is_app = matches!(parts, ["app", ..] | ["repos", _, _, "installation"]);
    if !is_app {
        return None;
    }
    let jwt = request
        .token
        .as_deref()
        .and_then(|token| token.strip_prefix("Bearer "))
        .unwrap_or_default();
    if !signed(world, jwt) {
        return Some(Reply::refused(
            401,
            json!({ "message": "A JSON web token could not be decoded" }),
        ));
    }
    Some(match (request.method.as_str(), parts) {
        ("GET", ["app"]) => Reply::ok(json!({ "id": 42, "slug": "moorline" })),
        ("GET", ["repos", _, _, "installation"]) => {
            Reply::ok(json!({ "id": 99, "app_slug": "moorline" }))
        }
        ("POST", ["app", "installations", "99", "access_tokens"]) => {
            world.tokens_bought += 1;
            let token = format!("ghs_42_eyJhbGciOiJSUzI1NiJ9.number-{}.c2ln", world.tokens_bought);
            world.token = Some(token.clone());
            Reply::created(
                json!({ "token": token, "expires_at": "2099-01-01T00:00:00Z", "permissions": {} }),
            )
        }
        _ => missing(),
    })
}

fn signed(world: &World, jwt: &str) -> bool {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok();
    let (Some(key), Some((text, signature))) = (&world.app_key, jwt.rsplit_once('.')) else {
        return false;
    };
    let Some(signature) = decode(signature) else { return false };
    let good = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(text.as_bytes(), &signature)
        .is_ok();
    let claims: Value =
        serde_json::from_slice(&decode(text.split_once('.').unwrap().1).unwrap()).unwrap();
    let span = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    good && claims["iss"] == "Iv1.moorline" && span <= 600
}

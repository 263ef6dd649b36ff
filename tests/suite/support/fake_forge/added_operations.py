"""Operations that the reduced descriptions leave out, written by hand from the forges' reference documents.

They are stricter than those: nothing but what is listed may be sent. Merged into a description before the check.
"""


def text(**more):
    return {"type": "string", "minLength": 1, **more}


def in_path(name, **schema):
    return {"name": name, "in": "path", "required": True, "schema": schema or text()}


def in_query(name, most):
    return {"name": name, "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": most}}


def operation(parameters, body=None):
    """Any answer will do: only requests are checked."""
    made = {"parameters": parameters, "responses": {"default": {"description": "any"}}}
    if body:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


def record(**fields):
    return {"type": "object", "additionalProperties": False, "required": list(fields), "properties": fields}


SHA = {"type": "string", "pattern": "^[0-9a-f]{40}([0-9a-f]{24})?$"}
ID = {"type": "integer", "minimum": 1}


def github():
    repository = [in_path("owner"), in_path("repo")]
    pages = [in_query("per_page", 100), in_query("page", 1000)]
    # At most 65 536 characters, as in issues; `path` and `position` would pin it to a line.
    body = record(body=text(maxLength=65536))
    commit = repository + [in_path("commit_sha", **SHA)]
    return {
        "/repos/{owner}/{repo}/commits/{commit_sha}/comments": {
            "get": operation(commit + pages), "post": operation(commit, body)},
        "/repos/{owner}/{repo}/comments/{comment_id}": {
            "patch": operation(repository + [in_path("comment_id", **ID)], body)},
    }


def gitlab():
    project = [in_path("id")]
    pages = [in_query("per_page", 100), in_query("page", 1000)]
    body = record(body=text(maxLength=1000000))
    commit = project + [in_path("commit_id", **SHA)]
    note = commit + [in_path("discussion_id"), in_path("note_id", **ID)]
    discussions = "/api/v4/projects/{id}/repository/commits/{commit_id}/discussions"
    issue = project + [in_path("issue_iid", **ID)]
    order = [{"name": "sort", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
             {"name": "order_by", "in": "query",
              "schema": {"type": "string", "enum": ["created_at", "updated_at"]}}]
    return {
        discussions: {"get": operation(commit + pages), "post": operation(commit, body)},
        discussions + "/{discussion_id}/notes/{note_id}": {"put": operation(note, body)},
        "/api/v4/projects/{id}/issues/{issue_iid}/notes": {
            "get": operation(issue + pages + order), "post": operation(issue, body)},
        "/api/v4/projects/{id}/issues/{issue_iid}/notes/{note_id}": {
            "put": operation(issue + [in_path("note_id", **ID)], body)},
        "/api/v4/user": {"get": operation([])},
    }


def bitbucket():
    repository = [in_path("workspace"), in_path("repo_slug")]
    pages = [in_query("pagelen", 100), in_query("page", 1000)]
    commit = repository + [in_path("commit", **SHA)]
    body = record(type={"type": "string", "enum": ["commit_comment"]},
                  content=record(raw=text(maxLength=32768)))
    comments = "/repositories/{workspace}/{repo_slug}/commit/{commit}/comments"
    return {
        comments: {"get": operation(commit + pages), "post": operation(commit, body)},
        comments + "/{comment_id}": {"put": operation(commit + [in_path("comment_id", **ID)], body)},
    }


BY_FORGE = {"github": github, "ghes": github, "gitlab": gitlab, "bitbucket": bitbucket}


def add(name, spec):
    """Adds what a forge's description lacks; what it has stays as it is."""
    for path, item in BY_FORGE.get(name, dict)().items():
        known = spec["paths"].setdefault(path, {})
        for method, made in item.items():
            known.setdefault(method, made)

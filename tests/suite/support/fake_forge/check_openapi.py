"""Checks recorded requests against a forge's published OpenAPI description.

    check_openapi.py DESCRIPTION.json REQUESTS.json

REQUESTS is a list of {method, path, query, body}; the path is without the API's base (`/api/v1` and the like), with
its escapes. Prints one line a violation. Exit codes: 0 all good, 1 violations, 77 no validator is installed.
Paths, methods, query parameters (unknown ones too) and bodies are checked. What the reduced descriptions leave out is
in `added_operations.py`.
"""
import json
import re
import sys
from urllib.parse import unquote

try:
    from openapi_schema_validator import OAS30WriteValidator as Validator
except ImportError:
    try:
        from openapi_schema_validator import OAS30Validator as Validator
    except ImportError:
        sys.exit(77)
try:
    from openapi_core import OpenAPI
    from openapi_core.testing import MockRequest
except ImportError:
    OpenAPI = None

import added_operations

# Documented for all lists of the forge at once, not for each.
PAGING = {"bitbucket": {"page", "pagelen"}}


def pattern(template):
    parts = ["[^/]+" if p.startswith("{") else re.escape(p) for p in template.split("/")]
    return re.compile("/".join(parts) + "$")


def resolve(spec, node):
    while isinstance(node, dict) and "$ref" in node:
        found = spec
        for key in node["$ref"].split("/")[1:]:
            found = found[key.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def find(spec, method, path):
    matches = [t for t in spec["paths"] if pattern(t).match(path)]
    matches.sort(key=lambda t: t.count("{"))
    for template in matches:
        if method.lower() in spec["paths"][template]:
            return template, spec["paths"][template]
    return None, None


def schema_problems(spec, schema, value, where):
    rooted = {"allOf": [schema], "components": spec.get("components", {})}
    for error in Validator(rooted).iter_errors(value):
        yield f"{where} at /{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def coerce(schema, text):
    kind = schema.get("type")
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def check(spec, name, request):
    method, path = request["method"], request["path"]
    template, item = find(spec, method, path)
    if item is None:
        yield "no such operation in the description"
        return
    operation = item[method.lower()]
    known = {}
    for parameter in operation.get("parameters", []) + item.get("parameters", []):
        parameter = resolve(spec, parameter)
        if parameter["in"] == "query":
            known[parameter["name"]] = parameter
        if parameter["in"] == "path":
            index = template.split("/").index("{" + parameter["name"] + "}") if "{" + parameter["name"] + "}" in template.split("/") else None
            if index is not None:
                schema = resolve(spec, parameter["schema"])
                value = coerce(schema, unquote(path.split("/")[index]))
                yield from schema_problems(spec, schema, value, f"path parameter {parameter['name']!r}")
    for key, value in request["query"]:
        if key in known:
            schema = resolve(spec, known[key].get("schema", {}))
            yield from schema_problems(spec, schema, coerce(schema, value), f"query parameter {key!r}")
        elif key not in PAGING.get(name, set()):
            yield f"query parameter {key!r} is not described"
    for key, parameter in known.items():
        if parameter.get("required") and key not in dict(request["query"]):
            yield f"query parameter {key!r} is missing"
    body = resolve(spec, operation.get("requestBody"))
    if request["body"] is None:
        if body and body.get("required"):
            yield "the body is missing"
    elif not body:
        yield "a body is not described"
    else:
        schema = resolve(spec, body["content"]["application/json"]["schema"])
        yield from schema_problems(spec, schema, request["body"], "body")


def check_core(api, base, request):
    """The second opinion, where openapi-core is installed."""
    body = None if request["body"] is None else json.dumps(request["body"]).encode()
    made = MockRequest("http://localhost", request["method"].lower(), base + request["path"],
                       args=dict(request["query"]), data=body, content_type="application/json")
    try:
        api.validate_request(made)
    except Exception as problem:  # noqa: BLE001
        text = type(problem).__name__
        if "Security" in text or "Server" in text:
            return
        causes = getattr(problem.__cause__, "schema_errors", None) or []
        yield f"openapi-core: {text}: {problem} {[getattr(c, 'message', c) for c in causes]}"[:400]


def main():
    name = re.sub(r"(-[\d.]+)?\.json$", "", sys.argv[1].rsplit("/", 1)[-1])
    with open(sys.argv[1]) as file:
        spec = json.load(file)
    with open(sys.argv[2]) as file:
        requests = json.load(file)
    added_operations.add(name, spec)
    spec["servers"] = [{"url": "http://localhost"}]
    api = OpenAPI.from_dict(spec) if OpenAPI else None
    bad = 0
    seen = set()
    for request in requests:
        key = json.dumps(request, sort_keys=True)
        if key in seen:
            continue
        seen.add(key)
        problems = list(check(spec, name, request))
        described = find(spec, request["method"], request["path"])[1] is not None
        if api and described:
            problems += list(check_core(api, "", request))
        for problem in problems:
            bad += 1
            print(f"{request['method']} {request['path']}: {problem}")
    print(f"{len(requests)} requests, {len(seen)} different, {bad} violations"
          f" (openapi-core: {'yes' if api else 'no'})", file=sys.stderr)
    sys.exit(1 if bad else 0)


main()

//! `docs/schema` against what the program prints. As much of JSON Schema as those files use; a keyword beyond it is an error.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::real_stack::project;

/// Keywords that say nothing about a value.
const SILENT: [&str; 4] = ["$schema", "$defs", "title", "description"];

/// The schema of a command's output; `None` without one.
pub fn of_command(name: &str) -> Option<PathBuf> {
    let file = project().join("docs/schema").join(format!("{name}.json"));
    file.is_file().then_some(file)
}

/// Everything that a command printed as JSON and its schema does not allow.
pub fn problems(command: &str, printed: &str) -> Vec<String> {
    // What is not one document has a line for each.
    let texts: Vec<&str> =
        if command == "logs" { printed.lines().collect() } else { vec![printed] };
    let mut found = Vec::new();
    for text in texts {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                found.push(format!("no JSON: {error}"));
                continue;
            }
        };
        let schema = if value.get("error").is_some() { "error" } else { command };
        match of_command(schema) {
            Some(_) => check(&value, &read(schema), schema, "", &mut found),
            None => found.push(format!("docs/schema/{schema}.json is not there")),
        }
    }
    found
}

fn read(name: &str) -> Value {
    let file = of_command(name).unwrap_or_else(|| panic!("no schema {name}"));
    serde_json::from_slice(&std::fs::read(&file).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Checks a value against a schema of a file, `home`; `at` is where the value stands.
fn check(value: &Value, schema: &Value, home: &str, at: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{home}: no schema: {schema}"));
    for (keyword, said) in schema {
        match keyword.as_str() {
            "type" if !is_of(value, said) => found.push(format!("{at} is no {said}: {value}")),
            "enum" if !said.as_array().unwrap().contains(value) => {
                found.push(format!("{at} is none of {said}: {value}"));
            }
            "required" => {
                let names = said.as_array().unwrap().iter().filter_map(Value::as_str);
                let missing = names.filter(|name| value.get(name).is_none());
                found.extend(missing.map(|name| format!("{at} lacks {name}")));
            }
            "properties" | "additionalProperties" => {
                if let Some(fields) = value.as_object().filter(|_| is_first(keyword, schema)) {
                    members(fields, schema, home, at, found);
                }
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, said, home, &format!("{at}[{place}]"), found);
                }
            }
            "anyOf" => one_of(value, said, home, at, found),
            "$ref" => follow(value, said.as_str().unwrap(), home, at, found),
            "type" | "enum" => {}
            other => assert!(SILENT.contains(&other), "{home}: unknown keyword {other}"),
        }
    }
}

/// Both are looked at together, when the first of them comes.
fn is_first(keyword: &str, schema: &Map<String, Value>) -> bool {
    keyword == "properties" || !schema.contains_key("properties")
}

fn members(
    fields: &Map<String, Value>,
    schema: &Map<String, Value>,
    home: &str,
    at: &str,
    found: &mut Vec<String>,
) {
    for (name, value) in fields {
        let at = format!("{at}.{name}");
        let known = schema.get("properties").and_then(|all| all.get(name));
        match known.or_else(|| schema.get("additionalProperties")) {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => found.push(format!("{at} stands in no schema")),
            Some(said) => check(value, said, home, &at, found),
        }
    }
}

fn one_of(value: &Value, said: &Value, home: &str, at: &str, found: &mut Vec<String>) {
    let mut closest: Option<Vec<String>> = None;
    for schema in said.as_array().unwrap() {
        let mut own = Vec::new();
        check(value, schema, home, at, &mut own);
        if own.is_empty() {
            return;
        }
        if closest.as_ref().is_none_or(|known| own.len() < known.len()) {
            closest = Some(own);
        }
    }
    found.extend(closest.into_iter().flatten());
}

fn follow(value: &Value, said: &str, home: &str, at: &str, found: &mut Vec<String>) {
    let (file, path) = said.split_once('#').unwrap();
    let home = if file.is_empty() { home } else { file.trim_end_matches(".json") };
    let whole = read(home);
    let schema = whole.pointer(path).unwrap_or_else(|| panic!("{home}: {said} leads nowhere"));
    check(value, schema, home, at, found);
}

fn is_of(value: &Value, said: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    };
    match said {
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        name => is(name.as_str().unwrap()),
    }
}

#[test]
fn a_value_that_its_schema_does_not_allow_is_found() {
    let good = r#"{"error": {"message": "x", "help": null, "problems": []}}"#;
    assert_eq!(problems("plan", good), Vec::<String>::new());
    let bad = r#"{"error": {"message": 1, "helps": null, "problems": []}}"#;
    let found = problems("plan", bad);
    assert_eq!(
        found,
        [
            ".error.helps stands in no schema",
            ".error.message is no \"string\": 1",
            ".error lacks help"
        ]
    );
    assert!(problems("plan", "{} {}")[0].starts_with("no JSON"));
}

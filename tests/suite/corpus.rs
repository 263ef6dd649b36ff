//! Other people's Compose files, and rule cases, when `MOORLINE_SHARED` names the folder that holds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use moorline::cli::DiskFiles;
use moorline::compose::{LoadPurpose, LoadRequest, Loaded, Lookup, load};
use serde_json::Value;

fn shared() -> Option<PathBuf> {
    let folder =
        std::env::var("MOORLINE_SHARED").ok().map(|folder| PathBuf::from(folder).join("compose"));
    if folder.is_none() {
        println!("skipped: MOORLINE_SHARED is not set, so there is no corpus to compare with");
    }
    folder
}

#[derive(Default)]
struct Asked {
    folder: PathBuf,
    files: Vec<String>,
    profiles: Vec<String>,
    env_files: Vec<String>,
    variables: BTreeMap<String, String>,
    project_name: Option<String>,
}

fn loaded(asked: &Asked) -> Loaded {
    load(&LoadRequest {
        files: &DiskFiles { folder: asked.folder.clone() },
        folder: asked.folder.to_str().unwrap(),
        compose_files: &asked.files,
        lookup: Lookup::FolderAndAbove,
        profiles: &asked.profiles,
        variables: &asked.variables,
        given: &[],
        env_files: &asked.env_files,
        shared_env_files: &[],
        project_name: asked.project_name.as_deref(),
        default_name: None,
        project_directory: None,
        home: Some("/home/tester"),
        purpose: LoadPurpose::Show,
    })
}

/// The model in the form that golden models and cases are written in.
fn canonical(mut value: Value) -> Value {
    let services = value.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(serde_json::Map::values_mut) {
        let Some(service) = service.as_object_mut() else { continue };
        for key in ["command", "entrypoint"] {
            if service.get(key).is_some_and(Value::is_null) {
                service.remove(key);
            }
        }
        for volume in service.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten()
        {
            if volume.get("type").and_then(Value::as_str) == Some("bind") {
                let volume = volume.as_object_mut().unwrap();
                let bind = volume.entry("bind").or_insert_with(|| serde_json::json!({}));
                let bind = bind.as_object_mut().unwrap();
                bind.entry("create_host_path").or_insert(Value::Bool(true));
            }
        }
        let blkio = service.get_mut("blkio_config").and_then(Value::as_object_mut);
        for list in blkio.into_iter().flat_map(serde_json::Map::values_mut) {
            for item in list.as_array_mut().into_iter().flatten() {
                let lower = item.as_object().unwrap().iter();
                *item = lower.map(|(key, value)| (key.to_lowercase(), value.clone())).collect();
            }
        }
    }
    value
}

fn replaced(value: &Value, from: &str, to: &str) -> Value {
    serde_json::from_str(&value.to_string().replace(from, to)).unwrap()
}

#[test]
fn models_of_the_corpus_equal_the_references() {
    let Some(root) = shared() else { return };
    let table = std::fs::read_to_string(root.join("projects.tsv")).unwrap();
    let mut lines = table.lines();
    let heads: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| heads.iter().position(|head| head.starts_with(name)).unwrap();
    let (id, folder, files) = (column("#id"), column("dir"), column("compose_files"));
    let (env, profiles, valid, golden) =
        (column("env_file"), column("profiles"), column("valid"), column("golden"));
    let (mut equal, mut compared, mut refused, mut invalid) = (0, 0, 0, 0);
    let mut surprises = Vec::new();
    for line in lines {
        let row: Vec<&str> = line.split('\t').collect();
        let words = |place: usize| row[place].split_whitespace().map(str::to_owned).collect();
        let asked = Asked {
            folder: root.join(row[folder]),
            files: words(files),
            profiles: words(profiles),
            env_files: words(env),
            ..Asked::default()
        };
        let loaded = loaded(&asked);
        if row[valid] != "yes" {
            invalid += 1;
            refused += usize::from(loaded.project.is_none());
            continue;
        }
        if row[golden].is_empty() {
            continue;
        }
        compared += 1;
        let golden: Value =
            serde_json::from_str(&std::fs::read_to_string(root.join(row[golden])).unwrap())
                .unwrap();
        let golden = canonical(replaced(&golden, "$$", "$"));
        let ours = loaded.project.map(|project| {
            let ours = canonical(serde_json::to_value(&project).unwrap());
            replaced(&ours, root.to_str().unwrap(), "@CORPUS@")
        });
        if ours.as_ref() == Some(&golden) {
            equal += 1;
        } else {
            surprises.push(row[id].to_owned());
        }
    }
    println!(
        "models equal: {equal} of {compared}; invalid refused: {refused} of {invalid}; {surprises:?}"
    );
    assert!(equal * 100 >= compared * 99, "{surprises:?}");
    assert!(refused * 100 >= invalid * 98);
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn strings(case: &Value, key: &str) -> Vec<String> {
    case.get(key).and_then(Value::as_array).into_iter().flatten().map(text).collect()
}

fn run_case(case: &Value, folder: &Path) -> Result<(), String> {
    for (name, content) in case["files"].as_object().unwrap() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = content.as_str().unwrap_or_default();
        std::fs::write(path, content.replace("@DIR@", folder.to_str().unwrap())).unwrap();
    }
    let variables = case.get("env").and_then(Value::as_object);
    let asked = Asked {
        folder: folder.to_owned(),
        files: strings(case, "compose_files"),
        profiles: strings(case, "profiles"),
        env_files: strings(case, "env_files"),
        variables: variables.into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect(),
        project_name: case.get("project_name").and_then(Value::as_str).map(str::to_owned),
    };
    let loaded = loaded(&asked);
    let expect = &case["expect"];
    let Some(project) = loaded.project else {
        let is_expected = expect.get("error").is_some();
        return if is_expected { Ok(()) } else { Err(format!("refused: {:?}", loaded.problems)) };
    };
    if expect.get("error").is_some() {
        return Err("accepted, and an error was expected".to_owned());
    }
    let ours = canonical(serde_json::to_value(&project).unwrap());
    let ours = replaced(&ours, folder.to_str().unwrap(), "@DIR@");
    for (pointer, wanted) in expect.get("equal").and_then(Value::as_object).into_iter().flatten() {
        if ours.pointer(pointer) != Some(wanted) {
            return Err(format!(
                "{pointer}: {:?}, and {wanted} was expected",
                ours.pointer(pointer)
            ));
        }
    }
    match strings(expect, "absent").into_iter().find(|pointer| ours.pointer(pointer).is_some()) {
        Some(pointer) => Err(format!("{pointer} is there")),
        None => Ok(()),
    }
}

#[test]
fn all_rule_cases_pass() {
    let Some(root) = shared() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let scratch_path = scratch.path().canonicalize().unwrap();
    let mut failures = Vec::new();
    let mut run = 0;
    for entry in std::fs::read_dir(root.join("cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let cases: Value = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            run += 1;
            let id = text(&case["id"]);
            let folder = scratch_path.join(&id).join("case");
            std::fs::create_dir_all(&folder).unwrap();
            if let Err(problem) = run_case(case, &folder) {
                failures.push(format!("{id}: {problem}"));
            }
        }
    }
    println!("{} of {run} cases as expected", run - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

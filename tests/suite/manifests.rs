//! Runs every folder of `tests/manifests`: the files are loaded as a repository's tree, and the outcome is
//! compared with `project.json` or `problems.txt`. `UPDATE=1` writes the outcome down instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline::compose::{LoadPurpose, LoadRequest, Loaded, Lookup, TREE_ROOT, TreeFiles, load};
use moorline::model::{FileMode, ManifestTree, TreeFile, TreePath, UnsetPolicy};
use serde::Deserialize;

const OUTCOMES: [&str; 3] = ["project.json", "problems.txt", "request.yaml"];

/// `request.yaml`: what is asked for besides the files.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    folder: String,
    files: Vec<String>,
    profiles: Vec<String>,
    variables: BTreeMap<String, String>,
    env_files: Vec<String>,
    project_name: Option<String>,
    project_directory: Option<String>,
    /// To be run, with this word on variables without a value; without it, to be shown.
    run: Option<UnsetPolicy>,
}

fn tree_of(folder: &Path) -> ManifestTree {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !OUTCOMES.contains(&name.as_str()) {
                let bytes: Arc<[u8]> = std::fs::read(&path).unwrap().into();
                let file = TreeFile { mode: FileMode::Regular, bytes };
                files.insert(TreePath::parse(&name).unwrap(), file);
            }
        }
    }
    ManifestTree::new(files)
}

fn loaded(folder: &Path) -> Loaded {
    let tree = tree_of(folder);
    let request = match std::fs::read_to_string(folder.join("request.yaml")) {
        Ok(text) => serde_yaml::from_str(&text).unwrap(),
        Err(_) => Request { project_name: Some("case".to_owned()), ..Request::default() },
    };
    load(&LoadRequest {
        files: &TreeFiles(&tree),
        folder: format!("{TREE_ROOT}/{}", request.folder).trim_end_matches('/'),
        compose_files: &request.files,
        lookup: Lookup::Folder,
        profiles: &request.profiles,
        variables: &request.variables,
        given: &[],
        env_files: &request.env_files,
        shared_env_files: &[],
        project_name: request.project_name.as_deref(),
        default_name: None,
        project_directory: request.project_directory.as_deref(),
        home: None,
        purpose: request.run.map_or(LoadPurpose::Show, |unset| LoadPurpose::Run { unset }),
    })
}

/// Name of the outcome's file, and its content.
fn outcome(folder: &Path) -> (&'static str, String) {
    let loaded = loaded(folder);
    match loaded.project {
        Some(project) => {
            let value = serde_json::to_value(&project).unwrap();
            ("project.json", serde_json::to_string_pretty(&value).unwrap() + "\n")
        }
        None => {
            let lines: Vec<String> = loaded.problems.0.iter().map(ToString::to_string).collect();
            ("problems.txt", lines.join("\n") + "\n")
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_manifest_loads_as_written_down() {
    let update = std::env::var("UPDATE").is_ok();
    let mut failures = Vec::new();
    for case in cases() {
        let (name, text) = outcome(&case);
        if update {
            for old in ["project.json", "problems.txt"] {
                drop(std::fs::remove_file(case.join(old)));
            }
            std::fs::write(case.join(name), text).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(case.join(name)).unwrap_or_default();
        if expected != text {
            let diff = similar::TextDiff::from_lines(&expected, &text);
            failures.push(format!(
                "{}\n{}",
                case.display(),
                diff.unified_diff().header("expected", name)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases().len() > 20);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    for case in cases() {
        assert_eq!(outcome(&case), outcome(&case), "{}", case.display());
    }
}

#[test]
fn origins_name_the_line_that_asks() {
    let case =
        cases().into_iter().find(|case| case.ends_with("env_files_and_environment")).unwrap();
    let project = loaded(&case).project.unwrap();
    let place = |path: &str| project.origins.get(path).unwrap().to_string();
    assert_eq!(place("services.web.environment.FROM_FILE"), "web.env:2:1");
    assert_eq!(place("services.web.environment.OWN"), "compose.yaml:6:12");
    assert_eq!(project.below_root(&format!("{TREE_ROOT}/web.env")), Some("web.env"));
}

#[test]
fn the_yaml_shape_has_extensions_and_no_empty_parts() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "name: case\nservices:\n  web:\n    image: web:1\n    x-owner: {team: a}\n    \
                    deploy: {replicas: 2}\n    x-develop: {watch: [{path: /src, action: rebuild}]}\n";
    std::fs::write(folder.path().join("compose.yaml"), manifest).unwrap();
    let mut render = std::process::Command::new(env!("CARGO_BIN_EXE_moorline"));
    let output = render.args(["render", "--output", "yaml"]).current_dir(folder.path()).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let shape: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let wanted = serde_json::json!({
        "name": "case",
        "services": {"web": {
            "image": "web:1",
            "networks": {"default": null},
            "deploy": {"replicas": 2},
            "develop": {"watch": [{"path": "/src", "action": "rebuild"}]},
            "x-owner": {"team": "a"},
        }},
        "networks": {"default": {"name": "case_default"}},
    });
    assert_eq!(shape, wanted, "{text}");
}

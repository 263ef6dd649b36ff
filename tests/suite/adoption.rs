//! Stacks that docker compose made, taken over: nothing is to be done about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use moorline::commit::{self, LoadedStack};
use moorline::config::Stack;
use moorline::docker::{Depth, Engine, EngineSettings};
use moorline::model::{
    AdoptPolicy, Digest, FileMode, HostName, Location, ManifestTree, Policy, RepositoryName,
    Revision, StackName, TreeFile, TreePath,
};
use moorline::reconcile::pass::{self, Memory, Mode, Sight, Work};
use moorline::report::Target;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::desired::corpus;
use crate::support::fake_engine::{Behaviour, FakeEngine, Options};
use crate::support::world::now;

/// Where the corpus lay when docker compose ran.
const THERE: &str = "/srv/corpus";

/// One line of the table of projects.
struct Project {
    id: String,
    /// Repository, as a folder of the corpus.
    repository: String,
    /// The project's folder below it.
    folder: String,
    files: Vec<String>,
    profiles: Vec<String>,
    env_files: Vec<String>,
    model: Value,
    calls: Value,
}

fn projects(root: &Path) -> Vec<Project> {
    let table = std::fs::read_to_string(root.join("projects.tsv")).unwrap();
    let mut lines = table.lines();
    let heads: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| heads.iter().position(|head| head.starts_with(name)).unwrap();
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(root.join(name)).unwrap()).unwrap()
    };
    let rows = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| !row[column("api_golden")].is_empty())
        .map(|row| {
            let words =
                |name: &str| row[column(name)].split_whitespace().map(str::to_owned).collect();
            let mut parts = row[column("dir")].splitn(3, '/');
            let repository = [parts.next().unwrap(), parts.next().unwrap()].join("/");
            Project {
                id: row[column("#id")].to_owned(),
                repository,
                folder: parts.next().unwrap_or_default().to_owned(),
                files: words("compose_files"),
                profiles: words("profiles"),
                env_files: words("env_file"),
                model: read(row[column("golden")]),
                calls: read(row[column("api_golden")]),
            }
        })
        .collect()
}

fn read_below(folder: &Path, prefix: &str, files: &mut BTreeMap<TreePath, TreeFile>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            read_below(&entry.path(), &format!("{name}/"), files);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap().into();
            files.insert(
                TreePath::parse(&name).unwrap(),
                TreeFile { mode: FileMode::Regular, bytes },
            );
        }
    }
}

/// The files of a project's repository. The corpus leaves out what no Compose file is: Dockerfiles, configs and secrets
/// that the model names are put in their place.
fn tree(root: &Path, project: &Project) -> ManifestTree {
    let mut files = BTreeMap::new();
    read_below(&root.join(&project.repository), "", &mut files);
    let base = format!("@CORPUS@/{}/", project.repository);
    let mut wanted: Vec<String> = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for service in project.model["services"].as_object().into_iter().flat_map(|map| map.values()) {
        let build = &service["build"];
        if build.is_object() && build["dockerfile_inline"].is_null() {
            let dockerfile = build["dockerfile"].as_str().unwrap_or("Dockerfile");
            wanted.push(format!("{}/{dockerfile}", text(&build["context"])));
        }
    }
    for kind in ["configs", "secrets"] {
        let all = project.model[kind].as_object().into_iter().flat_map(|map| map.values());
        wanted.extend(all.map(|one| text(&one["file"])));
    }
    for path in wanted {
        let Some(path) = path.strip_prefix(&base).and_then(plain) else { continue };
        let bytes = b"FROM scratch\n".as_slice().into();
        files.entry(path).or_insert(TreeFile { mode: FileMode::Regular, bytes });
    }
    ManifestTree::new(files)
}

/// A path without climbs.
fn plain(path: &str) -> Option<TreePath> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    TreePath::parse(&parts.join("/")).ok()
}

fn load(root: &Path, project: &Project) -> LoadedStack {
    let name = StackName::parse(project.model["name"].as_str().unwrap()).unwrap();
    let folder = TreePath::parse(&project.folder).unwrap();
    let below = |file: &String| plain(&format!("{}/{file}", project.folder)).unwrap();
    let mut stack = Stack::new(name, folder, Location::file("fleet.yaml"));
    stack.files = project.files.iter().map(below).collect();
    stack.env_files = project.env_files.iter().map(below).collect();
    stack.profiles.clone_from(&project.profiles);
    commit::load(&stack, &tree(root, project), &moorline::model::Given::default()).0
}

/// Makes on the simulated Engine what docker compose made. An error when not everything can run side by side.
fn play(fake: &FakeEngine, project: &Project) -> Result<(), String> {
    let external = |kind: &str| -> Vec<String> {
        let all = project.model[kind].as_object().into_iter().flatten();
        all.filter(|(_, one)| one["external"] == true)
            .map(|(key, one)| one["name"].as_str().unwrap_or(key).to_owned())
            .collect()
    };
    for name in external("networks") {
        fake.create_network_by_hand(json!({"Name": name, "Driver": "bridge", "Attachable": true}));
    }
    for name in external("volumes") {
        fake.create_volume_by_hand(json!({"Name": name, "Driver": "local"}));
    }
    let list = |key: &str| project.calls[key].as_array().cloned().unwrap_or_default();
    for network in list("networks") {
        fake.create_network_by_hand(moved(&network));
    }
    for volume in list("volumes") {
        fake.create_volume_by_hand(moved(&volume));
    }
    let containers: BTreeMap<String, Value> = list("containers")
        .into_iter()
        .map(|container| (container["name"].as_str().unwrap().to_owned(), container))
        .collect();
    let started = list("start_order");
    let started = started.iter().filter_map(Value::as_str).map(str::to_owned);
    let mut order: Vec<String> = started.filter(|name| containers.contains_key(name)).collect();
    let named: BTreeSet<String> = order.iter().cloned().collect();
    order.extend(containers.keys().filter(|name| !named.contains(*name)).cloned());
    let mut ids: Vec<(String, String)> = Vec::new();
    for name in order {
        let id = start(fake, project, (&name, &containers[&name]), &ids)?;
        ids.push((Digest::of(format!("c{name}").as_bytes()).to_string(), id));
    }
    Ok(())
}

/// With the corpus where it lay.
fn moved(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace("@CORPUS@", THERE)).unwrap()
}

fn start(
    fake: &FakeEngine,
    project: &Project,
    (name, container): (&str, &Value),
    ids: &[(String, String)],
) -> Result<String, String> {
    let mut text = moved(&container["body"]).to_string();
    for (recorded, id) in ids {
        text = text.replace(recorded, id);
    }
    // What the recording leaves out.
    let mut body: Value = serde_json::from_str(&text).unwrap();
    let folder = format!("{THERE}/{}/{}", project.repository, project.folder);
    let labels = body["Labels"].as_object_mut().unwrap();
    let further = [
        ("com.docker.compose.project.working_dir", folder.trim_end_matches('/')),
        ("com.docker.compose.config-hash", "0123456789abcdef"),
        ("com.docker.compose.version", "5.6.1"),
    ];
    labels.extend(further.map(|(key, value)| (key.to_owned(), json!(value))));
    let image = body["Image"].as_str().unwrap().to_owned();
    fake.publish(&image, json!({"Cmd": ["run"]}));
    fake.add_image(&image, json!({"Cmd": ["run"]}));
    let service = body["Labels"]["com.docker.compose.service"].as_str().unwrap().to_owned();
    if is_awaited(project, &service) {
        let ends = Some((Duration::ZERO, 0));
        fake.behave(name, Behaviour { ends, ..Behaviour::default() });
    } else {
        fake.behave(name, Behaviour::default());
    }
    let id = fake.create_by_hand(name, &body)?;
    for connect in project.calls["connects"].as_array().into_iter().flatten() {
        if connect["container"] == name {
            let network = connect["network"].as_str().unwrap();
            fake.connect(network, &json!({"Container": id, "EndpointConfig": connect["endpoint"]}));
        }
    }
    fake.start_by_hand(name)?;
    Ok(id)
}

/// Whether some service waits for the end of this one.
fn is_awaited(project: &Project, service: &str) -> bool {
    let services = project.model["services"].as_object().into_iter().flat_map(|map| map.values());
    services
        .map(|other| &other["depends_on"][service]["condition"])
        .any(|condition| condition == "service_completed_successfully")
}

/// What a pass would do about a stack that docker compose made; empty when nothing. `None` for a stack that cannot run.
async fn left_to_do(root: &Path, project: &Project) -> Option<Vec<String>> {
    let stack = load(root, project);
    let fake = FakeEngine::start(Options::default()).await;
    if let Err(why) = play(&fake, project) {
        eprintln!("{} cannot run: {why}", project.id);
        return None;
    }
    Some(planned(&stack, &fake).await)
}

async fn planned(stack: &LoadedStack, fake: &FakeEngine) -> Vec<String> {
    if stack.project.is_none() {
        return stack.problems.0.iter().map(ToString::to_string).collect();
    }
    let engine = Engine::connect(&fake.endpoint(), &EngineSettings::default()).await.unwrap();
    let target = Target {
        repository: RepositoryName::parse("fleet").unwrap(),
        stack: stack.stack.name.clone(),
        host: HostName::parse("local").unwrap(),
    };
    let policy = Policy { adopt: AdoptPolicy::Adopt, ..Policy::default() };
    let work = Work {
        target: &target,
        stack,
        revision: &Revision::parse(&"1".repeat(40)).unwrap(),
        policy: &policy,
        sight: Sight::Live(&engine),
        host_data: "/var/lib/moorline",
        mode: Mode::Show,
        share: None,
        approvals: &[],
        beside: pass::Beside::default(),
        depth: Depth::Full,
        listener: Arc::new(|_| {}),
        clock: now,
    };
    // What the health checks say takes a moment.
    let starting = |fake: &FakeEngine| {
        fake.containers().iter().any(|one| {
            fake.inspect(&one.name).is_some_and(|it| it["State"]["Health"]["Status"] == "starting")
        })
    };
    crate::support::comes(|| !starting(fake), crate::support::PATIENCE).await;
    let report = pass::run(&work, &mut Memory::default(), &CancellationToken::new()).await;
    if let Some(failure) = report.failure {
        return vec![failure.message];
    }
    let Some(round) = report.rounds.last() else { return Vec::new() };
    if round.plan.is_empty() {
        return Vec::new();
    }
    moorline::plan::render(&[&round.plan]).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_docker_compose_made_is_adopted_as_it_is() {
    let Some(root) = corpus() else { return };
    let projects = projects(&root);
    let (mut different, mut runnable) = (Vec::new(), 0);
    for project in &projects {
        let Some(left) = left_to_do(&root, project).await else { continue };
        runnable += 1;
        if !left.is_empty() {
            eprintln!("{}:\n  {}", project.id, left.join("\n  "));
            different.push(project.id.clone());
        }
    }
    let equal = runnable - different.len();
    eprintln!(
        "{equal} of {runnable} runnable stacks of docker compose leave nothing to do, of {} in all",
        projects.len()
    );
    assert!(95 * runnable <= 100 * equal, "{different:?}");
    assert!(0 < runnable);
}

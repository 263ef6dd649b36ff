//! Images: the registry, pulls and builds.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Shared;
use super::routes::{Answer, refuse};
use super::world::{Image, World, hash, now};

/// With its tag; a digest stays as it is.
pub(super) fn full(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// By reference, or by id.
pub(super) fn find(world: &mut World, reference: &str) -> Option<Image> {
    if let Some(image) = world.images.get(reference) {
        return Some(image.clone());
    }
    let name = full(reference);
    if !world.tags.contains_key(&name) && world.all_images_present {
        let config = content(world, &name)?;
        world.add_image(&name, config);
    }
    world.tags.get(&name).and_then(|id| world.images.get(id)).cloned()
}

/// What the registry has under a reference.
fn content(world: &World, name: &str) -> Option<Value> {
    let known = world.registry.get(name).cloned();
    known.or_else(|| {
        world.all_images_published.then(|| json!({"Cmd": ["run"], "Env": ["PATH=/bin"]}))
    })
}

fn digest(config: &Value) -> String {
    format!("sha256:{}", hash(&format!("manifest {config}")))
}

impl World {
    pub(super) fn publish(&mut self, image: &str, config: Value) {
        self.registry.insert(full(image), config);
    }

    pub(super) fn unpublish(&mut self, image: &str) {
        self.registry.remove(&full(image));
        self.all_images_published = false;
    }

    pub(super) fn add_image(&mut self, image: &str, config: Value) {
        let name = full(image);
        let id = format!(
            "sha256:{}",
            hash(&format!("{config}{}", name.split([':', '@']).next().unwrap_or_default()))
        );
        let repository = name.rsplit_once(':').map_or(name.as_str(), |(repository, _)| repository);
        let digests = vec![format!("{repository}@{}", digest(&config))];
        let config = config.as_object().cloned().unwrap_or_default();
        let image = Image { id: id.clone(), config, digests, tagged: now() };
        self.images.insert(id.clone(), image);
        self.tags.insert(name.clone(), id.clone());
        self.tell("image", "tag", &id, json!({"name": name}));
    }
}

pub(super) fn pull(shared: &Arc<Shared>, query: &BTreeMap<String, String>) -> Answer {
    let word = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
    let (name, tag) = (word("fromImage"), word("tag"));
    let reference = if tag.starts_with("sha256:") {
        format!("{name}@{tag}")
    } else {
        full(&format!("{name}:{tag}"))
    };
    let mut world = shared.world();
    let Some(config) = content(&world, &reference) else {
        let what = format!(
            "pull access denied for {name}, repository does not exist or may require 'docker login'"
        );
        return refuse(404, &what);
    };
    world.add_image(&reference, config.clone());
    world.tell("image", "pull", &reference, json!({"name": name}));
    drop(world);
    shared.wake();
    let lines = [
        json!({"status": format!("Pulling from {name}"), "id": tag}),
        json!({"status": "Downloading", "progressDetail": {"current": 50, "total": 100}, "id": "layer"}),
        json!({"status": format!("Digest: {}", digest(&config))}),
        json!({"status": format!("Status: Downloaded newer image for {reference}")}),
    ];
    Answer::lines(&lines)
}

/// `docker import`: an image without anything but labels.
pub(super) fn import(shared: &Arc<Shared>, query: &BTreeMap<String, String>) -> Answer {
    let word = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
    let label = word("changes").strip_prefix("LABEL ").and_then(|text| text.split_once('='));
    let labels: BTreeMap<&str, &str> = label.into_iter().collect();
    shared
        .world()
        .add_image(&format!("{}:{}", word("repo"), word("tag")), json!({"Labels": labels}));
    shared.wake();
    Answer::lines(&[json!({"status": "sha256:0"})])
}

pub(super) fn remove(shared: &Arc<Shared>, image: &str) {
    let mut world = shared.world();
    if let Some(id) = world.tags.remove(&full(image)) {
        world.tell("image", "untag", &id, json!({"name": full(image)}));
    }
    drop(world);
    shared.wake();
}

pub(super) fn distribution(shared: &Arc<Shared>, reference: &str) -> Answer {
    let world = shared.world();
    match content(&world, &full(reference)) {
        Some(config) => Answer::json(
            200,
            &json!({
                "Descriptor": {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": digest(&config), "size": 1},
                "Platforms": [{"architecture": "amd64", "os": "linux"}],
            }),
        ),
        None => refuse(404, &format!("manifest unknown: {reference}")),
    }
}

/// The classic builder: reads as much of the Dockerfile as tests need.
pub(super) fn build(shared: &Arc<Shared>, query: &[(String, String)], archive: &[u8]) -> Answer {
    let word = |key: &str| {
        query
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    let dockerfile = match word("dockerfile") {
        "" => "Dockerfile",
        path => path,
    };
    let Some(text) = file_of(archive, dockerfile) else {
        return refuse(500, &format!("Cannot locate specified Dockerfile: {dockerfile}"));
    };
    let args: Map<String, Value> = serde_json::from_str(word("buildargs")).unwrap_or_default();
    let mut lines = Vec::new();
    let mut world = shared.world();
    let mut config = Map::new();
    for (number, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        lines.push(json!({"stream": format!("Step {} : {line}\n", number + 1)}));
        let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = args.iter().fold(rest.to_owned(), |rest, (name, value)| {
            rest.replace(&format!("${name}"), value.as_str().unwrap_or_default())
        });
        if let Some(said) = rest.strip_prefix("echo ").filter(|_| instruction == "RUN") {
            let said = said.split(';').next().unwrap_or_default();
            lines.push(json!({"stream": format!("{said}\n")}));
        }
        let outcome = step(&mut world, &mut config, &instruction.to_uppercase(), rest.trim());
        if let Err(message) = outcome {
            lines.push(json!({"errorDetail": {"message": message}, "error": message}));
            return Answer::lines(&lines);
        }
    }
    let labels: Value = serde_json::from_str(word("labels")).unwrap_or_else(|_| json!({}));
    let all = config.entry("Labels").or_insert_with(|| json!({}));
    if let (Some(all), Some(labels)) = (all.as_object_mut(), labels.as_object()) {
        all.extend(labels.clone());
    }
    for (_, tag) in query.iter().filter(|(name, _)| name == "t") {
        world.add_image(tag, Value::Object(config.clone()));
        lines.push(json!({"stream": format!("Successfully tagged {tag}\n")}));
    }
    drop(world);
    shared.wake();
    Answer::lines(&lines)
}

fn step(
    world: &mut World,
    config: &mut Map<String, Value>,
    instruction: &str,
    rest: &str,
) -> Result<(), String> {
    let words = || -> Value {
        serde_json::from_str(rest).unwrap_or_else(|_| json!(["/bin/sh", "-c", rest]))
    };
    let mut into_map = |key: &str, name: &str, value: Value| {
        let map = config.entry(key).or_insert_with(|| json!({}));
        if let Some(map) = map.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    };
    match instruction {
        "FROM" if rest != "scratch" => {
            let base =
                find(world, rest.split(' ').next().unwrap_or_default()).ok_or_else(|| {
                    format!("pull access denied for {rest}, repository does not exist")
                })?;
            *config = base.config;
        }
        "CMD" => drop(config.insert("Cmd".to_owned(), words())),
        "ENTRYPOINT" => drop(config.insert("Entrypoint".to_owned(), words())),
        "USER" => drop(config.insert("User".to_owned(), json!(rest))),
        "WORKDIR" => drop(config.insert("WorkingDir".to_owned(), json!(rest))),
        "ENV" => {
            let list = config.entry("Env").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(json!(rest));
            }
        }
        "EXPOSE" => into_map("ExposedPorts", &format!("{rest}/tcp"), json!({})),
        "VOLUME" => into_map("Volumes", rest, json!({})),
        "LABEL" => {
            if let Some((name, value)) = rest.split_once('=') {
                into_map("Labels", name, json!(value));
            }
        }
        "RUN" => {
            if let Some((_, code @ 1..)) = super::containers::behaviour_of(&[rest.to_owned()]).ends
            {
                return Err(format!(
                    "The command '/bin/sh -c {rest}' returned a non-zero code: {code}"
                ));
            }
        }
        _ => {}
    }
    Ok(())
}

fn file_of(archive: &[u8], path: &str) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if entry.path().ok()?.display().to_string() == path {
            let mut text = String::new();
            entry.read_to_string(&mut text).ok()?;
            return Some(text);
        }
    }
    None
}

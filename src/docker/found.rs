//! Containers that docker compose made, as one finds them on a host that is to be taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;

use super::connect::{Ask, segment};
use super::look::{NUMBER, ONE_OFF, PROJECT, REPOSITORY, SERVICE, STACK};
use super::{Engine, EngineError};
use crate::model::{ContainerId, Timestamp};

/// Containers that are inspected at a time.
const PARALLEL: usize = 8;
const FOLDER: &str = "com.docker.compose.project.working_dir";
const FILES: &str = "com.docker.compose.project.config_files";
const ENV_FILES: &str = "com.docker.compose.project.environment_file";

/// A container of a host, as far as it matters to one who takes it over. Its variables may hold secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FoundContainer {
    /// Its id.
    pub id: Option<ContainerId>,
    /// Its name, without the slash.
    pub name: String,
    /// When it was made; `None` when the Engine's word for it cannot be understood.
    pub created_at: Option<Timestamp>,
    /// Whether it runs now.
    pub running: bool,
    /// Its state in the Engine's word: `running`, `exited`, `restarting`, …
    pub state: String,
    /// The image as it was asked for, `nginx:1.27`.
    pub image: String,
    /// The Compose project that its labels name.
    pub project: Option<String>,
    /// The service that its labels name.
    pub service: Option<String>,
    /// The number among the service's containers that its labels name, as text.
    pub number: Option<String>,
    /// The absolute folder on the machine where docker compose ran.
    pub folder: Option<String>,
    /// Absolute paths of the Compose files there.
    pub files: Vec<String>,
    /// Absolute paths of env files that were named on the command line.
    pub env_files: Vec<String>,
    /// Made by `docker compose run`.
    pub one_off: bool,
    /// The stack of ours that its labels name.
    pub stack: Option<String>,
    /// The repository of ours that its labels name.
    pub repository: Option<String>,
    /// How long it is given to end, where it says.
    pub grace: Option<Duration>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// Host paths that it mounts: source, target, and whether it may write.
    pub binds: Vec<(String, String, bool)>,
    /// Names of the networks that it belongs to.
    pub networks: BTreeSet<String>,
    /// Names of the volumes that it mounts.
    pub volumes: BTreeSet<String>,
}

impl std::fmt::Debug for FoundContainer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FoundContainer").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    name: String,
    created: String,
    config: Config,
    state: State,
    mounts: Option<Vec<Mount>>,
    network_settings: Networks,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: String,
    env: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    stop_timeout: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    #[serde(rename = "Type")]
    kind: String,
    name: String,
    source: String,
    destination: String,
    #[serde(rename = "RW")]
    writable: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Networks {
    networks: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

impl Engine {
    /// Every container of the host, whoever made it, by name. One that goes meanwhile is left out.
    ///
    /// # Errors
    /// When the list or an inspection cannot be read: half a host is not to be taken over.
    pub async fn found_containers(&self) -> Result<Vec<FoundContainer>, EngineError> {
        let ask = Ask::get("/containers/json", "list containers").query("all", "1");
        let lines: Vec<Line> = self.wire().read(ask).await?;
        let looks = lines.iter().map(|line| async move {
            let path = format!("/containers/{}/json", segment(&line.id));
            match self.wire().read::<Inspected>(Ask::get(path, "inspect a container")).await {
                Err(error) if error.status() == Some(404) => Ok(None),
                other => other.map(|seen| Some(found(seen))),
            }
        });
        let looks: Vec<Result<Option<FoundContainer>, EngineError>> =
            stream::iter(looks).buffer_unordered(PARALLEL).collect().await;
        let mut all: Vec<FoundContainer> =
            looks.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }
}

fn found(seen: Inspected) -> FoundContainer {
    let labels = seen.config.labels.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().filter(|text| !text.is_empty());
    let paths = |name: &str| -> Vec<String> {
        let text = label(name).unwrap_or_default();
        text.split(',').filter(|path| path.starts_with('/')).map(str::to_owned).collect()
    };
    let environment = seen.config.env.unwrap_or_default().into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let mounts = seen.mounts.unwrap_or_default();
    let of_kind = |kind: &'static str| mounts.iter().filter(move |mount| mount.kind == kind);
    FoundContainer {
        id: ContainerId::parse(&seen.id).ok(),
        grace: seen.config.stop_timeout.map(Duration::from_secs),
        name: seen.name.trim_start_matches('/').to_owned(),
        created_at: Timestamp::parse(&seen.created),
        running: seen.state.running,
        state: seen.state.status,
        image: seen.config.image,
        project: label(PROJECT),
        service: label(SERVICE),
        number: label(NUMBER),
        folder: label(FOLDER).filter(|folder| folder.starts_with('/')),
        files: paths(FILES),
        env_files: paths(ENV_FILES),
        one_off: label(ONE_OFF).is_some_and(|text| text.eq_ignore_ascii_case("true")),
        stack: label(STACK),
        repository: label(REPOSITORY),
        environment: environment.collect(),
        binds: of_kind("bind")
            .map(|mount| (mount.source.clone(), mount.destination.clone(), mount.writable))
            .collect(),
        networks: seen.network_settings.networks.unwrap_or_default().into_keys().collect(),
        volumes: of_kind("volume").map(|mount| mount.name.clone()).collect(),
        labels,
    }
}

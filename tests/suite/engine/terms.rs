//! Short words for long arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moorline::docker::{CallOptions, Depth, Engine, EngineError, Scope};
use moorline::model::{
    Action, AnonymousVolumes, ContainerHandle, ContainerSpec, Endpoint, NetworkSpec, Observed,
    ObservedContainer, RepositoryName, StackName, Timestamp, VolumeSpec,
};
use tokio_util::sync::CancellationToken;

/// Carries out an action under generous terms.
pub async fn act(engine: &Engine, action: Action) -> Result<(), EngineError> {
    let stop = CancellationToken::new();
    let limit = Duration::from_mins(1);
    let terms = CallOptions { step: limit, progress: limit, stop: &stop, tell: &|_| {} };
    engine.carry_out(&action, &terms).await
}

pub fn scope(stack: &str) -> Scope {
    Scope::new(StackName::parse(stack).unwrap(), RepositoryName::parse("tests").unwrap())
}

pub async fn look(engine: &Engine, scope: &Scope, depth: Depth) -> Observed {
    engine.observe(scope, depth, now()).await.unwrap()
}

pub fn now() -> Timestamp {
    crate::support::world::now()
}

pub fn labels(stack: &str) -> BTreeMap<String, String> {
    let labels = [
        ("com.docker.compose.project", stack),
        ("moorline.stack", stack),
        ("moorline.repository", "tests"),
    ];
    labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

/// A container of a service, on the stack's default network, or on none where there is none.
pub fn container(stack: &str, service: &str, image: &str, networks: &[&str]) -> ContainerSpec {
    let mut spec = ContainerSpec::default();
    spec.config_mut().image = image.to_owned();
    spec.config_mut().labels = labels(stack);
    spec.config_mut().labels.insert("com.docker.compose.service".to_owned(), service.to_owned());
    spec.config_mut()
        .labels
        .insert("com.docker.compose.container-number".to_owned(), "1".to_owned());
    spec.config_mut().labels.insert("moorline.spec".to_owned(), format!("spec of {service}"));
    spec.host_mut().network_mode = networks.first().map_or("none", |name| *name).to_owned();
    for network in networks {
        let endpoint = Endpoint { aliases: vec![service.to_owned()], ..Endpoint::default() };
        spec.endpoints.insert((*network).to_owned(), Box::new(endpoint));
    }
    spec
}

pub fn network(stack: &str, name: &str) -> NetworkSpec {
    NetworkSpec { name: name.to_owned(), labels: labels(stack), ..NetworkSpec::default() }
}

pub fn volume(stack: &str, name: &str) -> VolumeSpec {
    VolumeSpec { name: name.to_owned(), labels: labels(stack), ..VolumeSpec::default() }
}

pub fn named(name: &str) -> ContainerHandle {
    ContainerHandle::Planned { name: name.to_owned() }
}

pub fn one<'a>(observed: &'a Observed, name: &str) -> &'a ObservedContainer {
    observed
        .containers
        .iter()
        .find(|container| container.name == name)
        .unwrap_or_else(|| panic!("{name} is not in {:#?}", observed.containers))
}

/// Removes everything that carries a stack's name.
pub async fn clear(engine: &Engine, stack: &str) {
    let seen = look(engine, &scope(stack), Depth::Full).await;
    for container in &seen.containers {
        let handle =
            ContainerHandle::Observed { id: container.id.clone(), name: container.name.clone() };
        act(engine, Action::Stop { container: handle.clone(), grace: Duration::ZERO })
            .await
            .unwrap();
        let remove =
            Action::Remove { container: handle, anonymous_volumes: AnonymousVolumes::Delete };
        act(engine, remove).await.unwrap();
    }
    for (name, network) in &seen.networks {
        let remove = Action::RemoveNetwork { id: network.id.clone(), name: name.clone() };
        act(engine, remove).await.unwrap();
    }
    for name in seen.volumes.keys() {
        act(engine, Action::RemoveVolume { name: name.clone() }).await.unwrap();
    }
    let left = look(engine, &scope(stack), Depth::Full).await;
    assert!(left.containers.is_empty() && left.networks.is_empty() && left.volumes.is_empty());
    let names: BTreeSet<&String> = left.volumes.keys().collect();
    assert!(names.is_empty());
}

pub fn healthy(name: &str) -> Action {
    Action::AwaitHealthy {
        container: named(name),
        ending: moorline::model::Ending::Fails,
        monitor: Duration::from_millis(200),
        limit: Duration::from_secs(20),
    }
}

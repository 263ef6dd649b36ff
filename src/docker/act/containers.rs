//! Containers: from create to remove.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::query_parameters::{
    RemoveContainerOptions, RenameContainerOptions, RestartContainerOptions, StopContainerOptions,
};
use serde::{Deserialize, Serialize};

use super::super::connect::{Ask, segment};
use super::super::look::Inspection;
use super::super::{Engine, EngineError};
use super::{CallOptions, is_refusal};
use crate::model::{
    AnonymousVolumes, ContainerConfig, ContainerHandle, ContainerId, ContainerSpec, Endpoint,
    HostConfig, RestartPolicy,
};

/// From this API version on, create takes more than one endpoint.
const MANY_ENDPOINTS: (u32, u32) = (1, 44);
/// How often a container that is being removed is looked at.
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// What the Engine answers to a create call.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBody<'a> {
    #[serde(flatten)]
    config: &'a ContainerConfig,
    host_config: &'a HostConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    networking_config: Option<NetworkingConfig<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkingConfig<'a> {
    endpoints_config: BTreeMap<&'a str, &'a Endpoint>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConnectBody<'a> {
    container: &'a str,
    endpoint_config: &'a Endpoint,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DisconnectBody<'a> {
    container: &'a str,
}

impl Engine {
    /// Makes a container. One of that name with the same labels, ours included, is the one that an earlier call made
    /// whose answer was lost.
    pub(super) async fn create(
        &self,
        name: &str,
        spec: &ContainerSpec,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let spec = &self.with_container_ids(spec).await?;
        let body = create_body(spec, self.facts().api);
        let ask = Ask::post("/containers/create", format!("create {name}"))
            .query("name", name)
            .query_unless_empty("platform", &spec.platform)
            .json(&body)?;
        match self.wire().write(ask, terms.step).await {
            Err(error) if error.status() == Some(409) => {
                let there = self.inspection(name).await?;
                let same = spec
                    .config
                    .labels
                    .iter()
                    .all(|(label, value)| there.labels().get(label) == Some(value));
                if same && !spec.config.labels.is_empty() { Ok(()) } else { Err(error) }
            }
            answer => {
                self.note_made(spec, &answer?);
                Ok(())
            }
        }
    }

    /// Remembers by its id that a container is of our making.
    fn note_made(&self, spec: &ContainerSpec, answer: &[u8]) {
        let made: Option<Made> = serde_json::from_slice(answer).ok();
        let stack = spec.config.labels.get("moorline.stack");
        if let (Some(stack), Some(Ok(id))) = (stack, made.map(|made| ContainerId::parse(&made.id)))
        {
            self.memory().vouch(stack, id);
        }
    }

    /// The specification with ids for the names of other containers whose namespaces or volumes are shared, as docker
    /// compose sends it: a name may be handed on, and then the container would tell a stranger's.
    async fn with_container_ids(&self, spec: &ContainerSpec) -> Result<ContainerSpec, EngineError> {
        let mut spec = spec.clone();
        let host = spec.host_mut();
        for mode in [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode] {
            let Some(name) = mode.strip_prefix("container:").map(str::to_owned) else { continue };
            *mode = format!("container:{}", self.id_of(&name).await?);
        }
        for from in &mut host.volumes_from {
            let (name, access) = match from.split_once(':') {
                Some((name, access)) => (name.to_owned(), format!(":{access}")),
                None => (from.clone(), String::new()),
            };
            *from = format!("{}{access}", self.id_of(&name).await?);
        }
        Ok(spec)
    }

    /// The id behind a name; the name itself where there is no such container, so that the Engine says so.
    async fn id_of(&self, name: &str) -> Result<String, EngineError> {
        match self.inspection(name).await {
            Ok(there) => Ok(there.id().to_owned()),
            Err(error) if error.status() == Some(404) => Ok(name.to_owned()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn inspection(&self, address: &str) -> Result<Inspection, EngineError> {
        let ask = Ask::get(
            format!("/containers/{}/json", segment(address)),
            format!("inspect {address}"),
        );
        self.wire().read(ask).await
    }

    /// Whether the container of that address is part of a network.
    async fn is_connected(&self, address: &str, network: &str) -> Result<bool, EngineError> {
        Ok(self.inspection(address).await?.networks().any(|name| name == network))
    }

    pub(super) async fn connect_network(
        &self,
        container: &ContainerHandle,
        network: &str,
        endpoint: &Endpoint,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("connect {} to {network}", container.name());
        let body = ConnectBody { container: container.address(), endpoint_config: endpoint };
        let ask = Ask::post(format!("/networks/{}/connect", segment(network)), what).json(&body)?;
        match self.wire().write(ask, terms.step).await {
            Err(error) if is_refusal(&error) => {
                let there = self.is_connected(container.address(), network).await;
                if matches!(there, Ok(true)) { Ok(()) } else { Err(error) }
            }
            other => other.map(drop),
        }
    }

    pub(super) async fn disconnect_network(
        &self,
        container: &ContainerHandle,
        network: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("disconnect {} from {network}", container.name());
        let body = DisconnectBody { container: container.address() };
        let ask =
            Ask::post(format!("/networks/{}/disconnect", segment(network)), what).json(&body)?;
        match self.wire().write(ask, terms.step).await {
            Err(error) if is_refusal(&error) => {
                let there = self.is_connected(container.address(), network).await;
                if matches!(there, Ok(false)) { Ok(()) } else { Err(error) }
            }
            other => other.map(drop),
        }
    }

    pub(super) async fn start(
        &self,
        container: &ContainerHandle,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("start {}", container.name());
        self.verb(&what, terms.step, self.verbs().start_container(container.address(), None)).await
    }

    pub(super) async fn stop(
        &self,
        container: &ContainerHandle,
        grace: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("stop {}", container.name());
        let options = StopContainerOptions { t: Some(whole_seconds(grace)), ..Default::default() };
        let call = self.verbs().stop_container(container.address(), Some(options));
        self.verb(&what, terms.step + grace, call).await
    }

    pub(super) async fn restart(
        &self,
        container: &ContainerHandle,
        grace: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("restart {}", container.name());
        let options =
            RestartContainerOptions { t: Some(whole_seconds(grace)), ..Default::default() };
        let call = self.verbs().restart_container(container.address(), Some(options));
        self.verb(&what, terms.step + grace, call).await
    }

    pub(super) async fn unpause(
        &self,
        container: &ContainerHandle,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("unpause {}", container.name());
        let call = self.verbs().unpause_container(container.address());
        match self.verb(&what, terms.step, call).await {
            Err(error) if is_refusal(&error) => {
                let now = self.inspection(container.address()).await;
                if now.is_ok_and(|now| now.state.status() == "running") {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            other => other,
        }
    }

    /// Removes a stopped container. A running one is refused by the Engine, and that is right.
    pub(super) async fn remove(
        &self,
        container: &ContainerHandle,
        volumes: AnonymousVolumes,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("remove {}", container.name());
        let options = RemoveContainerOptions {
            v: volumes == AnonymousVolumes::Delete,
            ..RemoveContainerOptions::default()
        };
        let call = self.verbs().remove_container(container.address(), Some(options));
        match self.verb(&what, terms.step, call).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            Err(EngineError::Refused { status: 409, message, .. })
                if message.contains("already in progress") =>
            {
                self.await_removal(container, terms).await
            }
            other => other,
        }
    }

    async fn await_removal(
        &self,
        container: &ContainerHandle,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let gone = async {
            loop {
                match self.inspection(container.address()).await {
                    Err(error) if error.status() == Some(404) => return Ok(()),
                    Err(error) => return Err(error),
                    Ok(_) => tokio::time::sleep(REMOVAL_PAUSE).await,
                }
            }
        };
        let what = format!("remove {}", container.name());
        let limit = terms.step;
        tokio::time::timeout(limit, gone)
            .await
            .unwrap_or(Err(EngineError::TimedOut { what, limit }))
    }

    pub(super) async fn rename(
        &self,
        container: &ContainerHandle,
        name: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("rename {} to {name}", container.name());
        let options = RenameContainerOptions { name: name.to_owned() };
        let call = self.verbs().rename_container(container.address(), options);
        match self.verb(&what, terms.step, call).await {
            Err(error) if is_refusal(&error) => {
                // After a lost answer the container is found under its new name only; by id it may be either.
                let by_address = self.inspection(container.address()).await;
                let renamed = match by_address {
                    Ok(there) => there.name() == name,
                    Err(_) => false,
                };
                if renamed { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    pub(super) async fn update(
        &self,
        container: &ContainerHandle,
        spec: &ContainerSpec,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("update {}", container.name());
        let ask = Ask::post(format!("/containers/{}/update", segment(container.address())), what)
            .json(&live_part(&spec.host))?;
        self.wire().write(ask, terms.step).await.map(drop)
    }
}

/// The Engine counts whole seconds; a shorter grace than asked for would kill what was about to end.
fn whole_seconds(grace: Duration) -> i32 {
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

fn create_body(spec: &ContainerSpec, api: (u32, u32)) -> CreateBody<'_> {
    let mode = spec.host.network_mode.as_str();
    let endpoints: BTreeMap<&str, &Endpoint> = spec
        .endpoints
        .iter()
        .filter(|(name, _)| api >= MANY_ENDPOINTS || spec.endpoints.len() == 1 || *name == mode)
        .map(|(name, endpoint)| (name.as_str(), endpoint.as_ref()))
        .collect();
    CreateBody {
        config: &spec.config,
        host_config: &spec.host,
        networking_config: (!endpoints.is_empty())
            .then_some(NetworkingConfig { endpoints_config: endpoints }),
    }
}

/// The part of a host configuration that an Engine changes while the container lives. Zero means "as it is" there.
fn live_part(host: &HostConfig) -> HostConfig {
    // Create sets swap to twice the memory when nothing is said; an update has to say so itself, or a raised limit
    // is refused for being above the old swap limit.
    let memory_swap = match (host.memory, host.memory_swap) {
        (memory, 0) if memory > 0 => memory.saturating_mul(2),
        (_, swap) => swap,
    };
    let restart_policy = if host.auto_remove {
        RestartPolicy::default()
    } else if host.restart_policy.name.is_empty() {
        RestartPolicy { name: "no".to_owned(), maximum_retry_count: 0 }
    } else {
        host.restart_policy.clone()
    };
    HostConfig {
        restart_policy,
        memory_swap,
        memory: host.memory,
        memory_reservation: host.memory_reservation,
        nano_cpus: host.nano_cpus,
        cpu_shares: host.cpu_shares,
        cpu_period: host.cpu_period,
        cpu_quota: host.cpu_quota,
        cpu_realtime_period: host.cpu_realtime_period,
        cpu_realtime_runtime: host.cpu_realtime_runtime,
        cpuset_cpus: host.cpuset_cpus.clone(),
        cpuset_mems: host.cpuset_mems.clone(),
        pids_limit: host.pids_limit,
        blkio_weight: host.blkio_weight,
        ..HostConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ContainerSpec {
        let mut spec = ContainerSpec::default();
        spec.config_mut().image = "busybox".to_owned();
        spec.config_mut().labels.insert("a".to_owned(), "b".to_owned());
        spec.host_mut().network_mode = "shop_default".to_owned();
        for network in ["shop_default", "edge"] {
            spec.endpoints.insert(
                network.to_owned(),
                Box::new(Endpoint { aliases: vec!["web".to_owned()], ..Endpoint::default() }),
            );
        }
        spec
    }

    #[test]
    fn create_names_all_endpoints_where_the_engine_takes_them() {
        let body = serde_json::to_value(create_body(&spec(), (1, 47))).unwrap();
        let text = r#"{"Image":"busybox","Labels":{"a":"b"},"HostConfig":{"NetworkMode":"shop_default"},
            "NetworkingConfig":{"EndpointsConfig":{"edge":{"Aliases":["web"]},"shop_default":{"Aliases":["web"]}}}}"#;
        assert_eq!(body, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn create_names_one_endpoint_on_an_old_engine() {
        let body = serde_json::to_value(create_body(&spec(), (1, 41))).unwrap();
        let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object().unwrap();
        assert_eq!(endpoints.keys().collect::<Vec<_>>(), ["shop_default"]);
    }

    #[test]
    fn an_update_sends_limits_and_the_restart_policy_only() {
        let host = HostConfig {
            memory: 64 << 20,
            binds: vec!["/a:/b".to_owned()],
            network_mode: "x".to_owned(),
            ..HostConfig::default()
        };
        let text = r#"{"Memory":67108864,"MemorySwap":134217728,"RestartPolicy":{"Name":"no"}}"#;
        assert_eq!(serde_json::to_string(&live_part(&host)).unwrap().len(), text.len());
        let value = serde_json::to_value(live_part(&host)).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn a_grace_is_never_shortened() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(10)), 10);
        assert_eq!(whole_seconds(Duration::ZERO), 0);
    }
}

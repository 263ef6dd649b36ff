//! Networks and volumes.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use super::super::connect::{Ask, parse, segment};
use super::super::look::{NetworkEntry, REPOSITORY};
use super::super::{Engine, EngineError};
use super::CallOptions;
use crate::model::{NetworkSpec, VolumeSpec};

/// What the Engine answers who made something.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

/// Whether a network that is there is the one that is asked for: made for a stack of the same repository.
fn is_shared(there: &NetworkSpec, asked: &NetworkSpec) -> bool {
    let repository = |spec: &NetworkSpec| spec.labels.get(REPOSITORY).cloned();
    match repository(asked) {
        Some(own) => repository(there) == Some(own),
        None => asked.labels.iter().all(|(label, value)| there.labels.get(label) == Some(value)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateNetworkBody<'a> {
    #[serde(flatten)]
    spec: &'a NetworkSpec,
    check_duplicate: bool,
}

/// How long whoever made a network of the same name at the same moment gets to find out and take its own away.
const RIVAL_PAUSE: Duration = Duration::from_millis(300);

impl Engine {
    /// Makes a network, once: names are not unique in the Engine, so that a second call would make a second one. Stacks
    /// of one repository share it; whoever comes second finds it made.
    pub(super) async fn create_network(
        &self,
        spec: &NetworkSpec,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        // Two stacks of this process never look at the same moment.
        let _alone = self.naming().await;
        let what = format!("create network {}", spec.name);
        let there = self.networks_called(&spec.name).await?;
        if let Some(other) = there.first() {
            let message =
                "a network of that name exists, and is not the one that was asked for".to_owned();
            return if there.iter().any(|other| is_shared(&other.spec, spec)) {
                Ok(())
            } else {
                tracing::debug!(id = other.id, "the network's name is taken");
                Err(EngineError::Refused { what, status: 409, message })
            };
        }
        let body = CreateNetworkBody { spec, check_duplicate: true };
        let ask = Ask::post("/networks/create", what).json(&body)?;
        match self.wire().write(ask, terms.step).await {
            Ok(answer) => {
                let made = parse::<Made>("create a network", &answer)?;
                self.yield_to_rivals(&made.id, spec, terms).await
            }
            // Another process was quicker.
            Err(error) if error.status() == Some(409) => {
                let there = self.networks_called(&spec.name).await?;
                let shared = there.iter().any(|other| is_shared(&other.spec, spec));
                if shared { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Networks of exactly this name, by id: the Engine's filter finds parts of names too.
    async fn networks_called(&self, name: &str) -> Result<Vec<NetworkEntry>, EngineError> {
        let filter = serde_json::json!({"name": [name]}).to_string();
        let ask = Ask::get("/networks", format!("look for network {name}"));
        let mut all: Vec<NetworkEntry> = self.wire().read(ask.query("filters", &filter)).await?;
        all.retain(|entry| entry.spec.name == name);
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// Another process may have made a network of the same name at the same moment: the one with the smaller id stays.
    /// One that did not hear of ours in time stays too; then ours goes, as long as nobody is in it.
    async fn yield_to_rivals(
        &self,
        own: &str,
        spec: &NetworkSpec,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let first = |all: &[NetworkEntry]| {
            all.iter().find(|one| is_shared(&one.spec, spec)).map(|one| one.id.clone())
        };
        let mut all = self.networks_called(&spec.name).await?;
        if all.len() > 1 && first(&all).as_deref() == Some(own) {
            tokio::time::sleep(RIVAL_PAUSE).await;
            all = self.networks_called(&spec.name).await?;
        }
        let rivals = all.iter().any(|one| one.id != own && is_shared(&one.spec, spec));
        if rivals { self.remove_network(own, &spec.name, terms).await } else { Ok(()) }
    }

    pub(super) async fn remove_network(
        &self,
        id: &str,
        name: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let path = format!("/networks/{}", segment(id));
        self.remove_if_there(
            Ask::new(Method::DELETE, path, format!("remove network {name}")),
            terms,
        )
        .await
    }

    /// Makes a volume; one of that name is left as it is by the Engine.
    pub(super) async fn create_volume(
        &self,
        spec: &VolumeSpec,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let ask =
            Ask::post("/volumes/create", format!("create volume {}", spec.name)).json(spec)?;
        self.wire().write(ask, terms.step).await.map(drop)
    }

    pub(super) async fn remove_volume(
        &self,
        name: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let path = format!("/volumes/{}", segment(name));
        self.remove_if_there(Ask::new(Method::DELETE, path, format!("remove volume {name}")), terms)
            .await
    }

    async fn remove_if_there(&self, ask: Ask, terms: &CallOptions<'_>) -> Result<(), EngineError> {
        match self.wire().write(ask, terms.step).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }
}

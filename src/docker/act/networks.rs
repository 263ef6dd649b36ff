//! Networks and volumes.

use http::Method;
use serde::Serialize;

use super::super::connect::{Ask, segment};
use super::super::look::NetworkEntry;
use super::super::{Engine, EngineError};
use super::Terms;
use crate::model::{NetworkSpec, VolumeSpec};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateNetworkBody<'a> {
    #[serde(flatten)]
    spec: &'a NetworkSpec,
    check_duplicate: bool,
}

impl Engine {
    /// Makes a network, once: names are not unique in the Engine, so that a second call would make a second one.
    pub(super) async fn create_network(
        &self,
        spec: &NetworkSpec,
        terms: &Terms<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("create network {}", spec.name);
        if self.is_network_there(spec, &what).await? {
            return Ok(());
        }
        let body = CreateNetworkBody { spec, check_duplicate: true };
        let ask = Ask::post("/networks/create", what.clone()).json(&body)?;
        match self.wire().write(ask, terms.step).await {
            // Made meanwhile, by another daemon or by a call of a process that was killed: is it the one?
            Err(error) if error.status() == Some(409) => {
                if self.is_network_there(spec, &what).await? { Ok(()) } else { Err(error) }
            }
            other => other.map(drop),
        }
    }

    /// Whether the network is there. One of that name that is another one is an error.
    async fn is_network_there(&self, spec: &NetworkSpec, what: &str) -> Result<bool, EngineError> {
        let filter = serde_json::json!({"name": [spec.name]}).to_string();
        let ask = Ask::get("/networks", what).query("filters", &filter);
        let there: Vec<NetworkEntry> = self.wire().read(ask).await?;
        // The filter finds parts of names too.
        let Some(other) = there.iter().find(|entry| entry.spec.name == spec.name) else {
            return Ok(false);
        };
        let mut labels = spec.labels.iter();
        if labels.all(|(label, value)| other.spec.labels.get(label) == Some(value)) {
            return Ok(true);
        }
        let message =
            "a network of that name exists, and is not the one that was asked for".to_owned();
        Err(EngineError::Refused { what: what.to_owned(), status: 409, message })
    }

    pub(super) async fn remove_network(
        &self,
        id: &str,
        name: &str,
        terms: &Terms<'_>,
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
        terms: &Terms<'_>,
    ) -> Result<(), EngineError> {
        let ask =
            Ask::post("/volumes/create", format!("create volume {}", spec.name)).json(spec)?;
        self.wire().write(ask, terms.step).await.map(drop)
    }

    pub(super) async fn remove_volume(
        &self,
        name: &str,
        terms: &Terms<'_>,
    ) -> Result<(), EngineError> {
        let path = format!("/volumes/{}", segment(name));
        self.remove_if_there(Ask::new(Method::DELETE, path, format!("remove volume {name}")), terms)
            .await
    }

    async fn remove_if_there(&self, ask: Ask, terms: &Terms<'_>) -> Result<(), EngineError> {
        match self.wire().write(ask, terms.step).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }
}

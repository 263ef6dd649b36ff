//! What a host remembers for us: an empty volume of ours, whose labels say it.
//!
//! Labels of a volume cannot be changed (Engine API 1.41: `/volumes/create` gives back one that is there as it is), so
//! each new text is a new volume, with a higher number, and those before it go afterwards. Of several the highest counts:
//! a crash in between loses nothing.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;

use super::connect::{Ask, segment};
use super::{Engine, EngineError};

/// Whose ledger it is.
const KEY: &str = "moorline.ledger";
/// Which one of several is the newest.
const NUMBER: &str = "moorline.ledger.number";
/// What it says.
const TEXT: &str = "moorline.ledger.text";

#[derive(Debug, Deserialize)]
struct Volumes {
    #[serde(rename = "Volumes", default)]
    volumes: Option<Vec<Volume>>,
}

#[derive(Debug, Deserialize)]
struct Volume {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Volume {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    fn number(&self) -> u64 {
        self.label(NUMBER).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Engine {
    /// What this host remembers under a key; `None` where it remembers nothing.
    ///
    /// # Errors
    /// Whatever the Engine says. An error is never "it remembers nothing".
    pub async fn read_ledger(&self, key: &str) -> Result<Option<String>, EngineError> {
        let all = self.ledgers(key).await?;
        let newest = all.iter().max_by_key(|volume| volume.number());
        Ok(newest.and_then(|volume| volume.label(TEXT)).map(ToOwned::to_owned))
    }

    /// Has this host remember a text under a key in place of what it remembered; nothing at all with `None`.
    ///
    /// # Errors
    /// Whatever the Engine says; what was remembered before is still remembered then, or the new text is.
    pub async fn write_ledger(&self, key: &str, text: Option<&str>) -> Result<(), EngineError> {
        let before = self.ledgers(key).await?;
        if let Some(text) = text {
            let number = before.iter().map(Volume::number).max().unwrap_or(0).saturating_add(1);
            self.add_ledger(key, number, text).await?;
        }
        for volume in before {
            self.remove_ledger(&volume.name).await?;
        }
        Ok(())
    }

    async fn add_ledger(&self, key: &str, number: u64, text: &str) -> Result<(), EngineError> {
        let what = "remember on the host what is kept there";
        let number = number.to_string();
        let body = serde_json::json!({
            "Name": format!("moorline-ledger-{key}-{number}"),
            "Driver": "local",
            "Labels": {KEY: key, NUMBER: number, TEXT: text},
        });
        let ask = Ask::post("/volumes/create", what).json(&body)?;
        let answer = self.wire().write(ask, self.wire().limits().read).await?;
        let made: Volume = parsed(what, &answer)?;
        if made.label(TEXT) == Some(text) {
            return Ok(());
        }
        let message = "another process was quicker".to_owned();
        Err(EngineError::Refused { what: what.to_owned(), status: 409, message })
    }

    async fn remove_ledger(&self, name: &str) -> Result<(), EngineError> {
        let what = "forget on the host what was kept there";
        let ask = Ask::new(Method::DELETE, format!("/volumes/{}", segment(name)), what);
        match self.wire().write(ask, self.wire().limits().read).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn ledgers(&self, key: &str) -> Result<Vec<Volume>, EngineError> {
        let what = "read what the host remembers";
        let filters = serde_json::json!({"label": [format!("{KEY}={key}")]}).to_string();
        let ask = Ask::get("/volumes", what).query("filters", &filters);
        let answer = self.wire().read_bytes(ask).await?;
        let all: Volumes = parsed(what, &answer)?;
        let own = |volume: &Volume| volume.label(KEY) == Some(key);
        Ok(all.volumes.unwrap_or_default().into_iter().filter(own).collect())
    }
}

fn parsed<T: serde::de::DeserializeOwned>(what: &str, answer: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(answer)
        .map_err(|error| EngineError::Garbled { what: what.to_owned(), source: error.into() })
}

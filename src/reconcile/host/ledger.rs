//! What hosts remember for the data folder: read when a host is connected, written when it changed.
//!
//! A host is not worked on before it was heard: a folder that was lost learns from it which stacks are kept there and
//! which brakes hold, before any pass could go on without them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::data::folder::DataFolder;
use crate::docker::{Engine, EngineError};
use crate::model::{HostName, chain};

/// What a host remembers now, by key. A ledger that cannot be understood is absent, and is not touched.
pub(crate) type Known = BTreeMap<String, Option<String>>;

/// How long changes are gathered: a deployment of many stacks is one new ledger a host.
const GATHER: Duration = Duration::from_secs(2);
/// After an Engine did not take it.
const AGAIN: Duration = Duration::from_secs(30);
/// How often it is looked at all the same: `docker volume prune` of an old Engine takes it away.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Hears what a host remembers, and takes what the folder does not know. Says also whether there was anything.
pub(crate) async fn learn(
    engine: &Engine,
    data: &DataFolder,
    host: &HostName,
) -> Result<(Known, bool), EngineError> {
    let (mut known, mut learned) = (Known::new(), false);
    for (repository, key) in data.ledger_keys() {
        let text = engine.read_ledger(key).await?;
        match text.as_deref().map_or(Ok(false), |text| data.learn(host, text)) {
            Ok(news) => {
                learned |= news;
                known.insert(key.to_owned(), text);
            }
            Err(error) => {
                let error = chain::in_full(&error);
                tracing::error!(%host, %repository, %error, "what the host remembers is not taken over, and left as it is");
            }
        }
    }
    Ok((known, learned))
}

/// Has the host remember what the folder knows, where it does not.
pub(crate) async fn write(
    engine: &Engine,
    data: &DataFolder,
    host: &HostName,
    known: &mut Known,
) -> Result<(), EngineError> {
    for (repository, key) in data.ledger_keys() {
        let Some(there) = known.get_mut(key) else { continue };
        let text = match data.ledger(repository, host) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(%host, %repository, %error, "the host goes on remembering what it did");
                continue;
            }
        };
        if *there != text {
            engine.write_ledger(key, text.as_deref()).await?;
            *there = text;
        }
    }
    Ok(())
}

/// Keeps what a connected host remembers up to date.
pub(crate) async fn keep(
    engine: &Engine,
    data: &DataFolder,
    host: &HostName,
    known: &Mutex<Known>,
) -> Infallible {
    let bell = data.ledger_bell(host);
    bell.notify_one();
    loop {
        if tokio::time::timeout(LOOK_EVERY, bell.notified()).await.is_err() {
            for (key, there) in known.lock().await.iter_mut() {
                if let Ok(text) = engine.read_ledger(key).await {
                    *there = text;
                }
            }
        }
        tokio::time::sleep(GATHER).await;
        if let Err(error) = write(engine, data, host, &mut *known.lock().await).await {
            tracing::debug!(%host, %error, "the host did not take what it is to remember");
            tokio::time::sleep(AGAIN).await;
            bell.notify_one();
        }
    }
}

//! The daemon's listener: webhooks ring its doorbell, and its health is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::settings::{ReportTo, Settings};
use crate::daemon::Doorbell;
use crate::model::Secret;
use crate::web::{self, Bell, Doors, Hook, HookBook, Readiness};

use super::output::advised;

/// Binds the listener of the settings, if they name one. The future that comes back serves until `stop`.
pub(super) async fn open(
    settings: &Settings,
    doorbell: Doorbell,
    stop: CancellationToken,
) -> anyhow::Result<Option<impl Future<Output = ()> + use<>>> {
    let Some(address) = settings.listen else { return Ok(None) };
    let bell = Bell::default();
    let bells = doorbell.clone();
    let doors = Doors {
        hooks: Arc::new(HookBook::new(hooks(settings)?)),
        bell: bell.clone(),
        readiness: Readiness::new(move || bells.first_looks().waits_for()),
        clock: clock::now,
    };
    let socket = web::bind(&address.to_string()).await.map_err(|error| {
        advised(error, "name another address with `--listen`, or `--listen none`")
    })?;
    Ok(Some(async move {
        let ringing = async {
            loop {
                doorbell.ring(&bell.heard().await.repository);
            }
        };
        tokio::select! {
            () = web::serve(socket, doors.router(), stop) => {}
            () = ringing => {}
        }
    }))
}

/// The webhooks that are accepted: those of repositories with a secret.
fn hooks(settings: &Settings) -> anyhow::Result<BTreeMap<crate::model::RepositoryName, Hook>> {
    let mut hooks = BTreeMap::new();
    for (name, repository) in &settings.repositories {
        let secrets = match &repository.forge.webhook_secret_file {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                vec![Secret::new(text.trim().to_owned())]
            }
        };
        // Where the forge's kind is not known yet, its headers tell.
        hooks.insert(
            name.clone(),
            Hook { kind: repository.forge.kind.and_then(ReportTo::forge), secrets },
        );
    }
    Ok(hooks)
}

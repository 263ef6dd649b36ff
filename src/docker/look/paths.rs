//! What is at paths of a host, without touching any of them.
//!
//! An Engine checks a container's mounts before it looks for the image (20.10 and 28: `verifyContainerSettings` comes
//! first): asked for a container of an image that cannot exist, it answers 404 where the path is there, and 400 where it
//! is not. Nothing is made either way.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::super::connect::Ask;
use super::super::{Engine, EngineError};
use crate::model::PathSight;

/// No registry holds it: `.invalid` is nobody's domain (RFC 2606).
const NO_IMAGE: &str = "moorline.invalid/nothing:0";
/// Questions at a time.
const PARALLEL: usize = 8;
/// Paths that are asked about in one look. Beyond that none is: nothing is held on the strength of half an answer.
const PATHS_MAX: usize = 2_000;

impl Engine {
    /// What is at these absolute paths of the host. What the Engine does not tell is absent from the answer.
    pub async fn sights(&self, paths: &BTreeSet<String>) -> BTreeMap<String, PathSight> {
        // Owned, so that the calls are futures of one lifetime and may be awaited on any thread.
        let paths: Vec<String> = paths.iter().take(PATHS_MAX).cloned().collect();
        let asked = paths.into_iter().map(|path| async move {
            let sight = self.sight(&path).await;
            (path, sight)
        });
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(PARALLEL).collect().await;
        let mut found = BTreeMap::new();
        for (path, answer) in answers {
            match answer {
                Ok(sight) => found.extend(sight.map(|sight| (path, sight))),
                Err(error) => {
                    tracing::debug!(path, %error, "the Engine does not tell what is there");
                }
            }
        }
        found
    }

    async fn sight(&self, path: &str) -> Result<Option<PathSight>, EngineError> {
        Ok(match self.is_there(path).await? {
            Some(false) => Some(PathSight::Absent),
            // Only a folder has itself inside.
            Some(true) => self
                .is_there(&format!("{}/.", path.trim_end_matches('/')))
                .await?
                .map(|is_folder| if is_folder { PathSight::Folder } else { PathSight::File }),
            None => None,
        })
    }

    /// Whether there is something; `None` where the answer says neither.
    async fn is_there(&self, path: &str) -> Result<Option<bool>, EngineError> {
        let mount = serde_json::json!({"Type": "bind", "Source": path, "Target": "/there"});
        let body = serde_json::json!({
            "Image": NO_IMAGE, "Cmd": ["nothing"],
            "HostConfig": {"Mounts": [mount], "NetworkMode": "none"},
        });
        let ask =
            Ask::post("/containers/create", "ask what is at a path of the host").json(&body)?;
        match self.wire().write(ask, self.wire().limits().read).await {
            Ok(_) => Ok(None),
            Err(error) => match error.status() {
                Some(404) => Ok(Some(true)),
                Some(400) => Ok(Some(false)),
                Some(_) => Ok(None),
                None => Err(error),
            },
        }
    }
}

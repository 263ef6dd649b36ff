//! Where a stack's data was when it was last seen: what outlives its containers, so that no service starts on nothing
//! while its data lies elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HostName, ServiceName, StackName};

/// What the services of one target had mounted when they were last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastState {
    /// Absolute folder on the host below which the stack's own relative binds lay; `None` where nothing tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Services by name, gone ones included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, ServiceState>,
}

/// What one service had mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The image that it ran, as the manifest named it.
    pub image: String,
    /// Where its data lay, by target in the container: a volume's name, or an absolute folder on the host. Files from
    /// Git and anonymous volumes are not among them.
    pub mounts: BTreeMap<String, String>,
    /// The stack was in sync without it since: whoever comes later does not come in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

impl LastState {
    /// Whether there was anything to lose.
    pub fn is_empty(&self) -> bool {
        self.services.values().all(|service| service.mounts.is_empty())
    }
}

/// A stack that left the commit, or a host, and whose data another one seems to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its name.
    pub stack: StackName,
    /// Its Compose project.
    pub project: StackName,
    /// The host that has its data, where that is not the one that is looked at.
    pub elsewhere: Option<HostName>,
    /// The stack itself lives on, and only these services left it.
    pub lives: bool,
    /// What it had.
    pub state: LastState,
}

/// What is known of a stack's data beside what its host shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its own, when it was last seen here.
    pub own: LastState,
    /// Stacks that it seems to have been before.
    pub before: Vec<Predecessor>,
}

/// An image reference without its tag and digest: what stays the same from version to version.
pub fn image_repository(image: &str) -> &str {
    let plain = image.split('@').next().unwrap_or(image);
    match plain.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => plain,
    }
}

/// Stands for `..` in host paths that keep the shape of a path relative to the project's folder.
pub const PARENT_FOLDER: &str = "_parent";

/// A label on each container of a stack whose own folder is another one than the usual one: that folder.
pub const FOLDER_LABEL: &str = "moorline.adopted";

/// A stack's own folder on a host: its relative binds that are not in Git lie below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackFolder {
    /// Absolute path.
    pub path: String,
    /// Whether the fleet file says so (`directory`).
    pub is_said: bool,
    /// The folder in which Moorline keeps the folders of stacks for which nothing else is said: `DATA/state`.
    pub states: String,
}

impl StackFolder {
    /// The folder of a stack: as it is said, else the usual one.
    pub fn of(stack: &StackName, host_data: &str, said: Option<&str>) -> Self {
        let states = format!("{host_data}/state");
        let usual = format!("{states}/{stack}");
        let path = said.map_or(usual, |said| trimmed(said).to_owned());
        Self { path, is_said: said.is_some(), states }
    }

    /// Where a relative path lies. A climb out of a folder of ours stays in it, as `_parent`: what lies beside it belongs
    /// to another stack.
    pub fn at(&self, relative: &str) -> String {
        let below = self.path.strip_prefix(&self.states).filter(|_| !self.states.is_empty());
        let is_ours = below.is_some_and(|it| it.starts_with('/'));
        let mut parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        for part in relative.split('/').filter(|part| !part.is_empty()) {
            if part == PARENT_FOLDER && !is_ours {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// The label that tells it, where it is not the usual one of this stack.
    pub fn label(&self, stack: &StackName) -> Option<(String, String)> {
        let usual = format!("{}/{stack}", self.states);
        (self.path != usual).then(|| (FOLDER_LABEL.to_owned(), self.path.clone()))
    }

    /// The relative path of one that lies in it as it is now.
    pub fn relative<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(&self.path)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
    }
}

/// A path without slashes at its end.
fn trimmed(path: &str) -> &str {
    let short = path.trim_end_matches('/');
    if short.is_empty() { "/" } else { short }
}

/// What is at a path of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathSight {
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// Something else: a file, a socket, a device.
    File,
}

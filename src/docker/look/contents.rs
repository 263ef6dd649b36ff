//! What containers see where files from Git should lie: read through the Engine, so that it works for remote hosts too.
//!
//! *Caveats.* What cannot be read is left out, and counts as what it should be: a look must not replace a service because
//! one answer was lost. A link is left out too: it leads to something that was not asked about.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::Looker;
use crate::docker::EngineError;
use crate::docker::connect::{Ask, segment};
use crate::model::{ContainerState, Content, Digest, ObservedContainer};

impl Looker<'_> {
    /// What lies at the paths of a container that some stack asks about.
    pub(super) async fn contents(
        &self,
        container: &ObservedContainer,
    ) -> BTreeMap<String, Content> {
        let mut found = BTreeMap::new();
        if matches!(
            container.state,
            ContainerState::Removing | ContainerState::Dead | ContainerState::Unknown
        ) {
            return found;
        }
        for path in self.paths_of(container) {
            if let Some(content) = self.content(container, path).await {
                found.insert(path.to_owned(), content);
            }
        }
        found
    }

    /// Whether what is kept of a container tells all that is asked about it now.
    pub(super) fn tells_enough(&self, container: &ObservedContainer) -> bool {
        self.paths_of(container).all(|path| container.contents.contains_key(path))
    }

    fn paths_of(&self, container: &ObservedContainer) -> impl Iterator<Item = &str> {
        let labels = &container.spec.config.labels;
        let is_of = |name: &str| {
            let says = |label: &str| labels.get(label).is_some_and(|said| said == name);
            says(super::labels::STACK) || says(super::labels::PROJECT)
        };
        let scopes = self
            .scopes
            .iter()
            .filter(move |scope| is_of(scope.stack.as_str()) || is_of(scope.project.as_str()));
        let replica = container.replica.clone().filter(|_| !container.one_off);
        let paths = replica.map(|replica| {
            scopes
                .filter_map(move |scope| scope.contents.get(&replica))
                .flatten()
                .map(String::as_str)
        });
        paths.into_iter().flatten()
    }

    async fn content(&self, container: &ObservedContainer, path: &str) -> Option<Content> {
        let route = format!("/containers/{}/archive", segment(container.id.as_str()));
        let what = format!("read {path} in {}", container.name);
        let ask = Ask::get(route, what).query("path", path);
        let limit = self.wire.limits().inspect;
        match tokio::time::timeout(limit, self.wire.read_bytes(ask)).await.ok()? {
            Ok(archive) => parse(&archive),
            Err(EngineError::Refused { status: 404, message, .. })
                if !message.contains("No such container") =>
            {
                Some(Content::Missing)
            }
            Err(error) if is_misplaced(&error) => Some(Content::Misplaced),
            Err(error) => {
                tracing::debug!(%error, container = container.name, "what it sees is not known");
                None
            }
        }
    }
}

/// Whether a file lies where a folder should be, or the other way round: the Engine cannot mount it, and has no code for
/// that. 20.10 says it in the words of `mount`, 28 in those of the calls that make a mount's place.
fn is_misplaced(error: &EngineError) -> bool {
    let said = error.to_string();
    let said = |words: &str| said.contains(words);
    said("not a directory") || said("is a directory") || said("file exists")
}

/// What an archive holds: a file, or a folder with files.
fn parse(archive: &[u8]) -> Option<Content> {
    let mut archive = tar::Archive::new(archive);
    let mut entries = archive.entries().ok()?;
    let mut first = entries.next()?.ok()?;
    if first.header().entry_type().is_file() {
        return Some(Content::File(digest(&mut first)?));
    }
    if !first.header().entry_type().is_dir() {
        return None;
    }
    let root = first.path().ok()?.into_owned();
    let mut files = BTreeMap::new();
    for entry in entries {
        let mut entry = entry.ok()?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().ok()?.into_owned();
        let below: &Path = path.strip_prefix(&root).ok()?;
        files.insert(below.to_str()?.to_owned(), digest(&mut entry)?);
    }
    Some(Content::Folder(files))
}

fn digest(file: &mut impl Read) -> Option<Digest> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(Digest::of(&bytes))
}

//! Files from Git where services write too, and files that go.
//!
//! What was laid is told by the marker. A file that Git did not change since is the service's own affair. One that Git
//! changed or removed is replaced; if the service had changed it meanwhile, its last version stays beside it.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;

use super::super::connect::{Ask, segment};
use super::super::{Engine, EngineError};
use super::CallOptions;
use super::files::{Archive, INSIDE, Marker, Place, mode, not_archived};
use crate::model::{Digest, FileBundle};

/// What becomes of files in a folder where services write.
#[derive(Debug, Default)]
struct Changes {
    /// Paths of the bundle that are written.
    write: Vec<String>,
    /// Paths that are removed.
    remove: Vec<String>,
    /// What a service made of a file, by the path that keeps it.
    keep: BTreeMap<String, Vec<u8>>,
}

impl Engine {
    /// Lays a bundle over a folder in which services write. Cut off anywhere, it can be begun again: nothing is kept
    /// twice, and the marker comes last.
    pub(super) async fn lay(
        &self,
        helper: &str,
        (digest, bundle): (&Digest, &FileBundle),
        (place, before): (&Place, &BTreeMap<String, String>),
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let marker = Marker::of(digest, bundle);
        let mut changes = Changes::default();
        let paths = before.keys().chain(marker.laid.keys());
        for path in paths.collect::<std::collections::BTreeSet<_>>() {
            let (old, new) = (before.get(path), marker.laid.get(path));
            if old == new {
                continue;
            }
            let there = self.file_on_host(helper, &format!("{}/{path}", place.folder())).await?;
            let is = there.as_ref().map(|bytes| Digest::of(bytes).to_string());
            if is.as_ref() == new {
                continue;
            }
            if let Some(bytes) = there.filter(|_| is.as_ref() != old) {
                changes.keep.insert(format!("{path}.before-{}", digest.short()), bytes);
            }
            let list = if new.is_some() { &mut changes.write } else { &mut changes.remove };
            list.push(path.clone());
        }
        let what = format!("lay {} files over a folder of the host", changes.write.len());
        if !changes.write.is_empty() || !changes.keep.is_empty() {
            let archive = archive(bundle, place, &changes);
            let archive = archive.map_err(|error| not_archived(&what, error))?;
            self.put_archive(helper, INSIDE, &what, archive, terms).await?;
        }
        for path in &changes.remove {
            self.remove_on_host(helper, &format!("{}/{path}", place.folder()), terms).await?;
        }
        let mut last = Archive::new(bundle.time);
        let written = last.file(&place.marker(), 0o600, marker.write().as_bytes());
        let last = written.and_then(|()| last.finish());
        let last = last.map_err(|error| not_archived(&what, error))?;
        self.put_archive(helper, INSIDE, &what, last, terms).await
    }

    /// Removes a bundle, or all of a stack, with its marker. One where a service wrote stays.
    pub(super) async fn remove_files(
        &self,
        folder: &str,
        written: bool,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let place = Place::at(folder)?;
        let name = format!("moorline-files-{}", Digest::of(folder.as_bytes()).short());
        let in_flight = self.helper_begins(&name);
        self.make_helper(&name, &place, terms).await?;
        let outcome = self.remove_unless_written(&name, &place, written, terms).await;
        let removed = self.remove_helper(&name, terms).await;
        drop(in_flight);
        outcome.and(removed)
    }

    async fn remove_unless_written(
        &self,
        helper: &str,
        place: &Place,
        written: bool,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        if written && !self.is_as_laid(helper, place).await? {
            tracing::info!(folder = place.folder(), "a service wrote to these files: they stay");
            return Ok(());
        }
        // The marker first: what is cut off is put anew when it is wanted again.
        self.remove_on_host(helper, &place.marker(), terms).await?;
        self.remove_on_host(helper, place.folder(), terms).await
    }

    /// Whether each file is what was put there, as far as that is known.
    async fn is_as_laid(&self, helper: &str, place: &Place) -> Result<bool, EngineError> {
        let marker = self.marker(helper, place).await?.unwrap_or_default();
        for (path, laid) in &marker.laid {
            let there = self.file_on_host(helper, &format!("{}/{path}", place.folder())).await?;
            if there.is_none_or(|bytes| Digest::of(&bytes).as_str() != laid) {
                return Ok(false);
            }
        }
        Ok(!marker.laid.is_empty())
    }

    /// A file's content, by its path below what the carrying container mounts; `None` where there is none.
    pub(super) async fn file_on_host(
        &self,
        helper: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let what = format!("read {path} on the host");
        let ask = Ask::get(format!("/containers/{}/archive", segment(helper)), what.as_str())
            .query("path", &format!("{INSIDE}/{path}"));
        match self.wire().read_bytes(ask).await {
            Ok(archive) => first_file(&archive, &what).map(Some),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether something is there under a path.
    async fn is_on_host(&self, helper: &str, path: &str) -> Result<bool, EngineError> {
        let route = format!("/containers/{}/archive", segment(helper));
        let ask = Ask::new(http::Method::HEAD, route, format!("look for {path} on the host"))
            .query("path", &format!("{INSIDE}/{path}"));
        match self.wire().read_bytes(ask).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes what is there under a path; see [`Archive::nothing`].
    async fn remove_on_host(
        &self,
        helper: &str,
        path: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        if !self.is_on_host(helper, path).await? {
            return Ok(());
        }
        let what = format!("remove {path} on the host");
        let mut archive = Archive::new(None);
        let archive = archive.nothing(path).and_then(|()| archive.finish());
        let archive = archive.map_err(|error| not_archived(&what, error))?;
        // It is always refused; whether it did what it should, shows afterwards.
        let refusal = self.put_archive(helper, INSIDE, &what, archive, terms).await.err();
        match (self.is_on_host(helper, path).await?, refusal) {
            (false, _) => Ok(()),
            (true, Some(refusal)) => Err(refusal),
            (true, None) => {
                let message = "the Engine took the archive, and the file is still there".to_owned();
                Err(EngineError::Refused { what, status: 500, message })
            }
        }
    }
}

fn archive(bundle: &FileBundle, place: &Place, changes: &Changes) -> std::io::Result<Bytes> {
    let mut archive = Archive::new(bundle.time);
    let written: BTreeMap<_, _> = bundle
        .files
        .iter()
        .filter(|(path, _)| changes.write.contains(path))
        .map(|(path, file)| (path.clone(), file.clone()))
        .collect();
    // Folders are not named: those that are there keep their owner and mode, and the Engine makes those that are not.
    for (path, bytes) in &changes.keep {
        archive.file(&format!("{}/{path}", place.folder()), 0o600, bytes)?;
    }
    for (path, file) in &written {
        archive.file(&format!("{}/{path}", place.folder()), mode(file.mode), &file.bytes)?;
    }
    archive.finish()
}

/// The content of an archive's only file.
fn first_file(archive: &[u8], what: &str) -> Result<Vec<u8>, EngineError> {
    let garbled = |error: std::io::Error| not_archived(what, error);
    let mut archive = tar::Archive::new(archive);
    let mut entries = archive.entries().map_err(garbled)?;
    let mut entry = match entries.next() {
        Some(entry) => entry.map_err(garbled)?,
        None => return Err(garbled(std::io::ErrorKind::UnexpectedEof.into())),
    };
    if !entry.header().entry_type().is_file() {
        return Err(EngineError::Refused {
            what: what.to_owned(),
            status: 409,
            message: "there is a folder, link or device where Git has a file; move it away"
                .to_owned(),
        });
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(garbled)?;
    Ok(bytes)
}

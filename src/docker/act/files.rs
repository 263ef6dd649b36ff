//! Files on their way to the host, through the Engine API alone, so that remote hosts work like local ones.
//!
//! A bundle goes into a folder of the host through a container that is made and never started: it mounts the folder's
//! parent, files are copied into it, and it is removed. Its image is empty and made on the spot.
//!
//! *Guarantees.* A bundle counts as being there only when its marker, the last entry of the archive, says its digest.
//! The marker is a sibling of the folder, so that containers that mount the folder do not see it; it also tells what was
//! put there (`laid`). The folder of all bundles of a stack can be entered by the Engine alone: a service reads what is
//! mounted into it, and nobody else on the host reads anything.
//! *Caveats.* Between two daemons that put the same bundle at the same time, one may fail and has to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::super::connect::{Ask, segment};
use super::super::look::{HELPER, HELPER_NAME, helper_mark};
use super::super::{Engine, EngineError};
use super::CallOptions;
use crate::model::{BundleFile, ContainerHandle, Digest, FileBundle, FileMode, Timestamp, Upload};

/// The empty image of containers that carry files.
const IMAGE: (&str, &str) = ("moorline/files", "1");
/// How often copying is tried again after the Engine failed at it.
const STUMBLES: u32 = 2;
const STUMBLE_PAUSE: Duration = Duration::from_millis(100);
/// Where the carrying container mounts the bundle's parent folder.
pub(super) const INSIDE: &str = "/bundle";

impl Engine {
    pub(super) async fn upload(
        &self,
        container: &ContainerHandle,
        files: &[Upload],
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        // One call a file, as docker compose does it.
        for file in files {
            let what = format!("copy {} into {}", file.target, container.name());
            let archive = upload(file).map_err(|error| not_archived(&what, error))?;
            self.put_archive(container.address(), "/", &what, archive, terms).await?;
        }
        Ok(())
    }

    pub(super) async fn put_archive(
        &self,
        address: &str,
        folder: &str,
        what: &str,
        archive: Bytes,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let path = format!("/containers/{}/archive", segment(address));
        let ask = Ask::new(Method::PUT, path, what).query("path", folder).tar(archive);
        self.wire().write(ask, terms.step).await.map(drop)
    }

    /// Puts a bundle on the host, unless it is there.
    pub(super) async fn put_files(
        &self,
        digest: &Digest,
        bundle: &FileBundle,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let place = Place::of(bundle)?;
        let name = format!(
            "{HELPER_NAME}{}",
            Digest::of(format!("{digest}{}", bundle.host_path).as_bytes()).short()
        );
        let in_flight = self.helper_begins(&name);
        self.make_helper(&name, &place, terms).await?;
        let mut outcome = self.fill_patiently(&name, digest, bundle, &place, terms).await;
        // Another process that keeps the same host may take the carrying container for a leftover of a crash.
        for _ in 0..STUMBLES {
            if !matches!(&outcome, Err(error) if error.status() == Some(404)) {
                break;
            }
            tokio::time::sleep(STUMBLE_PAUSE).await;
            self.make_helper(&name, &place, terms).await?;
            outcome = self.fill_patiently(&name, digest, bundle, &place, terms).await;
        }
        let removed = self.remove_helper(&name, terms).await;
        drop(in_flight);
        outcome.and(removed)
    }

    /// Engine 20.10 sometimes stumbles over its own mounts when it copies much at once, and works a moment later.
    async fn fill_patiently(
        &self,
        helper: &str,
        digest: &Digest,
        bundle: &FileBundle,
        place: &Place,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let mut outcome = self.fill(helper, digest, bundle, place, terms).await;
        for _ in 0..STUMBLES {
            match &outcome {
                Err(error) if error.status() == Some(500) => {
                    tracing::debug!(%error, "copying files failed; trying once more");
                    tokio::time::sleep(STUMBLE_PAUSE).await;
                    outcome = self.fill(helper, digest, bundle, place, terms).await;
                }
                _ => break,
            }
        }
        outcome
    }

    async fn fill(
        &self,
        helper: &str,
        digest: &Digest,
        bundle: &FileBundle,
        place: &Place,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let marker = self.marker(helper, place).await?;
        let is_marked = marker.as_ref().is_some_and(|marker| marker.digest == digest.as_str());
        if is_marked && (bundle.overlay || self.holds(helper, bundle, place).await?) {
            return Ok(());
        }
        if bundle.overlay {
            let laid = marker.map(|marker| marker.laid).unwrap_or_default();
            return self.lay(helper, (digest, bundle), (place, &laid), terms).await;
        }
        let what = format!("put {} files on the host", bundle.files.len());
        let archive =
            bundle_archive(digest, bundle, place).map_err(|error| not_archived(&what, error))?;
        self.put_archive(helper, INSIDE, &what, archive, terms).await?;
        match self.marker(helper, place).await? {
            Some(there) if there.digest == digest.as_str() => Ok(()),
            _ => {
                let message = "the Engine took the files, and does not have them".to_owned();
                Err(EngineError::Refused { what, status: 500, message })
            }
        }
    }

    /// Whether a bundle's files are what they were when they were put there.
    async fn holds(
        &self,
        helper: &str,
        bundle: &FileBundle,
        place: &Place,
    ) -> Result<bool, EngineError> {
        let what = "check files on the host";
        let ask = Ask::get(format!("/containers/{}/archive", segment(helper)), what)
            .query("path", &format!("{INSIDE}/{}", place.folder));
        let archive = match self.wire().read_bytes(ask).await {
            Ok(archive) => archive,
            Err(error) if error.status() == Some(404) => return Ok(false),
            Err(error) => return Err(error),
        };
        let there = archived_files(&archive).map_err(|error| not_archived(what, error))?;
        let root = there.keys().next().cloned().unwrap_or_default();
        let root = root.split('/').next().unwrap_or_default().to_owned();
        let mut wanted = bundle.fingerprints().into_iter();
        Ok(wanted.all(|(path, (_, digest))| there.get(&format!("{root}/{path}")) == Some(&digest)))
    }

    /// The bundle that is there in whole.
    pub(super) async fn marker(
        &self,
        helper: &str,
        place: &Place,
    ) -> Result<Option<Marker>, EngineError> {
        let file = self.file_on_host(helper, &place.marker()).await?;
        Ok(file.map(|bytes| Marker::read(&String::from_utf8_lossy(&bytes))))
    }

    /// Makes the carrying container, and its image where that is missing. One that a crash left behind gives way.
    pub(super) async fn make_helper(
        &self,
        name: &str,
        place: &Place,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let body = serde_json::json!({
            "Image": format!("{}:{}", IMAGE.0, IMAGE.1),
            "Cmd": ["moorline-files"],
            "Labels": {HELPER: helper_mark(&self.facts().id, name, self.owner())},
            "HostConfig": {"Binds": [format!("{}:{INSIDE}", place.parent)], "NetworkMode": "none"},
        });
        let ask = Ask::post("/containers/create", "make a container that carries files")
            .query("name", name)
            .json(&body)?;
        match self.wire().write(ask.clone(), terms.step).await {
            Err(error) if error.status() == Some(404) => {
                // One at a time: each import of its own would leave the image of the one before without a name.
                let _importing = self.importing().await;
                match self.wire().write(ask.clone(), terms.step).await {
                    Err(error) if error.status() == Some(404) => self.import_empty(terms).await?,
                    other => return other.map(drop),
                }
            }
            Err(error) if error.status() == Some(409) => self.remove_helper(name, terms).await?,
            other => return other.map(drop),
        }
        self.wire().write(ask, terms.step).await.map(drop)
    }

    async fn import_empty(&self, terms: &CallOptions<'_>) -> Result<(), EngineError> {
        let ask = Ask::post("/images/create", "make the empty image")
            .query("fromSrc", "-")
            .query("repo", IMAGE.0)
            .query("tag", IMAGE.1)
            .query("changes", &format!("LABEL {HELPER}=image"))
            .tar(Bytes::from_static(&[0; 1024]));
        self.wire().write(ask, terms.step).await.map(drop)
    }

    /// Removes a carrying container; it is all right when there is none.
    pub(in crate::docker) async fn remove_helper(
        &self,
        address: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let path = format!("/containers/{}", segment(address));
        let ask = Ask::new(Method::DELETE, path, "remove a container that carried files")
            .query("force", "1");
        match self.wire().write(ask, terms.step).await {
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The SHA-256 of each file of an archive, by its path.
fn archived_files(archive: &[u8]) -> std::io::Result<BTreeMap<String, Digest>> {
    let mut archive = tar::Archive::new(archive);
    let mut found = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        found.insert(path, Digest::of(&bytes));
    }
    Ok(found)
}

/// Where a bundle goes on the host.
pub(super) struct Place {
    /// Folder that the carrying container mounts.
    parent: String,
    /// The folder of all bundles of a stack below it, which is closed to others; empty where there is none.
    stack: String,
    /// The bundle's own folder below [`Self::parent`].
    folder: String,
}

impl Place {
    fn of(bundle: &FileBundle) -> Result<Self, EngineError> {
        let place = Self::at(&bundle.host_path)?;
        if bundle.overlay {
            return Ok(place);
        }
        let closed = place.parent.rsplit_once('/').filter(|(above, _)| !above.is_empty());
        Ok(match closed {
            Some((above, stack)) => Self {
                folder: format!("{stack}/{}", place.folder),
                stack: stack.to_owned(),
                parent: above.to_owned(),
            },
            None => place,
        })
    }

    /// A folder on the host, by way of the one that holds it.
    pub(super) fn at(path: &str) -> Result<Self, EngineError> {
        let path = path.trim_end_matches('/');
        match path.rsplit_once('/') {
            Some((parent, folder)) if !folder.is_empty() && path.starts_with('/') => {
                let parent = if parent.is_empty() { "/" } else { parent };
                let (parent, folder) = (parent.to_owned(), folder.to_owned());
                Ok(Self { parent, stack: String::new(), folder })
            }
            _ => Err(EngineError::Refused {
                what: "put files on the host".to_owned(),
                status: 400,
                message: format!("{path:?} is not an absolute folder"),
            }),
        }
    }

    /// The bundle's folder, and whatever is in it, as the carrying container sees it.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// The marker, as the carrying container sees it.
    pub(super) fn marker(&self) -> String {
        format!("{}.complete", self.folder)
    }
}

/// What a marker says: a digest, and in its second line what was put there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marker {
    /// The bundle's digest.
    pub(super) digest: String,
    /// Path below the bundle's folder to the SHA-256 of its content. Empty where an earlier version of Moorline wrote it.
    pub(super) laid: BTreeMap<String, String>,
}

impl Marker {
    pub(super) fn of(digest: &Digest, bundle: &FileBundle) -> Self {
        let laid = bundle.fingerprints().into_iter();
        let laid = laid.map(|(path, (_, digest))| (path.to_owned(), digest.to_string())).collect();
        Self { digest: digest.to_string(), laid }
    }

    fn read(text: &str) -> Self {
        let (digest, laid) = text.split_once('\n').unwrap_or((text, ""));
        let laid = serde_json::from_str(laid).unwrap_or_default();
        Self { digest: digest.to_owned(), laid }
    }

    pub(super) fn write(&self) -> String {
        format!("{}\n{}", self.digest, serde_json::json!(self.laid))
    }
}

pub(super) fn not_archived(what: &str, error: std::io::Error) -> EngineError {
    EngineError::Garbled { what: what.to_owned(), source: error.into() }
}

fn bundle_archive(digest: &Digest, bundle: &FileBundle, place: &Place) -> std::io::Result<Bytes> {
    let mut archive = Archive::new(bundle.time);
    if !place.stack.is_empty() {
        archive.folder(&place.stack, CLOSED)?;
    }
    for folder in folders(&bundle.files) {
        let path = if folder.is_empty() {
            place.folder.clone()
        } else {
            format!("{}/{folder}", place.folder)
        };
        archive.folder(&path, 0o755)?;
    }
    for (path, file) in &bundle.files {
        archive.file(&format!("{}/{path}", place.folder), mode(file.mode), &file.bytes)?;
    }
    archive.file(&place.marker(), 0o600, Marker::of(digest, bundle).write().as_bytes())?;
    archive.finish()
}

/// The mode of a folder that only the Engine enters.
const CLOSED: u32 = 0o700;

/// An archive whose entries are of one time.
pub(super) struct Archive {
    inner: tar::Builder<Vec<u8>>,
    /// Seconds since 1970.
    time: u64,
}

impl Archive {
    /// An empty one; without a time its entries are of 1970, so that the same content is the same archive and build
    /// caches hit.
    pub(super) fn new(time: Option<Timestamp>) -> Self {
        let seconds = time.map_or(0, |time| time.as_millis() / 1000);
        Self { inner: tar::Builder::new(Vec::new()), time: u64::try_from(seconds).unwrap_or(0) }
    }

    /// Adds a file of root's.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
        let mut header = header(mode, bytes.len());
        header.set_mtime(self.time);
        self.inner.append_data(&mut header, path, bytes)
    }

    /// Adds a folder of root's.
    pub(super) fn folder(&mut self, path: &str, mode: u32) -> std::io::Result<()> {
        let mut header = header(mode, 0);
        header.set_mtime(self.time);
        header.set_entry_type(tar::EntryType::Directory);
        self.inner.append_data(&mut header, format!("{path}/"), std::io::empty())
    }

    /// Adds a file that is a link to itself. The Engine takes away what is there under the name, folders with all that
    /// is in them, and then has nothing to link to: it refuses the archive, and the name is free. It is the one way to
    /// remove something from a host without running a program on it.
    pub(super) fn nothing(&mut self, path: &str) -> std::io::Result<()> {
        let mut header = header(0o644, 0);
        header.set_entry_type(tar::EntryType::Link);
        self.inner.append_link(&mut header, path, path)
    }

    pub(super) fn finish(self) -> std::io::Result<Bytes> {
        self.inner.into_inner().map(Bytes::from)
    }
}

/// The tar of a build's context.
pub(super) fn context(files: &BTreeMap<String, BundleFile>) -> Result<Bytes, EngineError> {
    let build = || {
        let mut archive = Archive::new(None);
        for folder in folders(files).iter().filter(|folder| !folder.is_empty()) {
            archive.folder(folder, 0o755)?;
        }
        for (path, file) in files {
            archive.file(path, mode(file.mode), &file.bytes)?;
        }
        archive.finish()
    };
    build().map_err(|error| not_archived("pack the build context", error))
}

/// Folders that exist in the container already keep their modes: only the file is named, by its absolute path as
/// docker compose names it where the header has room for that.
fn upload(file: &Upload) -> std::io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = header(file.mode, file.bytes.len());
    header.set_uid(file.uid);
    header.set_gid(file.gid);
    let target = file.target.as_bytes();
    match header.as_old_mut().name.get_mut(..=target.len()) {
        Some(name) => {
            name.iter_mut().zip(target.iter().chain(&[0])).for_each(|(to, from)| *to = *from);
            header.set_cksum();
            archive.append(&header, &*file.bytes)?;
        }
        None => {
            archive.append_data(&mut header, file.target.trim_start_matches('/'), &*file.bytes)?;
        }
    }
    archive.into_inner().map(Bytes::from)
}

pub(super) fn mode(mode: FileMode) -> u32 {
    match mode {
        FileMode::Regular => 0o644,
        FileMode::Executable => 0o755,
    }
}

fn header(mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// All folders above the files, the root as the empty path, parents first.
fn folders(files: &BTreeMap<String, BundleFile>) -> BTreeSet<String> {
    let mut folders = BTreeSet::from([String::new()]);
    for path in files.keys() {
        let mut rest = path.as_str();
        while let Some((folder, _)) = rest.rsplit_once('/') {
            folders.insert(folder.to_owned());
            rest = folder;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: FileMode) -> BundleFile {
        BundleFile { mode, bytes: text.as_bytes().into() }
    }

    fn bundle() -> FileBundle {
        FileBundle {
            host_path: "/var/lib/moorline/files/shop/abc".to_owned(),
            files: BTreeMap::from([
                ("conf/nginx.conf".to_owned(), file("server {}", FileMode::Regular)),
                ("run.sh".to_owned(), file("#!/bin/sh", FileMode::Executable)),
            ]),
            overlay: false,
            time: Some(Timestamp::from_millis(1_767_323_045_000)),
        }
    }

    #[test]
    fn a_bundle_ends_with_its_marker_beside_the_folder() {
        let bundle = bundle();
        let digest = Digest::of(b"x");
        let bytes = bundle_archive(&digest, &bundle, &Place::of(&bundle).unwrap()).unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let entries: Vec<(String, u32, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.mtime().unwrap())
            })
            .collect();
        let expected = [
            ("shop/", 0o700),
            ("shop/abc/", 0o755),
            ("shop/abc/conf/", 0o755),
            ("shop/abc/conf/nginx.conf", 0o644),
            ("shop/abc/run.sh", 0o755),
            ("shop/abc.complete", 0o600),
        ];
        let expected: Vec<(String, u32, u64)> =
            expected.iter().map(|(p, m)| ((*p).to_owned(), *m, 1_767_323_045)).collect();
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_copied_file_is_named_by_its_whole_path() {
        let long = format!("/etc/{}", "x".repeat(150));
        for (target, named) in
            [("/etc/app.conf", "/etc/app.conf"), (&*long, long.trim_matches('/'))]
        {
            let bytes: std::sync::Arc<[u8]> = b"text".as_slice().into();
            let upload =
                upload(&Upload { target: target.to_owned(), bytes, mode: 0o400, uid: 5, gid: 6 });
            let bytes = upload.unwrap();
            let mut archive = tar::Archive::new(&*bytes);
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path_bytes(), named.as_bytes());
            let header = entry.header().clone();
            assert_eq!((header.mode().unwrap(), header.uid().unwrap()), (0o400, 5));
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
        }
    }

    #[test]
    fn the_same_files_are_the_same_archive() {
        let files = bundle().files;
        assert_eq!(context(&files).unwrap(), context(&files).unwrap());
    }

    #[test]
    fn only_absolute_folders_take_bundles() {
        for path in ["", "/", "relative/x"] {
            let bundle = FileBundle { host_path: path.to_owned(), ..bundle() };
            assert!(Place::of(&bundle).is_err(), "{path}");
        }
        let place = Place::of(&FileBundle { host_path: "/top".to_owned(), ..bundle() }).unwrap();
        assert_eq!((place.parent.as_str(), place.folder.as_str()), ("/", "top"));
    }
}

//! Files on their way to the host, through the Engine API alone, so that remote hosts work like local ones.
//!
//! A bundle goes into a folder of the host through a container that is made and never started: it mounts the folder's
//! parent, files are copied into it, and it is removed. Its image is empty and made on the spot.
//!
//! *Guarantees.* A bundle counts as being there only when its marker, the last entry of the archive, says its digest.
//! The marker is a sibling of the folder, so that containers that mount the folder do not see it.
//! *Caveats.* Between two daemons that put the same bundle at the same time, one may fail and has to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::super::connect::{Ask, segment};
use super::super::look::{HELPER, HELPER_NAME, helper_mark};
use super::super::{Engine, EngineError};
use super::Terms;
use crate::model::{BundleFile, ContainerHandle, Digest, FileBundle, FileMode, Upload};

/// The empty image of containers that carry files.
const IMAGE: (&str, &str) = ("moorline/files", "1");
/// How often copying is tried again after the Engine failed at it.
const STUMBLES: u32 = 2;
const STUMBLE_PAUSE: Duration = Duration::from_millis(100);
/// Where the carrying container mounts the bundle's parent folder.
const INSIDE: &str = "/bundle";

impl Engine {
    pub(super) async fn upload(
        &self,
        container: &ContainerHandle,
        files: &[Upload],
        terms: &Terms<'_>,
    ) -> Result<(), EngineError> {
        // One call a file, as docker compose does it.
        for file in files {
            let what = format!("copy {} into {}", file.target, container.name());
            let archive = upload(file).map_err(|error| not_archived(&what, error))?;
            self.put_archive(container.address(), "/", &what, archive, terms).await?;
        }
        Ok(())
    }

    async fn put_archive(
        &self,
        address: &str,
        folder: &str,
        what: &str,
        archive: Bytes,
        terms: &Terms<'_>,
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
        terms: &Terms<'_>,
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
        terms: &Terms<'_>,
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
        terms: &Terms<'_>,
    ) -> Result<(), EngineError> {
        if self.marker(helper, place).await?.as_deref() == Some(digest.as_str()) {
            return Ok(());
        }
        let what = format!("put {} files on the host", bundle.files.len());
        let archive =
            bundle_archive(digest, bundle, place).map_err(|error| not_archived(&what, error))?;
        self.put_archive(helper, INSIDE, &what, archive, terms).await?;
        match self.marker(helper, place).await? {
            Some(there) if there == digest.as_str() => Ok(()),
            _ => {
                let message = "the Engine took the files, and does not have them".to_owned();
                Err(EngineError::Refused { what, status: 500, message })
            }
        }
    }

    /// The digest of the bundle that is there in whole.
    async fn marker(&self, helper: &str, place: &Place) -> Result<Option<String>, EngineError> {
        let what = "read a marker";
        let ask = Ask::get(format!("/containers/{}/archive", segment(helper)), what)
            .query("path", &format!("{INSIDE}/{}", place.marker()));
        match self.wire().read_bytes(ask).await {
            Ok(archive) => Ok(first_file(&archive)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the carrying container, and its image where that is missing. One that a crash left behind gives way.
    async fn make_helper(
        &self,
        name: &str,
        place: &Place,
        terms: &Terms<'_>,
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

    async fn import_empty(&self, terms: &Terms<'_>) -> Result<(), EngineError> {
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
        terms: &Terms<'_>,
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

/// Where a bundle goes on the host.
struct Place {
    /// Folder that holds the bundle's own.
    parent: String,
    /// The bundle's own folder.
    folder: String,
}

impl Place {
    fn of(bundle: &FileBundle) -> Result<Self, EngineError> {
        let path = bundle.host_path.trim_end_matches('/');
        match path.rsplit_once('/') {
            Some((parent, folder)) if !folder.is_empty() && path.starts_with('/') => {
                let parent = if parent.is_empty() { "/" } else { parent };
                Ok(Self { parent: parent.to_owned(), folder: folder.to_owned() })
            }
            _ => Err(EngineError::Refused {
                what: "put files on the host".to_owned(),
                status: 400,
                message: format!("{:?} is not an absolute folder", bundle.host_path),
            }),
        }
    }

    fn marker(&self) -> String {
        format!("{}.complete", self.folder)
    }
}

fn not_archived(what: &str, error: std::io::Error) -> EngineError {
    EngineError::Garbled { what: what.to_owned(), source: error.into() }
}

fn bundle_archive(digest: &Digest, bundle: &FileBundle, place: &Place) -> std::io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    for folder in folders(&bundle.files) {
        let path = if folder.is_empty() {
            place.folder.clone()
        } else {
            format!("{}/{folder}", place.folder)
        };
        append_folder(&mut archive, &path)?;
    }
    for (path, file) in &bundle.files {
        append(&mut archive, &format!("{}/{path}", place.folder), mode(file.mode), &file.bytes)?;
    }
    append(&mut archive, &place.marker(), 0o644, digest.as_str().as_bytes())?;
    archive.into_inner().map(Bytes::from)
}

/// The tar of a build's context.
pub(super) fn context(files: &BTreeMap<String, BundleFile>) -> Result<Bytes, EngineError> {
    let build = || {
        let mut archive = tar::Builder::new(Vec::new());
        for folder in folders(files).iter().filter(|folder| !folder.is_empty()) {
            append_folder(&mut archive, folder)?;
        }
        for (path, file) in files {
            append(&mut archive, path, mode(file.mode), &file.bytes)?;
        }
        archive.into_inner().map(Bytes::from)
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

fn mode(mode: FileMode) -> u32 {
    match mode {
        FileMode::Regular => 0o644,
        FileMode::Executable => 0o755,
    }
}

/// Times are always the same, so that the same content is the same archive and build caches hit.
fn header(mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    bytes: &[u8],
) -> std::io::Result<()> {
    archive.append_data(&mut header(mode, bytes.len()), path, bytes)
}

fn append_folder(archive: &mut tar::Builder<Vec<u8>>, path: &str) -> std::io::Result<()> {
    let mut header = header(0o755, 0);
    header.set_entry_type(tar::EntryType::Directory);
    archive.append_data(&mut header, format!("{path}/"), std::io::empty())
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

/// The content of an archive's first file, as text.
fn first_file(archive: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let mut text = String::new();
    entry.read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: FileMode) -> BundleFile {
        BundleFile { mode, bytes: text.as_bytes().into() }
    }

    fn bundle() -> FileBundle {
        FileBundle {
            host_path: "/var/lib/moorline/files/abc".to_owned(),
            files: BTreeMap::from([
                ("conf/nginx.conf".to_owned(), file("server {}", FileMode::Regular)),
                ("run.sh".to_owned(), file("#!/bin/sh", FileMode::Executable)),
            ]),
            overlay: false,
        }
    }

    #[test]
    fn a_bundle_ends_with_its_marker_beside_the_folder() {
        let bundle = bundle();
        let digest = Digest::of(b"x");
        let bytes = bundle_archive(&digest, &bundle, &Place::of(&bundle).unwrap()).unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let entries: Vec<(String, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())
            })
            .collect();
        let expected = [
            ("abc/", 0o755),
            ("abc/conf/", 0o755),
            ("abc/conf/nginx.conf", 0o644),
            ("abc/run.sh", 0o755),
            ("abc.complete", 0o644),
        ];
        let expected: Vec<(String, u32)> =
            expected.iter().map(|(p, m)| ((*p).to_owned(), *m)).collect();
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

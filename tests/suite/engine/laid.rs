//! Folders where both Git and a service write, and files that go: on the simulated Engine and on real ones.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use moorline::docker::{Engine, EngineSettings};
use moorline::model::{Action, BundleFile, Digest, FileBundle, FileMode, Timestamp};

use super::terms::act;
use crate::support::engines::first;
use crate::support::fake_engine::{FakeEngine, Options};

/// A host's files, whichever kind of host it is.
enum Disk<'a> {
    Simulated(&'a FakeEngine),
    Real,
}

impl Disk<'_> {
    fn read(&self, path: &str) -> Option<String> {
        let bytes = match self {
            Self::Simulated(fake) => fake.host_files().remove(path),
            Self::Real => std::fs::read(path).ok(),
        };
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn write(&self, path: &str, text: &str) {
        match self {
            Self::Simulated(fake) => fake.write_host_file(path, text.as_bytes()),
            Self::Real => std::fs::write(path, text).unwrap(),
        }
    }

    fn remove(&self, path: &str) {
        match self {
            Self::Simulated(fake) => fake.remove_host_file(path),
            Self::Real => std::fs::remove_file(path).unwrap(),
        }
    }
}

fn bundle(folder: &str, overlay: bool, files: &[(&str, &str)]) -> (Digest, Arc<FileBundle>) {
    let digest = Digest::of(format!("{files:?}").as_bytes());
    let file = |text: &str| BundleFile { mode: FileMode::Regular, bytes: text.as_bytes().into() };
    let files: BTreeMap<String, BundleFile> =
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect();
    let time = Some(Timestamp::from_millis(1_767_323_045_000));
    let bundle = FileBundle { host_path: folder.to_owned(), files, overlay, time };
    (digest, Arc::new(bundle))
}

async fn put(engine: &Engine, (digest, bundle): (Digest, Arc<FileBundle>)) -> Digest {
    act(engine, Action::PutFiles { digest: digest.clone(), bundle }).await.unwrap();
    digest
}

async fn what_a_service_wrote_is_kept(engine: &Engine, disk: &Disk<'_>, root: &str) {
    let folder = format!("{root}/state/shop/data");
    let at = |path: &str| disk.read(&format!("{folder}/{path}"));
    let write = |path: &str, text: &str| disk.write(&format!("{folder}/{path}"), text);
    let first = [
        ("same.conf", "1"),
        ("both.conf", "1"),
        ("git.conf", "1"),
        ("gone.conf", "1"),
        ("gone-and-changed.conf", "1"),
        ("in/deep.conf", "1"),
        ("deleted.conf", "1"),
    ];
    put(engine, bundle(&folder, true, &first)).await;
    assert_eq!(at("in/deep.conf").as_deref(), Some("1"));
    write("same.conf", "service");
    write("both.conf", "service");
    write("gone-and-changed.conf", "service");
    write("own.db", "data");
    disk.remove(&format!("{folder}/deleted.conf"));

    // The same once more: nobody touches anything.
    put(engine, bundle(&folder, true, &first)).await;
    assert_eq!(at("both.conf").as_deref(), Some("service"));

    let second = [
        ("same.conf", "1"),
        ("both.conf", "2"),
        ("git.conf", "2"),
        ("in/deep.conf", "1"),
        ("new/file.conf", "2"),
        ("deleted.conf", "1"),
    ];
    let digest = put(engine, bundle(&folder, true, &second)).await;
    let kept = |name: &str| at(&format!("{name}.before-{}", digest.short()));
    assert_eq!(at("same.conf").as_deref(), Some("service"), "Git did not change it");
    assert_eq!(
        (at("both.conf").as_deref(), kept("both.conf").as_deref()),
        (Some("2"), Some("service"))
    );
    assert_eq!((at("git.conf").as_deref(), kept("git.conf")), (Some("2"), None));
    assert_eq!((at("gone.conf"), kept("gone.conf")), (None, None));
    assert_eq!(at("gone-and-changed.conf"), None);
    assert_eq!(kept("gone-and-changed.conf").as_deref(), Some("service"));
    assert_eq!(at("new/file.conf").as_deref(), Some("2"));
    assert_eq!(at("own.db").as_deref(), Some("data"));
    assert_eq!(at("deleted.conf"), None, "the service removed it, and Git did not change it");
}

async fn what_was_there_before_is_kept(engine: &Engine, disk: &Disk<'_>, root: &str) {
    let folder = format!("{root}/state/shop/before");
    put(engine, bundle(&folder, true, &[("other.conf", "0")])).await;
    disk.write(&format!("{folder}/app.conf"), "from elsewhere");
    let digest = put(engine, bundle(&folder, true, &[("app.conf", "1")])).await;
    let kept = disk.read(&format!("{folder}/app.conf.before-{}", digest.short()));
    assert_eq!(kept.as_deref(), Some("from elsewhere"));
}

async fn bundles_go_unless_a_service_wrote(engine: &Engine, disk: &Disk<'_>, root: &str) {
    let files = format!("{root}/files/shop");
    let remove = |folder: &str, written| Action::RemoveFiles { folder: folder.to_owned(), written };
    for name in ["one", "two", "three"] {
        put(engine, bundle(&format!("{files}/{name}"), false, &[("conf/a", "1"), ("b", "1")]))
            .await;
    }
    act(engine, remove(&format!("{files}/one"), false)).await.unwrap();
    assert_eq!(disk.read(&format!("{files}/one/conf/a")), None);
    assert_eq!(disk.read(&format!("{files}/one.complete")), None);
    disk.write(&format!("{files}/two/b"), "service");
    act(engine, remove(&format!("{files}/two"), true)).await.unwrap();
    assert_eq!(disk.read(&format!("{files}/two/b")).as_deref(), Some("service"));
    act(engine, remove(&format!("{files}/three"), true)).await.unwrap();
    assert_eq!(disk.read(&format!("{files}/three/b")), None);
    // What is not there is removed already, and what was removed is put again.
    act(engine, remove(&format!("{files}/three"), true)).await.unwrap();
    put(engine, bundle(&format!("{files}/one"), false, &[("conf/a", "1")])).await;
    assert_eq!(disk.read(&format!("{files}/one/conf/a")).as_deref(), Some("1"));
    act(engine, remove(&files, false)).await.unwrap();
    assert_eq!(disk.read(&format!("{files}/one/conf/a")), None);
}

#[tokio::test]
async fn on_the_simulated_engine_files_of_git_and_of_services_live_together() {
    let fake = FakeEngine::start(Options::default()).await;
    let engine = Engine::connect(&fake.endpoint(), &EngineSettings::default()).await.unwrap();
    let disk = Disk::Simulated(&fake);
    what_a_service_wrote_is_kept(&engine, &disk, "/var/lib/moorline").await;
    what_was_there_before_is_kept(&engine, &disk, "/var/lib/moorline").await;
    bundles_go_unless_a_service_wrote(&engine, &disk, "/var/lib/moorline").await;
}

#[tokio::test]
async fn real_files_of_git_and_of_services_live_together() {
    let Some(engine) = first().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    what_a_service_wrote_is_kept(&engine, &Disk::Real, &root).await;
    what_was_there_before_is_kept(&engine, &Disk::Real, &root).await;
    bundles_go_unless_a_service_wrote(&engine, &Disk::Real, &root).await;
    assert!(!Path::new(&format!("{root}/files/shop")).exists());
}

#[tokio::test]
async fn real_files_bear_the_commits_time_and_are_closed_to_others() {
    let Some(engine) = first().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files/shop");
    put(&engine, bundle(&files.join("abc").display().to_string(), false, &[("a", "1")])).await;
    let facts = std::fs::metadata(files.join("abc/a")).unwrap();
    let time = facts.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(time.as_secs(), 1_767_323_045);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&files), mode(&files.join("abc.complete"))), (0o700, 0o600));
    assert_eq!((mode(&files.join("abc")), mode(&files.join("abc/a"))), (0o755, 0o644));
}

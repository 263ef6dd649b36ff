//! The data folder is removed, damaged, full or read-only while the daemon runs: services are kept all the same, it costs
//! only what cannot be done without it, and it heals. A second daemon never works beside the first.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::daemon::Harbour;

fn web(version: &str) -> String {
    format!("services:\n  web:\n    image: app:{version}\n    restart: always\n")
}

fn daemon_lock(data: &Path) -> Option<PathBuf> {
    let locks = std::fs::read_dir(data.join("locks")).ok()?;
    let mut paths = locks.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.file_stem().is_some_and(|name| name == "daemon"))
}

fn runs(harbour: &Harbour, version: &str) -> bool {
    let (all, image) = (harbour.hosts["a"].containers(), format!("app:{version}"));
    // While it is replaced, the new one has another name.
    all.len() == 1
        && (&*all[0].name, &*all[0].state, &*all[0].image) == ("shop-web-1", "running", &*image)
}

async fn deploys(harbour: &Harbour, version: &str) {
    harbour.push(&[("shop/compose.yaml", &web(version))], version);
    harbour.until(&format!("{version} runs"), |it| runs(it, version)).await;
}

/// What somebody stops comes back.
async fn recovers(harbour: &Harbour, version: &str) {
    harbour.hosts["a"].stop("shop-web-1");
    harbour.until("it is back", |it| runs(it, version)).await;
}

async fn refuses_a_second(harbour: &Harbour) {
    let (code, _, said) = harbour.command(&["run"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another moorline daemon uses the data folder"), "{said}");
}

/// All regular files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_removed_comes_back_and_keeps_a_second_daemon_away() {
    let mut harbour = Harbour::new(&["a"]).await;
    let data = harbour.settings().data;
    harbour.start();
    deploys(&harbour, "v1").await;
    refuses_a_second(&harbour).await;
    std::fs::remove_dir_all(&data).unwrap();
    recovers(&harbour, "v1").await;
    deploys(&harbour, "v2").await;
    // Steps make their own locks' folder at once; the daemon's lock is there once it looked at its folder.
    harbour.until("its lock is there again", |_| daemon_lock(&data).is_some()).await;
    refuses_a_second(&harbour).await;
    assert!(runs(&harbour, "v2"));
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_files_hold_rubbish_stops_nothing_and_heals() {
    let mut harbour = Harbour::new(&["a"]).await;
    let data = harbour.settings().data;
    harbour.start();
    deploys(&harbour, "v1").await;
    for kept in ["git", "targets", "forge"] {
        for file in files(&data.join(kept)) {
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, "rubbish\0\u{1}").unwrap();
        }
    }
    recovers(&harbour, "v1").await;
    deploys(&harbour, "v2").await;
    recovers(&harbour, "v2").await;
    harbour.stop().await;
}

/// A file system of its own; unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where nobody may mount.
    fn over(folder: &Path, how: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let words = ["-t", "tmpfs", "-o", how, "tmpfs"];
        let made = Command::new("mount").args(words).arg(folder).output().unwrap();
        if !made.status.success() {
            println!("skipped: {}", String::from_utf8_lossy(&made.stderr).trim());
            return None;
        }
        Some(Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_full_costs_new_commits_at_most() {
    let mut harbour = Harbour::new(&["a"]).await;
    let data = harbour.settings().data;
    let Some(_small) = Mounted::over(&data, "size=4m,mode=0700") else { return };
    harbour.start();
    deploys(&harbour, "v1").await;
    let filler = data.join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=1k", "status=none"])
        .arg(format!("of={}", filler.display()))
        .stderr(std::process::Stdio::null())
        .status();
    assert!(!full.unwrap().success(), "it is not full");
    recovers(&harbour, "v1").await;
    harbour.push(&[("shop/compose.yaml", &web("v2"))], "v2");
    recovers_whatever_runs(&harbour).await;
    std::fs::remove_file(&filler).unwrap();
    harbour.until("v2 runs", |it| runs(it, "v2")).await;
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_became_empty_and_read_only_costs_new_commits_at_most() {
    let mut harbour = Harbour::new(&["a"]).await;
    let data = harbour.settings().data;
    harbour.start();
    deploys(&harbour, "v1").await;
    let Some(over) = Mounted::over(&data, "ro,mode=0700") else { return };
    recovers(&harbour, "v1").await;
    harbour.push(&[("shop/compose.yaml", &web("v2"))], "v2");
    recovers_whatever_runs(&harbour).await;
    drop(over);
    harbour.until("v2 runs", |it| runs(it, "v2")).await;
    refuses_a_second(&harbour).await;
    harbour.stop().await;
}

/// The same while a newer commit may or may not have been read.
async fn recovers_whatever_runs(harbour: &Harbour) {
    harbour.hosts["a"].stop("shop-web-1");
    harbour
        .until("it is back", |it| {
            let all = it.hosts["a"].containers();
            all.iter().any(|one| one.name == "shop-web-1" && one.state == "running")
        })
        .await;
}

//! A repository that a test pushes to, made with the real `git`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// `srv/fleet.git`, bare, and `work`, from which commits are pushed to it.
#[derive(Debug)]
pub(crate) struct World {
    root: TempDir,
}

/// `git`, without any configuration but ours.
pub(crate) fn git_in(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Ada"),
        ("GIT_AUTHOR_EMAIL", "ada@example.com"),
        ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z"),
        ("GIT_COMMITTER_NAME", "Ada"),
        ("GIT_COMMITTER_EMAIL", "ada@example.com"),
        ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z"),
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
        ("GIT_CONFIG_KEY_1", "gc.auto"),
        ("GIT_CONFIG_VALUE_1", "0"),
    ] {
        command.env(name, value);
    }
    command
}

fn succeeded(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl World {
    /// An empty server repository, and a working copy on branch `main`.
    pub(crate) fn empty() -> Self {
        let world = Self { root: TempDir::new().unwrap() };
        for folder in ["srv", "work", "data"] {
            std::fs::create_dir(world.root.path().join(folder)).unwrap();
        }
        let run = |args: &[&str]| {
            succeeded(git_in(world.root.path()).args(args).output().unwrap());
        };
        run(&["init", "-q", "--bare", "-b", "main", "srv/fleet.git"]);
        run(&["init", "-q", "-b", "main", "work"]);
        world.git(&["remote", "add", "origin", "../srv/fleet.git"]);
        world
    }

    /// With two stacks on `main`.
    pub(crate) fn with_stacks() -> Self {
        let world = Self::empty();
        world.write("stacks/shop/compose.yaml", "services: {web: {image: shop:1}}\n");
        world.write("stacks/shop/web.conf", "listen 80\n");
        world.write("stacks/blog/compose.yaml", "services: {web: {image: blog:1}}\n");
        world.write("README.md", "fleet\n");
        world.push("add two stacks");
        world
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The server's repository.
    pub(crate) fn bare(&self) -> PathBuf {
        self.root.path().join("srv/fleet.git")
    }

    /// The folder for Moorline's clones.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// Commits everything on the current branch.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits everything and pushes the current branch.
    pub(crate) fn push(&self, message: &str) -> String {
        let id = self.commit(message);
        self.git(&["push", "-q", "--force", "origin", "HEAD"]);
        id
    }

    /// Runs git in the working copy.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        succeeded(git_in(&self.work()).args(args).output().unwrap())
    }

    /// Runs git in the server's repository.
    pub(crate) fn on_server(&self, args: &[&str]) -> String {
        succeeded(git_in(&self.bare()).args(args).output().unwrap())
    }

    /// Lets the server leave out objects, as the forges do and plain Git does not.
    pub(crate) fn allow_filters(&self) {
        self.on_server(&["config", "uploadpack.allowFilter", "true"]);
    }

    /// What the server's repository looks like to the last byte of its names and sizes.
    pub(crate) fn server_listing(&self) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
        let mut found = Vec::new();
        list(&self.bare(), &mut found);
        found.sort();
        found
    }

    /// The packs of the only clone in the data folder.
    pub(crate) fn clone_folder(&self) -> PathBuf {
        let mut folders: Vec<PathBuf> =
            std::fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        folders.remove(0)
    }
}

fn list(folder: &Path, found: &mut Vec<(PathBuf, u64, std::time::SystemTime)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let facts = entry.metadata().unwrap();
        if facts.is_dir() {
            list(&entry.path(), found);
        }
        found.push((entry.path(), facts.len(), facts.modified().unwrap()));
    }
}

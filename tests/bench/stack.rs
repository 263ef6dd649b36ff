//! The stacks that are deployed, as a Git repository and as the folder that docker compose reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An image of `tests/engines`.
pub(crate) const IMAGE: &str = "moorline.test/base:1";

/// A repository of one stack.
pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
    pub(crate) project: String,
}

impl Repository {
    /// `services` services of `replicas` replicas each.
    pub(crate) fn new(below: &Path, project: &str, services: usize, replicas: usize) -> Self {
        let folder = below.join(format!("{project}-repository"));
        let stack = folder.join(project);
        fs::create_dir_all(&stack).unwrap();
        let mut manifest = String::from("services:\n");
        for number in 1..=services {
            manifest.push_str(&format!(
                "  s{number}:\n    image: {IMAGE}\n    restart: unless-stopped\n    environment: {{SERVICE: s{number}}}\n    deploy: {{replicas: {replicas}}}\n"
            ));
        }
        fs::write(stack.join("compose.yaml"), manifest).unwrap();
        git(&folder, &["init", "-q", "-b", "main"]);
        let repository = Self { folder, project: project.to_owned() };
        repository.commit();
        repository
    }

    /// Adds a file and commits it.
    pub(crate) fn add(&self, path: &str, text: &str) {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self.commit();
    }

    fn commit(&self) {
        git(&self.folder, &["add", "-A"]);
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"];
        git(&self.folder, &[&identity[..], &["commit", "-q", "-m", "stack"]].concat());
    }

    /// The folder of the Compose file.
    pub(crate) fn stack_folder(&self) -> PathBuf {
        self.folder.join(&self.project)
    }
}

fn git(folder: &Path, words: &[&str]) {
    let outcome = Command::new("git").arg("-C").arg(folder).args(words).status().unwrap();
    assert!(outcome.success(), "git {words:?}");
}

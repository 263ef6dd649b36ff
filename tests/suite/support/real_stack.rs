//! A repository, a real Engine and the program itself: what users do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat())
        .into_owned()
}

pub fn must(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    said(&output)
}

/// Who commits.
const IDENTITY: [&str; 4] = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"];

/// A repository, a real Engine, and what Moorline keeps.
pub struct RealStack {
    pub folder: tempfile::TempDir,
    engine: String,
}

impl RealStack {
    /// One of the example fleets.
    pub fn example(name: &str, socket: &Path) -> Self {
        Self::with(socket, |fleet| {
            must(
                Command::new("cp").arg("-r").arg(project().join("examples").join(name)).arg(fleet),
            );
        })
    }

    /// Files by their paths in the repository.
    pub fn of(files: &[(&str, &str)], socket: &Path) -> Self {
        let stack = Self::with(socket, |fleet| std::fs::create_dir(fleet).unwrap());
        for (path, text) in files {
            stack.write(path, text);
        }
        stack.commit("files");
        stack
    }

    fn with(socket: &Path, fill: impl FnOnce(&Path)) -> Self {
        let stack = Self {
            folder: tempfile::tempdir().unwrap(),
            engine: format!("unix://{}", socket.display()),
        };
        must(Command::new(project().join("examples/base")).env("DOCKER_HOST", &stack.engine));
        fill(&stack.fleet());
        stack.settings("");
        must(stack.git().args(["init", "-q", "-b", "main"]));
        stack.commit("first");
        stack
    }

    fn fleet(&self) -> PathBuf {
        self.folder.path().join("fleet")
    }

    /// Writes the settings, with more lines where a test needs them.
    pub fn settings(&self, more: &str) {
        let settings = format!(
            "repositories: {{fleet: {{url: {fleet}, branch: main, forge: {{kind: none}}}}}}\nhosts: {{local: {{engine: \"{engine}\", data: {below}/host}}}}\ndata: {below}/data\nlisten: none\n{more}",
            fleet = self.fleet().display(),
            engine = self.engine,
            below = self.folder.path().display(),
        );
        std::fs::write(self.folder.path().join("moorline.yaml"), settings).unwrap();
    }

    /// Writes a file of the repository.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.fleet().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits all files as they are.
    pub fn commit(&self, subject: &str) {
        must(self.git().args(["add", "-A"]));
        must(self.git().args(IDENTITY).args(["commit", "-q", "--allow-empty", "-m", subject]));
    }

    pub fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.fleet());
        command
    }

    pub fn docker(&self, words: &[&str]) -> String {
        must(Command::new("docker").env("DOCKER_HOST", &self.engine).args(words))
    }

    pub fn moorline(&self, word: &str) -> Output {
        let settings = self.folder.path().join("moorline.yaml");
        let mut command = Command::new(MOORLINE);
        command.arg(word).arg("--settings").arg(settings).stdin(Stdio::null()).output().unwrap()
    }

    /// The Engine's address.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// What docker says, whether it did what it was told or not.
    pub fn docker_may(&self, words: &[&str]) -> String {
        let mut command = Command::new("docker");
        said(&command.env("DOCKER_HOST", &self.engine).args(words).output().unwrap())
    }

    /// A daemon that keeps the stack; it is the caller's to end.
    pub fn daemon(&self) -> std::process::Child {
        self.starts("run")
    }

    /// A command of the program that is the caller's to end.
    pub fn starts(&self, word: &str) -> std::process::Child {
        let settings = self.folder.path().join("moorline.yaml");
        let log = std::fs::File::create(self.folder.path().join("daemon.log")).unwrap();
        let mut command = Command::new(MOORLINE);
        command.arg(word).arg("--settings").arg(settings).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// [`Self::converges`], as an error where it does not.
    pub fn tries_to_converge(&self) -> Result<(), String> {
        let sync = self.moorline("sync");
        if !sync.status.success() {
            return Err(format!("sync:\n{}", said(&sync)));
        }
        for word in ["drift", "plan"] {
            let output = self.moorline(word);
            if output.status.code() != Some(0) {
                return Err(format!("{word} after sync:\n{}\n{}", said(&output), said(&sync)));
            }
        }
        Ok(())
    }

    /// Syncs once; then nothing differs, and a second pass has nothing to do.
    pub fn converges(&self) {
        self.tries_to_converge().unwrap_or_else(|error| panic!("{error}"));
    }

    pub fn running(&self, stack: &str) -> usize {
        let label = format!("label=com.docker.compose.project={stack}");
        self.docker(&["ps", "-q", "--filter", &label]).lines().count()
    }

    pub fn remove(&self, stack: &str) {
        let label = format!("label=com.docker.compose.project={stack}");
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-f", "-v"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let found = self.docker(&[list, &["--filter", &label]].concat());
            let found: Vec<&str> = found.lines().collect();
            // An Engine may take a moment to let go of the last endpoint.
            for patience in (0..20).rev() {
                if found.is_empty() {
                    break;
                }
                let mut command = Command::new("docker");
                command.env("DOCKER_HOST", &self.engine).args([remove, &found].concat());
                let gone = command.stdin(Stdio::null()).output().unwrap();
                if gone.status.success() || said(&gone).contains("No such") {
                    break;
                }
                assert!(patience > 0, "{}", said(&gone));
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
        }
    }
}

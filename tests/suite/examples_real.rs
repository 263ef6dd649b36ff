//! The example fleets on a real Engine: one `moorline sync` brings each there, and leaves nothing to do.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::support::engines::sockets;

const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat())
        .into_owned()
}

fn must(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    said(&output)
}

/// One example: a repository of its files, an Engine, and what Moorline keeps.
struct Example {
    folder: tempfile::TempDir,
    engine: String,
}

impl Example {
    fn new(name: &str, socket: &Path) -> Self {
        let example = Self {
            folder: tempfile::tempdir().unwrap(),
            engine: format!("unix://{}", socket.display()),
        };
        must(Command::new(project().join("examples/base")).env("DOCKER_HOST", &example.engine));
        let fleet = example.folder.path().join("fleet");
        must(Command::new("cp").arg("-r").arg(project().join("examples").join(name)).arg(&fleet));
        let settings = format!(
            "repositories: {{fleet: {{url: {fleet}, branch: main, forge: {{kind: none}}}}}}\nhosts: {{local: {{engine: \"{engine}\", data: {below}/host}}}}\ndata: {below}/data\nlisten: none\n",
            fleet = fleet.display(),
            engine = example.engine,
            below = example.folder.path().display(),
        );
        std::fs::write(example.folder.path().join("moorline.yaml"), settings).unwrap();
        let identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"];
        must(example.git().args(["init", "-q", "-b", "main"]));
        must(example.git().args(["add", "-A"]));
        must(example.git().args(identity).args(["commit", "-q", "-m", name]));
        example
    }

    fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder.path().join("fleet"));
        command
    }

    fn docker(&self, words: &[&str]) -> String {
        must(Command::new("docker").env("DOCKER_HOST", &self.engine).args(words))
    }

    fn moorline(&self, word: &str) -> Output {
        let settings = self.folder.path().join("moorline.yaml");
        let mut command = Command::new(MOORLINE);
        command.arg(word).arg("--settings").arg(settings).stdin(Stdio::null()).output().unwrap()
    }

    /// Syncs once; then nothing differs, and a second pass has nothing to do.
    fn converges(&self) {
        let sync = self.moorline("sync");
        assert!(sync.status.success(), "sync:\n{}", said(&sync));
        for word in ["drift", "plan"] {
            let output = self.moorline(word);
            assert_eq!(output.status.code(), Some(0), "{word} after sync:\n{}", said(&output));
        }
    }

    fn running(&self, stack: &str) -> usize {
        let label = format!("label=com.docker.compose.project={stack}");
        self.docker(&["ps", "-q", "--filter", &label]).lines().count()
    }

    fn remove(&self, stack: &str) {
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

#[test]
fn real_the_shop_migrates_its_database_before_it_serves() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let shop = Example::new("shop", &socket);
    shop.converges();
    assert_eq!(shop.running("shop"), 4, "proxy, two web servers, database");
    let page = shop.docker(&[
        "exec",
        "shop-web-1",
        "wget",
        "-q",
        "-O",
        "-",
        "http://proxy:8080/cgi-bin/shop",
    ]);
    assert!(page.contains("The corner shop") && page.contains("marmalade"), "{page}");
    shop.remove("shop");
}

#[test]
fn real_the_homelab_comes_up_in_its_order() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let home = Example::new("homelab", &socket);
    home.converges();
    let running = ["storage", "dashboard", "monitor"].map(|stack| home.running(stack));
    assert_eq!(running, [2, 1, 3]);
    for stack in ["monitor", "dashboard", "storage"] {
        home.remove(stack);
    }
}

#[test]
fn real_the_crowd_is_as_large_as_the_commit_says() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let crowd = Example::new("scaled", &socket);
    crowd.converges();
    assert_eq!(crowd.running("crowd"), 21);
    must(
        Command::new("sed")
            .args(["-i", "s/\"20\"/\"5\"/"])
            .arg(crowd.folder.path().join("fleet/fleet.yaml")),
    );
    must(crowd.git().args([
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@example.com",
        "commit",
        "-qam",
        "fewer",
    ]));
    crowd.converges();
    assert_eq!(crowd.running("crowd"), 6);
    crowd.remove("crowd");
}

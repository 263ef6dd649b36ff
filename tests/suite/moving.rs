//! Moving in: twelve Compose projects that docker compose made, taken over by what `moorline import` writes.
//!
//! `MOORLINE_ORACLE` names a docker-compose binary; without it this is skipped, and says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::engines::sockets;
use super::support::real_stack::{must, project};

const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");

/// The twelve projects, in the order in which they are made.
const PROJECTS: [(&str, &str); 12] = [
    ("proxy", "proxy"),
    ("database", "database"),
    ("notes", "notes"),
    ("media", "media"),
    ("named", "renamed"),
    ("mailer", "mailer"),
    ("built", "built"),
    ("several", "several"),
    ("vault", "vault"),
    ("shared-base", "shared-base"),
    ("replicated", "replicated"),
    ("reader", "reader"),
];

struct Move {
    top: tempfile::TempDir,
    engine: String,
    compose: PathBuf,
}

impl Move {
    /// Makes the projects. The folder outlives nothing: everything is removed at the end.
    fn begin(socket: &Path, compose: &Path) -> Self {
        let own = Self {
            top: tempfile::tempdir().unwrap(),
            engine: format!("unix://{}", socket.display()),
            compose: compose.to_owned(),
        };
        own.clean();
        must(
            own.at(Command::new(project().join("tests/moving/make")))
                .arg(own.stacks())
                .arg(compose),
        );
        own
    }

    fn stacks(&self) -> PathBuf {
        self.top.path().join("stacks")
    }

    fn fleet(&self) -> PathBuf {
        self.top.path().join("fleet")
    }

    fn at(&self, mut command: Command) -> Command {
        command.env("DOCKER_HOST", &self.engine).env("DOCKER_BUILDKIT", "0");
        command
    }

    fn docker(&self, args: &[&str]) -> String {
        let mut command = self.at(Command::new("docker"));
        must(command.args(args)).trim_end().to_owned()
    }

    /// Ids of all containers, by name.
    fn ids(&self) -> BTreeMap<String, String> {
        let told = self.docker(&["ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}"]);
        let pairs = told.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }

    /// Everything that services wrote, and where it is: what a service sees of it.
    fn state(&self) -> BTreeMap<String, String> {
        [
            ("database-db-1", "/data/rows"),
            ("notes-app-1", "/var/lib/notes/note"),
            ("media-player-1", "/media/film"),
            ("shared-base-worker-1", "/state/count"),
            ("reader-reader-1", "/their/rows"),
            ("vault-app-1", "/run/secrets/token"),
            ("vault-app-1", "/etc/settings.ini"),
            ("notes-app-1", "/etc/notes.conf"),
            ("several-front-1", "/etc/front.conf"),
        ]
        .into_iter()
        .map(|(container, path)| {
            let seen = self.docker(&["exec", container, "cat", path]);
            (format!("{container}:{path}"), seen)
        })
        .collect()
    }

    /// A checksum of every volume of the projects, and of every folder on the host that services write to.
    fn sums(&self) -> BTreeMap<String, String> {
        let mut folders: Vec<PathBuf> = vec![
            self.top.path().join("elsewhere"),
            self.stacks().join("notes/data"),
            self.stacks().join("shared-base/state"),
            self.stacks().join("vault/secrets"),
        ];
        let volumes =
            self.docker(&["volume", "ls", "-q", "--filter", "label=com.docker.compose.project"]);
        for volume in volumes.lines() {
            folders
                .push(self.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", volume]).into());
        }
        let sum = |folder: &PathBuf| {
            let script = "cd \"$0\" && find . -type f -exec sha256sum {} + | sort && find . -printf '%p %m %u\\n' | sort";
            must(Command::new("sh").arg("-c").arg(script).arg(folder))
        };
        folders.iter().map(|folder| (folder.display().to_string(), sum(folder))).collect()
    }

    fn moorline(&self, args: &[&str]) -> String {
        must(self.at(Command::new(MOORLINE)).current_dir(self.top.path()).args(args))
    }

    fn import(&self) -> String {
        let host = format!("local={}", self.engine);
        let told = self.moorline(&[
            "import",
            "--into",
            "fleet",
            "--variables",
            "variables",
            "--host",
            &host,
            "--data",
            "data",
        ]);
        // What it says of the settings is what they are to be.
        let lines = told.lines().skip_while(|line| !line.starts_with("settings"));
        let lines = lines.skip(1).take_while(|line| line.starts_with("  "));
        let settings: String = lines.flat_map(|line| [line, "\n"]).collect();
        let settings = format!("{settings}  data: {}\n", self.top.path().join("data").display());
        std::fs::write(self.top.path().join("moorline.yaml"), settings).unwrap();
        told
    }

    fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"];
        must(Command::new("git").arg("-C").arg(self.fleet()).args(identity).args(args));
    }

    /// Commits what was changed, has it deployed, and says which containers are others than before.
    fn arrives(&self, subject: &str) -> Vec<String> {
        let before = self.ids();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.moorline(&["sync"]);
        let after = self.ids();
        let changed = |name: &&String| before.get(*name) != after.get(*name);
        let names: std::collections::BTreeSet<&String> =
            before.keys().chain(after.keys()).collect();
        names.into_iter().filter(changed).cloned().collect()
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.top.path().join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{} does not hold {from:?}", path.display());
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }

    fn clean(&self) {
        let names = PROJECTS.map(|(_, name)| name);
        let script = "for p in \"$@\"; do docker rm -fv $(docker ps -aq --filter label=com.docker.compose.project=$p) 2>/dev/null; done
            for p in \"$@\"; do docker network rm $(docker network ls -q --filter label=com.docker.compose.project=$p) 2>/dev/null
            docker volume rm $(docker volume ls -q --filter label=com.docker.compose.project=$p) 2>/dev/null; done
            docker network rm moving_shared 2>/dev/null; true";
        must(self.at(Command::new("sh")).arg("-c").arg(script).arg("clean").args(names));
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        self.clean();
    }
}

/// The files below a folder, as text.
fn texts(folder: &Path) -> String {
    must(Command::new("grep").arg("-rn").arg("").arg(folder))
}

#[test]
fn real_twelve_stacks_move_in_and_lose_nothing() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let Some(compose) = std::env::var_os("MOORLINE_ORACLE").map(PathBuf::from) else {
        println!(
            "skipped: MOORLINE_ORACLE names no docker-compose, and without one nothing moves in"
        );
        return;
    };
    let own = Move::begin(&socket, &compose);
    let (ids, sums, state) = (own.ids(), own.sums(), own.state());

    let told = own.import();
    assert!(told.contains("changes nothing in 12 of 12 stacks"), "{told}");
    assert!(!told.contains("moving-secret"), "a value is said: {told}");
    assert!(!texts(&own.fleet()).contains("moving-secret"), "a secret is in the repository");
    let modes = must(
        Command::new("find")
            .arg(own.top.path().join("variables"))
            .args(["-type", "f", "-printf", "%m\n"]),
    );
    assert_eq!(modes, "600\n600\n600\n");
    assert_eq!(own.ids(), ids, "an import touches nothing");

    own.git(&["init", "-q", "-b", "main"]);
    assert_eq!(own.arrives("As it runs"), Vec::<String>::new(), "nothing is made anew");
    assert_eq!((own.ids(), own.sums(), own.state()), (ids, sums.clone(), state.clone()));

    changes(&own);
    let state = own.state();
    falls(&own, &state, &sums);
}

/// One change of each kind.
fn changes(own: &Move) {
    own.edit("variables/proxy.env", "TAG=1", "TAG=2");
    assert_eq!(own.arrives("a variable outside Git"), ["proxy-web-1"]);
    own.edit("variables/mailer.env", "moving-secret-6", "moving-secret-7");
    assert_eq!(own.arrives("a value of an env file"), ["mailer-queue-1", "mailer-smtp-1"]);
    own.edit("fleet/notes/notes.conf", "dark", "light");
    assert_eq!(own.arrives("a file that is mounted"), ["notes-app-1"]);
    assert_eq!(own.docker(&["exec", "notes-app-1", "cat", "/etc/notes.conf"]), "theme = light");
    own.edit("fleet/vault/settings.ini", "a = 1", "a = 2");
    assert_eq!(own.arrives("a config"), ["vault-app-1"]);
    own.edit("fleet/built/app/index.html", "built", "built anew");
    assert_eq!(own.arrives("what is built from"), ["built-api-1"]);
    assert_eq!(own.docker(&["exec", "built-api-1", "cat", "/index.html"]), "built anew");
    own.edit("fleet/replicated/compose.yaml", "replicas: 3", "replicas: 2");
    assert_eq!(own.arrives("fewer"), ["replicated-web-3"]);
    own.edit("fleet/stacks/common.yaml", "\"yes\"", "\"more\"");
    assert_eq!(own.arrives("a file that is extended"), ["shared-base-worker-1"]);
    own.edit("fleet/renamed/compose.yaml", "hostname: only", "hostname: other");
    assert_eq!(own.arrives("an attribute"), ["the-only-one"]);
    own.edit("fleet/several/docker-compose.override.yml", "EXTRA: \"1\"", "EXTRA: \"2\"");
    assert_eq!(own.arrives("an override"), ["several-front-1"]);
    own.edit(
        "fleet/media/compose.yaml",
        "services:",
        "services:\n  second:\n    image: moorline.test/base:1",
    );
    assert_eq!(own.arrives("a service"), ["media-second-1"]);
    own.edit(
        "fleet/database/compose.yaml",
        "volumes: [data:/data]",
        "volumes: [data:/data, more:/more]",
    );
    own.edit("fleet/database/compose.yaml", "volumes: {data: {}}", "volumes: {data: {}, more: {}}");
    assert_eq!(own.arrives("a volume"), ["database-db-1"]);
}

/// `docker compose down` in the folders where it all began.
fn falls(own: &Move, state: &BTreeMap<String, String>, sums: &BTreeMap<String, String>) {
    for (folder, _) in PROJECTS.iter().rev() {
        let mut down = own.at(Command::new(&own.compose));
        must(down.current_dir(own.stacks().join(folder)).args(["--profile", "*", "down"]));
    }
    own.moorline(&["sync"]);
    assert_eq!(own.state(), *state, "everything is back as it was");
    let after = own.sums();
    for (folder, sum) in sums {
        assert_eq!(after.get(folder), Some(sum), "{folder} was lost or changed");
    }
}

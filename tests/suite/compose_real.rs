//! What Compose files ask for on a real Engine, from a commit to the running container: images from a registry, builds,
//! jobs, hooks, files with their owners.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::engines::sockets;
use super::support::real_stack::{RealStack, said};
use super::support::until_blocking;

/// `s3cret`, as a registry keeps it.
const PASSWORDS: &str = "ada:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";
/// `ada:s3cret`, as Docker's configuration keeps it.
const LOGIN: &str = r#"{"auths": {"127.0.0.1:5001": {"auth": "YWRhOnMzY3JldA=="}}}"#;
const IMAGE: &str = "127.0.0.1:5001/team/app:1";

/// A registry that wants a password, beside the first Engine.
struct Registry(Child);

impl Registry {
    fn start(folder: &Path) -> Self {
        std::fs::write(folder.join("passwords"), PASSWORDS).unwrap();
        std::fs::create_dir(folder.join("docker")).unwrap();
        std::fs::write(folder.join("docker/config.json"), LOGIN).unwrap();
        let below = folder.display();
        let settings = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {below}/registry}}}}\nhttp: {{addr: \"127.0.0.1:5001\"}}\nauth: {{htpasswd: {{realm: tests, path: {below}/passwords}}}}\n"
        );
        std::fs::write(folder.join("registry.yml"), settings).unwrap();
        let namespaces = std::env::var("MOORLINE_ENGINE_NAMESPACES").unwrap();
        let inside = format!("--net=/run/netns/{}", namespaces.split(',').next().unwrap());
        let child = Command::new("nsenter")
            .args([&inside, "docker-registry", "serve"])
            .arg(folder.join("registry.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = || {
            let test = "exec 3<>/dev/tcp/127.0.0.1/5001";
            let mut command = Command::new("nsenter");
            command.args([&inside, "bash", "-c", test]).stderr(Stdio::null());
            command.status().unwrap().success()
        };
        until_blocking("the registry answers", answers);
        Self(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Puts a version of the image into the registry under the same tag, and nothing of it on the Engine.
fn publish(stack: &RealStack, version: &str) {
    let recipe = format!("FROM moorline-example/base:1\nLABEL version={version}\n");
    stack.write("../recipe/Dockerfile", &recipe);
    let recipe = stack.folder.path().join("recipe").display().to_string();
    stack.docker(&["build", "-q", "-t", IMAGE, &recipe]);
    let login = stack.folder.path().join("docker").display().to_string();
    stack.docker(&["--config", &login, "push", "-q", IMAGE]);
    stack.docker(&["rmi", IMAGE]);
}

fn version(stack: &RealStack, container: &str) -> String {
    let label = "{{index .Config.Labels \"version\"}}";
    stack.docker(&["inspect", "-f", label, container]).trim().to_owned()
}

fn manifest(policy: &str) -> String {
    format!(
        "services:\n  app:\n    image: {IMAGE}\n    pull_policy: {policy}\n    stop_grace_period: 1s\n"
    )
}

#[test]
fn real_images_come_from_a_registry_as_the_policy_says() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let stack = RealStack::of(&[("pulls/compose.yaml", &manifest("never"))], &socket);
    let _registry = Registry::start(stack.folder.path());
    publish(&stack, "one");

    let never = stack.moorline("sync");
    assert_eq!(never.status.code(), Some(1), "{}", said(&never));
    assert!(said(&never).contains("pull_policy: never"), "{}", said(&never));

    stack.write("pulls/compose.yaml", &manifest("missing"));
    stack.commit("pull what is missing");
    let stranger = stack.moorline("sync");
    assert_eq!(stranger.status.code(), Some(1), "{}", said(&stranger));
    assert_eq!(stack.running("pulls"), 0);
    assert!(said(&stranger).contains("credentials"), "{}", said(&stranger));

    let login = stack.folder.path().join("docker/config.json");
    stack.settings(&format!("registries: {{config_file: {}}}\n", login.display()));
    stack.converges();
    assert_eq!(version(&stack, "pulls-app-1"), "one");

    // The tag moves: who pulls only what is missing stays, who pulls always follows.
    stack.docker(&["tag", IMAGE, "kept:one"]);
    publish(&stack, "two");
    stack.docker(&["tag", "kept:one", IMAGE]);
    stack.converges();
    assert_eq!(version(&stack, "pulls-app-1"), "one");
    stack.write("pulls/compose.yaml", &manifest("always"));
    stack.commit("follow the tag");
    stack.converges();
    assert_eq!(version(&stack, "pulls-app-1"), "two");
    publish_beside(&stack, "three");
    stack.converges();
    assert_eq!(version(&stack, "pulls-app-1"), "three");

    // Pulled a moment ago: not due again within the hour.
    stack.write("pulls/compose.yaml", &manifest("every_1h"));
    stack.commit("follow the tag each hour");
    stack.converges();
    publish_beside(&stack, "four");
    stack.converges();
    assert_eq!(version(&stack, "pulls-app-1"), "three");
    stack.remove("pulls");
    stack.docker(&["rmi", "-f", IMAGE, "kept:one"]);
}

/// As [`publish`], while a container uses the version before.
fn publish_beside(stack: &RealStack, version: &str) {
    stack.docker(&["tag", IMAGE, "kept:before"]);
    publish(stack, version);
    stack.docker(&["tag", "kept:before", IMAGE]);
    stack.docker(&["rmi", "kept:before"]);
}

const WORKSHOP: &str = r#"services:
  web:
    build:
      context: web
      target: served
      args: {GREETING: hello}
      labels: {made.of: git}
    stop_grace_period: 1s
    post_start:
      - {command: ["sh", "-c", "echo started by $$WHO > /tmp/hook"], environment: [WHO=hook]}
    depends_on:
      prepare: {condition: service_completed_successfully}
  prepare:
    image: moorline-example/base:1
    restart: "no"
    command: ["sh", "-c", "echo once >> /store/log"]
    volumes: ["store:/store"]
  reader:
    image: moorline-example/base:1
    command: ["idle"]
    stop_grace_period: 1s
    configs:
      - {source: level, target: /etc/level}
      - {source: said, uid: "1000", gid: "1001", mode: 0440}
    secrets:
      - key
      - {source: word, mode: 0400}
    volumes: ["store:/store:ro"]
configs:
  level: {file: ./level.conf}
  said: {content: "said in ${TONE:-calm} words"}
secrets:
  key: {file: ./key.txt}
  word: {environment: WORD}
volumes: {store: {}}
"#;

const RECIPE: &str = "FROM moorline-example/base:1 AS base\nARG GREETING=none\nRUN echo $GREETING > /greeting\n\
                      FROM base AS served\nCOPY page /page\nCMD [\"idle\"]\nFROM base AS other\nRUN exit 9\n";

fn id(stack: &RealStack, container: &str) -> String {
    stack.docker(&["inspect", "-f", "{{.Id}}", container]).trim().to_owned()
}

fn inside(stack: &RealStack, container: &str, command: &str) -> String {
    stack.docker(&["exec", container, "sh", "-c", command]).trim().to_owned()
}

#[test]
fn real_builds_jobs_hooks_and_files_follow_the_commits() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let stack = RealStack::of(
        &[
            ("workshop/compose.yaml", WORKSHOP),
            ("workshop/web/Dockerfile", RECIPE),
            ("workshop/web/page", "first page\n"),
            ("workshop/level.conf", "level: 1\n"),
            ("workshop/key.txt", "s3cret"),
            ("workshop/.env", "WORD=whispered\n"),
            ("README.md", "about\n"),
        ],
        &socket,
    );
    let (web, reader) = ("workshop-web-1", "workshop-reader-1");
    stack.converges();
    assert_eq!(
        inside(&stack, web, "cat /greeting /page /tmp/hook"),
        "hello\nfirst page\nstarted by hook"
    );
    let seen = "cat /etc/level; stat -c %u:%g:%a /said; cat /said; echo; cat /run/secrets/key; \
                stat -c ' %a' /run/secrets/word; cat /run/secrets/word";
    assert_eq!(
        inside(&stack, reader, seen),
        "level: 1\n1000:1001:440\nsaid in calm words\ns3cret 400\nwhispered"
    );

    // A commit beside it: nothing is built, run or replaced again.
    let before = (id(&stack, web), id(&stack, reader));
    stack.write("README.md", "about something else\n");
    stack.commit("beside it");
    stack.converges();
    assert_eq!((id(&stack, web), id(&stack, reader)), before);
    assert_eq!(inside(&stack, reader, "cat /store/log"), "once");

    stack.write("workshop/web/page", "second page\n");
    stack.commit("another page");
    stack.converges();
    assert_eq!(inside(&stack, web, "cat /page"), "second page");
    assert_eq!(id(&stack, reader), before.1, "only what the page is built into");

    let web_before = id(&stack, web);
    stack.write("workshop/level.conf", "level: 2\n");
    stack.commit("another level");
    stack.converges();
    assert_eq!(inside(&stack, reader, "cat /etc/level"), "level: 2");
    assert_eq!(id(&stack, web), web_before, "only what reads the file");

    stack.write(
        "workshop/web/Dockerfile",
        &RECIPE.replace("COPY page /page", "RUN echo last words; exit 7"),
    );
    stack.commit("a recipe that fails");
    let failed = stack.moorline("sync");
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("last words"), "{}", said(&failed));
    assert_eq!(id(&stack, web), web_before, "what runs goes on");

    // The job runs again when it changes, and only then.
    stack.write("workshop/web/Dockerfile", RECIPE);
    stack.write("workshop/compose.yaml", &WORKSHOP.replace("echo once", "echo twice"));
    stack.commit("another job");
    stack.converges();
    assert_eq!(inside(&stack, reader, "cat /store/log"), "once\ntwice");
    stack.remove("workshop");
}

//! Stacks whose files are encrypted, loaded from a commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline::commit::{self, LoadedStack, Opening, Written};
use moorline::config::fleet_file::Stack;
use moorline::model::{
    Digest, EngineFacts, FileMode, Given, HostName, Location, ManifestTree, RepositoryName,
    Revision, StackName, TreeFile, TreePath,
};
use moorline::outside::Keys;
use moorline::report::Target;

use super::{keys, read};

/// What the settings' keys open.
fn with(names: &[&str]) -> Opening {
    Opening::With(Arc::new(Keys { identities: keys(names), problems: Vec::new() }))
}

fn tree(files: &[(&str, Vec<u8>)]) -> ManifestTree {
    let file = |(path, bytes): &(&str, Vec<u8>)| {
        let file = TreeFile { mode: FileMode::Regular, bytes: bytes.as_slice().into() };
        (TreePath::parse(path).unwrap(), file)
    };
    ManifestTree::new(files.iter().map(file).collect::<BTreeMap<_, _>>())
}

fn load(files: &[(&str, Vec<u8>)], opening: &Opening) -> LoadedStack {
    let (name, folder) = (StackName::parse("shop").unwrap(), TreePath::parse("shop").unwrap());
    let stack = Stack::new(name, folder, Location::file("fleet.yaml"));
    commit::load_with(&stack, &tree(files), (&Given::default(), opening)).0
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

const WEB: &str = "services:\n  web:\n    image: app:v1\n    env_file: [app.env]\n    environment: {PASS: '${DB_PASSWORD}'}\n    secrets: [key]\n    configs: [settings]\nsecrets: {key: {file: text.bin}}\nconfigs: {settings: {file: shop.json}}\n";

/// A stack that reads encrypted files of every kind.
fn shop() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("shop/compose.yaml", text(WEB)),
        ("shop/.env", read("sealed/stack/first.env")),
        ("shop/app.env", read("sealed/stack/rotated.env")),
        ("shop/text.bin", read("sealed/age/text.bin")),
        ("shop/shop.json", read("sealed/age/shop.json")),
    ]
}

/// What is asked of the host of one stack.
fn written(loaded: &LoadedStack) -> Written {
    let target = Target {
        repository: RepositoryName::parse("fleet").unwrap(),
        stack: StackName::parse("shop").unwrap(),
        host: HostName::parse("local").unwrap(),
    };
    let revision = Revision::parse(&"a".repeat(40)).unwrap();
    let facts = EngineFacts { id: "engine".to_owned(), ..EngineFacts::default() };
    loaded.write(&target, &revision, "/var/lib/moorline", &facts)
}

/// What the stack asks of an Engine.
fn desired(loaded: &LoadedStack) -> moorline::model::Desired {
    let written = written(loaded);
    assert!(!written.problems.has_errors(), "{:?}", written.problems);
    Arc::unwrap_or_clone(written.desired.unwrap())
}

#[test]
fn containers_get_what_was_encrypted() {
    let loaded = load(&shop(), &with(&["one.txt"]));
    assert!(loaded.problems.0.is_empty(), "{:?}", loaded.problems);
    let service = &loaded.project.as_ref().unwrap().services.values().next().unwrap();
    let value = |name: &str| service.environment[name].clone().unwrap();
    assert_eq!(value("PASS"), "correct-horse-battery");
    assert_eq!(value("DB_PASSWORD"), "another-horse-battery");
    assert_eq!(value("TOKEN"), "token-that-stays-secret");
    let desired = desired(&loaded);
    let replica = desired.services.values().next().unwrap().replicas.values().next().unwrap();
    let uploads = &replica.uploads;
    let upload = |target: &str| {
        let found = uploads.iter().find(|upload| upload.target == target);
        String::from_utf8(found.unwrap_or_else(|| panic!("{uploads:?}")).bytes.to_vec()).unwrap()
    };
    assert_eq!(upload("/run/secrets/key").as_bytes(), read("plain/text.bin"));
    assert!(upload("/settings").contains("12345678901"));
    // Nothing of it lies in a bundle, which is a folder on the host.
    assert!(desired.bundles.is_empty());
}

#[test]
fn what_was_encrypted_is_a_secret_wherever_something_is_said() {
    let loaded = load(&shop(), &with(&["one.txt"]));
    for secret in ["correct-horse-battery", "another-horse-battery", "token-that-stays-secret"] {
        let said = moorline::report::mask::mask(&format!("it is {secret}!"), &loaded.secrets);
        assert!(!said.contains(secret), "{said}");
    }
    let shown = format!("{:?} {:?}", loaded.tree, loaded);
    assert!(!shown.contains("horse"), "{shown}");
    // The digest is of the ciphertext: it tells nothing that Git does not tell.
    assert_eq!(load(&shop(), &with(&["two.txt"])).digest, loaded.digest);
    assert_ne!(Digest::of(b"correct-horse-battery"), loaded.digest);
}

#[test]
fn a_whole_compose_file_may_be_encrypted() {
    let files = [("shop/compose.yaml", read("sealed/stack/compose.yaml"))];
    let loaded = load(&files, &with(&["one.txt"]));
    assert!(!loaded.problems.has_errors(), "{:?}", loaded.problems);
    let project = loaded.project.unwrap();
    let web = project.services.iter().find(|(name, _)| name.as_str() == "web").unwrap().1;
    assert_eq!(web.image, "shop/web:1");
    assert_eq!(web.environment["DB_PASSWORD"].as_deref(), Some("correct horse # battery: staple"));
    // The merge key still merges.
    assert_eq!(web.restart, "unless-stopped");
    // Problems are told with the lines of the file as it is in Git.
    let broken = String::from_utf8(read("sealed/stack/compose.yaml")).unwrap();
    let line = broken.lines().position(|line| line.contains("ports:")).unwrap() + 1;
    assert_eq!(project.origins.nearest("services.web.ports").unwrap().line as usize, line);
}

#[test]
fn without_a_key_the_stack_is_not_used_and_it_is_said_what_to_do() {
    for (opening, says) in [
        (Opening::Closed, "secrets: {age_key_files: [FILE]}"),
        (with(&["stranger.txt"]), "no key that was given opens the SOPS file"),
        (
            Opening::With(Arc::new(Keys {
                problems: vec!["the key file /etc/age.txt cannot be used: gone".to_owned()],
                ..Keys::default()
            })),
            "/etc/age.txt cannot be used: gone",
        ),
    ] {
        let loaded = load(&shop(), &opening);
        assert!(loaded.project.is_none());
        let said: String = loaded.problems.0.iter().map(|problem| format!("{problem}\n")).collect();
        assert!(said.contains(says) && said.contains("shop/"), "{said}");
    }
}

#[test]
fn a_changed_file_stays_closed_and_names_the_line() {
    let mut files = shop();
    let env = String::from_utf8(read("sealed/stack/first.env")).unwrap();
    files[1].1 = text(&env.replace("LEVEL_unencrypted=info", "LEVEL_unencrypted=debug"));
    let loaded = load(&files, &with(&["one.txt"]));
    assert!(loaded.project.is_none());
    let said = format!("{:?}", loaded.problems);
    assert!(
        said.contains("MAC of the SOPS file does not hold") && said.contains("shop/.env"),
        "{said}"
    );
}

#[test]
fn plaintext_is_bound_nowhere_and_stands_in_no_label() {
    let bound = "services:\n  web: {image: 'app:v1', volumes: ['./shop.json:/x.json']}\n";
    let files =
        [("shop/compose.yaml", text(bound)), ("shop/shop.json", read("sealed/age/shop.json"))];
    let loaded = load(&files, &with(&["one.txt"]));
    let written = written(&loaded);
    assert!(written.problems.has_errors());
    let labels = "services:\n  web: {image: 'app:v1', label_file: [shop.env]}\n";
    let files =
        [("shop/compose.yaml", text(labels)), ("shop/shop.env", read("sealed/stack/first.env"))];
    let said = format!("{:?}", load(&files, &with(&["one.txt"])).problems);
    assert!(said.contains("labels would hold what is encrypted"), "{said}");
}

#[test]
fn a_secret_under_a_tmpfs_is_refused() {
    let compose = WEB.replace("    secrets:", "    tmpfs: [/run]\n    secrets:");
    let mut files = shop();
    files[0].1 = text(&compose);
    let loaded = load(&files, &with(&["one.txt"]));
    let written = written(&loaded);
    let said = format!("{:?}", written.problems);
    assert!(
        said.contains("under the tmpfs /run") && said.contains("services.web.secrets.0"),
        "{said}"
    );
}

#[test]
fn a_proposal_is_compared_and_never_opened() {
    let base = load(&shop(), &with(&["one.txt"]));
    let known = Opening::Compared(Arc::new(base.opened().clone()));
    // What is as it was is what it was.
    let same = load(&shop(), &known);
    assert!(same.problems.0.is_empty(), "{:?}", same.problems);
    let value = |loaded: &LoadedStack, name: &str| {
        let project = loaded.project.as_ref().unwrap();
        project.services.values().next().unwrap().environment[name].clone().unwrap()
    };
    assert_eq!(value(&same, "PASS"), "correct-horse-battery");
    // One value was rotated: a token stands for it, and the others are what they were.
    let mut files = shop();
    files[1].1 = read("sealed/stack/rotated.env");
    let rotated = load(&files, &known);
    let pass = value(&rotated, "PASS");
    assert!(pass.starts_with("encrypted-") && pass.len() < 30, "{pass}");
    // Nobody who proposes needs a key for that, or gets at what the key opens.
    let fresh = load(&shop(), &Opening::Compared(Arc::default()));
    assert!(fresh.problems.0.is_empty(), "{:?}", fresh.problems);
    for name in ["PASS", "DB_PASSWORD", "TOKEN"] {
        assert!(value(&fresh, name).starts_with("encrypted-"));
    }
    // A ciphertext that was moved under another name is not what it was there.
    let env = String::from_utf8(read("sealed/stack/first.env")).unwrap();
    files[1].1 = text(&env.replace("TOKEN=", "OTHER=").replace("DB_PASSWORD=", "TOKEN="));
    files[0].1 = text(&WEB.replace("${DB_PASSWORD}", "${TOKEN}"));
    assert!(value(&load(&files, &known), "PASS").starts_with("encrypted-"));
}

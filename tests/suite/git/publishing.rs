//! Notes on commits.

use moorline::git::notes::{self, Published};
use moorline::git::{Credentials, Git, Source};
use moorline::model::{CommitState, CommitStatus, Revision, Timestamp};

use super::servers::{Daemon, Foreign, Https, Sshd};
use super::world::World;
use super::{kind, never, source};

fn status(context: &str, state: CommitState, description: &str) -> CommitStatus {
    let (context, description) = (context.to_owned(), description.to_owned());
    CommitStatus { context, state, description, link: None, progress: None }
}

async fn publish(
    git: &Git,
    source: &Source,
    revision: &Revision,
    statuses: &[CommitStatus],
) -> Published {
    let now = Timestamp::parse("2026-02-03T04:05:06Z").unwrap();
    notes::publish(git, source, revision, statuses, now, &never()).await.unwrap()
}

fn sources(world: &World) -> Vec<(&'static str, Box<dyn std::any::Any>, Source)> {
    let daemon = Daemon::start(world);
    let https = Https::start(world);
    let mut over_https = source(&https.url());
    over_https.access.ca_file = Some(https.file("ca.pem"));
    over_https.access.credentials =
        Credentials::Token { file: https.file("token"), username: None };
    let over_git = source(&daemon.url());
    let mut all: Vec<(&'static str, Box<dyn std::any::Any>, Source)> = vec![
        ("path", Box::new(()), source(world.bare().to_str().unwrap())),
        ("git", Box::new(daemon), over_git),
        ("https", Box::new(https), over_https),
    ];
    if let Some(sshd) = Sshd::start(world) {
        let mut over_ssh = source(&sshd.url());
        over_ssh.access.credentials =
            Credentials::SshKey { file: sshd.key("client"), passphrase_file: None };
        over_ssh.access.known_hosts_file = Some(sshd.known_hosts("HOST KEY\n"));
        all.push(("ssh", Box::new(sshd), over_ssh));
    }
    if let Some(foreign) = Foreign::start(world) {
        let over_http = source(&foreign.url());
        all.push(("another make", Box::new(foreign), over_http));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_notes_that_git_shows_and_that_are_pushed_only_when_they_change() {
    let world = World::with_stacks();
    world.allow_filters();
    for (kind, _server, source) in sources(&world) {
        world.write("README.md", kind);
        let revision = Revision::parse(&world.push(kind)).unwrap();
        let git = Git::new(&world.data());
        let pending = [status("moorline/shop", CommitState::Pending, "deploying")];
        assert_eq!(publish(&git, &source, &revision, &pending).await, Published::Pushed, "{kind}");
        assert_eq!(
            publish(&git, &source, &revision, &pending).await,
            Published::Unchanged,
            "{kind}"
        );
        let done = [
            status("moorline/shop", CommitState::Success, "in sync on 2 hosts"),
            status("moorline", CommitState::Success, "all stacks are in sync"),
        ];
        assert_eq!(publish(&git, &source, &revision, &done).await, Published::Pushed, "{kind}");
        let shown =
            world.on_server(&["log", "-1", "--notes=moorline", "--format=%N", revision.as_str()]);
        assert_eq!(
            shown,
            "moorline/shop: success in sync on 2 hosts\nmoorline: success all stacks are in sync",
            "{kind}"
        );
        let read = notes::read(&git, &source, &revision, &never()).await.unwrap();
        assert_eq!(read.len(), 2);
        assert!(done.iter().all(|status| read.contains(status)), "{read:?}");
        // A daemon that starts from nothing reads the same.
        let other = Git::new(&world.root().join(kind));
        assert_eq!(
            notes::read(&other, &source, &revision, &never()).await.unwrap(),
            read,
            "{kind}"
        );
        assert_eq!(
            publish(&other, &source, &revision, &done).await,
            Published::Unchanged,
            "{kind}"
        );
    }
    world.on_server(&["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_the_same_time_lose_nothing() {
    for kind_of_remote in ["path", "git", "https"] {
        let world = World::with_stacks();
        let all = sources(&world);
        let (_, _server, source) = all.iter().find(|(kind, ..)| *kind == kind_of_remote).unwrap();
        let revision = Revision::parse(&world.git(&["rev-parse", "HEAD"])).unwrap();
        let (one, two) = (Git::new(&world.root().join("one")), Git::new(&world.root().join("two")));
        let write = async |git: &Git, name: &str| {
            for round in 0..6 {
                let context = format!("moorline/{name}-{round}");
                let one = [status(&context, CommitState::Success, "in sync")];
                publish(git, source, &revision, &one).await;
            }
        };
        tokio::join!(write(&one, "a"), write(&two, "b"));
        let read = notes::read(&one, source, &revision, &never()).await.unwrap();
        assert_eq!(read.len(), 12, "{kind_of_remote}: {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_of_others_stay_also_when_they_are_many_and_in_folders() {
    let world = World::with_stacks();
    world.allow_filters();
    let daemon = Daemon::start(&world);
    let source = source(&daemon.url());
    let git = Git::new(&world.data());
    let revision = Revision::parse(&world.git(&["rev-parse", "HEAD"])).unwrap();
    world.on_server(&["notes", "--ref=moorline", "add", "-m", "by hand", revision.as_str()]);
    let blob = world.on_server(&["rev-parse", "HEAD:README.md"]);
    // Git makes folders of two digits when there are many notes.
    let many: Vec<String> = (0..300)
        .map(|n| {
            format!(
                "100644 blob {blob}\t{:040x}\n",
                0x0101_0101_0101_u64.wrapping_mul(n * n * 7 + n)
            )
        })
        .collect();
    let tree = mktree(&world, &many.concat());
    let commit =
        world.on_server(&["commit-tree", "-m", "many", "-p", "refs/notes/moorline", &tree]);
    world.on_server(&["update-ref", "refs/notes/moorline", &commit]);
    for round in 0..3 {
        world.write("README.md", format!("{round}\n"));
        let next = Revision::parse(&world.push("next")).unwrap();
        let one = [status("moorline", CommitState::Failure, "out of sync")];
        assert_eq!(publish(&git, &source, &next, &one).await, Published::Pushed);
        assert_eq!(notes::read(&git, &source, &next, &never()).await.unwrap(), one);
        let shown = world.on_server(&["notes", "--ref=moorline", "show", next.as_str()]);
        assert_eq!(shown, "moorline: failure out of sync");
    }
    let all = world.on_server(&["notes", "--ref=moorline", "list"]);
    assert_eq!(all.lines().count(), 303);
    world.on_server(&["fsck", "--strict"]);
}

fn mktree(world: &World, text: &str) -> String {
    use std::io::Write as _;
    let mut child = super::world::git_in(&world.bare())
        .arg("mktree")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_is_an_error_in_the_servers_words() {
    let world = World::with_stacks();
    let daemon = Daemon::start(&world);
    let source = source(&daemon.url());
    let hook = world.bare().join("hooks/update");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let revision = Revision::parse(&world.git(&["rev-parse", "HEAD"])).unwrap();
    let one = [status("moorline", CommitState::Success, "in sync")];
    let git = Git::new(&world.data());
    let now = Timestamp::from_millis(0);
    let problem = notes::publish(&git, &source, &revision, &one, now, &never()).await.unwrap_err();
    assert_eq!(kind(&problem), "PushRefused", "{problem:?}");
    assert!(problem.to_string().contains("hook declined"), "{problem}");
}

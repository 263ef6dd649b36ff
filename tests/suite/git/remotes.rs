//! The same repository over every kind of remote.

use moorline::git::{Access, Credentials, Git, GitError, Source, TreeSelection, Wanted, watch};
use moorline::model::Revision;

use super::servers::{Daemon, Foreign, Https, Sshd};
use super::world::World;
use super::{head, kind, never, path, paths, pull_all, source, text};

/// Servers that live as long as a test.
enum Server {
    None,
    Daemon(#[expect(dead_code, reason = "ends with the test")] Daemon),
    Sshd(#[expect(dead_code, reason = "ends with the test")] Sshd),
    Https(Https),
    Foreign(#[expect(dead_code, reason = "ends with the test")] Foreign),
}

fn https_access(https: &Https) -> Access {
    Access {
        credentials: Credentials::Token { file: https.file("token"), username: None },
        ca_file: Some(https.file("ca.pem")),
        ..source(&https.url()).access
    }
}

fn ssh_access(sshd: &Sshd) -> Access {
    Access {
        credentials: Credentials::SshKey { file: sshd.key("client"), passphrase_file: None },
        known_hosts_file: Some(sshd.known_hosts("HOST KEY\n")),
        ..source(&sshd.url()).access
    }
}

/// A server of a kind for a world, and the source that reaches it.
fn serve(kind: &str, world: &World) -> Option<(Server, Source)> {
    match kind {
        "path" => Some((Server::None, source(world.bare().to_str().unwrap()))),
        "file" => Some((Server::None, source(&format!("file://{}", world.bare().display())))),
        "git" => {
            let daemon = Daemon::start(world);
            let source = source(&daemon.url());
            Some((Server::Daemon(daemon), source))
        }
        "ssh" => {
            let sshd = Sshd::start(world)?;
            let source = Source { access: ssh_access(&sshd), ..source(&sshd.url()) };
            Some((Server::Sshd(sshd), source))
        }
        "https" | "https version 0" => {
            let https = Https::start(world);
            let old = kind.ends_with('0');
            https.moods.only_version_0.store(old, std::sync::atomic::Ordering::Relaxed);
            let source = Source { access: https_access(&https), ..source(&https.url()) };
            Some((Server::Https(https), source))
        }
        "another make" => {
            let foreign = Foreign::start(world)?;
            let source = source(&foreign.url());
            Some((Server::Foreign(foreign), source))
        }
        other => panic!("{other}"),
    }
}

const KINDS: [&str; 6] = ["path", "file", "git", "ssh", "https", "https version 0"];

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_read_over_every_kind_of_remote() {
    for filters in [false, true] {
        for kind in KINDS.into_iter().chain(["another make"]) {
            let world = World::with_stacks();
            if filters {
                world.allow_filters();
            }
            let Some((_server, source)) = serve(kind, &world) else { continue };
            read_follow_and_forget(&world, &source, kind).await;
        }
    }
}

async fn read_follow_and_forget(world: &World, source: &Source, kind: &str) {
    let git = Git::new(&world.data());
    let first = world.git(&["rev-parse", "HEAD"]);
    assert_eq!(head(&git, source).await.unwrap(), first, "{kind}");
    let pulled = pull_all(&git, source).await.unwrap();
    assert_eq!(pulled.revision.as_str(), first, "{kind}");
    assert_eq!(
        paths(&pulled),
        [
            "README.md",
            "stacks/blog/compose.yaml",
            "stacks/shop/compose.yaml",
            "stacks/shop/web.conf"
        ],
        "{kind}"
    );
    assert_eq!(pulled.facts.author, "Ada");
    assert_eq!(pulled.facts.subject, "add two stacks");
    assert_eq!(pulled.facts.time.to_string(), "2026-01-02T03:04:05Z");

    world.write("stacks/shop/web.conf", "listen 81\n");
    let second = world.push("another port");
    let pulled = pull_all(&git, source).await.unwrap();
    assert_eq!(
        (pulled.revision.as_str(), text(&pulled, "stacks/shop/web.conf").as_str()),
        (&*second, "listen 81\n"),
        "{kind}"
    );

    // Rewritten history.
    world.git(&["reset", "-q", "--hard", &first]);
    world.write("README.md", "another story\n");
    let third = world.push("another story");
    let pulled = pull_all(&git, source).await.unwrap();
    assert_eq!(pulled.revision.as_str(), third, "{kind}");
    assert_eq!(text(&pulled, "stacks/shop/web.conf"), "listen 80\n");

    // The one before is still here, or still at the remote.
    let again = Wanted::Revision(Revision::parse(&second).unwrap());
    let pulled = git.pull(source, &again, &TreeSelection::all(), &never()).await.unwrap();
    assert_eq!(text(&pulled, "stacks/shop/web.conf"), "listen 81\n", "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_has_its_own_error_over_every_kind_of_remote() {
    for kind_of_remote in KINDS {
        let world = World::empty();
        let Some((_server, mut source)) = serve(kind_of_remote, &world) else { continue };
        let git = Git::new(&world.data());
        let mut problems = Vec::new();
        problems.push(("empty", head(&git, &source).await.unwrap_err()));
        problems.push(("empty pull", pull_all(&git, &source).await.unwrap_err()));

        world.write("a/compose.yaml", "services: {}\n");
        world.push("first");
        world.git(&[
            "push",
            "-q",
            "origin",
            "HEAD:refs/heads/maintenance",
            "HEAD:refs/heads/other",
        ]);
        source.branch = Some("mian".to_owned());
        problems.push(("branch", head(&git, &source).await.unwrap_err()));
        source.branch = Some("main".to_owned());
        source.path = path("b");
        problems.push(("path", pull_all(&git, &source).await.unwrap_err()));
        source.path = path("a/compose.yaml");
        problems.push(("file as path", pull_all(&git, &source).await.unwrap_err()));
        source.path = path("");
        let gone = Wanted::Revision(Revision::parse(&"1".repeat(40)).unwrap());
        let all = TreeSelection::all();
        problems.push(("revision", git.pull(&source, &gone, &all, &never()).await.unwrap_err()));
        problems.push(("name", git.resolve(&source, "v9", &never()).await.unwrap_err()));
        problems.push(("digits", git.resolve(&source, "1234567", &never()).await.unwrap_err()));

        let kinds: Vec<(&str, String)> =
            problems.iter().map(|(what, e)| (*what, kind(e))).collect();
        let expected = [
            ("empty", "EmptyRepository"),
            ("empty pull", "EmptyRepository"),
            ("branch", "NoBranch"),
            ("path", "NoPath"),
            ("file as path", "NoPath"),
            ("revision", "NoRevision"),
            ("name", "NoRevision"),
            ("digits", "NoRevision"),
        ];
        assert_eq!(kinds, expected.map(|(what, kind)| (what, kind.to_owned())), "{kind_of_remote}");
        let GitError::NoBranch { near, .. } = &problems[2].1 else { panic!() };
        assert_eq!(near, &["main", "other", "maintenance"], "{kind_of_remote}");
        assert!(problems.iter().all(|(_, problem)| !problem.help().is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_does_not_exist_is_said_to_be_missing() {
    for kind_of_remote in KINDS {
        let world = World::with_stacks();
        let Some((_server, mut source)) = serve(kind_of_remote, &world) else { continue };
        let url = source.remote.to_string().replace("fleet.git", "fleet-none.git");
        source.remote = moorline::git::Remote::parse(&url, std::path::Path::new("/")).unwrap();
        let problem = head(&Git::new(&world.data()), &source).await.unwrap_err();
        assert_eq!(kind(&problem), "NoRepository", "{kind_of_remote}: {problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_branch_is_an_error_and_a_renamed_one_is_offered() {
    for kind_of_remote in KINDS {
        let world = World::with_stacks();
        let Some((_server, source)) = serve(kind_of_remote, &world) else { continue };
        let git = Git::new(&world.data());
        pull_all(&git, &source).await.unwrap();
        world.on_server(&["branch", "-m", "main", "mains"]);
        let problem = pull_all(&git, &source).await.unwrap_err();
        let GitError::NoBranch { branch, near, .. } = problem else { panic!("{kind_of_remote}") };
        assert_eq!((branch.as_str(), near), ("main", vec!["mains".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_mean_what_they_mean_to_git() {
    for filters in [false, true] {
        for kind in KINDS {
            let world = World::with_stacks();
            if filters {
                world.allow_filters();
            }
            let first = world.git(&["rev-parse", "HEAD"]);
            world.git(&["tag", "-a", "v1", "-m", "one"]);
            world.git(&["tag", "light"]);
            world.git(&["push", "-q", "origin", "v1", "light", "HEAD:refs/pull/7/head"]);
            world.write("README.md", "two\n");
            let second = world.push("second");
            let Some((_server, mut source)) = serve(kind, &world) else { continue };
            let git = Git::new(&world.data());
            for (name, expected) in [
                ("v1", &first),
                ("light", &first),
                ("main", &second),
                ("HEAD", &second),
                ("refs/pull/7/head", &first),
                ("refs/tags/v1", &first),
                (&second[..7], &second),
                (&first[..10], &first),
                (&first.to_uppercase(), &first),
            ] {
                let found = git.resolve(&source, name, &never()).await;
                assert_eq!(found.unwrap().as_str(), expected, "{kind}: {name}");
            }
            let wanted = Wanted::Reference("refs/pull/7/head".to_owned());
            let pulled = git.pull(&source, &wanted, &TreeSelection::all(), &never()).await.unwrap();
            assert_eq!(
                (pulled.revision.as_str(), text(&pulled, "README.md").as_str()),
                (&*first, "fleet\n")
            );
            source.branch = None;
            assert_eq!(head(&git, &source).await.unwrap(), second, "{kind}: default branch");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_one_request_once_the_server_is_known() {
    let world = World::with_stacks();
    let Some((Server::Https(https), source)) = serve("https", &world) else { panic!() };
    let git = Git::new(&world.data());
    head(&git, &source).await.unwrap();
    assert_eq!(https.take_log(), ["GET /fleet.git/info/refs", "POST /fleet.git/git-upload-pack"]);
    let second = world.push("second");
    assert_eq!(head(&git, &source).await.unwrap(), second);
    assert_eq!(https.take_log(), ["POST /fleet.git/git-upload-pack"]);
    // The server is replaced by one that knows only version 0: what we remember of it is forgotten.
    https.moods.only_version_0.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(head(&git, &source).await.unwrap(), second);
    assert!(!world.data().read_dir().unwrap().any(|_| true), "a poll fetches nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_twice_and_nothing_that_is_not_read() {
    let world = World::with_stacks();
    world.allow_filters();
    for folder in 0..40 {
        for file in 0..25 {
            let name = format!("src/m{folder}/f{file}.bin");
            let noise: Vec<String> =
                (0..60).map(|line| format!("{folder} {file} {line}\n")).collect();
            world.write(&name, noise.concat());
        }
    }
    let revision = world.push("a thousand files");
    let Some((_server, source)) = serve("https", &world) else { panic!() };
    let git = Git::new(&world.data());
    let shop = TreeSelection::below([path("stacks/shop"), path("fleet.yaml")]);
    let pulled = git.pull(&source, &Wanted::Head, &shop, &never()).await.unwrap();
    assert_eq!(paths(&pulled), ["stacks/shop/compose.yaml", "stacks/shop/web.conf"]);
    assert!(pulled.traffic.pack_bytes < 2_000, "{:?}", pulled.traffic);

    let known = Wanted::Revision(Revision::parse(&revision).unwrap());
    let pulled = git.pull(&source, &known, &shop, &never()).await.unwrap();
    assert_eq!((pulled.traffic.requests, pulled.traffic.pack_bytes), (0, 0));

    // All manifests of the tree: its folders, but none of its other files.
    let manifests = TreeSelection::named(["compose.yaml"]);
    let pulled = git.pull(&source, &known, &manifests, &never()).await.unwrap();
    assert_eq!(paths(&pulled), ["stacks/blog/compose.yaml", "stacks/shop/compose.yaml"]);
    assert!(pulled.traffic.pack_bytes < 60_000, "{:?}", pulled.traffic);

    world.write("src/m3/f4.bin", "changed\n");
    world.push("elsewhere");
    let pulled = git.pull(&source, &Wanted::Head, &shop, &never()).await.unwrap();
    assert_eq!(paths(&pulled).len(), 2);
    assert!(pulled.traffic.pack_bytes < 1_000, "{:?}", pulled.traffic);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_this_machine_is_only_read() {
    let world = World::with_stacks();
    let git = Git::new(&world.data());
    let before = world.server_listing();
    pull_all(&git, &source(world.bare().to_str().unwrap())).await.unwrap();
    assert_eq!(world.server_listing(), before);
    assert!(!world.data().read_dir().unwrap().any(|_| true), "nothing is copied");

    // Working copies, linked worktrees, packed references and borrowed objects are repositories, too.
    world.git(&["worktree", "add", "-q", "../linked", "-b", "side"]);
    world.git(&["pack-refs", "--all"]);
    world.git(&["clone", "-q", "--shared", ".", "../borrowed"]);
    for (place, branch) in [("work", "main"), ("linked", "side"), ("borrowed", "main")] {
        let mut source = source(world.root().join(place).to_str().unwrap());
        source.branch = Some(branch.to_owned());
        assert_eq!(paths(&pull_all(&git, &source).await.unwrap()).len(), 4, "{place}");
        source.branch = None;
        assert_eq!(paths(&pull_all(&git, &source).await.unwrap()).len(), 4, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_repository_on_this_machine_is_seen_at_once() {
    let world = World::with_stacks();
    for place in [world.bare(), world.work()] {
        let mut watch = watch(&place).unwrap();
        let git = Git::new(&world.data());
        let source = source(place.to_str().unwrap());
        pull_all(&git, &source).await.unwrap();
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(400), watch.next()).await;
        assert!(quiet.is_err(), "reading is no change");
        for round in 0..3 {
            world.write("README.md", format!("{place:?} {round}\n"));
            let id = world.push("a change");
            let begun = std::time::Instant::now();
            watch.next().await.unwrap();
            assert!(begun.elapsed() < std::time::Duration::from_secs(1));
            while head(&git, &source).await.unwrap() != id {
                watch.next().await.unwrap();
            }
        }
        world.on_server(&["pack-refs", "--all"]);
        world.git(&["pack-refs", "--all"]);
        watch.next().await.unwrap();
    }
    let problem = watch(&world.root().join("none")).unwrap_err();
    assert_eq!(kind(&problem), "NoRepository");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_filter_is_asked_for_a_more_common_one() {
    for (refused, over) in [("tree", "git"), ("tree", "https"), ("", "git"), ("", "https")] {
        let world = World::with_stacks();
        world.allow_filters();
        let name = format!("uploadpackfilter.{refused}.allow").replace("..", ".");
        world.on_server(&["config", &name, "false"]);
        let Some((_server, source)) = serve(over, &world) else { panic!() };
        let git = Git::new(&world.data());
        let shop = TreeSelection::below([path("stacks/shop")]);
        for round in ["first", "second"] {
            world.write("stacks/shop/web.conf", round);
            world.push(round);
            let pulled = git.pull(&source, &Wanted::Head, &shop, &never()).await;
            let pulled = pulled.unwrap_or_else(|problem| panic!("{refused} {over}: {problem:?}"));
            assert_eq!(text(&pulled, "stacks/shop/web.conf"), round);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_at_the_same_time_share_a_clone() {
    for filters in [false, true] {
        let world = World::with_stacks();
        if filters {
            world.allow_filters();
        }
        world.git(&["push", "-q", "origin", "HEAD:refs/heads/other"]);
        world.write("README.md", "newer\n");
        world.push("newer");
        let Some((_server, main)) = serve("git", &world) else { panic!() };
        let mut other = main.clone();
        other.branch = Some("other".to_owned());
        let git = Git::new(&world.data());
        for _ in 0..3 {
            let shop = TreeSelection::below([path("stacks/shop")]);
            let stop = never();
            let (a, b, c, d) = tokio::join!(
                pull_all(&git, &main),
                pull_all(&git, &other),
                git.pull(&main, &Wanted::Head, &shop, &stop),
                head(&git, &other),
            );
            assert_eq!(text(&a.unwrap(), "README.md"), "newer\n");
            assert_eq!(text(&b.unwrap(), "README.md"), "fleet\n");
            assert_eq!(paths(&c.unwrap()).len(), 2);
            assert!(d.is_ok());
        }
    }
}

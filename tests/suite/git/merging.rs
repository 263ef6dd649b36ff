//! Merges of pull requests, measured by git's own.

use moorline::git::{Git, GitError, HeadAt, Merged, Source, TreeSelection, Wanted};
use moorline::model::Revision;

use super::servers::Daemon;
use super::world::World;
use super::{never, paths, source, text};

fn revision(id: &str) -> Revision {
    Revision::parse(id).unwrap()
}

fn at(commit: &str) -> HeadAt {
    let reference = "refs/pull/7/head".to_owned();
    HeadAt { fork: None, reference, commit: commit.to_owned(), merged: None }
}

/// A branch `change` from here, with what `make` does to the working copy; back on `main`. Told to the server as a
/// pull request's reference.
fn pull_request(world: &World, from: &str, make: impl FnOnce(&World)) -> String {
    world.git(&["checkout", "-q", "-B", "change", from]);
    make(world);
    let head = world.commit("change");
    world.git(&["push", "-q", "--force", "origin", "HEAD:refs/pull/7/head"]);
    world.git(&["checkout", "-q", "main"]);
    head
}

async fn merge(git: &Git, source: &Source, base: &str, head: &str) -> Result<Merged, GitError> {
    git.merge(source, &revision(base), &at(head), &never()).await
}

const LINES: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

#[tokio::test]
async fn a_merge_is_what_gits_own_is() {
    for filters in [true, false] {
        let world = World::with_stacks();
        if filters {
            world.allow_filters();
        }
        world.write("a/b/lines.txt", LINES);
        world.write("a/gone.txt", "x\n");
        world.write("only/theirs.txt", "x\n");
        let from = world.push("lines");
        let head = pull_request(&world, &from, |world| {
            world.write("a/b/lines.txt", LINES.replace("two", "TWO"));
            world.write("stacks/shop/compose.yaml", "services: {web: {image: shop:2}}\n");
            world.write("only/theirs.txt", "y\n");
            world.write("new/deep/file.txt", "z\n");
            world.git(&["rm", "-q", "a/gone.txt"]);
        });
        world.write("a/b/lines.txt", LINES.replace("nine", "NINE"));
        world.write("stacks/blog/compose.yaml", "services: {web: {image: blog:2}}\n");
        world.write("run.sh", "#!/bin/sh\n");
        world.git(&["add", "run.sh"]);
        world.git(&["update-index", "--chmod=+x", "run.sh"]);
        world.git(&["commit", "-q", "-m", "executable"]);
        let base = world.push("main goes on");
        let expected = world.git(&["merge-tree", "--write-tree", &base, &head]);

        let daemon = Daemon::start(&world);
        let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
        let merged = merge(&git, &source, &base, &head).await.unwrap();
        let Merged::Clean { revision: made, head: full } = merged.clone() else {
            panic!("{merged:?}");
        };
        assert_eq!(full.as_str(), head);
        let wanted = Wanted::Revision(made.clone());
        let pulled = git.pull(&source, &wanted, &TreeSelection::all(), &never()).await.unwrap();
        assert_eq!(
            text(&pulled, "a/b/lines.txt"),
            LINES.replace("two", "TWO").replace("nine", "NINE")
        );
        assert_eq!(text(&pulled, "stacks/shop/compose.yaml"), "services: {web: {image: shop:2}}\n");
        assert_eq!(text(&pulled, "stacks/blog/compose.yaml"), "services: {web: {image: blog:2}}\n");
        assert!(!paths(&pulled).contains(&"a/gone.txt".to_owned()));
        let clone = world.clone_folder();
        let output = super::world::git_in(&clone)
            .args(["--git-dir", ".", "rev-parse", &format!("{made}^{{tree}}")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected, "{filters}");
        // The same again: the same commit, and the server is asked for nothing that is here.
        assert_eq!(merge(&git, &source, &base, &head).await.unwrap(), merged);
        // The base alone is read as before.
        let base = Wanted::Revision(revision(&base));
        git.pull(&source, &base, &TreeSelection::all(), &never()).await.unwrap();
    }
}

#[tokio::test]
async fn what_both_sides_changed_is_a_conflict_that_names_the_files() {
    let world = World::with_stacks();
    world.allow_filters();
    world.write("a/lines.txt", LINES);
    world.write("a/gone.txt", "x\n");
    let from = world.push("lines");
    let head = pull_request(&world, &from, |world| {
        world.write("a/lines.txt", LINES.replace("two", "ZWEI"));
        world.git(&["rm", "-q", "a/gone.txt"]);
    });
    world.write("a/lines.txt", LINES.replace("two", "DEUX"));
    world.write("a/gone.txt", "y\n");
    let base = world.push("main goes on");
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let merged = merge(&git, &source, &base, &head).await.unwrap();
    let Merged::Conflict { paths, .. } = merged else { panic!("{merged:?}") };
    assert_eq!(paths, ["a/gone.txt", "a/lines.txt"]);
}

#[tokio::test]
async fn a_side_that_did_not_move_leaves_the_other_as_it_is() {
    let world = World::with_stacks();
    world.allow_filters();
    let base = world.git(&["rev-parse", "HEAD"]);
    let head = pull_request(&world, &base, |world| world.write("x", "y"));
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    for (base, head, result) in
        [(&base, &head, &head), (&head, &base, &head), (&base, &base, &base)]
    {
        let merged = merge(&git, &source, base, head).await.unwrap();
        let Merged::Clean { revision, .. } = merged else { panic!("{merged:?}") };
        assert_eq!(revision.as_str(), result);
    }
}

#[tokio::test]
async fn histories_meet_however_far_back_and_strangers_are_told_so() {
    let world = World::with_stacks();
    world.allow_filters();
    let from = world.git(&["rev-parse", "HEAD"]);
    let head = pull_request(&world, &from, |world| world.write("x", "y"));
    for number in 0..60 {
        world.commit(&format!("commit {number}"));
    }
    world.write("z", "z");
    let base = world.push("far ahead");
    world.git(&["checkout", "-q", "--orphan", "stranger"]);
    let stranger = world.commit("no parents");
    world.git(&["push", "-q", "origin", "HEAD:refs/pull/8/head"]);
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let merged = merge(&git, &source, &base, &head).await.unwrap();
    assert!(matches!(merged, Merged::Clean { .. }), "{merged:?}");
    let merged = merge(&git, &source, &base, &stranger).await.unwrap();
    assert!(matches!(merged, Merged::Unrelated { .. }), "{merged:?}");
    let gone = merge(&git, &source, &base, &"9".repeat(40)).await.unwrap_err();
    assert!(matches!(gone, GitError::NoRevision { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_head_in_another_repository_is_fetched_from_there() {
    let world = World::with_stacks();
    world.allow_filters();
    let from = world.git(&["rev-parse", "HEAD"]);
    world.on_server(&["init", "-q", "--bare", "../fork.git"]);
    world.git(&["checkout", "-q", "-B", "change", &from]);
    world.write("stacks/shop/compose.yaml", "services: {web: {image: shop:9}}\n");
    let head = world.commit("from a fork");
    world.git(&["push", "-q", "../srv/fork.git", "HEAD:refs/heads/change"]);
    world.git(&["checkout", "-q", "main"]);
    world.write("README.md", "changed\n");
    let base = world.push("main goes on");
    let daemon = Daemon::start(&world);
    let fork = source(&daemon.url().replace("fleet.git", "fork.git"));
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let at = HeadAt {
        fork: Some(fork),
        reference: "refs/heads/change".to_owned(),
        commit: head[..12].to_owned(),
        merged: None,
    };
    let merged = git.merge(&source, &revision(&base), &at, &never()).await.unwrap();
    let Merged::Clean { revision, head: full } = merged else { panic!("{merged:?}") };
    assert_eq!(full.as_str(), head);
    let wanted = Wanted::Revision(revision);
    let pulled = git.pull(&source, &wanted, &TreeSelection::all(), &never()).await.unwrap();
    assert_eq!(text(&pulled, "stacks/shop/compose.yaml"), "services: {web: {image: shop:9}}\n");
    assert_eq!(text(&pulled, "README.md"), "changed\n");
    let overtaken = HeadAt { commit: "0123456789ab".to_owned(), ..at };
    let base = Revision::parse(&base).unwrap();
    let gone = git.merge(&source, &base, &overtaken, &never()).await.unwrap_err();
    assert!(matches!(gone, GitError::NoRevision { .. }), "{gone:?}");
}

/// What one side does to the working copy.
type Make = Box<dyn Fn(&World)>;

/// What git itself makes of base and head: a tree, or a conflict.
fn gits_own(world: &World, base: &str, head: &str) -> Option<String> {
    let output = super::world::git_in(&world.work())
        .args(["merge-tree", "--write-tree", "--name-only", base, head])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.lines().next().unwrap().to_owned())
}

fn tree_of(world: &World, commit: &str) -> String {
    let clone = world.clone_folder();
    let output = super::world::git_in(&clone)
        .args(["--git-dir", ".", "rev-parse", &format!("{commit}^{{tree}}")])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn what_is_moved_is_followed_as_git_does() {
    let change = |world: &World, path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(world.work().join(path)).unwrap();
        world.write(path, text.replace(from, to));
    };
    let moves = |world: &World, from: &str, to: &str| {
        let folder = world.work().join(to);
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        world.git(&["mv", from, to]);
    };
    let cases: Vec<(&str, Make, Make)> = vec![
        (
            "moved on one side, changed on the other",
            Box::new(move |world| moves(world, "a/lines.txt", "new/place.txt")),
            Box::new(move |world| change(world, "a/lines.txt", "nine", "NINE")),
        ),
        (
            "changed and moved, changed on the other",
            Box::new(move |world| {
                moves(world, "a/lines.txt", "b/lines.txt");
                change(world, "b/lines.txt", "two", "TWO");
            }),
            Box::new(move |world| change(world, "a/lines.txt", "nine", "NINE")),
        ),
        (
            "both change the same line, and one moves",
            Box::new(move |world| {
                moves(world, "a/lines.txt", "b/lines.txt");
                change(world, "b/lines.txt", "two", "TWO");
            }),
            Box::new(move |world| change(world, "a/lines.txt", "two", "deux")),
        ),
        (
            "moved on both sides to one place",
            Box::new(move |world| {
                moves(world, "a/lines.txt", "b/lines.txt");
                change(world, "b/lines.txt", "two", "TWO");
            }),
            Box::new(move |world| {
                moves(world, "a/lines.txt", "b/lines.txt");
                change(world, "b/lines.txt", "nine", "NINE");
            }),
        ),
        (
            "moved on both sides to two places",
            Box::new(move |world| moves(world, "a/lines.txt", "b/lines.txt")),
            Box::new(move |world| moves(world, "a/lines.txt", "c/lines.txt")),
        ),
        (
            "moved and deleted",
            Box::new(move |world| moves(world, "a/lines.txt", "b/lines.txt")),
            Box::new(move |world| {
                world.git(&["rm", "-q", "a/lines.txt"]);
            }),
        ),
        (
            "changed and deleted",
            Box::new(move |world| change(world, "a/lines.txt", "two", "TWO")),
            Box::new(move |world| {
                world.git(&["rm", "-q", "a/lines.txt"]);
            }),
        ),
        (
            "too different to be the same file",
            Box::new(move |world| {
                world.git(&["rm", "-q", "a/lines.txt"]);
                world.write("b/lines.txt", "quite\nanother\ntext\n");
            }),
            Box::new(move |world| change(world, "a/lines.txt", "two", "TWO")),
        ),
        (
            "a folder is moved while files in it are changed",
            Box::new(move |world| {
                moves(world, "stacks/shop/compose.yaml", "stacks/store/compose.yaml");
                moves(world, "a/lines.txt", "stacks/store/lines.txt");
            }),
            Box::new(move |world| {
                world.write("stacks/shop/compose.yaml", "services: {web: {image: shop:9}}\n");
                change(world, "a/lines.txt", "nine", "NINE");
            }),
        ),
        (
            "something else is at the new place",
            Box::new(move |world| moves(world, "a/lines.txt", "b/lines.txt")),
            Box::new(move |world| {
                change(world, "a/lines.txt", "nine", "NINE");
                world.write("b/lines.txt", "taken\n");
            }),
        ),
        (
            "the copy that stayed is no move",
            Box::new(move |world| world.write("b/lines.txt", LINES)),
            Box::new(move |world| change(world, "a/lines.txt", "nine", "NINE")),
        ),
        (
            "executable now, and moved on the other side",
            Box::new(move |world| {
                world.git(&["update-index", "--chmod=+x", "a/lines.txt"]);
                world.git(&["commit", "-q", "-m", "executable"]);
                world.git(&["checkout", "-q", "--", "."]);
            }),
            Box::new(move |world| moves(world, "a/lines.txt", "b/lines.txt")),
        ),
    ];
    for filters in [true, false] {
        for (what, theirs, ours) in &cases {
            for turned in [false, true] {
                let (theirs, ours) = if turned { (ours, theirs) } else { (theirs, ours) };
                let world = World::with_stacks();
                if filters {
                    world.allow_filters();
                }
                world.write("a/lines.txt", LINES);
                world.write("a/stays.txt", "stays\n");
                let from = world.push("lines");
                let head = pull_request(&world, &from, |world| theirs(world));
                ours(&world);
                let base = world.push("main goes on");
                let expected = gits_own(&world, &base, &head);
                let daemon = Daemon::start(&world);
                let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
                let merged = merge(&git, &source, &base, &head).await.unwrap();
                let found = match &merged {
                    Merged::Clean { revision, .. } => {
                        let wanted = Wanted::Revision(revision.clone());
                        git.pull(&source, &wanted, &TreeSelection::all(), &never()).await.unwrap();
                        Some(tree_of(&world, revision.as_str()))
                    }
                    Merged::Conflict { paths, .. } => {
                        assert!(!paths.is_empty());
                        None
                    }
                    Merged::Unrelated { .. } => panic!("{what}"),
                };
                assert_eq!(
                    found, expected,
                    "{what}, turned {turned}, filters {filters}: {merged:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_forges_own_merge_settles_a_conflict_if_it_is_of_the_same_commits() {
    let world = World::with_stacks();
    world.allow_filters();
    world.write("a/lines.txt", LINES);
    let from = world.push("lines");
    let head = pull_request(&world, &from, |world| {
        world.write("a/lines.txt", LINES.replace("two", "ZWEI"));
    });
    world.write("a/lines.txt", LINES.replace("two", "DEUX"));
    let base = world.push("main goes on");
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let asked = HeadAt { merged: Some("refs/pull/7/merge".to_owned()), ..at(&head) };
    let merge = || async { git.merge(&source, &revision(&base), &asked, &never()).await.unwrap() };
    // The forge made none.
    assert!(matches!(merge().await, Merged::Conflict { .. }));
    // The one that it made is of another base.
    let tree = world.git(&["rev-parse", &format!("{head}^{{tree}}")]);
    let made = |parents: [&str; 2]| {
        let [one, other] = parents;
        let made = world.git(&["commit-tree", &tree, "-p", one, "-p", other, "-m", "merge"]);
        world.git(&["push", "-q", "--force", "origin", &format!("{made}:refs/pull/7/merge")]);
        made
    };
    made([&from, &head]);
    assert!(matches!(merge().await, Merged::Conflict { .. }));
    let right = made([&base, &head]);
    let Merged::Clean { revision: found, .. } = merge().await else { panic!("still a conflict") };
    assert_eq!(found.as_str(), right);
    let wanted = Wanted::Revision(found);
    let pulled = git.pull(&source, &wanted, &TreeSelection::all(), &never()).await.unwrap();
    assert_eq!(text(&pulled, "a/lines.txt"), LINES.replace("two", "ZWEI"));
}

#[tokio::test]
async fn the_forges_own_merge_of_the_same_commits_is_taken_before_ours() {
    for filters in [false, true] {
        let world = World::with_stacks();
        if filters {
            world.allow_filters();
        }
        let from = world.git(&["rev-parse", "HEAD"]);
        let head = pull_request(&world, &from, |world| world.write("a/theirs.txt", "1\n"));
        world.write("a/ours.txt", "1\n");
        let base = world.push("main goes on");
        // What a forge made of it may be told by its message: ours has another one, and so another id.
        let tree = world.git(&["rev-parse", &format!("{base}^{{tree}}")]);
        let made = |parents: [&str; 2]| {
            let [one, other] = parents;
            let made =
                world.git(&["commit-tree", &tree, "-p", one, "-p", other, "-m", "the forge"]);
            world.git(&["push", "-q", "--force", "origin", &format!("{made}:refs/pull/7/merge")]);
            made
        };
        let daemon = Daemon::start(&world);
        let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
        let asked = HeadAt { merged: Some("refs/pull/7/merge".to_owned()), ..at(&head) };
        let merge = || async {
            match git.merge(&source, &revision(&base), &asked, &never()).await.unwrap() {
                Merged::Clean { revision, .. } => revision.to_string(),
                other => panic!("{other:?}"),
            }
        };
        let ours = merge().await;
        let stale = made([&from, &head]);
        assert_eq!(merge().await, ours, "the forge's is of another base");
        let fresh = made([&base, &head]);
        assert!(fresh != ours && stale != ours);
        assert_eq!(merge().await, fresh);
    }
}

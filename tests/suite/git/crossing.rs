//! Merges of branches that were merged into each other before, measured by git's own.

use moorline::git::{Git, GitError, HeadAt, Merged, TreeSelection, Wanted};
use moorline::model::Revision;

use super::servers::Daemon;
use super::world::World;
use super::{never, source, text};

const LINES: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";
const FILES: [&str; 4] = ["a/lines.txt", "a/b/more.txt", "compose.yaml", "top.txt"];

fn revision(id: &str) -> Revision {
    Revision::parse(id).unwrap()
}

fn at(commit: &str) -> HeadAt {
    let reference = "refs/pull/7/head".to_owned();
    HeadAt { fork: None, reference, commit: commit.to_owned(), merged: None }
}

/// What git itself makes of base and head: a tree, or a conflict.
fn gits_own(world: &World, base: &str, head: &str) -> Option<String> {
    let output = super::world::git_in(&world.work())
        .args(["merge-tree", "--write-tree", base, head])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.lines().next().unwrap().to_owned())
}

/// Numbers that look drawn and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Merges another commit into what is checked out; where they conflict, one side is drawn, or both sides stay.
fn merge_in(world: &World, other: &str, draw: &mut Draw) -> String {
    let favour = ["-Xours", "-Xtheirs"][draw.below(2)];
    let done = super::world::git_in(&world.work())
        .args(["merge", "-q", "--no-edit", "--no-ff", favour, other])
        .output()
        .unwrap();
    if !done.status.success() {
        world.git(&["add", "-A"]);
        world.git(&["commit", "-q", "--no-edit", "--allow-empty"]);
    }
    world.git(&["rev-parse", "HEAD"])
}

/// Some lines and files become others.
fn edit(world: &World, draw: &mut Draw) -> String {
    for _ in 0..=draw.below(2) {
        let path = FILES[draw.below(FILES.len())];
        let file = world.work().join(path);
        match (draw.below(12), file.exists()) {
            (0, true) => drop(world.git(&["rm", "-qf", path])),
            (_, false) => world.write(path, LINES.replace("one", ["EINS", "UN"][draw.below(2)])),
            _ => {
                let text = std::fs::read_to_string(&file).unwrap();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let place = draw.below(lines.len().max(1));
                let word = ["A", "B", "C"][draw.below(3)].to_owned();
                match lines.get_mut(place) {
                    Some(line) => *line = word,
                    None => lines.push(word),
                }
                world.write(path, format!("{}\n", lines.join("\n")));
            }
        }
    }
    world.git(&["add", "-A"]);
    world.git(&["commit", "-q", "--allow-empty", "-m", "an edit"]);
    world.git(&["rev-parse", "HEAD"])
}

/// Two branches that grew beside each other and were merged into each other `crossings` times, both ways.
fn cross(world: &World, draw: &mut Draw, crossings: usize) -> [String; 2] {
    world.git(&["checkout", "-q", "-B", "round", "main"]);
    let mut tips = [edit(world, draw), String::new()];
    tips[1] = tips[0].clone();
    for _ in 0..crossings {
        for tip in &mut tips {
            world.git(&["checkout", "-q", tip]);
            *tip = edit(world, draw);
        }
        let before = tips.clone();
        for (number, tip) in tips.iter_mut().enumerate() {
            world.git(&["checkout", "-q", tip]);
            *tip = merge_in(world, &before[1 - number], draw);
        }
    }
    for tip in &mut tips {
        world.git(&["checkout", "-q", tip]);
        *tip = edit(world, draw);
    }
    tips
}

#[tokio::test]
async fn histories_that_cross_merge_as_gits_own_do() {
    let world = World::with_stacks();
    world.allow_filters();
    for path in FILES {
        world.write(path, LINES);
    }
    world.push("lines");
    let mut draw = Draw(7);
    let rounds: Vec<[String; 2]> =
        (0..24).map(|round| cross(&world, &mut draw, 1 + round % 3)).collect();
    for (number, tips) in rounds.iter().enumerate() {
        for (tip, name) in tips.iter().zip(["base", "head"]) {
            world.git(&["push", "-q", "origin", &format!("{tip}:refs/heads/{name}-{number}")]);
        }
    }
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let (mut clean, mut crossing) = (0, 0);
    for [base, head] in &rounds {
        let bases = world.git(&["merge-base", "--all", base, head]).lines().count();
        crossing += usize::from(1 < bases);
        let expected = gits_own(&world, base, head);
        let merged = git.merge(&source, &revision(base), &at(head), &never()).await;
        let found = match merged {
            Ok(Merged::Clean { revision, .. }) => {
                clean += 1;
                let clone = world.clone_folder();
                // The tree itself is fetched when it is read.
                let mut command = super::world::git_in(&clone);
                command.args(["--git-dir", ".", "cat-file", "commit", revision.as_str()]);
                let commit = String::from_utf8(command.output().unwrap().stdout).unwrap();
                Some(commit.lines().next().unwrap().replacen("tree ", "", 1))
            }
            Ok(Merged::Conflict { .. }) => None,
            other => panic!("{base} {head}: {other:?}"),
        };
        assert_eq!(found, expected, "{base} {head}, {bases} merge bases");
    }
    assert!(12 <= crossing && 5 <= clean, "{crossing} of {} cross, {clean} clean", rounds.len());
}

#[tokio::test]
async fn the_newest_common_commit_alone_would_show_another_merge() {
    let world = World::with_stacks();
    world.allow_filters();
    world.write("lines.txt", LINES);
    world.push("lines");
    // Both sides make a change, each takes the other's; then the base takes the head's change back.
    world.git(&["checkout", "-q", "-B", "change"]);
    world.write("lines.txt", LINES.replace("two", "TWO"));
    let change = world.commit("two");
    world.git(&["checkout", "-q", "main"]);
    world.write("lines.txt", LINES.replace("nine", "NINE"));
    let own = world.commit("nine");
    world.git(&["merge", "-q", "--no-edit", "change"]);
    world.write("lines.txt", LINES.replace("nine", "NINE"));
    let base = world.push("back to two");
    world.git(&["checkout", "-q", "change"]);
    world.git(&["merge", "-q", "--no-edit", &own]);
    world.write("other.txt", "x\n");
    let head = world.commit("something else");
    world.git(&["push", "-q", "--force", "origin", "HEAD:refs/pull/7/head"]);
    assert_eq!(world.git(&["merge-base", "--all", &base, &head]).lines().count(), 2);
    assert_ne!(change, own);
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let merged = git.merge(&source, &revision(&base), &at(&head), &never()).await.unwrap();
    let Merged::Clean { revision: made, .. } = merged else { panic!("{merged:?}") };
    let wanted = Wanted::Revision(made);
    let pulled = git.pull(&source, &wanted, &TreeSelection::all(), &never()).await.unwrap();
    assert_eq!(text(&pulled, "lines.txt"), LINES.replace("nine", "NINE"), "two was taken back");
}

#[tokio::test]
async fn what_a_cut_history_cannot_tell_is_said_and_not_guessed() {
    let world = World::with_stacks();
    // No filters: history comes with its files, and is cut sooner.
    world.write("lines.txt", LINES);
    let root = world.push("lines");
    world.git(&["checkout", "-q", "-B", "change", &root]);
    world.write("lines.txt", LINES.replace("two", "TWO"));
    world.commit("two");
    let long = |count: usize| {
        for _ in 0..count {
            world.git(&["commit", "-q", "--allow-empty", "-m", "and on"]);
        }
    };
    long(1_100);
    let head = world.git(&["rev-parse", "HEAD"]);
    world.git(&["push", "-q", "--force", "origin", "HEAD:refs/pull/7/head"]);
    world.git(&["checkout", "-q", "main"]);
    world.write("lines.txt", LINES.replace("nine", "NINE"));
    let base = world.push("nine");
    let daemon = Daemon::start(&world);
    let (source, git) = (source(&daemon.url()), Git::new(&world.data()));
    let merged = git.merge(&source, &revision(&base), &at(&head), &never()).await;
    assert!(matches!(merged, Err(GitError::MergeUnclear { .. })), "{merged:?}");
    // The forge's own merge tells.
    let tree = gits_own(&world, &base, &head).unwrap();
    let made = world.git(&["commit-tree", &tree, "-p", &base, "-p", &head, "-m", "merge"]);
    world.git(&["push", "-q", "origin", &format!("{made}:refs/pull/7/merge")]);
    let asked = HeadAt { merged: Some("refs/pull/7/merge".to_owned()), ..at(&head) };
    let merged = git.merge(&source, &revision(&base), &asked, &never()).await.unwrap();
    assert!(matches!(&merged, Merged::Clean { revision, .. } if revision.as_str() == made));
}

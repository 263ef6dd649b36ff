//! Crashes, damaged clones, and servers that hang.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use moorline::git::{Credentials, Git, GitError, TreeSelection, Wanted};
use moorline::model::Remedy;
use tokio_util::sync::CancellationToken;

use super::servers::{Daemon, Https, dripping_server};
use super::world::World;
use super::{head, kind, paths, pull_all, source, text};
use crate::support::a_moment;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_a_clone_is_removed_or_made_anew() {
    for filters in [false, true] {
        let world = World::with_stacks();
        if filters {
            world.allow_filters();
        }
        let daemon = Daemon::start(&world);
        let source = source(&daemon.url());
        let git = Git::new(&world.data());
        pull_all(&git, &source).await.unwrap();
        let clone = world.clone_folder();
        let pack_of = |end: &str| {
            let packs = std::fs::read_dir(clone.join("objects/pack")).unwrap();
            packs
                .map(|e| e.unwrap().path())
                .find(|path| path.extension().is_some_and(|e| e == end))
                .unwrap()
        };
        let overwrite = |path: &std::path::Path, bytes: &[u8]| {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let accidents: [(&str, &dyn Fn()); 9] = [
            ("half a pack", &|| {
                std::fs::write(clone.join("objects/pack/pack_git2_a1b2"), "PACK").unwrap();
            }),
            ("locks", &|| std::fs::write(clone.join("HEAD.lock"), "").unwrap()),
            ("no index", &|| std::fs::remove_file(pack_of("idx")).unwrap()),
            ("no pack", &|| std::fs::remove_file(pack_of("pack")).unwrap()),
            ("cut-off pack", &|| {
                let bytes = std::fs::read(pack_of("pack")).unwrap();
                overwrite(&pack_of("pack"), &bytes[..bytes.len() / 2]);
            }),
            ("pack of zeros", &|| {
                let length = std::fs::metadata(pack_of("pack")).unwrap().len();
                overwrite(&pack_of("pack"), &vec![0; usize::try_from(length).unwrap()]);
            }),
            ("index of zeros", &|| overwrite(&pack_of("idx"), &[0; 1100])),
            ("no HEAD", &|| std::fs::remove_file(clone.join("HEAD")).unwrap()),
            ("no folder", &|| std::fs::remove_dir_all(clone.join("objects")).unwrap()),
        ];
        for (name, accident) in accidents {
            accident();
            for leftover in ["new", "old"] {
                let name = format!("{}.{leftover}/objects", clone.display());
                std::fs::create_dir_all(name).unwrap();
            }
            let again = Git::new(&world.data());
            let pulled = pull_all(&again, &source).await;
            let pulled = pulled.unwrap_or_else(|problem| panic!("{filters} {name}: {problem:?}"));
            assert_eq!(paths(&pulled).len(), 4, "{name}");
            world.write("README.md", format!("{name}\n"));
            world.push(name);
            let pulled = pull_all(&again, &source).await.unwrap();
            assert_eq!(text(&pulled, "README.md"), format!("{name}\n"));
        }
        let left = std::fs::read_dir(world.data()).unwrap().count();
        assert_eq!(left, 1, "one clone, and nothing beside it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_do_not_pile_up_over_many_fetches() {
    for filters in [false, true] {
        let world = World::with_stacks();
        if filters {
            world.allow_filters();
        }
        let daemon = Daemon::start(&world);
        let source = source(&daemon.url());
        let git = Git::new(&world.data());
        let mut most = 0;
        for round in 0..50 {
            world.write("stacks/shop/web.conf", format!("listen {round}\n"));
            world.push("another port");
            let pulled = pull_all(&git, &source).await.unwrap();
            assert_eq!(text(&pulled, "stacks/shop/web.conf"), format!("listen {round}\n"));
            let packs =
                std::fs::read_dir(world.clone_folder().join("objects/pack")).unwrap().count();
            most = most.max(packs / 2);
        }
        assert!((10..=50).contains(&most), "{most} packs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_cannot_be_written_is_said() {
    let world = World::with_stacks();
    let daemon = Daemon::start(&world);
    let file = world.root().join("a-file");
    std::fs::write(&file, "").unwrap();
    let problem = pull_all(&Git::new(&file), &source(&daemon.url())).await.unwrap_err();
    assert_eq!(kind(&problem), "Storage", "{problem:?}");
}

/// A server that accepts, sends some bytes, and then nothing; it ends with the test.
fn silent_server(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for socket in listener.incoming().flatten() {
            let mut socket = socket;
            socket.write_all(greeting).ok();
            open.push(socket);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_ends_in_a_timeout_of_its_own() {
    let world = World::empty();
    let git = Git::new(&world.data());
    let silent = silent_server(b"");
    let half = silent_server(b"00ff");
    for url in [
        format!("git://127.0.0.1:{silent}/f"),
        format!("git://127.0.0.1:{half}/f"),
        format!("http://127.0.0.1:{silent}/f"),
        format!("https://127.0.0.1:{silent}/f"),
        format!("ssh://127.0.0.1:{silent}/f"),
    ] {
        let mut source = source(&url);
        source.access.limits.connect = Duration::from_millis(300);
        source.access.limits.progress = Duration::from_millis(300);
        let begun = Instant::now();
        let problem = head(&git, &source).await.unwrap_err();
        assert_eq!(kind(&problem), "Timeout", "{url}: {problem:?}");
        assert_eq!(problem.remedy(), Remedy::Retry);
        assert!(begun.elapsed() < Duration::from_secs(2), "{url}: {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drips_ends_when_the_whole_time_is_over() {
    let world = World::empty();
    let port = dripping_server();
    let mut source = source(&format!("http://127.0.0.1:{port}/f"));
    source.access.limits.whole = Duration::from_millis(500);
    let problem = head(&Git::new(&world.data()), &source).await.unwrap_err();
    let GitError::Timeout { limit, .. } = problem else { panic!("{problem:?}") };
    assert_eq!(limit, Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stops_in_the_middle_leaves_nothing_behind() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let mut source = source(&https.url());
    source.access.ca_file = Some(https.file("ca.pem"));
    source.access.credentials = Credentials::Token { file: https.file("token"), username: None };
    source.access.limits.progress = Duration::from_millis(400);
    let git = Git::new(&world.data());
    let revision = git.head(&source, &CancellationToken::new()).await.unwrap();
    https.moods.stalls.store(true, Ordering::Relaxed);
    let wanted = Wanted::Revision(revision);
    let all = TreeSelection::all();
    let problem = git.pull(&source, &wanted, &all, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(kind(&problem), "Timeout", "{problem:?}");
    https.moods.stalls.store(false, Ordering::Relaxed);
    let pulled = git.pull(&source, &wanted, &all, &CancellationToken::new()).await.unwrap();
    assert_eq!(paths(&pulled).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_nonsense_are_told_apart() {
    let world = World::empty();
    let git = Git::new(&world.data());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nonsense = silent_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    for (url, expected) in [
        (format!("git://127.0.0.1:{nobody}/f"), "Unreachable"),
        (format!("https://127.0.0.1:{nobody}/f"), "Unreachable"),
        (format!("ssh://127.0.0.1:{nobody}/f"), "Unreachable"),
        ("https://no-such-host.invalid/f".to_owned(), "Unreachable"),
        (format!("git://127.0.0.1:{nonsense}/f"), "NotGit"),
    ] {
        let problem = head(&git, &source(&url)).await.unwrap_err();
        assert_eq!(kind(&problem), expected, "{url}: {problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_told_to_stop_stops() {
    let world = World::empty();
    let port = silent_server(b"");
    let source = source(&format!("git://127.0.0.1:{port}/f"));
    let git = Git::new(&world.data());
    let stop = CancellationToken::new();
    let soon = stop.clone();
    let (answer, ()) = tokio::join!(git.head(&source, &stop), async {
        a_moment().await;
        soon.cancel();
    });
    assert_eq!(kind(&answer.unwrap_err()), "Cancelled");
}

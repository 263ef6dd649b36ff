//! Servers that mean harm: answers without end, claims that are not true, objects that are larger than any.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use moorline::git::{Git, GitError, Source, TreeSelection, Wanted};
use moorline::model::{Remedy, Revision};

use super::servers::Daemon;
use super::world::World;
use super::{head, kind, never, paths, problems, pull_all, source};

/// What one side says when it is its turn.
#[derive(Clone)]
enum Turn {
    /// This.
    Once(Vec<u8>),
    /// The first, and then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
}

/// A server that answers each message with the next turn, and counts what it got rid of.
struct Hostile {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl Hostile {
    fn start(http: bool, turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            // Over HTTP each turn may have a connection of its own, while the one before is still open.
            let turns = Arc::new(Mutex::new(turns.into_iter()));
            for socket in listener.incoming().flatten() {
                let (turns, count) = (Arc::clone(&turns), Arc::clone(&count));
                std::thread::spawn(move || talk(socket, http, &turns, &count));
            }
        });
        Self { port, sent }
    }

    fn source(&self, scheme: &str) -> Source {
        let mut source = source(&format!("{scheme}://127.0.0.1:{}/fleet", self.port));
        source.access.limits.answer_bytes = 1 << 20;
        source.access.limits.pack_bytes = 4 << 20;
        source
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn talk(
    mut socket: TcpStream,
    http: bool,
    turns: &Mutex<impl Iterator<Item = Turn>>,
    count: &AtomicU64,
) {
    let mut heard = [0; 16 << 10];
    while socket.read(&mut heard).is_ok_and(|bytes| 0 < bytes) {
        let Some(turn) = turns.lock().unwrap().next() else { return };
        if http {
            let kind = if heard.starts_with(b"GET") { "advertisement" } else { "result" };
            let length = match &turn {
                Turn::Once(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
                Turn::Endless(..) => String::new(),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\n{length}Content-Type: application/x-git-upload-pack-{kind}\r\n\r\n"
            );
            if socket.write_all(head.as_bytes()).is_err() {
                return;
            }
        }
        let (first, again) = match turn {
            Turn::Once(bytes) => (bytes, Vec::new()),
            Turn::Endless(first, again) => (first, again),
        };
        let mut next = &first;
        while socket.write_all(next).is_ok() {
            count.fetch_add(next.len() as u64, Ordering::Relaxed);
            next = &again;
            if again.is_empty() {
                break;
            }
        }
    }
}

fn line(text: &str) -> Vec<u8> {
    format!("{:04x}{text}", text.len() + 4).into_bytes()
}

fn banded(band: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", bytes.len() + 5).into_bytes();
    packet.push(band);
    packet.extend(bytes);
    packet
}

const ID: &str = "1111111111111111111111111111111111111111";

/// The greeting of a server of version 2.
fn greeting() -> Vec<u8> {
    let lines = ["version 2\n", "agent=x\n", "ls-refs\n", "fetch=shallow filter\n"];
    let mut bytes: Vec<u8> = lines.iter().flat_map(|text| line(text)).collect();
    bytes.extend(b"0000");
    bytes
}

fn references() -> Vec<u8> {
    [line(&format!("{ID} refs/heads/main\n")), b"0000".to_vec()].concat()
}

/// Many of one thing, so that writing them costs little.
fn many(one: &[u8]) -> Vec<u8> {
    one.repeat((64 << 10) / one.len())
}

/// A pack that claims so many objects, and the beginning of one of them: a file of 2 GiB.
fn pack(objects: u32) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(objects.to_be_bytes());
    // Kind 3, the size in seven bits a byte, and the head of a zlib stream.
    pack.extend([0xb0, 0x80, 0x80, 0x80, 0x40, 0x78, 0x01]);
    pack
}

/// One stored block of DEFLATE that is not the last one: 60,000 bytes of a file.
fn block() -> Vec<u8> {
    let mut block = vec![0];
    block.extend(60_000_u16.to_le_bytes());
    block.extend((!60_000_u16).to_le_bytes());
    block.resize(5 + 60_000, 7);
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_an_error_before_it_fills_the_memory() {
    let world = World::empty();
    let once = Turn::Once;
    let no_pack = |again: &[u8]| {
        let start = line("packfile\n");
        vec![once(greeting()), once(references()), Turn::Endless(start, many(again))]
    };
    let old = line(&format!("{ID} refs/heads/x\0symref=HEAD:refs/heads/x\n"));
    let cases = [
        (
            "references of version 0",
            vec![Turn::Endless(old, many(&line(&format!("{ID} refs/heads/other\n"))))],
        ),
        ("abilities", vec![Turn::Endless(line("version 2\n"), many(&line("ability=x\n")))]),
        (
            "references",
            vec![
                once(greeting()),
                Turn::Endless(vec![], many(&line(&format!("{ID} refs/heads/main{ID}\n")))),
            ],
        ),
        (
            "references that were not asked for",
            vec![once(greeting()), Turn::Endless(vec![], many(&line(&format!("{ID} refs/x\n"))))],
        ),
        (
            "sections before the pack",
            vec![
                once(greeting()),
                once(references()),
                Turn::Endless(line("shallow-info\n"), many(&line(&format!("shallow {ID}\n")))),
            ],
        ),
        ("progress", no_pack(&banded(2, b"counting\r"))),
        ("signs of life", no_pack(&banded(1, b""))),
        (
            "objects",
            vec![
                once(greeting()),
                once(references()),
                Turn::Endless(
                    [line("packfile\n"), banded(1, &pack(1))].concat(),
                    banded(1, &block()),
                ),
            ],
        ),
    ];
    for (what, turns) in cases {
        for scheme in ["git", "http"] {
            let server = Hostile::start(scheme == "http", turns.clone());
            let source = server.source(scheme);
            let git = Git::new(&world.data());
            let begun = Instant::now();
            let problem = pull_all(&git, &source).await.unwrap_err();
            let GitError::TooLarge { most, .. } = &problem else {
                panic!("{what} over {scheme}: {problem:?}")
            };
            assert_eq!(*most, if what == "objects" { 4 << 20 } else { 1 << 20 }, "{what}");
            assert!(problem.to_string().contains("127.0.0.1"), "{problem}");
            assert_eq!(problem.remedy(), Remedy::Operator);
            // What was taken, and what fits into the buffers of sockets: far less than a server without end would send.
            assert!(server.sent() < 64 << 20, "{what} over {scheme}: {} bytes", server.sent());
            assert!(begun.elapsed() < Duration::from_secs(60), "{what} over {scheme}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_claims_too_many_objects_is_refused_by_its_head() {
    let world = World::empty();
    for claimed in [1_000_001, u32::MAX] {
        let body = [line("packfile\n"), banded(1, &pack(claimed)), b"0000".to_vec()].concat();
        let turns = vec![Turn::Once(greeting()), Turn::Once(references()), Turn::Once(body)];
        let server = Hostile::start(false, turns);
        let problem = pull_all(&Git::new(&world.data()), &server.source("git")).await.unwrap_err();
        assert!(problem.to_string().ends_with("more than 1000000 objects"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_a_byte_at_a_time_ends_with_the_whole_time() {
    let world = World::empty();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        socket.set_nodelay(true).ok();
        let line = line(&format!("{ID} refs/heads/other\n"));
        for byte in line.iter().cycle() {
            if socket.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut source = source(&format!("git://127.0.0.1:{port}/fleet"));
    source.access.limits.whole = Duration::from_millis(400);
    let problem = head(&Git::new(&world.data()), &source).await.unwrap_err();
    assert_eq!(kind(&problem), "Timeout", "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_not_among_too_many_is_still_said_to_be_missing() {
    let world = World::empty();
    let other = many(&line(&format!("{ID} refs/heads/other\n")));
    let turns =
        vec![Turn::Once(greeting()), Turn::Once(b"0000".to_vec()), Turn::Endless(vec![], other)];
    let server = Hostile::start(false, turns);
    let problem = head(&Git::new(&world.data()), &server.source("git")).await.unwrap_err();
    assert_eq!(kind(&problem), "NoBranch", "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_with_an_endless_message_is_refused_and_a_long_subject_is_cut() {
    let world = World::with_stacks();
    let daemon = Daemon::start(&world);
    let git = Git::new(&world.data());
    let message = |bytes: usize| {
        let file = world.root().join("message");
        std::fs::write(&file, "x".repeat(bytes)).unwrap();
        world.git(&["commit", "-q", "--allow-empty", "-F", file.to_str().unwrap()]);
        world.git(&["push", "-q", "origin", "HEAD:main"]);
    };
    for url in [daemon.url(), world.bare().display().to_string()] {
        let source = source(&url);
        message(1 << 20);
        let pulled = pull_all(&git, &source).await.unwrap();
        assert_eq!(pulled.facts.subject.len(), 500);
        message(6 << 20);
        let problem = pull_all(&git, &source).await.unwrap_err();
        assert!(problem.to_string().contains("bytes of one commit's message"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_without_end_and_links_as_long_as_books_harm_nobody_else() {
    let world = World::with_stacks();
    world.write(&format!("deep/{}x", "d/".repeat(300)), "x");
    world.commit("many folders");
    // A link whose text has 8 MiB: no working copy can hold it, so it is made by hand.
    let file = world.root().join("book");
    std::fs::write(&file, "../".repeat(3 << 20)).unwrap();
    let blob = world.git(&["hash-object", "-w", file.to_str().unwrap()]);
    let entry = format!("120000,{blob},stacks/shop/book");
    world.git(&["update-index", "--add", "--cacheinfo", &entry]);
    world.git(&["commit", "-q", "-m", "a long link"]);
    let commit = world.git(&["rev-parse", "HEAD"]);
    world.git(&["push", "-q", "origin", "HEAD:main"]);
    let daemon = Daemon::start(&world);
    let git = Git::new(&world.data());
    let source = source(&daemon.url());
    let wanted = Wanted::Revision(Revision::parse(&commit).unwrap());
    let shop = TreeSelection::below([super::path("stacks/shop")]);
    let pulled = git.pull(&source, &wanted, &shop, &never()).await.unwrap();
    assert_eq!(paths(&pulled), ["stacks/shop/compose.yaml", "stacks/shop/web.conf"]);
    assert!(problems(&pulled)[0].contains("points at nothing"), "{:?}", problems(&pulled));
    let pulled = pull_all(&git, &source).await.unwrap();
    let nested = "folders are nested more than 128 deep";
    assert!(problems(&pulled).iter().any(|said| said.contains(nested)), "{:?}", problems(&pulled));
}

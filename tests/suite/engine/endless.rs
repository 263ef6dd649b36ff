//! An Engine that has no end: whatever is asked, the answer goes on for ever, and no more of it is taken than there is
//! room for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline::docker::{Depth, Endpoint, Engine, EngineError, EngineSettings};
use moorline::model::{Action, AnonymousVolumes, Hook};
use tempfile::TempDir;

use super::terms::{act, container, named, network, now, scope, volume};

/// What a client may take, with what fits into the buffers of sockets: the largest list, and some.
const MOST: usize = 110 << 20;

/// The Engine: its socket, and how much of an answer without end was taken since it was asked last.
struct Endless {
    folder: TempDir,
    taken: Arc<AtomicUsize>,
}

/// How an answer begins that has no end, by what is asked for.
fn beginning(target: &str) -> (&'static str, &'static [u8]) {
    match target {
        // A hook's output: a piece of four gigabytes, and then another.
        t if t.ends_with("/start") && t.contains("/exec/") => {
            ("200 OK", b"\x01\0\0\0\xff\xff\xff\xff")
        }
        t if t.contains("/refuse/") => ("500 Mad", b"{\"message\": \""),
        t if t.contains("/events") || t.contains("/images/create") => {
            ("200 OK", b"{\"status\": \"")
        }
        _ => ("200 OK", b"[\""),
    }
}

impl Endless {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || serve(stream, &counter));
            }
        });
        Self { folder, taken }
    }

    async fn engine(&self) -> Engine {
        let socket = self.folder.path().join("docker.sock");
        Engine::connect(&Endpoint::Unix(socket), &EngineSettings::default()).await.unwrap()
    }
}

/// Answers one connection until the other side has enough.
fn serve(stream: UnixStream, taken: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok();
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok();
        let target = first.split(' ').nth(1).unwrap_or_default();
        let small = match target {
            "/version" => Some(r#"{"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux"}"#),
            t if t.ends_with("/info") => Some(r#"{"ID": "x", "OSType": "linux"}"#),
            t if t.ends_with("/exec") => Some(r#"{"Id": "abc"}"#),
            t if t.ends_with("/exec/abc/json") => Some(r#"{"ExitCode": 3}"#),
            _ => None,
        };
        let sent = match small {
            Some(text) => write!(
                writer,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            ),
            None => {
                taken.store(0, Ordering::Relaxed);
                endless(&mut writer, target, taken)
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

fn endless(writer: &mut UnixStream, target: &str, taken: &AtomicUsize) -> std::io::Result<()> {
    let (status, begin) = beginning(target);
    let head =
        format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", begin.len());
    writer.write_all(head.as_bytes())?;
    writer.write_all(begin)?;
    writer.write_all(b"\r\n")?;
    // An exec's output ends some time: a hook has no other limit than its time.
    let ends = target.contains("/exec/");
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
    loop {
        writer.write_all(&chunk)?;
        if taken.fetch_add(chunk.len(), Ordering::Relaxed) > MOST * 2 && ends {
            writer.write_all(b"0\r\n\r\n")?;
            return Ok(());
        }
    }
}

fn actions() -> Vec<Action> {
    let spec = Arc::new(container("shop", "web", "app", &[]));
    let web = || named("shop-web-1");
    let hook = Hook {
        command: vec!["true".to_owned()],
        user: String::new(),
        privileged: false,
        working_dir: String::new(),
        environment: Vec::new(),
    };
    vec![
        Action::Create { name: "shop-web-1".to_owned(), spec },
        Action::Start { container: web() },
        Action::Start { container: named("refuse") },
        Action::Remove { container: web(), anonymous_volumes: AnonymousVolumes::Keep },
        Action::Rename { container: web(), name: "new".to_owned() },
        Action::RunHook { container: web(), hook: Box::new(hook) },
        Action::CreateVolume(Box::new(volume("shop", "data"))),
        Action::CreateNetwork(Box::new(network("shop", "back"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_of_an_answer_without_end_is_taken_than_there_is_room_for() {
    let endless = Endless::start();
    let engine = endless.engine().await;
    for action in actions() {
        let error = act(&engine, action.clone()).await.expect_err("an answer without end");
        let taken = endless.taken.load(Ordering::Relaxed);
        let is_hook = matches!(error, EngineError::Hook { code: 3, .. });
        assert!(is_hook || taken < MOST, "{action:?}: {taken} bytes: {error}");
        assert!(error.to_string().len() < 70_000, "{action:?}");
    }
    assert!(engine.observe(&scope("shop"), Depth::Full, now()).await.is_err());
    assert!(endless.taken.load(Ordering::Relaxed) < MOST);
    let mut events = engine.events(None).await.unwrap();
    assert!(matches!(events.next().await, Some(Err(_))));
    assert!(endless.taken.load(Ordering::Relaxed) < MOST / 8);
}

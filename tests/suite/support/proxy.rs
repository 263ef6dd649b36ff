//! A real HTTP proxy for tests: it tunnels (`CONNECT`) and forwards, wants a password, and alone knows the names of the
//! servers behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Ends when it is dropped.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    /// The `Proxy-Authorization` that is good.
    wanted: String,
    /// Host, without a port, to the server that has this name.
    hosts: BTreeMap<String, SocketAddr>,
    /// The first line of each request that was let through, and of each that was not, with `407` before it.
    log: Mutex<Vec<String>>,
    /// Everything that came through in the clear, heads and bodies.
    seen: Mutex<Vec<u8>>,
}

impl Proxy {
    /// For one account and these servers.
    pub async fn start(user: &str, password: &str, hosts: &[(&str, SocketAddr)]) -> Self {
        let credentials = format!("{user}:{password}");
        let digits = base64::engine::general_purpose::STANDARD.encode(credentials);
        let hosts = hosts.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let state = Arc::new(State {
            wanted: format!("Basic {digits}"),
            hosts,
            log: Mutex::default(),
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                open.spawn(async move { drop(serve(client, &state).await) });
            }
        });
        Self { port, state, _tasks: tasks }
    }

    /// Its address with a user and a password as they stand in an address.
    pub fn address(&self, user: &str, escaped_password: &str) -> String {
        format!("http://{user}:{escaped_password}@127.0.0.1:{}", self.port)
    }

    pub fn log(&self) -> Vec<String> {
        self.state.log.lock().unwrap().clone()
    }

    /// Everything that a reader on the way could have read.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.state.seen.lock().unwrap()).into_owned()
    }
}

/// One connection: one tunnel, or one request.
async fn serve(mut client: TcpStream, state: &State) -> std::io::Result<()> {
    let Some((head, rest)) = head(&mut client).await? else { return Ok(()) };
    let first = head.lines().next().unwrap_or_default().to_owned();
    if header(&head, "proxy-authorization").as_ref() != Some(&state.wanted) {
        state.log.lock().unwrap().push(format!("407 {first}"));
        return client.write_all(REFUSAL.as_bytes()).await;
    }
    state.log.lock().unwrap().push(first.clone());
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let tunnels = method == "CONNECT";
    let whole = if tunnels { format!("https://{target}") } else { target.to_owned() };
    let address = url::Url::parse(&whole).unwrap();
    let Some(server) = state.hosts.get(address.host_str().unwrap_or_default()) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    };
    let mut server = TcpStream::connect(server).await?;
    if tunnels {
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
        server.write_all(&rest).await?;
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
        return Ok(());
    }
    let path = &target[target.find(address.path()).unwrap()..];
    let mut sent = forwarded(&head, method, path).into_bytes();
    sent.extend_from_slice(&body(&mut client, &head, rest).await?);
    state.seen.lock().unwrap().extend_from_slice(&sent);
    server.write_all(&sent).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    // The server closes after each answer, and so do we.
    client.write_all(&answer).await?;
    client.shutdown().await
}

const REFUSAL: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// A head as it is passed on: the server's path, and nothing that was for the proxy.
fn forwarded(head: &str, method: &str, path: &str) -> String {
    let kept = head.lines().skip(1).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !name.is_empty() && !name.starts_with("proxy-") && name != "connection"
    });
    let lines: Vec<&str> = kept.collect();
    format!("{method} {path} HTTP/1.1\r\n{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"))
}

/// A request's body, of which the beginning is here already.
async fn body(client: &mut TcpStream, head: &str, mut body: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let length: usize = header(head, "content-length").map_or(0, |text| text.parse().unwrap());
    while body.len() < length {
        let mut chunk = vec![0; 16 * 1024];
        let read = client.read(&mut chunk).await?;
        body.extend_from_slice(&chunk[..read]);
    }
    Ok(body)
}

/// A request's head, and what came after it.
async fn head(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut buffer = Vec::new();
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&buffer).into_owned(), rest)));
        }
        let mut chunk = vec![0; 16 * 1024];
        match client.read(&mut chunk).await? {
            0 => return Ok(None),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

//! Real Git servers for tests: `git daemon`, `sshd`, HTTPS in front of `git http-backend`, and one of another make.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::git_world::{World, git_in};

/// A child process that ends with the test.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no server on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `git daemon` for the folder `srv`, reading and writing.
#[derive(Debug)]
pub(crate) struct Daemon {
    port: u16,
    _process: Process,
}

impl Daemon {
    pub(crate) fn start(world: &World) -> Self {
        let port = free_port();
        let exec_path = git_in(world.root()).arg("--exec-path").output().unwrap().stdout;
        let program = Path::new(String::from_utf8(exec_path).unwrap().trim()).join("git-daemon");
        let mut command = Command::new(program);
        command.args([
            "--listen=127.0.0.1",
            "--reuseaddr",
            "--export-all",
            "--enable=receive-pack",
        ]);
        command.arg(format!("--port={port}"));
        command.arg(format!("--base-path={}", world.root().join("srv").display()));
        for (name, value) in git_in(world.root()).get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(port);
        Self { port, _process: Process(process) }
    }

    pub(crate) fn url(&self) -> String {
        format!("git://127.0.0.1:{}/fleet.git", self.port)
    }
}

/// A server written in Python, over HTTP, with the repository at its root; it speaks version 0 only.
#[derive(Debug)]
pub(crate) struct Foreign {
    port: u16,
    _process: Process,
}

impl Foreign {
    /// None where no Python has it: `MOORLINE_FORGE_PYTHON` names one.
    pub(crate) fn start(world: &World) -> Option<Self> {
        let Ok(python) = std::env::var("MOORLINE_FORGE_PYTHON") else {
            eprintln!("SKIPPED a Git server of another make: MOORLINE_FORGE_PYTHON is not set");
            return None;
        };
        let port = free_port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/git_server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(world.bare()).arg(port.to_string());
        let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(port);
        Some(Self { port, _process: Process(process) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// `sshd` on a high port with keys of its own.
#[derive(Debug)]
pub(crate) struct Sshd {
    port: u16,
    folder: PathBuf,
    repository: PathBuf,
    _process: Process,
}

impl Sshd {
    /// `None`, said loudly, where there is no sshd.
    pub(crate) fn start(world: &World) -> Option<Self> {
        let Some(program) =
            ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].iter().find(|p| Path::new(p).exists())
        else {
            eprintln!("SKIPPED: there is no sshd here (Debian: apt-get install openssh-server)");
            return None;
        };
        let folder = world.root().join("ssh");
        std::fs::create_dir(&folder).unwrap();
        for name in ["host", "client", "stranger"] {
            keygen(&folder, name, "");
        }
        keygen(&folder, "locked", "open sesame");
        let command = format!(
            "restrict,command=\"{} git shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\"",
            "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*"
        );
        let mut authorized = String::new();
        for name in ["client", "locked"] {
            let key = std::fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
            authorized.push_str(&format!("{command} {key}"));
        }
        std::fs::write(folder.join("authorized_keys"), authorized).unwrap();
        let port = free_port();
        std::fs::write(folder.join("sshd_config"), config(port, &folder)).unwrap();
        // sshd insists on this folder when it runs as root.
        std::fs::create_dir_all("/run/sshd").ok();
        let config = folder.join("sshd_config");
        let process = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        wait_for(port);
        Some(Self { port, folder, repository: world.bare(), _process: Process(process) })
    }

    pub(crate) fn url(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", whoami(), self.port, self.repository.display())
    }

    /// A private key: `client` and `locked` (passphrase `open sesame`) may enter, `stranger` may not.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A known-hosts file with these lines; `HOST` stands for the server, `KEY` for its key.
    pub(crate) fn known_hosts(&self, text: &str) -> PathBuf {
        let key = std::fs::read_to_string(self.folder.join("host.pub")).unwrap();
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let text = text.replace("HOST", &format!("[127.0.0.1]:{}", self.port)).replace("KEY", &key);
        let path = self.folder.join("known_hosts");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The fingerprint of the host key, as `ssh-keygen` says it.
    pub(crate) fn fingerprint(&self) -> String {
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(self.folder.join("host.pub"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// Hashes the names in the known-hosts file.
    pub(crate) fn hash_known_hosts(&self) {
        let path = self.folder.join("known_hosts");
        let output = Command::new("ssh-keygen").args(["-H", "-f"]).arg(&path).output().unwrap();
        assert!(output.status.success());
        assert!(std::fs::read_to_string(path).unwrap().starts_with("|1|"));
    }

    /// An agent that holds the key `client`, and its socket.
    pub(crate) fn agent(&self) -> (PathBuf, impl Drop) {
        let socket = self.folder.join("agent");
        let process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(process);
        let begun = Instant::now();
        while !socket.exists() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for name in ["stranger", "client"] {
            let added = Command::new("ssh-add")
                .arg("-q")
                .arg(self.key(name))
                .env("SSH_AUTH_SOCK", &socket)
                .status()
                .unwrap();
            assert!(added.success());
        }
        (socket, process)
    }
}

fn keygen(folder: &Path, name: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f"])
        .arg(folder.join(name))
        .status()
        .unwrap();
    assert!(made.success());
}

fn config(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n\
         AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nAcceptEnv GIT_PROTOCOL\n\
         PermitRootLogin yes\nMaxStartups 100\nLogLevel VERBOSE\n"
    )
}

fn whoami() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// What the HTTPS server does out of the ordinary.
#[derive(Debug, Default)]
pub(crate) struct Moods {
    /// Speaks version 0 only, like servers that do not know the header.
    pub(crate) only_version_0: AtomicBool,
    /// Answers everything with this status, if not 0.
    pub(crate) status: AtomicUsize,
    /// Redirects the greeting from here to there.
    pub(crate) redirect: Mutex<Option<(String, String)>>,
    /// Answers the greeting with a web page.
    pub(crate) web_page: AtomicBool,
    /// Sends half of each answer and then nothing.
    pub(crate) stalls: AtomicBool,
    /// `METHOD path` of each request.
    pub(crate) log: Mutex<Vec<String>>,
}

/// HTTPS (or HTTP) in front of `git http-backend`; asks for the token `s3cret`.
#[derive(Debug)]
pub(crate) struct Https {
    pub(crate) moods: Arc<Moods>,
    port: u16,
    folder: PathBuf,
    plain: bool,
    tls: Arc<rustls::ServerConfig>,
}

/// The token that the HTTPS server wants.
pub(crate) const TOKEN: &str = "s3cret";

impl Https {
    pub(crate) fn start(world: &World) -> Self {
        Self::begin(world, false)
    }

    pub(crate) fn start_plain(world: &World) -> Self {
        Self::begin(world, true)
    }

    fn begin(world: &World, plain: bool) -> Self {
        let folder = world.root().join("tls");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(folder.join("wrong-token"), "guess").unwrap();
        world.on_server(&["config", "http.receivepack", "true"]);
        let tls = certificates(&folder);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let moods = Arc::new(Moods::default());
        let (shared, srv) = (Arc::clone(&moods), world.root().join("srv"));
        let own = Arc::clone(&tls);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (tls, moods, srv) = (Arc::clone(&tls), Arc::clone(&shared), srv.clone());
                std::thread::spawn(move || {
                    socket.set_nodelay(true).ok();
                    if plain {
                        serve(socket, &moods, &srv);
                    } else if let Ok(session) = rustls::ServerConnection::new(tls) {
                        serve(rustls::StreamOwned::new(session, socket), &moods, &srv);
                    }
                });
            }
        });
        Self { moods, port, folder, plain, tls: own }
    }

    /// TLS with the same certificate in front of another server. Returns where that is reached.
    pub(crate) async fn in_front_of(&self, behind: std::net::SocketAddr) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.tls));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut inside) = acceptor.accept(socket).await else { return };
                    let mut server = tokio::net::TcpStream::connect(behind).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut inside, &mut server).await);
                });
            }
        });
        address
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.plain { "http" } else { "https" };
        format!("{scheme}://localhost:{}/fleet.git", self.port)
    }

    /// A file beside the server: `ca.pem`, `self-signed.pem`, `token`, `wrong-token`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// SHA-256 of the server's certificate, with colons as browsers show it.
    pub(crate) fn pin(&self) -> String {
        let digest =
            moorline::model::Digest::of(&std::fs::read(self.folder.join("server.der")).unwrap());
        let digits: Vec<char> = digest.as_str().to_ascii_uppercase().chars().collect();
        digits.chunks(2).map(|pair| pair.iter().collect::<String>()).collect::<Vec<_>>().join(":")
    }

    /// The requests so far, and forgets them.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.moods.log.lock().unwrap())
    }
}

fn certificates(folder: &Path) -> Arc<rustls::ServerConfig> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "test authority");
    std::fs::write(folder.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(
        ["localhost", "git.corp.test", "forge.corp.test"].map(str::to_owned),
    )
    .unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let certificate = server.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.der"), certificate.der()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

struct HttpRequest {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl HttpRequest {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// One request after the other on a connection.
fn serve<S: std::io::Read + std::io::Write>(mut stream: S, moods: &Moods, srv: &Path) {
    let mut buffer = Vec::new();
    while let Some(request) = receive(&mut stream, &mut buffer) {
        let path = request.path.clone();
        moods.log.lock().unwrap().push(format!("{} {path}", request.method));
        let answer = answer(&request, moods, srv);
        if moods.stalls.load(Ordering::Relaxed) && request.method == "POST" {
            let half = answer.len() / 2;
            stream.write_all(&answer[..half]).ok();
            stream.flush().ok();
            std::thread::sleep(Duration::from_secs(20));
            return;
        }
        if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn receive(stream: &mut impl std::io::Read, buffer: &mut Vec<u8>) -> Option<HttpRequest> {
    let mut chunk = vec![0; 65536];
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        buffer.extend_from_slice(&chunk[..read]);
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut request = HttpRequest { method, path, query, headers, body: Vec::new() };
    let length: usize = request.header("content-length").parse().unwrap_or(0);
    while buffer.len() < end + 4 + length {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        buffer.extend_from_slice(&chunk[..read]);
    }
    request.body = buffer[end + 4..end + 4 + length].to_vec();
    buffer.drain(..end + 4 + length);
    Some(request)
}

fn respond(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
        .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn answer(request: &HttpRequest, moods: &Moods, srv: &Path) -> Vec<u8> {
    let status = moods.status.load(Ordering::Relaxed);
    if status != 0 {
        let headers = "Content-Type: text/plain\r\nRetry-After: 7\r\n";
        return respond(&format!("{status} Mood"), headers, b"not in the mood");
    }
    if moods.web_page.load(Ordering::Relaxed) {
        return respond("200 OK", "Content-Type: text/html\r\n", b"<html>Welcome</html>");
    }
    if let Some((from, to)) = &*moods.redirect.lock().unwrap()
        && request.path.starts_with(from.as_str())
    {
        let path = request.path.replacen(from.as_str(), to, 1);
        return respond("301 Moved", &format!("Location: {path}?{}\r\n", request.query), b"");
    }
    let basic = request.header("authorization").strip_prefix("Basic ").unwrap_or_default();
    let pair = base64::engine::general_purpose::STANDARD.decode(basic).unwrap_or_default();
    if !pair.ends_with(format!(":{TOKEN}").as_bytes()) {
        return respond("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", b"");
    }
    backend(request, moods, srv)
}

/// `git http-backend` as a CGI program.
fn backend(request: &HttpRequest, moods: &Moods, srv: &Path) -> Vec<u8> {
    let mut command = git_in(srv);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", srv)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "bot")
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string());
    if !moods.only_version_0.load(Ordering::Relaxed) {
        command.env("GIT_PROTOCOL", request.header("git-protocol"));
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    // Written while the answer is read: both pipes are small.
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    child.wait().unwrap();
    writer.join().unwrap().ok();
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut status = "200 OK".to_owned();
    let mut headers = String::new();
    for line in head.split("\r\n") {
        match line.strip_prefix("Status: ") {
            Some(given) => status = given.to_owned(),
            None => headers.push_str(&format!("{line}\r\n")),
        }
    }
    respond(&status, &headers, &output[end + 4..])
}

/// Makes a file readable for its owner only.
pub(crate) fn private(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A server that sends a byte now and then, for ever.
pub(crate) fn dripping_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                assert!(socket.read(&mut request).unwrap() > 0);
                socket.write_all(b"HTTP/1.1 200 OK\r\nServer: ").ok();
                while socket.write_all(b"0").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
    });
    port
}

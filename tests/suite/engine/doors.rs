//! The ways to an Engine: TLS with certificates of both sides, and SSH with pinned host keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moorline::docker::{
    Access, Depth, Endpoint, Engine, EngineError, EngineSettings, Limits, SshIdentity, TlsFiles,
};
use moorline::model::{Action, ImageRef};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{HashAlg, PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session, VerifiedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::terms::{act, look, scope};
use crate::support::fake_engine::{FakeEngine, Options};

fn settings() -> EngineSettings {
    let limits = Limits { connect: Duration::from_secs(5), ..Limits::default() };
    EngineSettings { limits, ..EngineSettings::default() }
}

/// Certificates of an authority, a server and a client, as files.
pub(super) struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            let cert = params.signed_by(&key, &authority).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn files(&self) -> TlsFiles {
        TlsFiles {
            ca: self.path("ca.pem"),
            cert: self.path("client.pem"),
            key: self.path("client.key"),
        }
    }
}

/// A TLS server in front of a unix socket, that wants a client's certificate.
pub(super) async fn tls_front(certificates: &Certificates, socket: &Path) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.path("ca.pem")).unwrap()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificates.path("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = socket.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut engine = UnixStream::connect(socket).await.unwrap();
                    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut engine).await;
                }
            });
        }
    });
    format!("tcp://{address}")
}

#[tokio::test]
async fn an_engine_behind_tls_wants_both_sides_to_show_who_they_are() {
    let fake = FakeEngine::start(Options::default()).await;
    let certificates = Certificates::new();
    let url = tls_front(&certificates, fake.socket()).await;
    let access = |files| Access { tls: Some(files), ..Access::default() };
    let endpoint = Endpoint::parse(&url, &access(certificates.files())).unwrap();
    let engine = Engine::connect(&endpoint, &settings()).await.unwrap();
    act(&engine, Action::Pull { image: ImageRef::parse("a:1").unwrap(), platform: String::new() })
        .await
        .unwrap();
    assert_eq!(look(&engine, &scope("shop"), Depth::Full).await.gaps, []);

    let others = Certificates::new();
    let stranger = TlsFiles {
        cert: others.path("client.pem"),
        key: others.path("client.key"),
        ..certificates.files()
    };
    let wrong_authority = TlsFiles { ca: others.path("ca.pem"), ..certificates.files() };
    for files in [stranger, wrong_authority] {
        let endpoint = Endpoint::parse(&url, &access(files)).unwrap();
        let error = Engine::connect(&endpoint, &settings()).await.unwrap_err();
        let refused = error.is_unreachable() || matches!(error, EngineError::Broken { .. });
        assert!(refused, "{error:?}");
    }
    let missing = TlsFiles { key: "/nonexistent/key.pem".into(), ..certificates.files() };
    let endpoint = Endpoint::parse(&url, &access(missing)).unwrap();
    let error = Engine::connect(&endpoint, &settings()).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/key.pem"), "{error}");
}

/// An SSH server that lets `deploy` with one key reach one unix socket.
#[derive(Clone)]
pub(super) struct SshFront {
    pub(super) socket: PathBuf,
    pub(super) allowed: PublicKey,
    pub(super) sessions: Arc<AtomicUsize>,
}

impl Handler for SshFront {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = user == "deploy" && key.public_key.key_data() == self.allowed.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: russh::Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if path != "/run/engine.sock" {
            reply.reject(russh::ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        reply.accept().await;
        let socket = self.socket.clone();
        tokio::spawn(async move {
            let mut engine = UnixStream::connect(socket).await.unwrap();
            let _ended =
                tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut engine).await;
        });
        Ok(())
    }
}

pub(super) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// Serves SSH on a free port until the sender is dropped or told; sessions are cut then.
pub(super) async fn ssh_front(front: SshFront) -> (u16, tokio::sync::watch::Sender<u64>) {
    let config = Arc::new(russh::server::Config {
        keys: vec![key(1)],
        auth_rejection_time: Duration::ZERO,
        ..russh::server::Config::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cut = tokio::sync::watch::Sender::new(0);
    let mut cuts = cut.subscribe();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            front.sessions.fetch_add(1, Ordering::Relaxed);
            let (config, front, mut cut) = (Arc::clone(&config), front.clone(), cuts.clone());
            cuts.mark_unchanged();
            cut.mark_unchanged();
            tokio::spawn(async move {
                let Ok(session) = russh::server::run_stream(config, stream, front).await else {
                    return;
                };
                let handle = session.handle();
                tokio::select! {
                    _ended = session => {}
                    _cut = cut.changed() => {
                        let bye = (russh::Disconnect::ByApplication, String::new(), String::new());
                        let _gone = handle.disconnect(bye.0, bye.1, bye.2).await;
                    }
                }
            });
        }
    });
    (port, cut)
}

pub(super) struct SshFiles {
    folder: tempfile::TempDir,
}

impl SshFiles {
    pub(super) fn new(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = |key: &PrivateKey| {
            format!("[127.0.0.1]:{port} {}\n", key.public_key().to_openssh().unwrap())
        };
        for (name, text) in
            [("known", line(&key(1))), ("changed", line(&key(9))), ("unknown", String::new())]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for seed in [2, 3] {
            let text = key(seed).to_openssh(ssh_key::LineEnding::LF).unwrap();
            std::fs::write(folder.path().join(format!("key{seed}")), text.as_bytes()).unwrap();
        }
        Self { folder }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn access(&self, key: &str, known_hosts: &str) -> Access {
        Access {
            identity: Some(SshIdentity::KeyFile { path: self.file(key), passphrase: None }),
            known_hosts: Some(self.file(known_hosts)),
            ..Access::default()
        }
    }
}

#[tokio::test]
async fn an_engine_behind_ssh_is_reached_over_one_session_that_is_made_anew_when_lost() {
    let fake = FakeEngine::start(Options { all_images_present: true, ..Options::default() }).await;
    let front = SshFront {
        socket: fake.socket().to_owned(),
        allowed: key(2).public_key().clone(),
        sessions: Arc::default(),
    };
    let sessions = Arc::clone(&front.sessions);
    let (port, cut) = ssh_front(front).await;
    let files = SshFiles::new(port);
    let url = format!("ssh://deploy@127.0.0.1:{port}/run/engine.sock");
    let connect = async |url: &str, access: Access| {
        let endpoint = Endpoint::parse(url, &access).unwrap();
        Engine::connect(&endpoint, &settings()).await
    };
    let engine = connect(&url, files.access("key2", "known")).await.unwrap();
    for number in 0..5 {
        fake.run_by_hand(
            &format!("shop-web-{number}"),
            serde_json::json!({"Image": "any:1", "Labels": super::terms::labels("shop")}),
        );
    }
    assert_eq!(look(&engine, &scope("shop"), Depth::Full).await.containers.len(), 5);
    assert_eq!(sessions.load(Ordering::Relaxed), 1);
    cut.send_modify(|count| *count += 1);
    let mut tries = 0;
    while engine.observe(&scope("shop"), Depth::Full, super::terms::now()).await.is_err() {
        tries += 1;
        assert!(tries < 5);
    }
    assert_eq!(sessions.load(Ordering::Relaxed), 2);

    match connect(&url, files.access("key2", "unknown")).await {
        Err(error @ EngineError::UnknownHostKey { .. }) => {
            let fingerprint = key(1).public_key().fingerprint(HashAlg::Sha256).to_string();
            assert!(error.to_string().contains(&fingerprint), "{error}");
            assert!(error.help().unwrap().contains("ssh-keyscan -p"));
        }
        other => panic!("{other:?}"),
    }
    let error = connect(&url, files.access("key2", "changed")).await.unwrap_err();
    assert!(matches!(error, EngineError::ChangedHostKey { .. }), "{error:?}");
    let error = connect(&url, files.access("key3", "known")).await.unwrap_err();
    assert!(matches!(error, EngineError::AccessDenied { .. }), "{error:?}");
    let elsewhere = format!("ssh://deploy@127.0.0.1:{port}/run/other.sock");
    let error = connect(&elsewhere, files.access("key2", "known")).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let error = connect(&url, files.access("key4", "known")).await.unwrap_err();
    assert!(error.to_string().contains("key4"), "{error}");
}

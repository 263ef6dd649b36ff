//! Credentials, certificates and host keys; none of them ever shows.

use std::sync::atomic::Ordering;

use moorline::git::{Credentials, Git, GitError, Source};
use moorline::model::Remedy;

use super::servers::{Https, Sshd, TOKEN, private};
use super::world::World;
use super::{head, kind, pull_all, said, source};

fn https_source(https: &Https) -> Source {
    let mut source = source(&https.url());
    source.access.ca_file = Some(https.file("ca.pem"));
    source.access.credentials = Credentials::Token { file: https.file("token"), username: None };
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_an_https_server_has_its_own_error() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let good = https_source(&https);
    let token = |name: &str| Credentials::Token { file: https.file(name), username: None };
    let git = Git::new(&world.data());
    assert!(head(&git, &good).await.is_ok());

    let mut cases: Vec<(&str, Source)> = Vec::new();
    let mut case = |kind, change: &dyn Fn(&mut Source)| {
        let mut source = good.clone();
        change(&mut source);
        cases.push((kind, source));
    };
    case("CredentialsMissing", &|s| s.access.credentials = Credentials::None);
    case("CredentialsRefused", &|s| s.access.credentials = token("wrong-token"));
    case("AccessFile", &|s| s.access.credentials = token("no-token"));
    case("AccessFile", &|s| s.access.ca_file = Some(https.file("token")));
    case("AccessFile", &|s| s.access.ca_file = Some(https.file("none.pem")));
    case("Certificate", &|s| s.access.ca_file = None);
    case("PinMismatch", &|s| s.access.pin_sha256 = Some("00".repeat(32)));
    for (expected, source) in &cases {
        let problem = head(&git, source).await.unwrap_err();
        assert_eq!(&kind(&problem), expected, "{problem:?}");
        assert_eq!(problem.remedy(), Remedy::Operator);
        assert!(!said(&problem).contains(TOKEN), "{}", said(&problem));
        assert!(!format!("{problem:?}").contains(TOKEN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_certificate_is_enough_and_so_is_one_in_the_file() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let mut pinned = https_source(&https);
    pinned.access.ca_file = None;
    pinned.access.pin_sha256 = Some(https.pin());
    assert!(head(&Git::new(&world.data()), &pinned).await.is_ok());
    let mut listed = https_source(&https);
    listed.access.ca_file = Some(https.file("server.pem"));
    assert!(head(&Git::new(&world.data()), &listed).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_is_used_at_the_next_poll() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let source = https_source(&https);
    let git = Git::new(&world.data());
    std::fs::write(https.file("token"), "stale").unwrap();
    assert_eq!(kind(&head(&git, &source).await.unwrap_err()), "CredentialsRefused");
    std::fs::write(https.file("token"), TOKEN).unwrap();
    assert!(head(&git, &source).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_instead_has_its_own_error() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let source = https_source(&https);
    let git = Git::new(&world.data());
    for known in [false, true] {
        for (status, expected) in [
            (403, "Forbidden"),
            (404, "NoRepository"),
            (429, "ServerFailed"),
            (503, "ServerFailed"),
            (418, "NotGit"),
        ] {
            https.moods.status.store(status, Ordering::Relaxed);
            let problem = head(&git, &source).await.unwrap_err();
            assert_eq!(kind(&problem), expected, "{status} {known}");
            if let GitError::ServerFailed { retry_after, said, .. } = &problem {
                assert_eq!(retry_after.map(|wait| wait.as_secs()), Some(7));
                assert!(said.contains("not in the mood"), "{said}");
                assert_eq!(problem.remedy(), Remedy::Retry);
            }
        }
        https.moods.status.store(0, Ordering::Relaxed);
        https.moods.web_page.store(true, Ordering::Relaxed);
        assert_eq!(kind(&head(&git, &source).await.unwrap_err()), "NotGit");
        https.moods.web_page.store(false, Ordering::Relaxed);
        assert!(head(&git, &source).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_at_home_and_not_with_a_token_elsewhere() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let mut source = https_source(&https);
    let redirect = |from: &str, to: &str| {
        *https.moods.redirect.lock().unwrap() = Some((from.to_owned(), to.to_owned()));
    };
    let moved = https.url().replace("fleet.git", "old-name");
    source.remote = moorline::git::Remote::parse(&moved, std::path::Path::new("/")).unwrap();
    redirect("/old-name", "/fleet.git");
    let git = Git::new(&world.data());
    assert_eq!(super::paths(&pull_all(&git, &source).await.unwrap()).len(), 4);
    redirect("/old-name", "https://elsewhere.example.com/fleet.git");
    let problem = head(&Git::new(&world.data()), &source).await.unwrap_err();
    assert_eq!(kind(&problem), "Redirected", "{problem:?}");
    assert!(said(&problem).contains("elsewhere.example.com/fleet.git"));
    redirect("/old-name", "/old-name");
    assert_eq!(kind(&head(&Git::new(&world.data()), &source).await.unwrap_err()), "Redirected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_sent_in_clear_text_beyond_this_machine() {
    let world = World::with_stacks();
    let http = Https::start_plain(&world);
    let mut source = https_source(&http);
    assert!(head(&Git::new(&world.data()), &source).await.is_ok());
    source.remote =
        moorline::git::Remote::parse("http://git.example.com/f.git", std::path::Path::new("/"))
            .unwrap();
    assert_eq!(kind(&head(&Git::new(&world.data()), &source).await.unwrap_err()), "Insecure");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_host_key_is_known_unknown_or_changed() {
    let world = World::with_stacks();
    let Some(sshd) = Sshd::start(&world) else { return };
    let mut source = source(&sshd.url());
    source.access.credentials =
        Credentials::SshKey { file: sshd.key("client"), passphrase_file: None };
    let git = Git::new(&world.data());

    let problem = head(&git, &source).await.unwrap_err();
    assert_eq!(kind(&problem), "UnknownHostKey", "without a file: {problem:?}");
    source.access.known_hosts_file = Some(sshd.known_hosts("elsewhere.example.com KEY\n"));
    let problem = head(&git, &source).await.unwrap_err();
    let GitError::UnknownHostKey { fingerprint, line, .. } = &problem else {
        panic!("{problem:?}")
    };
    assert_eq!(fingerprint, &sshd.fingerprint());
    assert!(said(&problem).contains(fingerprint) && said(&problem).contains(line));

    // The line that the error advises makes the host known.
    sshd.known_hosts(&format!("{line}\n"));
    assert!(head(&git, &source).await.is_ok());
    sshd.hash_known_hosts();
    assert!(head(&git, &source).await.is_ok());

    let other = std::fs::read_to_string(sshd.key("client.pub")).unwrap();
    sshd.known_hosts(&format!("# a comment\nHOST {other}"));
    let problem = head(&git, &source).await.unwrap_err();
    let GitError::ChangedHostKey { line, .. } = &problem else { panic!("{problem:?}") };
    assert_eq!(*line, 2);
    sshd.known_hosts("HOST KEY\n@revoked * KEY\n");
    assert_eq!(kind(&head(&git, &source).await.unwrap_err()), "ChangedHostKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_server_lets_in_who_has_the_key() {
    let world = World::with_stacks();
    let Some(sshd) = Sshd::start(&world) else { return };
    let mut source = source(&sshd.url());
    source.access.known_hosts_file = Some(sshd.known_hosts("HOST KEY\n"));
    let git = Git::new(&world.data());
    let passphrase = world.root().join("passphrase");
    std::fs::write(&passphrase, "open sesame\n").unwrap();
    private(&passphrase);
    let wrong = world.root().join("wrong");
    std::fs::write(&wrong, "open barley").unwrap();
    let (socket, _agent) = sshd.agent();
    let key = |name: &str, passphrase: Option<&std::path::PathBuf>| Credentials::SshKey {
        file: sshd.key(name),
        passphrase_file: passphrase.cloned(),
    };
    for (expected, credentials) in [
        ("", key("client", None)),
        ("", key("locked", Some(&passphrase))),
        ("", Credentials::SshAgent { socket }),
        ("AccessFile", key("locked", Some(&wrong))),
        ("AccessFile", key("locked", None)),
        ("AccessFile", key("none", None)),
        ("AccessFile", Credentials::SshAgent { socket: world.root().join("none") }),
        ("CredentialsRefused", key("stranger", None)),
        ("CredentialsMissing", Credentials::None),
    ] {
        source.access.credentials = credentials;
        let answer = head(&git, &source).await;
        let found = answer.as_ref().err().map(kind).unwrap_or_default();
        assert_eq!(found, expected, "{answer:?}");
        assert!(!format!("{answer:?}").contains("open sesame"));
    }
}

/// A proxy that connects whoever asks, and counts them.
fn proxy() -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = vec![0; 4096];
            let length = client.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let target = request.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            let server = std::net::TcpStream::connect(target).unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_settings_is_used() {
    let world = World::with_stacks();
    let https = Https::start(&world);
    let (port, count) = proxy();
    let mut source = https_source(&https);
    let through = |text: String| Some(moorline::model::Secret::new(text));
    source.access.proxy = through(format!("http://user:pass1234@127.0.0.1:{port}"));
    assert_eq!(super::paths(&pull_all(&Git::new(&world.data()), &source).await.unwrap()).len(), 4);
    assert!(count.load(Ordering::Relaxed) > 0);
    source.access.proxy = through("http://user:pass1234@127.0.0.1:1".to_owned());
    let problem = head(&Git::new(&world.data()), &source).await.unwrap_err();
    assert_eq!(kind(&problem), "Unreachable");
    assert!(!format!("{problem:?} {} {source:?}", said(&problem)).contains("pass1234"));
}

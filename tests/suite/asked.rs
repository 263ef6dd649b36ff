//! A running daemon is asked by commands on its machine, through the socket in its data folder.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use super::support::daemon::Harbour;
use super::support::until;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

async fn status(harbour: &Harbour) -> (i32, Value) {
    let (code, text, said) = harbour.command(&["status", "--output", "json"]).await;
    (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{said}")))
}

#[tokio::test]
async fn status_says_what_the_daemon_knows_and_that_it_lives() {
    let harbour = Harbour::new(&["local"]).await;
    let first = harbour.push(&[("shop/compose.yaml", WEB)], "one");
    let (code, without) = status(&harbour).await;
    assert_eq!((code, &without["daemon"]), (0, &Value::Null));
    let mut daemon = harbour.program(&["run"]);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    harbour.until_noted(&first, "moorline/shop: success").await;
    let socket = harbour.settings().data.join("moorline.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    // The host is asked by the daemon alone: one that hangs keeps nobody waiting.
    harbour.hosts["local"].stop_answering_after(0);
    let (code, known) = status(&harbour).await;
    assert_eq!(code, 0, "{known}");
    assert_eq!(known["daemon"]["pid"].as_u64(), daemon.id().map(u64::from));
    assert_eq!(known["repositories"]["fleet"]["head"], Value::String(first));
    assert_eq!(known["reports"][0]["state"], "success");
    let (_, text, _) = harbour.command(&["status"]).await;
    assert!(text.starts_with("daemon ") && text.contains("shop@local  success"), "{text}");

    // A second one does not take the first one's socket away.
    let (code, _, said) = harbour.command(&["run"]).await;
    assert!(code == 1 && said.contains("another moorline daemon"), "{code} {said}");
    assert_eq!(status(&harbour).await.1["daemon"]["pid"], known["daemon"]["pid"]);

    // One that died leaves its socket behind, which answers nobody.
    daemon.kill().await.unwrap();
    harbour.hosts["local"].revive();
    until("the socket is left behind", || socket.exists()).await;
    let (_, text, said) = harbour.command(&["status", "shop"]).await;
    assert!(text.starts_with("no daemon runs"), "{text}{said}");
}

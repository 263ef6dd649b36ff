//! Other people's clients take the simulated forges for real ones. `tests/all` installs them; `MOORLINE_FORGE_PYTHON` names
//! the Python that has them.

use moorline::model::ForgeKind as Kind;
use serde_json::{Value, json};

use super::{KINDS, sha};
use crate::support::fake_forge::{FakeForge, Pull, TOKEN};

#[tokio::test]
async fn other_peoples_clients_take_the_simulators_for_forges() {
    let Ok(python) = std::env::var("MOORLINE_FORGE_PYTHON") else {
        eprintln!("SKIPPED other people's clients: MOORLINE_FORGE_PYTHON is not set");
        return;
    };
    for kind in KINDS.into_iter().filter(|kind| !matches!(kind, Kind::Bitbucket | Kind::Azure)) {
        let forge = FakeForge::start(kind).await;
        let commit = sha('a');
        let project = forge.look(|world| {
            world.commits.insert(commit.to_string(), false);
            let from = Some(world.project.clone());
            world.pulls = vec![Pull::open(7, (commit.as_str(), "change"), from)];
            world.project.clone()
        });
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/fake_forge/clients.py");
        let ran = tokio::process::Command::new(&python)
            .arg(script)
            .args([kind.word(), &forge.url(), &project, TOKEN, commit.as_str()])
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .await
            .unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{kind:?}: {:?}\n{errors}", ran.status);
        let seen: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(seen["account"], "moorline-bot", "{kind:?}");
        assert_eq!(seen["statuses"][0][0], "other/client", "{kind:?}: {seen}");
        assert_eq!(seen["statuses"][0][1], "success", "{kind:?}: {seen}");
        assert_eq!(seen["pulls"], json!([[7, commit.as_str()]]), "{kind:?}");
        assert_eq!(seen["comments"], json!(["two"]), "{kind:?}");
    }
}

//! The story of a commit over a real sshd, read back with plain `git log`.

use serde_json::json;

use crate::support::daemon::Harbour;
use crate::support::git_servers::Sshd;
use crate::support::stays;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n    environment: {API_TOKEN: planted-T0ken}\n";

#[tokio::test]
async fn the_story_of_a_commit_is_read_with_git_log_from_an_ssh_remote() {
    let mut harbour = Harbour::new(&["local"]).await;
    let Some(sshd) = Sshd::start(&harbour.repository) else { return };
    let known = sshd.known_hosts("HOST KEY\n");
    harbour.address = Some(sshd.url());
    harbour.repository_settings = format!(
        "    credentials: {{ssh_key_file: {}, known_hosts_file: {}}}\n",
        sshd.key("client").display(),
        known.display()
    );
    let files = [("fleet.yaml", "stacks: {shop: {drift: report}}\n"), ("shop/compose.yaml", WEB)];
    let first = harbour.push(&files, "the shop");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 1 host").await;
    harbour.until_noted(&first, "moorline: success 1 stack in sync").await;
    let restart = |name: &str| json!({ "RestartPolicy": { "Name": name, "MaximumRetryCount": 0 } });
    harbour.hosts["local"].update("shop-web-1", restart("no"));
    harbour.until_noted(&first, "moorline/shop: failure out of sync: web-1 restart").await;
    harbour.until_noted(&first, "moorline: failure shop: out of sync").await;
    harbour.hosts["local"].update("shop-web-1", restart("always"));
    harbour.until_noted(&first, "moorline/shop: success in sync on 1 host").await;
    // Somebody else notes something on the same commit, and it stays.
    let repository = &harbour.repository;
    repository.git(&["fetch", "-q", "origin", "+refs/notes/moorline:refs/notes/moorline"]);
    repository.git(&["notes", "--ref=moorline", "append", "-m", "reviewed by Ada", &first]);
    repository.git(&["push", "-q", "origin", "refs/notes/moorline"]);
    let broken = WEB.replace("app:v1", "planted-T0ken.invalid/app:v9");
    harbour.hosts["local"].unpublish("planted-T0ken.invalid/app:v9");
    let second = harbour.push(&[("shop/compose.yaml", &broken)], "an image that is nowhere");
    harbour.until_noted(&second, "moorline/shop: failure").await;
    harbour.hosts["local"].publish("app:v2", json!({ "Cmd": ["run"] }));
    let third = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "well again");
    harbour.until_noted(&third, "moorline: success 1 stack in sync").await;
    harbour.stop().await;
    assert!(harbour.notes(&first).contains("reviewed by Ada"), "{}", harbour.notes(&first));
    let history = harbour.repository.on_server(&["log", "-p", "--all", "--notes=moorline"]);
    let notes = harbour.repository.on_server(&["log", "-p", "refs/notes/moorline"]);
    assert!(history.contains("moorline/shop: success"), "{history}");
    assert!(!notes.contains("planted-T0ken"), "{notes}");
    let counted =
        |it: &Harbour| it.repository.on_server(&["rev-list", "--count", "refs/notes/moorline"]);
    let before = counted(&harbour);
    harbour.start();
    harbour.until("a look", |it| !it.hosts["local"].calls().is_empty()).await;
    for _ in 0..5 {
        harbour.ring();
        let same = || counted(&harbour) == before;
        stays("nothing is written", std::time::Duration::from_millis(500), same).await;
    }
    harbour.stop().await;
    let after = harbour.repository.on_server(&["rev-list", "--count", "refs/notes/moorline"]);
    assert_eq!(before, after, "a second start writes nothing");
}

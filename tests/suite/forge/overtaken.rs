//! Commits that are overtaken while they are being deployed, told in notes.

use crate::support::daemon::Harbour;
use crate::support::fake_engine::Behaviour;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    healthcheck: {test: [CMD, \"true\"], start_period: 10m}\n";

fn fleet(shop: &str, blog: &str) -> [(&'static str, String); 2] {
    [("shop/compose.yaml", WEB.replace("v1", shop)), ("blog/compose.yaml", WEB.replace("v1", blog))]
}

fn push(harbour: &Harbour, shop: &str, blog: &str) -> String {
    let files = fleet(shop, blog);
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    harbour.push(&files, "fleet")
}

#[tokio::test]
async fn an_overtaken_commit_is_told_what_became_of_it() {
    let mut harbour = Harbour::new(&["local"]).await;
    let starting = Behaviour { health_hangs: true, ..Behaviour::default() };
    harbour.hosts["local"].behave("web", starting);
    let first = push(&harbour, "v1", "v1");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: pending deploying").await;
    harbour.until_noted(&first, "moorline/blog: pending deploying").await;
    let second = push(&harbour, "v2", "v1");
    let superseded = format!("failure superseded by {} before it was deployed", &second[..12]);
    harbour.until_noted(&first, &format!("moorline/shop: {superseded}")).await;
    harbour
        .until_noted(&first, &format!("moorline: failure shop: superseded by {}", &second[..12]))
        .await;
    // The blog is the same in both: it goes on, and the older commit hears how it ends.
    assert!(harbour.notes(&first).contains("moorline/blog: pending"), "{}", harbour.notes(&first));
    harbour
        .until("blog is there", |it| {
            it.containers("local").iter().any(|one| one.starts_with("blog-web-1"))
        })
        .await;
    harbour.hosts["local"].set_health("blog-web-1", "healthy");
    harbour.until_noted(&second, "moorline/blog: success").await;
    harbour.until_noted(&first, "moorline/blog: success in sync on 1 host").await;
    // What is settled stays, whatever comes later.
    harbour.hosts["local"].set_health("blog-web-1", "unhealthy");
    harbour.stop().await;
    assert!(harbour.notes(&first).contains("moorline/blog: success"), "{}", harbour.notes(&first));
}

#[tokio::test]
async fn a_commit_that_is_overtaken_while_nobody_looks_is_told_at_the_next_start() {
    let mut harbour = Harbour::new(&["local"]).await;
    let starting = Behaviour { health_hangs: true, ..Behaviour::default() };
    harbour.hosts["local"].behave("web", starting);
    let first = push(&harbour, "v1", "v1");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: pending deploying").await;
    harbour.until_noted(&first, "moorline: pending").await;
    harbour.kill().await;
    let second = push(&harbour, "v2", "v2");
    harbour.start();
    let superseded = format!("moorline/shop: failure superseded by {}", &second[..12]);
    harbour.until_noted(&first, &superseded).await;
    assert!(!harbour.notes(&first).contains("pending"), "{}", harbour.notes(&first));
    harbour.stop().await;
}

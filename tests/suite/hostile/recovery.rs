//! While a commit that means harm is read, what runs is kept as quickly as ever.

use std::time::{Duration, Instant};

use super::bombs::{KINDS, Numbers};
use crate::support::daemon::Harbour;

/// From a stop by hand to running again. A debug build reads such commits some ten times as slowly.
const SOON: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

/// Kinds that take longest to be refused or taken.
const SLOW: [&str; 7] =
    ["dense", "extends_fan", "binds", "contexts", "env_files", "ignore_lines", "references"];

async fn recovery(harbour: &Harbour) -> Duration {
    let running = |it: &Harbour| {
        let all = it.hosts["a"].containers();
        all.iter().any(|one| one.name == "shop-web-1" && one.state == "running")
    };
    harbour.hosts["a"].stop("shop-web-1");
    let begun = Instant::now();
    harbour.until("shop is back", running).await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_stacks_recover_within_a_second_while_a_hostile_commit_is_read() {
    let mut harbour = Harbour::new(&["a"]).await;
    let web = "services: {web: {image: app, restart: always}}\n";
    let first = harbour.push(&[("shop/compose.yaml", web)], "the shop");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success").await;
    let mut slowest = Duration::ZERO;
    for name in SLOW {
        let make = KINDS.iter().find(|(kind, _)| *kind == name).unwrap().1;
        let made = make(&mut Numbers(0x9e37_79b9_7f4a_7c15), 1_000);
        let files: Vec<(String, String)> = made
            .into_iter()
            .filter(|(_, text)| !text.starts_with("link:"))
            .map(|(path, text)| (path.replace("shop/", "evil/"), text))
            .collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (&**path, &**text)).collect();
        let commit = harbour.push(&files, name);
        harbour.ring();
        // As long as nothing is said of that commit it is being read.
        let begun = Instant::now();
        while !harbour.notes(&commit).contains("moorline/evil") && begun.elapsed() < SOON * 4 {
            let took = recovery(&harbour).await;
            assert!(took < SOON, "{name}: shop was away for {took:?}");
            slowest = slowest.max(took);
        }
        harbour.push_without(&["evil"], "harmless again");
    }
    println!("away for {slowest:?} at most");
    harbour.stop().await;
}

//! The data folder is lost: brakes still hold, and what left Git meanwhile is still known.

use moorline::config::fleet_file::Suspension;
use moorline::data::folder::DataFolder;
use moorline::fleet::suspension::Brake;
use moorline::model::StackName;

use super::support::daemon::Harbour;
use super::support::world::now;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
const BOTH: &str = "stacks: {shop: {hosts: all}, blog: {hosts: all}}\n";

/// Shop and blog run on two hosts, shop is suspended, and the hosts know it.
async fn a_fleet_with_a_brake() -> Harbour {
    let mut harbour = Harbour::new(&["left", "right"]).await;
    let files = [("shop/compose.yaml", WEB), ("blog/compose.yaml", WEB), ("fleet.yaml", BOTH)];
    let first = harbour.push(&files, "one");
    harbour.start();
    harbour.until_noted(&first, "moorline: success").await;
    let brake = Brake {
        stack: Some(StackName::parse("shop").unwrap()),
        host: None,
        by: "ada".to_owned(),
        since: now(),
        suspension: Suspension { reason: "disk swap".to_owned(), until: None },
    };
    let data = DataFolder::open(&harbour.settings().data).unwrap();
    data.change_orders(|orders| orders.brakes.suspend(brake)).unwrap();
    harbour.until_noted(&first, "suspended by ada").await;
    harbour.until("every host has one ledger that knows it", everybody_knows).await;
    harbour.stop().await;
    std::fs::remove_dir_all(&harbour.settings().data).unwrap();
    harbour
}

fn everybody_knows(harbour: &Harbour) -> bool {
    harbour.hosts.values().all(|host| {
        let ledgers = host.volume_labels("moorline.ledger.text");
        ledgers.len() == 1
            && ["disk swap", "\"shop\"", "\"blog\""].iter().all(|word| ledgers[0].contains(word))
    })
}

fn only_shop_is_left(harbour: &Harbour) -> bool {
    ["left", "right"].iter().all(|host| harbour.containers(host) == ["shop-web-1 running"])
}

#[tokio::test]
async fn a_daemon_that_lost_its_folder_keeps_to_brakes_and_removes_what_left_git() {
    let mut harbour = a_fleet_with_a_brake().await;
    let newer = WEB.replace("v1", "v2");
    let only_shop =
        [("shop/compose.yaml", &*newer), ("fleet.yaml", "stacks: {shop: {hosts: all}}\n")];
    let second = harbour.push(&only_shop, "two");
    harbour.start();
    harbour.until_noted(&second, "suspended by ada").await;
    harbour.until("blog is gone", only_shop_is_left).await;
    for host in harbour.hosts.values() {
        assert_eq!(host.containers()[0].image, "app:v1");
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_command_that_lost_its_folder_does_too() {
    let harbour = a_fleet_with_a_brake().await;
    let newer = WEB.replace("v1", "v2");
    let only_shop =
        [("shop/compose.yaml", &*newer), ("fleet.yaml", "stacks: {shop: {hosts: all}}\n")];
    harbour.push(&only_shop, "two");
    let (_, told, said) = harbour.command(&["sync"]).await;
    assert!(format!("{told}{said}").contains("disk swap"), "{told}\n{said}");
    assert!(only_shop_is_left(&harbour), "{:?}", harbour.containers("left"));
    for host in harbour.hosts.values() {
        assert_eq!(host.containers()[0].image, "app:v1");
        assert!(!host.volume_labels("moorline.ledger.text")[0].contains("\"blog\""));
    }
}

#[tokio::test]
async fn a_host_that_answers_late_is_not_forgotten() {
    let mut harbour = a_fleet_with_a_brake().await;
    let socket = harbour.hosts["right"].socket().to_owned();
    let aside = socket.with_extension("away");
    std::fs::rename(&socket, &aside).unwrap();
    let only_shop = [("shop/compose.yaml", WEB), ("fleet.yaml", "stacks: {shop: {hosts: all}}\n")];
    harbour.push(&only_shop, "two");
    harbour.start();
    let left_is_done = |it: &Harbour| it.containers("left") == ["shop-web-1 running"];
    harbour.until("blog is gone from the left", left_is_done).await;
    std::fs::rename(&aside, &socket).unwrap();
    harbour.until("and from the right", only_shop_is_left).await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_daemon_that_leaves_has_hosts_remember_what_it_knew_last() {
    let mut harbour = Harbour::new(&["left"]).await;
    let both = harbour.push(&[("shop/compose.yaml", WEB), ("blog/compose.yaml", WEB)], "both");
    let knows = |harbour: &Harbour, stack: &str| {
        let ledgers = harbour.hosts["left"].volume_labels("moorline.ledger.text");
        ledgers.iter().any(|text| text.contains(&format!("\"{stack}\"")))
    };
    harbour.start();
    harbour.until_noted(&both, "moorline: success").await;
    harbour.until("the host knows both", |it| knows(it, "shop") && knows(it, "blog")).await;
    let one = harbour.push_without(&["blog"], "one less");
    harbour.until("blog is gone", |it| it.containers("left") == ["shop-web-1 running"]).await;
    harbour.until_noted(&one, "moorline: success").await;
    harbour.stop().await;
    assert!(knows(&harbour, "shop") && !knows(&harbour, "blog"));
}

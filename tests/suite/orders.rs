//! What operators say beside Git, through the program, with a daemon that keeps the hosts meanwhile.

use super::support::daemon::Harbour;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
const MANUAL: &str = "stacks: {shop: {sync: manual}}\n";

fn image(harbour: &Harbour) -> Option<String> {
    harbour.hosts["local"].containers().first().map(|container| container.image.clone())
}

/// The plan's hash, as `moorline plan` tells it.
async fn hash(harbour: &Harbour) -> String {
    let (_, text, said) = harbour.command(&["plan", "shop", "--output", "json"]).await;
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{said}"));
    let text = plan.to_string();
    let (_, rest) = text.split_once("\"hash\":\"").unwrap_or_else(|| panic!("{text}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn only_the_approved_plan_is_carried_out() {
    let mut harbour = Harbour::new(&["local"]).await;
    let files = [("shop/compose.yaml", WEB), ("fleet.yaml", MANUAL)];
    let first = harbour.push(&files, "one");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: pending waits for approval").await;
    let one = hash(&harbour).await;
    // Meanwhile another commit comes: its plan is another one.
    let second = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "two");
    harbour.until_noted(&second, "moorline/shop: pending waits for approval").await;
    let (code, _, said) =
        harbour.command(&["sync", "shop", "--approve", &one, "--by", "ada"]).await;
    assert_ne!(code, 0, "{said}");
    let other = "waits for approval: plan";
    harbour.until_noted(&second, other).await;
    assert_eq!(image(&harbour), None, "nothing was done");
    let two = hash(&harbour).await;
    assert_ne!(one, two);
    let (code, text, said) =
        harbour.command(&["sync", "shop", "--approve", &two, "--by", "ada"]).await;
    assert_eq!(code, 0, "{text}{said}");
    assert_eq!(image(&harbour).as_deref(), Some("app:v2"));
    harbour.until_noted(&second, "moorline/shop: success").await;
    // One yes is one deployment.
    let third = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v3"))], "three");
    harbour.until_noted(&third, "moorline/shop: pending waits for approval").await;
    assert_eq!(image(&harbour).as_deref(), Some("app:v2"));
    harbour.stop().await;
}

#[tokio::test]
async fn an_approval_that_names_no_stack_or_no_hash_is_refused_with_what_to_do() {
    let harbour = Harbour::new(&["local"]).await;
    harbour.push(&[("shop/compose.yaml", WEB), ("fleet.yaml", MANUAL)], "one");
    let (code, _, said) = harbour.command(&["sync", "--approve", "0123456789abcdef"]).await;
    assert!(code == 1 && said.contains("moorline sync STACK --approve HASH"), "{code} {said}");
    let (code, _, said) = harbour.command(&["sync", "shop", "--approve", "yes"]).await;
    assert!(code == 1 && said.contains("`moorline plan` tells the hash"), "{code} {said}");
}

#[tokio::test]
async fn suspend_and_resume_are_seen_by_the_daemon_at_once_and_end_by_themselves() {
    let mut harbour = Harbour::new(&["local"]).await;
    let files = [("shop/compose.yaml", WEB), ("fleet.yaml", "stacks: {shop: {}}\n")];
    let first = harbour.push(&files, "one");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success").await;
    let (code, _, said) = harbour.command(&["suspend", "shop"]).await;
    assert!(code == 1 && said.contains("--reason"), "{said}");
    let words = ["suspend", "shop", "--reason", "disk swap", "--for", "1h", "--by", "ada"];
    assert_eq!(harbour.command(&words).await.0, 0);
    harbour.until_noted(&first, ": disk swap").await;
    let second = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "two");
    harbour.until_noted(&second, ": disk swap").await;
    assert_eq!(image(&harbour).as_deref(), Some("app:v1"));
    assert_eq!(harbour.command(&["resume", "shop"]).await.0, 0);
    harbour.until_noted(&second, "moorline/shop: success").await;
    assert_eq!(image(&harbour).as_deref(), Some("app:v2"));
    let words = ["suspend", "--on", "local", "--reason", "reboot", "--for", "3s", "--by", "ada"];
    assert_eq!(harbour.command(&words).await.0, 0);
    harbour.until_noted(&second, ": reboot").await;
    harbour.until_noted(&second, "moorline/shop: success").await;
    harbour.stop().await;
}

#[tokio::test]
async fn now_passes_by_a_shut_window_and_nothing_else() {
    let harbour = Harbour::new(&["local"]).await;
    let shut = "windows: [{deny: \"* * * * *\", for: 2h}]\n";
    let fleet = format!("stacks: {{shop: {{}}}}\n{shut}");
    harbour.push(&[("shop/compose.yaml", WEB), ("fleet.yaml", &fleet)], "one");
    let (_, text, said) = harbour.command(&["sync"]).await;
    assert!(format!("{text}{said}").contains("deny \"* * * * *\""), "{text}{said}");
    assert_eq!(image(&harbour), None);
    let words = ["suspend", "shop", "--reason", "not yet", "--by", "ada"];
    assert_eq!(harbour.command(&words).await.0, 0);
    harbour.command(&["sync", "--now"]).await;
    assert_eq!(image(&harbour), None, "what is suspended stays so");
    assert_eq!(harbour.command(&["resume", "--all"]).await.0, 0);
    let (code, text, said) = harbour.command(&["sync", "--now"]).await;
    assert_eq!(code, 0, "{text}{said}");
    assert_eq!(image(&harbour).as_deref(), Some("app:v1"));
}

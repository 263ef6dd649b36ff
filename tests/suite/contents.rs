//! Files from Git, and what goes into images, on hosts where other hands were: found by what containers see, and put back.

use moorline::model::{AdoptPolicy, Plan};
use moorline::report::status;
use serde_json::json;

use super::support::fake_engine::Options;
use super::support::world::{World, short_limits};

const COMPOSE: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n    volumes: [\"./app.conf:/app.conf:ro\", \"./conf:/conf:ro\"]\n    configs: [{source: inline, target: /inline}]\nconfigs: {inline: {content: inline}}\n";

async fn world() -> World {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.commit_files(&[
        ("compose.yaml", COMPOSE),
        ("app.conf", "app"),
        ("conf/a", "a"),
        ("conf/b", "b"),
    ]);
    settles(&mut world).await;
    assert!(world.plan().await.is_empty());
    world
}

async fn settles(world: &mut World) {
    let report = world.settle(3).await;
    assert!(report.is_good(), "{}\n{:#?}", status::line(&report), report.remaining);
}

/// Where a file from Git lies on the simulated host.
fn on_host(world: &World, end: &str) -> String {
    let files = world.fake.host_files();
    let found = files.keys().find(|path| path.contains("/files/shop/") && path.ends_with(end));
    found.unwrap_or_else(|| panic!("{end}: {files:?}")).clone()
}

fn told(plan: &Plan) -> String {
    moorline::plan::render(plan)
}

#[tokio::test]
async fn a_file_that_was_edited_or_deleted_on_the_host_is_put_back_and_its_service_restarted() {
    let mut world = world().await;
    let id = world.fake.inspect("shop-web-1").unwrap()["Id"].clone();
    for (end, path, edited) in [
        ("/app.conf", "/app.conf", true),
        ("/app.conf", "/app.conf", false),
        ("/conf/b", "/conf/b", true),
        ("/conf/b", "/conf/b", false),
    ] {
        let file = on_host(&world, end);
        let right = world.fake.host_files()[&file].clone();
        if edited {
            world.fake.write_host_file(&file, b"edited");
        } else {
            world.fake.remove_host_file(&file);
        }
        let plan = told(&*world.plan().await);
        assert!(plan.contains("put 1 files") || plan.contains("files"), "{plan}");
        assert!(
            plan.contains(&format!("restart shop-web-1 after 1: files.{path} changed"))
                || plan.contains("restart shop-web-1"),
            "{plan}"
        );
        settles(&mut world).await;
        assert_eq!(world.fake.host_files()[&file], right);
        assert!(world.plan().await.is_empty());
    }
    assert_eq!(world.fake.inspect("shop-web-1").unwrap()["Id"], id);
}

#[tokio::test]
async fn a_folder_never_stands_in_for_a_file() {
    let mut world = world().await;
    let file = on_host(&world, "/app.conf");
    world.fake.remove_host_file(&file);
    world.fake.write_host_file(&format!("{file}/inside"), b"");
    settles(&mut world).await;
    assert_eq!(world.fake.host_files()[&file], b"app");
    assert!(!world.fake.host_files().contains_key(&format!("{file}/inside")));
}

#[tokio::test]
async fn a_file_that_was_copied_over_one_of_ours_replaces_the_container() {
    let mut world = world().await;
    let id = world.fake.inspect("shop-web-1").unwrap()["Id"].clone();
    world.fake.copy_into("shop-web-1", "/inline", b"other");
    let plan = told(&*world.plan().await);
    assert!(plan.contains("files./inline changed"), "{plan}");
    settles(&mut world).await;
    assert_ne!(world.fake.inspect("shop-web-1").unwrap()["Id"], id);
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn what_a_service_wrote_to_its_own_file_is_left_to_it() {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    let compose =
        "services:\n  web: {image: app:v1, restart: always, volumes: [\"./app.conf:/app.conf\"]}\n";
    world.commit_files(&[("compose.yaml", compose), ("app.conf", "app")]);
    settles(&mut world).await;
    let file = on_host(&world, "/app.conf");
    world.fake.write_host_file(&file, b"written");
    assert!(world.plan().await.is_empty());
    world.fake.remove_host_file(&file);
    settles(&mut world).await;
    assert_eq!(world.fake.host_files()[&file], b"app");
}

#[tokio::test]
async fn another_build_in_git_replaces_an_adopted_container_whose_image_tells_nothing_of_its_own() {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.policy.adopt = AdoptPolicy::Adopt;
    world.fake.add_image("shop-web", json!({"Cmd": ["run"]}));
    world.fake.add_image("app:v1", json!({"Cmd": ["run"]}));
    let labels = json!({
        "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
        "com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False",
    });
    world.fake.create_network_by_hand(json!({"Name": "shop_default", "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.network": "default"}}));
    world.fake.run_by_hand(
        "shop-web-1",
        json!({
            "Image": "shop-web", "Labels": labels, "HostConfig": {"NetworkMode": "shop_default"},
        }),
    );
    let compose = "services:\n  web: {build: .}\n";
    let dockerfile = |line: &str| format!("FROM app:v1\nENV A={line}\n");
    world.commit_files(&[("compose.yaml", compose), ("Dockerfile", &dockerfile("1"))]);
    assert!(!told(&*world.plan().await).contains("build"), "{}", told(&*world.plan().await));
    world.commit_files(&[("compose.yaml", compose), ("Dockerfile", &dockerfile("2"))]);
    let plan = told(&*world.plan().await);
    assert!(plan.contains("build shop-web"), "{plan}");
}

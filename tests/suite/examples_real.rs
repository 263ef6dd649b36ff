//! The example fleets on a real Engine: one `moorline sync` brings each there, and leaves nothing to do.

use super::support::engines::sockets;
use super::support::real_stack::RealStack;

#[test]
fn real_the_shop_migrates_its_database_before_it_serves() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let shop = RealStack::example("shop", &socket);
    shop.converges();
    assert_eq!(shop.running("shop"), 4, "proxy, two web servers, database");
    let page = shop.docker(&[
        "exec",
        "shop-web-1",
        "wget",
        "-q",
        "-O",
        "-",
        "http://proxy:8080/cgi-bin/shop",
    ]);
    assert!(page.contains("The corner shop") && page.contains("marmalade"), "{page}");
    shop.remove("shop");
}

#[test]
fn real_the_homelab_comes_up_in_its_order() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let home = RealStack::example("homelab", &socket);
    home.converges();
    let running = ["storage", "dashboard", "monitor"].map(|stack| home.running(stack));
    assert_eq!(running, [2, 1, 3]);
    for stack in ["monitor", "dashboard", "storage"] {
        home.remove(stack);
    }
}

#[test]
fn real_the_crowd_is_as_large_as_the_commit_says() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let crowd = RealStack::example("scaled", &socket);
    crowd.converges();
    assert_eq!(crowd.running("crowd"), 21);
    let fleet = std::fs::read_to_string(crowd.folder.path().join("fleet/fleet.yaml")).unwrap();
    crowd.write("fleet.yaml", &fleet.replace("\"20\"", "\"5\""));
    crowd.commit("fewer");
    crowd.converges();
    assert_eq!(crowd.running("crowd"), 6);
    crowd.remove("crowd");
}

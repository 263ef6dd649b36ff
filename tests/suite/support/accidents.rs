//! What happens to a host while nobody looks: one line each, as scenarios and stories write it.

use serde_json::json;

use super::fake_engine::{Behaviour, FakeEngine};

/// An accident on a host, such as `kill shop-web-1 137`.
pub fn happen(host: &FakeEngine, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["stop", name] => host.stop(name),
        ["kill", name, code] => host.kill(name, code.parse().unwrap()),
        ["pause", name] => host.pause(name),
        ["restart", name] => {
            host.stop(name);
            host.start_by_hand(name).unwrap();
        }
        ["remove", name] => host.remove(name),
        ["rename", name, to] => host.rename(name, to),
        ["unhealthy", name] => host.set_health(name, "unhealthy"),
        ["disconnect", name, network] => host.disconnect(name, network),
        ["connect", name, network] => host.connect(network, &json!({"Container": name})),
        ["memory", name, bytes] => {
            let bytes: i64 = bytes.parse().unwrap();
            host.update(name, json!({"Memory": bytes, "MemorySwap": bytes * 2}));
        }
        ["restart-policy", name, policy] => {
            host.update(name, json!({"RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}}));
        }
        ["remove-image", image] => host.remove_image(image),
        ["remove-folder", path] => host.remove_host_folder(path),
        ["make-folder", path] => host.make_host_folder(path),
        ["make-file", path] => host.write_host_file(path, b"made by hand"),
        ["unpublish", image] => host.unpublish(image),
        ["edit", path] => host.write_host_file(&bundled(host, path), b"edited by hand"),
        ["delete", path] => host.remove_host_file(&bundled(host, path)),
        ["impostor", name] => {
            let labels = host.inspect(name).unwrap()["Config"]["Labels"].clone();
            host.remove(name);
            host.add_image("app:v1", json!({"Cmd": ["run"]}));
            host.run_by_hand(name, json!({"Image": "app:v1", "Labels": labels}));
        }
        ["network", name, subnet] => {
            let ipam = json!({"Config": [{"Subnet": subnet}]});
            host.create_network_by_hand(json!({"Name": name, "IPAM": ipam}));
        }
        ["wedge", name] => host.wedge(name),
        ["stranger", name, port] => {
            let ports = serde_json::json!({"80/tcp": [{"HostIp": "", "HostPort": port}]});
            let settings = serde_json::json!({"PortBindings": ports});
            let body = serde_json::json!({"Image": "other:1", "HostConfig": settings});
            host.add_image("other:1", serde_json::json!({"Cmd": ["run"]}));
            host.run_by_hand(name, body);
        }
        _ => panic!("unknown accident {line:?}"),
    }
}

/// Where a file from Git lies on the host, by the end of its path.
fn bundled(host: &FakeEngine, path: &str) -> String {
    let files = host.host_files();
    let found = files
        .keys()
        .find(|known| known.starts_with("/var/lib/moorline/files/") && known.ends_with(path));
    found.unwrap_or_else(|| panic!("{path} is none of {files:?}")).clone()
}

/// Containers that docker compose or a person made without us: `NAME SERVICE IMAGE`, in the project `shop`, or
/// `NAME PROJECT/SERVICE IMAGE`; a service `-` stands for none, and no project. `stopped` at the end: it does not run.
pub fn by_hand(host: &FakeEngine, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, service, image) = (words[0], words[1], words[2]);
    host.add_image(image, json!({"Cmd": ["run"]}));
    let (project, service) = service.split_once('/').unwrap_or(("shop", service));
    let labels = match service {
        "-" => json!({}),
        _ => json!({
            "com.docker.compose.project": project,
            "com.docker.compose.service": service,
            "com.docker.compose.container-number": "1",
            "com.docker.compose.oneoff": "False",
        }),
    };
    host.run_by_hand(name, json!({"Image": image, "Labels": labels}));
    if words.get(3) == Some(&"stopped") {
        host.stop(name);
    }
}

/// How processes behave from their next start on: `web does not start`, `job ends with 0`.
pub fn behave(host: &FakeEngine, line: &str) {
    let (whose, how) = line.split_once(' ').expect("WHOSE HOW");
    let ends = |code| Some((std::time::Duration::from_millis(1), code));
    let behaviour = match how {
        "works" => Behaviour::default(),
        "does not start" => Behaviour { fails_to_start: true, ..Behaviour::default() },
        "finds no room" => Behaviour { finds_no_room: true, ..Behaviour::default() },
        "is never healthy" => Behaviour { sick: true, ..Behaviour::default() },
        _ => match how.strip_prefix("ends with ").and_then(|code| code.parse().ok()) {
            Some(code) => Behaviour { ends: ends(code), ..Behaviour::default() },
            None => panic!("unknown behaviour {how:?}"),
        },
    };
    host.behave(whose, behaviour);
}

//! A trivial client of an Engine: what the measured programs are compared with.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// One Engine, by its socket.
#[derive(Clone)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    pub(crate) fn at(socket: &str) -> Self {
        Self { socket: PathBuf::from(socket) }
    }

    /// Its address as clients take it.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// One call: status and body. HTTP/1.0, so that the answer ends with the connection.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = UnixStream::connect(&self.socket).expect("the Engine's socket answers");
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// A call that must succeed.
    pub(crate) fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!((200..400).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes and starts one container as a manifest of [`crate::stack`] asks.
    pub(crate) fn create_and_start(&self, project: &str, name: &str) {
        let network = format!("{project}_default");
        let made = self.must(
            "POST",
            &format!("/containers/create?name={name}"),
            Some(&json!({
                "Image": crate::stack::IMAGE,
                "Labels": {"bench": project, "com.docker.compose.project": project},
                "HostConfig": {"NetworkMode": network, "RestartPolicy": {"Name": "unless-stopped"}},
                "NetworkingConfig": {"EndpointsConfig": {network.as_str(): {"Aliases": [name]}}},
            })),
        );
        let id = made["Id"].as_str().unwrap();
        self.must("POST", &format!("/containers/{id}/start"), None);
    }

    pub(crate) fn create_network(&self, project: &str) {
        let labels = json!({"com.docker.compose.project": project});
        let network =
            json!({"Name": format!("{project}_default"), "CheckDuplicate": true, "Labels": labels});
        self.must("POST", "/networks/create", Some(&network));
    }

    /// Makes and starts `count` containers, `parallel` at a time.
    pub(crate) fn deploy(&self, project: &str, count: usize, parallel: usize) {
        self.create_network(project);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..parallel {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        self.create_and_start(project, &format!("{project}-c-{}", number + 1));
                    }
                });
            }
        });
    }

    /// Names of a project's containers that run.
    pub(crate) fn running(&self, project: &str) -> usize {
        let filters = json!({"label": [format!("com.docker.compose.project={project}")], "status": ["running"]});
        let list = self.must(
            "GET",
            &format!("/containers/json?filters={}", encoded(&filters.to_string())),
            None,
        );
        list.as_array().map_or(0, Vec::len)
    }

    /// Removes a project's containers and networks, four at a time: more has wedged Engines.
    pub(crate) fn clear(&self, project: &str) {
        let filters = encoded(
            &json!({"label": [format!("com.docker.compose.project={project}")]}).to_string(),
        );
        let list = self.must("GET", &format!("/containers/json?all=1&filters={filters}"), None);
        let ids: Vec<&str> = list
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|container| container["Id"].as_str())
            .collect();
        thread::scope(|scope| {
            for part in ids.chunks(ids.len().div_ceil(4).max(1)) {
                scope.spawn(move || {
                    for id in part {
                        self.call("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
                    }
                });
            }
        });
        let networks = self.must("GET", &format!("/networks?filters={filters}"), None);
        for network in networks.as_array().unwrap() {
            self.call("DELETE", &format!("/networks/{}", network["Id"].as_str().unwrap()), None);
        }
    }
}

/// Percent-encodes what a query may not hold.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

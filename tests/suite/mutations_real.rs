//! Live mutations on real Engines: what hands do to running containers is found, and put right by one `moorline sync`
//! that touches nothing else.

use super::support::engines::sockets;
use super::support::real_stack::{RealStack, said};
use super::support::{comes_blocking, until_blocking};

const COMPOSE: &str = r#"services:
  web:
    image: mutants/app:1
    pull_policy: never
    restart: "no"
    stop_grace_period: 1s
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 100
    cpu_shares: 512
    cpuset: "0"
    blkio_config: {weight: 300}
    ulimits: {nofile: 1024}
    networks: {front: {aliases: [shop], ipv4_address: 10.214.7.10}, back: {}}
    configs: [{source: inline, target: /etc/inline.conf}]
    volumes:
      - data:/data
      - ./conf/app.conf:/etc/app.conf:ro
      - ./folder:/srv/folder:ro
  checked:
    image: moorline.test/checked:1
    command: [sh, -c, "rm -f /tmp/sick; exec idle"]
    restart: always
    stop_grace_period: 1s
    networks: [back]
  vpn:
    image: moorline.test/base:1
    restart: unless-stopped
    domainname: example.org
    networks: [front]
  inside:
    image: moorline.test/base:1
    restart: unless-stopped
    network_mode: service:vpn
  apart:
    image: moorline.test/base:1
    networks: [back]
networks: {front: {ipam: {config: [{subnet: 10.214.7.0/24}]}}, back: {}}
volumes: {data: {}}
configs: {inline: {content: "inline\n"}}
"#;

const FILES: [(&str, &str); 4] = [
    ("mutants/compose.yaml", COMPOSE),
    ("mutants/conf/app.conf", "conf\n"),
    ("mutants/folder/a.txt", "a\n"),
    ("mutants/folder/below/b.txt", "b\n"),
];

/// What becomes of the container that was mutated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is the same one, running as it did or again.
    Stays,
    /// Another one takes its place.
    Replaced,
}

/// What hands do, whose container it is, what `moorline drift` must name, and what becomes of the container. Words that
/// begin with `@` are not docker's: see [`Hands::at`].
struct Mutation(&'static [&'static str], &'static str, &'static str, Then);

use Then::{Replaced, Stays};

const MUTATIONS: [Mutation; 41] = [
    Mutation(&["stop -t 1 WEB"], "web", "stopped", Stays),
    Mutation(&["kill WEB"], "web", "stopped", Stays),
    // The Engine answers when the signal was sent, not when the process has ended.
    Mutation(&["kill -s TERM WEB", "wait WEB"], "web", "stopped", Stays),
    Mutation(&["pause WEB"], "web", "paused", Stays),
    Mutation(&["rename WEB mine"], "web", "name: mine", Stays),
    Mutation(&["update --memory 32m --memory-swap 64m WEB"], "web", "mem_limit", Stays),
    Mutation(&["update --memory 128m --memory-swap 128m WEB"], "web", "mem_limit", Stays),
    Mutation(&["update --memory-swap 100m WEB"], "web", "memswap_limit", Stays),
    Mutation(&["update --memory-swap -1 WEB"], "web", "memswap_limit", Stays),
    Mutation(&["update --memory-reservation 16m WEB"], "web", "reservations.memory", Replaced),
    Mutation(&["update --cpus 0.25 WEB"], "web", "cpus", Stays),
    Mutation(&["update --cpu-shares 100 WEB"], "web", "cpu_shares", Stays),
    Mutation(&["update --cpuset-cpus 0-1 WEB"], "web", "cpuset", Stays),
    Mutation(&["update --pids-limit 50 WEB"], "web", "pids_limit", Stays),
    Mutation(&["update --pids-limit -1 WEB"], "web", "pids_limit", Stays),
    Mutation(&["update --restart always WEB"], "web", "restart", Stays),
    Mutation(&["update --restart on-failure:3 WEB"], "web", "restart", Stays),
    Mutation(&["update --restart no VPN"], "vpn", "restart", Stays),
    Mutation(&["network disconnect mutants_back WEB"], "web", "networks.mutants_back", Stays),
    Mutation(&["network disconnect -f mutants_front WEB"], "web", "networks.mutants_front", Stays),
    Mutation(&["network connect bridge WEB"], "web", "attached", Stays),
    Mutation(
        &["network disconnect mutants_back WEB", "network connect --alias other mutants_back WEB"],
        "web",
        "aliases",
        Stays,
    ),
    Mutation(
        &[
            "network disconnect mutants_front WEB",
            "network connect --alias shop --alias web --ip 10.214.7.99 mutants_front WEB",
        ],
        "web",
        "ipv4_address",
        Stays,
    ),
    Mutation(&["restart -t 0 VPN"], "vpn", "left behind", Stays),
    Mutation(&["stop -t 0 VPN"], "vpn", "stopped", Stays),
    Mutation(&["rm -f WEB"], "web", "+container", Replaced),
    Mutation(&["rm -f CHECKED"], "checked", "+container", Replaced),
    Mutation(&["@edit /etc/app.conf"], "web", "/etc/app.conf", Stays),
    Mutation(&["@delete /etc/app.conf"], "web", "/etc/app.conf", Stays),
    Mutation(&["stop -t 1 WEB", "@folder /etc/app.conf"], "web", "/etc/app.conf", Stays),
    Mutation(&["@edit /srv/folder/below/b.txt"], "web", "/srv/folder/below/b.txt", Stays),
    Mutation(&["@delete /srv/folder"], "web", "/srv/folder", Stays),
    Mutation(&["stop -t 1 WEB", "@delete /srv/folder"], "web", "/srv/folder", Stays),
    Mutation(&["@copy /etc/inline.conf"], "web", "/etc/inline.conf", Replaced),
    Mutation(&["exec WEB rm /etc/inline.conf"], "web", "/etc/inline.conf", Replaced),
    Mutation(&["exec CHECKED touch /tmp/sick", "@unhealthy"], "checked", "unhealthy", Stays),
    Mutation(
        &["stop -t 0 WEB CHECKED APART", "network rm mutants_back"],
        "web",
        "network mutants_back",
        Replaced,
    ),
    Mutation(
        &["tag moorline.test/web:2 mutants/app:1"],
        "web",
        "another than mutants/app:1",
        Replaced,
    ),
    Mutation(&["@impostor"], "web", "superseded", Stays),
    Mutation(&["rm -f WEB", "@impostor-in-place"], "web", "cpu_shares: 512", Replaced),
    Mutation(
        &["commit WEB mutants/committed:1", "rm -f WEB", "run -d --name WEB mutants/committed:1"],
        "web",
        "image",
        Replaced,
    ),
];

/// A stack, and hands that do things to it.
struct Hands {
    stack: RealStack,
}

const SERVICES: [&str; 5] = ["web", "checked", "vpn", "inside", "apart"];

impl Hands {
    fn new(socket: &std::path::Path) -> Self {
        let stack = RealStack::of(&FILES, socket);
        stack.docker(&["tag", "moorline.test/web:1", "mutants/app:1"]);
        Self { stack }
    }

    fn do_all(&self, mutation: &Mutation) {
        for line in mutation.0 {
            match line.strip_prefix('@') {
                Some(own) => self.at(own),
                None => {
                    let words: Vec<String> = line.split(' ').map(named).collect();
                    self.stack.docker(&words.iter().map(String::as_str).collect::<Vec<_>>());
                }
            }
        }
    }

    /// What hands do beside docker: files on the host, and containers that carry our labels.
    fn at(&self, line: &str) {
        let (what, path) = line.split_once(' ').unwrap_or((line, ""));
        let web = "mutants-web-1";
        match what {
            "edit" => std::fs::write(self.host_path(path), "edited\n").unwrap(),
            "delete" => {
                let path = self.host_path(path);
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap();
                } else {
                    std::fs::remove_file(path).unwrap();
                }
            }
            "folder" => {
                let path = self.host_path(path);
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(path).unwrap();
            }
            "copy" => {
                let file = self.stack.folder.path().join("copied");
                std::fs::write(&file, "copied\n").unwrap();
                let to = format!("{web}:{path}");
                self.stack.docker(&["cp", file.to_str().unwrap(), &to]);
            }
            "unhealthy" => {
                let format = ["inspect", "-f", "{{.State.Health.Status}}", "mutants-checked-1"];
                until_blocking("it is unhealthy", || {
                    self.stack.docker(&format).trim() == "unhealthy"
                });
            }
            "impostor" => self.impostor("mutants-web-9", web),
            "impostor-in-place" => self.impostor(web, "mutants-apart-1"),
            other => panic!("{other}"),
        }
    }

    /// A container with the labels of one of ours, that somebody else made: in name, it is the service `web`.
    fn impostor(&self, name: &str, of: &str) {
        let labels = self.stack.docker(&["inspect", "-f", "{{json .Config.Labels}}", of]);
        let mut labels: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&labels).unwrap();
        labels.insert("com.docker.compose.service".to_owned(), "web".to_owned());
        let labels: Vec<String> = labels
            .into_iter()
            .flat_map(|(key, value)| ["--label".to_owned(), format!("{key}={value}")])
            .collect();
        let mut words = vec!["run", "-d", "--name", name];
        words.extend(labels.iter().map(String::as_str));
        words.push("mutants/app:1");
        self.stack.docker(&words);
    }

    /// Where on the host a path of `web` lies.
    fn host_path(&self, path: &str) -> std::path::PathBuf {
        let format = "{{range .Mounts}}{{.Destination}} {{.Source}}\n{{end}}";
        let mounts = self.stack.docker(&["inspect", "-f", format, "mutants-web-1"]);
        let found =
            mounts.lines().filter_map(|line| line.split_once(' ')).find_map(|(to, from)| {
                let below = path.strip_prefix(to)?;
                (below.is_empty() || below.starts_with('/')).then(|| format!("{from}{below}"))
            });
        found.unwrap_or_else(|| panic!("{path} in {mounts}")).into()
    }

    fn ids(&self) -> std::collections::BTreeMap<&'static str, String> {
        let id = |name: &str| self.stack.docker(&["inspect", "-f", "{{.Id}}", name]);
        SERVICES.map(|service| (service, id(&format!("mutants-{service}-1")))).into()
    }

    /// All that users notice of the stack.
    fn facts(&self) -> Vec<String> {
        let format = "{{.Name}} {{.State.Running}} {{.State.Paused}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.MemoryReservation}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy}} {{range $name, $place := .NetworkSettings.Networks}}{{$name}} {{with .IPAMConfig}}{{.IPv4Address}}{{end}} {{end}}";
        let mut facts: Vec<String> = SERVICES
            .iter()
            .map(|service| {
                self.stack.docker(&["inspect", "-f", format, &format!("mutants-{service}-1")])
            })
            .collect();
        let read = "cat /data/marker /etc/app.conf /srv/folder/a.txt /srv/folder/below/b.txt /etc/inline.conf";
        facts.push(self.stack.docker(&["exec", "mutants-web-1", "sh", "-c", read]));
        let interfaces = self.stack.docker(&["exec", "mutants-inside-1", "ip", "addr"]);
        facts.push(interfaces.contains("eth0").to_string());
        facts
    }

    /// Whether all is as it was.
    fn is(&self, right: &[String]) -> bool {
        let all = self.stack.docker_may(&["ps", "-aq"]);
        let running = self.stack.docker_may(&["ps", "-q"]);
        if all != running {
            return false;
        }
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.facts() == right))
            .unwrap_or(false)
    }

    /// What the Engine has, and what the daemon said of it.
    fn what_there_is(&self) -> String {
        let containers = self.stack.docker_may(&["ps", "-a", "--no-trunc"]);
        let log = std::fs::read_to_string(self.stack.folder.path().join("daemon.log"));
        format!("{containers}\n{}", log.unwrap_or_default())
    }

    fn remove(self) {
        self.stack.remove("mutants");
        for image in ["mutants/app:1", "mutants/committed:1"] {
            let mut command = std::process::Command::new("docker");
            let _gone =
                command.env("DOCKER_HOST", self.stack.engine()).args(["rmi", "-f", image]).output();
        }
    }
}

fn named(word: &str) -> String {
    ["WEB", "CHECKED", "VPN", "APART"]
        .iter()
        .find(|name| **name == word)
        .map_or_else(|| word.to_owned(), |name| format!("mutants-{}-1", name.to_lowercase()))
}

/// Only these mutations, by a word in them.
fn chosen() -> impl Iterator<Item = &'static Mutation> {
    let word = std::env::var("MUTATION").unwrap_or_default();
    MUTATIONS.iter().filter(move |one| one.0.iter().any(|line| line.contains(&word)))
}

/// Who else may get another container, since it stands on the one that was mutated: nobody.
fn untouched(service: &str, mutated: &str, mutation: &Mutation) -> bool {
    let together = mutation.0.iter().any(|line| line.contains("CHECKED APART"));
    service != mutated && !together
}

#[test]
fn real_what_hands_do_to_running_containers_is_named_and_put_right_by_one_sync() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let hands = Hands::new(&socket);
    hands.stack.converges();
    hands.stack.docker(&["exec", "mutants-web-1", "sh", "-c", "echo precious > /data/marker"]);
    let right = hands.facts();
    let mut wrong = Vec::new();
    for mutation in chosen() {
        let Mutation(words, service, name, then) = mutation;
        println!("{words:?}");
        let before = hands.ids();
        hands.do_all(mutation);
        let drift = hands.stack.moorline("drift");
        let text = said(&drift).to_lowercase();
        if drift.status.code() != Some(2) || !text.contains(name) || !text.contains("compose.yaml:")
        {
            wrong.push(format!("{words:?}: drift does not name {name}:\n{text}"));
        }
        if let Err(error) = hands.stack.tries_to_converge() {
            wrong.push(format!("{words:?}: {error}"));
            continue;
        }
        let after = hands.ids();
        let same = before[service] == after[service];
        if same != (*then == Stays) {
            wrong.push(format!("{words:?}: {service} is another one: {}", !same));
        }
        for other in SERVICES.iter().filter(|one| untouched(one, service, mutation)) {
            if before[other] != after[other] {
                wrong.push(format!("{words:?}: {other} was replaced"));
            }
        }
        let now = hands.facts();
        if now != right {
            wrong.push(format!("{words:?}: {right:#?}\nis now {now:#?}"));
        }
    }
    hands.remove();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn real_what_hands_do_is_put_right_by_the_daemon_at_once() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let hands = Hands::new(&socket);
    hands.stack.converges();
    hands.stack.docker(&["exec", "mutants-web-1", "sh", "-c", "echo precious > /data/marker"]);
    let right = hands.facts();
    let mut daemon = hands.stack.daemon();
    let mut wrong = None;
    for mutation in chosen() {
        let words = mutation.0;
        // No event tells of what is done to files beside the Engine: the full look finds it.
        let silent = words.iter().any(|line| {
            ["@edit", "@delete", "exec WEB", "@unhealthy"].iter().any(|word| line.starts_with(word))
        });
        // The daemon puts the first of several right before the next one comes.
        let several = words.len() > 1;
        if silent || several {
            continue;
        }
        hands.do_all(mutation);
        let begun = std::time::Instant::now();
        let healed = comes_blocking(|| hands.is(&right));
        println!("{words:?}: {:?}", begun.elapsed());
        if !healed {
            // What follows would only tell of the same once more.
            wrong = Some(format!("{words:?}\n{}", hands.what_there_is()));
            break;
        }
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    hands.remove();
    assert!(wrong.is_none(), "not put right: {}", wrong.unwrap_or_default());
}

#[test]
fn real_names_addresses_and_ports_are_swapped_by_one_commit() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let text = |[a, b]: [&str; 2], [x, y]: [&str; 2], [p, q]: [&str; 2]| {
        let service = |service: &str, name: &str, address: &str, port: &str| {
            format!(
                "  {service}:\n    image: moorline.test/web:1\n    container_name: swap-{name}\n    ports: [\"{port}:8080\"]\n    networks: {{default: {{ipv4_address: 10.213.7.{address}}}}}\n"
            )
        };
        format!(
            "services:\n{}{}networks: {{default: {{ipam: {{config: [{{subnet: 10.213.7.0/24}}]}}}}}}\n",
            service("a", a, x, p),
            service("b", b, y, q)
        )
    };
    let first = text(["one", "two"], ["10", "11"], ["18431", "18432"]);
    let stack = RealStack::of(&[("swaps/compose.yaml", &first)], &socket);
    stack.converges();
    for next in [
        text(["two", "one"], ["10", "11"], ["18431", "18432"]),
        text(["two", "one"], ["11", "10"], ["18431", "18432"]),
        text(["two", "one"], ["11", "10"], ["18432", "18431"]),
    ] {
        stack.write("swaps/compose.yaml", &next);
        stack.commit("swap");
        stack.converges();
    }
    let label = "{{index .Config.Labels \"com.docker.compose.service\"}}";
    assert_eq!(stack.docker(&["inspect", "-f", label, "swap-one"]).trim(), "b");
    stack.remove("swaps");
}

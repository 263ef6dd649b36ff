//! Live mutations on real Engines: what hands do to running containers is found, and put right by one `moorline sync`
//! that touches nothing else.

use super::support::engines::sockets;
use super::support::real_stack::RealStack;

const STACK: &str = r#"services:
  web:
    image: moorline.test/web:1
    restart: "no"
    stop_grace_period: 1s
    mem_limit: 64m
    networks: {front: {aliases: [shop]}, back: {}}
  vpn:
    image: moorline.test/base:1
    restart: unless-stopped
    domainname: example.org
    networks: [front]
  inside:
    image: moorline.test/base:1
    restart: unless-stopped
    network_mode: service:vpn
networks: {front: {}, back: {}}
"#;

/// Docker's words, and whether the container `mutants-web-1` is the same one afterwards.
const MUTATIONS: [(&[&str], bool); 11] = [
    (&["stop", "-t", "1", "mutants-web-1"], true),
    (&["kill", "mutants-web-1"], true),
    (&["kill", "-s", "TERM", "mutants-web-1"], true),
    (&["pause", "mutants-web-1"], true),
    (&["rename", "mutants-web-1", "mine"], true),
    (&["update", "--memory", "32m", "--memory-swap", "64m", "mutants-web-1"], true),
    (&["update", "--restart", "always", "mutants-web-1"], true),
    (&["network", "disconnect", "mutants_back", "mutants-web-1"], true),
    (&["network", "connect", "bridge", "mutants-web-1"], true),
    (&["restart", "-t", "0", "mutants-vpn-1"], true),
    (&["rm", "-f", "mutants-web-1"], false),
];

#[test]
fn real_what_hands_do_to_running_containers_is_put_right_by_one_sync() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let stack = RealStack::of(&[("mutants/compose.yaml", STACK)], &socket);
    stack.converges();
    let id = |name: &str| stack.docker(&["inspect", "-f", "{{.Id}}", name]);
    for (words, stays) in MUTATIONS {
        let (web, inside) = (id("mutants-web-1"), id("mutants-inside-1"));
        stack.docker(words);
        if words.contains(&"TERM") {
            // The Engine answers when the signal was sent, not when the process has ended.
            stack.docker(&["wait", "mutants-web-1"]);
        }
        stack.converges();
        assert_eq!(stack.running("mutants"), 3, "{words:?}");
        assert_eq!(id("mutants-web-1") == web, stays, "{words:?}");
        assert_eq!(id("mutants-inside-1"), inside, "{words:?}");
        let interfaces = stack.docker(&["exec", "mutants-inside-1", "ip", "addr"]);
        assert!(interfaces.contains("eth0"), "{words:?}: {interfaces}");
    }
    stack.remove("mutants");
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

//! More kinds: what is wide, deep, long or refers to itself in other places than the first ones.

use std::fmt::Write as _;

use super::bombs::{Files, Kind, Numbers, app, one, with};

pub(super) const KINDS: &[Kind] = &[
    ("wide_merges", wide_merges),
    ("own_anchors", own_anchors),
    ("giant_scalars", giant_scalars),
    ("giant_numbers", giant_numbers),
    ("nested_defaults", nested_defaults),
    ("profiles_and_dependencies", profiles_and_dependencies),
    ("chains", chains),
    ("namespace_chains", namespace_chains),
    ("env_files_of_each_other", env_files_of_each_other),
    ("long_env_line", long_env_line),
    ("small_files", small_files),
    ("deep_folders", deep_folders),
    ("folder_loops", folder_loops),
    ("fleet_tables", fleet_tables),
    ("fleet_fan", fleet_fan),
    ("fleet_windows", fleet_windows),
    ("many_stacks", many_stacks),
    ("port_ranges", port_ranges),
    ("deploy_replicas", deploy_replicas),
    ("resources", resources),
    ("labels", labels),
    ("large_configs", large_configs),
    ("include_fan", include_fan),
    ("extends_files", extends_files),
    ("overrides", overrides),
    ("tags", tags),
    ("duplicates", duplicates),
    ("comments", comments),
    ("long_names", long_names),
    ("control", control),
    ("lines", lines),
    ("healthchecks", healthchecks),
    ("volumes_everywhere", volumes_everywhere),
    ("networks_everywhere", networks_everywhere),
];

fn wide_merges(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = String::new();
    let keys = numbers.about(size).min(800);
    for base in 0..20 {
        writeln!(text, "x-b{base}: &b{base}").unwrap();
        for key in 0..keys {
            writeln!(text, "  K{}: {key}", key + base * numbers.below(2)).unwrap();
        }
    }
    let all: Vec<String> = (0..size).map(|n| format!("*b{}", n % 20)).collect();
    text += "services:\n";
    for service in 0..10 {
        writeln!(text, "  s{service}: {{image: app, environment: {{<<: [{}]}}}}", all.join(", "))
            .unwrap();
    }
    one(text)
}

fn own_anchors(numbers: &mut Numbers, size: usize) -> Files {
    let form = numbers.below(3);
    let mut text = String::new();
    for anchor in 0..size {
        let inside = match form {
            0 => format!("&a{anchor} [*a{anchor}]"),
            1 => format!("&a{anchor} {{<<: *a{anchor}, k: v}}"),
            _ => format!("&a{anchor} {{k: *a{}}}", anchor + 1),
        };
        writeln!(text, "x-{anchor}: {inside}").unwrap();
    }
    one(text + &app())
}

fn giant_scalars(numbers: &mut Numbers, size: usize) -> Files {
    let value = ["x", "\\u0041", "\u{202e}", "é"][numbers.below(4)].repeat(size * 100);
    let place = [
        "image",
        "command",
        "hostname",
        "container_name",
        "user",
        "working_dir",
        "network_mode",
        "restart",
    ][numbers.below(8)];
    one(format!("services: {{web: {{image: app, x-a: \"{value}\", {place}: \"{value}\"}}}}\n"))
}

fn giant_numbers(numbers: &mut Numbers, size: usize) -> Files {
    let digits = ["9", "0", "1h", "1.", "1e", "0x", "_1"][numbers.below(7)].repeat(size * 100);
    let place = ["mem_limit", "cpus", "stop_grace_period", "scale", "pids_limit", "shm_size"]
        [numbers.below(6)];
    one(format!(
        "services: {{web: {{image: app, {place}: {digits}, ports: [\"{digits}:80\"], ulimits: {{nofile: {digits}}}}}}}\n"
    ))
}

fn nested_defaults(numbers: &mut Numbers, size: usize) -> Files {
    let depth = numbers.about(size * 10);
    let mut text = String::new();
    for level in 0..depth {
        write!(text, "${{V{level}:-").unwrap();
    }
    text += "app";
    text += &"}".repeat(depth);
    let line = format!("A={text}\n");
    with(format!("services: {{web: {{image: \"{text}\"}}}}\n"), &[(".env", line)])
}

fn profiles_and_dependencies(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        let names: Vec<String> = (0..10).map(|_| format!("p{}", numbers.below(size))).collect();
        let others: Vec<String> =
            (0..10.min(service)).map(|n| format!("s{}", service - 1 - n)).collect();
        writeln!(
            text,
            "  s{service}: {{image: app, profiles: [{}], depends_on: [{}]}}",
            names.join(", "),
            others.join(", ")
        )
        .unwrap();
    }
    let asked: Vec<String> = (0..size).map(|n| format!("p{n}")).collect();
    with(text, &[(".env", format!("COMPOSE_PROFILES={}\n", asked.join(",")))])
}

fn chains(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n  s0: {image: app}\n".to_owned();
    let back = numbers.below(2);
    for service in 1..size * 2 {
        writeln!(text, "  s{service}: {{image: app, depends_on: [s{}]}}", service - 1).unwrap();
    }
    writeln!(text, "  last: {{image: app, depends_on: [s{}]}}", back * (size * 2 - 1)).unwrap();
    one(text)
}

fn namespace_chains(numbers: &mut Numbers, size: usize) -> Files {
    let key = ["network_mode", "ipc", "pid"][numbers.below(3)];
    let mut text = "services:\n  s0: {image: app}\n".to_owned();
    for service in 1..size * 2 {
        writeln!(
            text,
            "  s{service}: {{image: app, {key}: \"service:s{0}\", volumes_from: [s{0}]}}",
            service - 1
        )
        .unwrap();
    }
    one(text)
}

fn env_files_of_each_other(numbers: &mut Numbers, size: usize) -> Files {
    let count = 3 + numbers.below(30);
    let names: Vec<String> = (0..count).map(|n| format!("e{n}.env")).collect();
    let mut text = "services:\n".to_owned();
    for service in 0..(size / 10).max(1) {
        writeln!(text, "  s{service}: {{image: app, env_file: [{}]}}", names.join(", ")).unwrap();
    }
    let mut files = one(text);
    for (number, name) in names.iter().enumerate() {
        let before = number.saturating_sub(1);
        let value =
            if number == 0 { "x".repeat(size) } else { format!("${{V{before}}}${{V{before}}}") };
        files.push((format!("shop/{name}"), format!("V{number}={value}\n")));
    }
    files
}

fn long_env_line(numbers: &mut Numbers, size: usize) -> Files {
    let piece = ["$A", "${A:-b}", "\\\"", "'", " #", "$", "${", "\\n"][numbers.below(8)];
    let quote = ["", "\"", "'"][numbers.below(3)];
    let line = format!("L={quote}{}{quote}\n", piece.repeat(size * 50));
    with(app(), &[(".env", format!("A={}\n{line}", "y".repeat(numbers.about(100))))])
}

fn small_files(numbers: &mut Numbers, size: usize) -> Files {
    let mut files =
        one("services: {web: {image: app, volumes: [\"./f:/f:ro\", \"./f:/g\"]}}\n".into());
    let wide = 1 + numbers.below(50);
    for file in 0..(size * 5).min(20_000) {
        files.push((format!("shop/f/{}/{file}", file % wide), file.to_string()));
    }
    files
}

fn deep_folders(numbers: &mut Numbers, size: usize) -> Files {
    let depth = numbers.about(size).min(1_900);
    let path = "d/".repeat(depth);
    let text = format!(
        "services: {{web: {{image: app, volumes: [\"./d:/d:ro\", \"./{path}f:/f:ro\"]}}}}\n"
    );
    let mut files = one(text);
    files.push((format!("shop/{path}f"), "x".into()));
    files.push((format!("shop/{path}compose.yaml"), app()));
    files
}

fn folder_loops(numbers: &mut Numbers, size: usize) -> Files {
    let count = 2 + numbers.below(size.min(200));
    let mut files = one(
        "services: {web: {build: {context: l0/l1}, volumes: [\"./l0/l1/l0:/a:ro\", \"./d:/d:ro\"], env_file: l0/l0/e}}\n"
            .into(),
    );
    for link in 0..count {
        let to = format!("l{}", (link + 1) % count);
        files.push((format!("shop/l{link}"), format!("link:{to}/{to}")));
        files.push((format!("shop/d/up{link}"), format!("link:{}", "../".repeat(1 + link % 5))));
        files.push((format!("shop/d/in{link}"), format!("link:up{link}/d/in{link}")));
    }
    files
}

fn fleet_tables(numbers: &mut Numbers, size: usize) -> Files {
    let mut fleet = "stacks:\n".to_owned();
    for stack in 0..numbers.about(size) {
        let variables: Vec<String> = (0..20).map(|n| format!("V{n}: \"{stack}\"")).collect();
        writeln!(
            fleet,
            "  t{stack}: {{path: nowhere/{stack}, environment: {{{}}}, hosts: [local], ignore: [\"a.*\", \"b.*\"]}}",
            variables.join(", ")
        )
        .unwrap();
    }
    let mut files = one(app());
    files.push(("fleet.yaml".into(), fleet));
    files
}

fn fleet_fan(numbers: &mut Numbers, size: usize) -> Files {
    let mut fleet = "stacks:\n".to_owned();
    for stack in 0..numbers.about(size).min(500) {
        writeln!(fleet, "  t{stack}: {{path: shop, project: t{stack}}}").unwrap();
    }
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(text, "  s{service}: {{image: app, environment: {{A: b, C: d}}}}").unwrap();
    }
    let mut files = one(text);
    files.push(("fleet.yaml".into(), fleet));
    files
}

fn fleet_windows(numbers: &mut Numbers, size: usize) -> Files {
    let minutes: Vec<String> = (0..size).map(|n| (n % 60).to_string()).collect();
    let cron = match numbers.below(3) {
        0 => format!("{} * * * *", minutes.join(",")),
        1 => "0 0 31 2 *".to_owned(),
        _ => "* * * * *".to_owned(),
    };
    let mut fleet = "stacks: {shop: {}}\nwindows:\n".to_owned();
    for window in 0..size {
        let kind = ["allow", "deny"][window % 2];
        writeln!(fleet, "  - {{{kind}: \"{cron}\", for: {}h, stacks: [\"s*\"]}}", 1 + window % 9)
            .unwrap();
    }
    let mut files = one(app());
    files.push(("fleet.yaml".into(), fleet));
    files
}

fn many_stacks(numbers: &mut Numbers, size: usize) -> Files {
    let count = numbers.about(size).min(1_000);
    (0..count).map(|stack| (format!("t{stack}/compose.yaml"), app())).collect()
}

fn port_ranges(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..(size / 4).max(1) {
        let range = ["1-65535", "1-65535:1-65535", "1-65535:80", "0-65535/udp"][numbers.below(4)];
        let all = vec![format!("\"{range}\""); 4].join(", ");
        writeln!(text, "  s{service}: {{image: app, ports: [{all}], expose: [\"1-65535\"]}}")
            .unwrap();
    }
    one(text)
}

fn deploy_replicas(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    let count = [100, 1_000, 10_000, 4_294_967_295_usize][numbers.below(4)];
    for service in 0..(size / 50).max(1) {
        let before = service.saturating_sub(1);
        let depends =
            if service == 0 { String::new() } else { format!(", depends_on: [s{before}]") };
        writeln!(
            text,
            "  s{service}: {{image: app, deploy: {{replicas: {count}}}, volumes: [\"v:/v\", \"/w\"], links: [\"s{before}:x\"]{depends}}}"
        )
        .unwrap();
    }
    one(text + "volumes: {v: {}}\n")
}

fn resources(numbers: &mut Numbers, size: usize) -> Files {
    let count = numbers.about(size * 5);
    let mut text = "services:\n  web:\n    image: app\n    volumes:\n".to_owned();
    for number in 0..count {
        writeln!(text, "      - v{number}:/v{number}").unwrap();
    }
    text += "volumes:\n";
    for number in 0..count {
        writeln!(text, "  v{number}: {{}}").unwrap();
    }
    text += "networks:\n";
    for number in 0..count {
        writeln!(text, "  n{number}: {{}}").unwrap();
    }
    one(text)
}

fn labels(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n  web:\n    image: app\n    labels:\n".to_owned();
    for label in 0..numbers.about(size * 10) {
        writeln!(text, "      - \"label.{label}=${{V{label}:-{label}}}\"").unwrap();
    }
    one(text)
}

fn large_configs(numbers: &mut Numbers, size: usize) -> Files {
    let content = "c".repeat(numbers.about(size) * 100);
    let mut text = format!("configs: {{big: {{content: \"{content}\"}}}}\nservices:\n");
    for service in 0..size {
        writeln!(
            text,
            "  s{service}: {{image: app, configs: [big, {{source: big, target: /x{service}}}]}}"
        )
        .unwrap();
    }
    one(text)
}

fn include_fan(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "include:\n".to_owned();
    for include in 0..numbers.about(size) {
        writeln!(text, "  - {{path: part.yaml, project_directory: d{include}}}").unwrap();
    }
    let mut part = "services:\n".to_owned();
    for service in 0..size.min(500) {
        writeln!(part, "  p{service}: {{image: app, volumes: [\"./x:/x\"]}}").unwrap();
    }
    with(text + &app(), &[("part.yaml", part)])
}

fn extends_files(numbers: &mut Numbers, size: usize) -> Files {
    let count = 2 + numbers.below(size.min(300));
    let mut files = one("services: {web: {extends: {file: e0.yaml, service: s}}}\n".into());
    for file in 0..count {
        let next = if file + 1 == count { numbers.below(count) } else { file + 1 };
        let ends = file + 1 == count && numbers.below(2) == 0;
        let from = if ends {
            String::new()
        } else {
            format!("extends: {{file: e{next}.yaml, service: s}}, ")
        };
        let text = format!(
            "services: {{s: {{{from}image: app, environment: {{V{file}: {}}}}}}}\n",
            "v".repeat(size)
        );
        files.push((format!("shop/e{file}.yaml"), text));
    }
    files
}

fn overrides(numbers: &mut Numbers, size: usize) -> Files {
    let count = 2 + numbers.below(size.min(300));
    let names: Vec<String> = (0..count).map(|n| format!("o{n}.yaml")).collect();
    let mut files: Files = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mut text = "services:\n  web:\n    image: app\n    labels:\n".to_owned();
            for label in 0..size.min(1_000) {
                writeln!(text, "      l{}: {number}", label + number).unwrap();
            }
            (format!("shop/{name}"), text)
        })
        .collect();
    let fleet = format!("stacks: {{shop: {{files: [{}]}}}}\n", names.join(", "));
    files.push(("fleet.yaml".into(), fleet));
    files
}

fn tags(numbers: &mut Numbers, size: usize) -> Files {
    let tag = ["!reset", "!override", "!!str", "!x", "!!binary"][numbers.below(5)];
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(
            text,
            "  s{service}: {{image: app, labels: {tag} {{a: {tag} b}}, ports: {tag} []}}"
        )
        .unwrap();
    }
    with(text.clone(), &[("compose.override.yaml", text)])
}

fn duplicates(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for _ in 0..numbers.about(size * 5) {
        text += "  web: {image: app, image: app}\n";
    }
    one(text)
}

fn comments(numbers: &mut Numbers, size: usize) -> Files {
    let line = ["# x\n", "#\n", "\n", " \n", "# \u{1b}[31m\r\n"][numbers.below(5)];
    one(line.repeat(size * 100) + &app() + &line.repeat(size * 100))
}

fn long_names(numbers: &mut Numbers, size: usize) -> Files {
    let name = ["s", "s-", "s.", "s_"][numbers.below(4)].repeat(size * 20);
    let mut files = one(format!(
        "name: {name}\nservices: {{{name}: {{image: app, volumes: [\"{name}:/v\"], networks: [{name}]}}}}\nvolumes: {{{name}: {{}}}}\nnetworks: {{{name}: {{}}}}\n"
    ));
    let folder = "f".repeat((size * 2).min(200));
    files.push((format!("{folder}/compose.yaml"), app()));
    files
}

fn control(numbers: &mut Numbers, size: usize) -> Files {
    let bad = ["\\e[31m", "\\n", "\\u202e", "\\0", "\\r"][numbers.below(5)].repeat(size * 10);
    let mut text = "services:\n".to_owned();
    for service in 0..5 {
        writeln!(
            text,
            "  s{service}: {{image: app, labels: {{\"{bad}{service}\": \"{bad}\"}}, environment: {{\"A{bad}\": \"{bad}\"}}, unknown{service}: \"{bad}\"}}"
        )
        .unwrap();
    }
    one(text)
}

fn lines(numbers: &mut Numbers, size: usize) -> Files {
    let line = ["- a\n", "- [\n", "k: v\n", "? x\n", "|\n"][numbers.below(5)];
    one(line.repeat(size * 100))
}

fn healthchecks(numbers: &mut Numbers, size: usize) -> Files {
    let test = "a ".repeat(numbers.about(size));
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(
            text,
            "  s{service}: {{image: app, healthcheck: {{test: {test}, interval: {service}s}}}}"
        )
        .unwrap();
        if text.len() > 4_000_000 {
            break;
        }
    }
    one(text)
}

fn volumes_everywhere(numbers: &mut Numbers, size: usize) -> Files {
    let count = numbers.about(size / 2).clamp(2, 600);
    let mut text = "volumes:\n".to_owned();
    for volume in 0..count {
        writeln!(text, "  v{volume}: {{}}").unwrap();
    }
    text += "services:\n";
    let all: Vec<String> = (0..count).map(|volume| format!("\"v{volume}:/v{volume}\"")).collect();
    for service in 0..count {
        writeln!(text, "  s{service}: {{image: app, volumes: [{}]}}", all.join(", ")).unwrap();
        if text.len() > 4_000_000 {
            break;
        }
    }
    one(text)
}

fn networks_everywhere(numbers: &mut Numbers, size: usize) -> Files {
    let count = numbers.about(size / 2).clamp(2, 600);
    let mut text = "networks:\n".to_owned();
    for network in 0..count {
        writeln!(text, "  n{network}: {{}}").unwrap();
    }
    text += "services:\n";
    let all: Vec<String> = (0..count).map(|network| format!("n{network}")).collect();
    for service in 0..count {
        writeln!(text, "  s{service}: {{image: app, networks: [{}]}}", all.join(", ")).unwrap();
        if text.len() > 4_000_000 {
            break;
        }
    }
    one(text)
}

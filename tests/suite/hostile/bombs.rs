//! Repositories that somebody might write to stop a daemon: each kind in several sizes.

use std::fmt::Write as _;

/// Files by path; `link:` before a content makes a symbolic link.
pub(super) type Files = Vec<(String, String)>;

/// Numbers without chance: the same on every machine.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }

    /// A number that has this many digits, roughly.
    pub(super) fn about(&mut self, size: usize) -> usize {
        size / 2 + self.below(size / 2 + 1) + 1
    }
}

/// A kind: its name, and what makes one of about this many parts.
pub(super) type Kind = (&'static str, fn(&mut Numbers, usize) -> Files);

pub(super) const KINDS: &[Kind] = &[
    ("aliases", aliases),
    ("merges", merges),
    ("env_lines", env_lines),
    ("references", references),
    ("extends", extends),
    ("extends_fan", extends_fan),
    ("includes", includes),
    ("dense", dense),
    ("unknown_dependencies", unknown_dependencies),
    ("cycles", cycles),
    ("ignore_stars", ignore_stars),
    ("ignore_lines", ignore_lines),
    ("fleet_stars", fleet_stars),
    ("fleet_dense", fleet_dense),
    ("ports", ports),
    ("extra_hosts", extra_hosts),
    ("replicas", replicas),
    ("hooks", hooks),
    ("deep", deep),
    ("long_keys", long_keys),
    ("documents", documents),
    ("unknown_keys", unknown_keys),
    ("profiles", profiles),
    ("binds", binds),
    ("contexts", contexts),
    ("words", words),
    ("escapes", escapes),
    ("links", links),
    ("noise", noise),
    ("env_files", env_files),
    ("contents", contents),
    ("secrets", secrets),
    ("pools", pools),
    ("quotes", quotes),
];

pub(super) fn one(text: String) -> Files {
    vec![("shop/compose.yaml".into(), text)]
}

pub(super) fn with(text: String, more: &[(&str, String)]) -> Files {
    let mut files = one(text);
    files.extend(more.iter().map(|(path, text)| (format!("shop/{path}"), text.clone())));
    files
}

pub(super) fn app() -> String {
    "services: {web: {image: app}}\n".to_owned()
}

fn aliases(numbers: &mut Numbers, size: usize) -> Files {
    let wide = 2 + numbers.below(9);
    let mut text = "x-a0: &a0 [x, y, z]\n".to_owned();
    for level in 1..(size / 10).clamp(3, 60) {
        let items = vec![format!("*a{}", level - 1); wide].join(", ");
        writeln!(text, "x-a{level}: &a{level} [{items}]").unwrap();
    }
    one(text + &app())
}

fn merges(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "x-m0: &m0 {A: a}\n".to_owned();
    for level in 1..numbers.about(size).min(3_000) {
        writeln!(text, "x-m{level}: &m{level}\n  <<: [*m{0}, *m{0}]\n  K{level}: v", level - 1)
            .unwrap();
    }
    one(text + &app())
}

fn env_lines(numbers: &mut Numbers, size: usize) -> Files {
    let mut env = format!("A0={}\n", "x".repeat(1 + numbers.below(50)));
    for line in 1..24 {
        writeln!(env, "A{line}=${{A{0}}}${{A{0}}}", line - 1).unwrap();
    }
    let level = 8 + numbers.below(9);
    for line in 0..size * 10 {
        writeln!(env, "B{line}=$A{level}").unwrap();
    }
    with(app(), &[(".env", env)])
}

fn references(numbers: &mut Numbers, size: usize) -> Files {
    let long = numbers.about(size) * 50;
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(text, "  s{service}: {{image: app, labels: {{a: \"$L$L\", b: \"${{U:-$L}}\"}}}}")
            .unwrap();
    }
    with(text, &[(".env", format!("L={}\n", "y".repeat(long)))])
}

fn extends(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n  s0: {image: app, environment: {A: b}}\n".to_owned();
    for service in 1..numbers.about(size) {
        let base = if numbers.below(20) == 0 { service + 1 } else { service - 1 };
        writeln!(
            text,
            "  s{service}: {{extends: s{base}, environment: {{V{service}: {service}}}}}"
        )
        .unwrap();
    }
    one(text)
}

fn extends_fan(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n  base:\n    image: app\n    labels:\n".to_owned();
    for label in 0..numbers.about(size) {
        writeln!(text, "      l{label}: {label}").unwrap();
    }
    for service in 0..size {
        writeln!(text, "  s{service}: {{extends: base}}").unwrap();
    }
    one(text)
}

fn includes(numbers: &mut Numbers, size: usize) -> Files {
    let count = 2 + numbers.below(size.min(300));
    let mut env = String::new();
    for line in 0..size * 5 {
        writeln!(env, "V{line}={}", "z".repeat(40)).unwrap();
    }
    let mut files = with("include: [i0.yaml]\n".to_owned() + &app(), &[(".env", env)]);
    for file in 0..count {
        let next = if numbers.below(30) == 0 { 0 } else { file + 1 };
        let all: Vec<String> =
            (0..3).map(|k| format!("i{}.yaml", (next + k) % (count + 1))).collect();
        let text =
            format!("include: [{}]\nservices: {{i{file}: {{image: app}}}}\n", all.join(", "));
        files.push((format!("shop/i{file}.yaml"), text));
    }
    files
}

fn dense(numbers: &mut Numbers, size: usize) -> Files {
    let count = numbers.about(size).min(700);
    let mut text = "services:\n".to_owned();
    for service in 0..count {
        let before: Vec<String> = (0..service).map(|other| format!("s{other}")).collect();
        writeln!(text, "  s{service}: {{image: app, depends_on: [{}]}}", before.join(", "))
            .unwrap();
    }
    one(text)
}

fn unknown_dependencies(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        let others: Vec<String> =
            (0..40).map(|n| format!("servise-number-{}", n * size + numbers.below(size))).collect();
        writeln!(
            text,
            "  service-number-{service}: {{image: app, depends_on: [{}]}}",
            others.join(", ")
        )
        .unwrap();
    }
    one(text)
}

fn cycles(numbers: &mut Numbers, size: usize) -> Files {
    // Ten thousand services have to load, and take more than the measure by themselves.
    let count = numbers.about(size);
    let mut text = "services:\n".to_owned();
    for service in 0..count {
        let (a, b) = ((service + 1) % count, (service + 2 + numbers.below(count / 2 + 1)) % count);
        let b = if b == a || count < 5 { (a + 1) % count } else { b };
        writeln!(text, "  s{service}: {{image: app, depends_on: [s{a}, s{b}]}}").unwrap();
    }
    one(text)
}

fn built(more: Vec<(String, String)>) -> Files {
    let mut files = one("services: {web: {build: .}}\n".to_owned());
    files.push(("shop/Dockerfile".into(), "FROM scratch\n".into()));
    files.extend(more);
    files
}

fn ignore_stars(numbers: &mut Numbers, size: usize) -> Files {
    let piece = ["*a", "**/a", "?*", "*[a-b]", "**a*"][numbers.below(5)];
    let line = piece.repeat(size) + "b\n";
    let long = "a".repeat(60 + numbers.below(190));
    built(vec![
        ("shop/.dockerignore".into(), line),
        (format!("shop/{long}/{long}/{long}"), "x".into()),
        (format!("shop/{long}"), "x".into()),
    ])
}

fn ignore_lines(numbers: &mut Numbers, size: usize) -> Files {
    let mut lines = String::new();
    for line in 0..size * 10 {
        writeln!(lines, "{}**/*a*{line}*", ["", "!"][numbers.below(2)]).unwrap();
    }
    let files = (0..size.min(800)).map(|file| (format!("shop/aa/ab/ac/{file}"), String::new()));
    let mut all = built(files.collect());
    all.push(("shop/.dockerignore".into(), lines));
    all
}

fn fleet_stars(numbers: &mut Numbers, size: usize) -> Files {
    let line = ["*a", "a*", "*"][numbers.below(3)].repeat(size * 10);
    let name = "a".repeat(50);
    let fleet = format!(
        "stacks:\n  {name}:\n    path: shop\n    ignore: [\"{line}\"]\nwindows:\n  - {{allow: \"0 1 * * *\", for: 1h, stacks: [\"{line}*\", \"a*\"]}}\n"
    );
    let label = "a".repeat(size * 10);
    let mut files = one(format!("services: {{web: {{image: app, labels: {{{label}: x}}}}}}\n"));
    files.push(("fleet.yaml".into(), fleet));
    files
}

fn fleet_dense(numbers: &mut Numbers, size: usize) -> Files {
    let count = numbers.about(size).min(600);
    let mut fleet = "stacks:\n".to_owned();
    for stack in 0..count {
        let others: Vec<String> = (0..stack).map(|other| format!("t{other}")).collect();
        writeln!(fleet, "  t{stack}: {{path: shop, after: [{}]}}", others.join(", ")).unwrap();
    }
    let mut files = one(app());
    files.push(("fleet.yaml".into(), fleet));
    files
}

fn ports(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..size.min(2_000) {
        let from = 1 + numbers.below(30_000);
        writeln!(
            text,
            "  s{service}: {{image: app, ports: [\"{from}-{0}:{from}-{0}\"]}}",
            from + 30_000
        )
        .unwrap();
    }
    one(text)
}

fn extra_hosts(numbers: &mut Numbers, size: usize) -> Files {
    let host = "h".repeat(numbers.about(size) * 20);
    let addresses: Vec<String> =
        (0..size * 20).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
    let addresses = addresses.join(",");
    one(format!("services: {{web: {{image: app, extra_hosts: [\"{host}={addresses}\"]}}}}\n"))
}

fn replicas(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..(size / 20).max(1) {
        let value = "v".repeat(numbers.about(size) * 10);
        writeln!(
            text,
            "  s{service}: {{image: app, scale: {}, environment: {{A: {value}}}}}",
            [10_000, 9_999, 4_000_000_000_usize][numbers.below(3)]
        )
        .unwrap();
    }
    one(text)
}

fn hooks(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n  web:\n    image: app\n    labels:\n".to_owned();
    for label in 0..numbers.about(size) {
        writeln!(text, "      l{label}: x").unwrap();
    }
    text.push_str("    pre_start:\n");
    for _ in 0..size {
        text.push_str("      - {command: [\"true\"]}\n");
    }
    one(text)
}

fn deep(numbers: &mut Numbers, size: usize) -> Files {
    let (open, close) = [("[", "]"), ("{a: ", "}"), ("- ", "")][numbers.below(3)];
    let depth = numbers.about(size * 20);
    one(format!("x-deep: {}{}\n{}", open.repeat(depth), close.repeat(depth), app()))
}

fn long_keys(numbers: &mut Numbers, size: usize) -> Files {
    let key = "k".repeat(900);
    let mut text = "x-long:\n".to_owned();
    let depth = 2 + numbers.below(100);
    for level in 1..depth {
        writeln!(text, "{}{key}:", " ".repeat(level)).unwrap();
    }
    for leaf in 0..size {
        writeln!(text, "{}l{leaf}: 1", " ".repeat(depth)).unwrap();
    }
    one(text + &app())
}

fn documents(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..numbers.about(size * 2) {
        writeln!(text, "  s{service}: {{image: app}}").unwrap();
    }
    for _ in 0..size * 2 {
        text.push_str("---\nservices: {s0: {image: app}}\n");
    }
    one(text)
}

fn unknown_keys(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = app();
    for key in 0..numbers.about(size * 20) {
        writeln!(text, "sevrices{key}: x").unwrap();
    }
    one(text)
}

fn profiles(numbers: &mut Numbers, size: usize) -> Files {
    let names =
        |from: usize| -> Vec<String> { (from..from + size * 5).map(|n| format!("p{n}")).collect() };
    let mut text = "services:\n".to_owned();
    for service in 0..2 + numbers.below(5) {
        writeln!(text, "  s{service}: {{image: app, profiles: [{}]}}", names(0).join(", "))
            .unwrap();
    }
    let asked = names(size * 10).join(",");
    with(text, &[(".env", format!("COMPOSE_PROFILES={asked}\n"))])
}

fn binds(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(text, "  s{service}: {{image: app, volumes: [\"./:/a:ro\", \"../:/b:ro\"]}}")
            .unwrap();
    }
    let mut files = one(text);
    for file in 0..numbers.about(size.min(1_000)) {
        files.push((format!("shop/f/{file}"), "x".repeat(100)));
    }
    files
}

fn contexts(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(text, "  s{service}: {{build: {{context: ., args: {{N: {service}}}}}}}").unwrap();
    }
    let files = numbers.about(size.min(500));
    let mut all: Files =
        (0..files).map(|file| (format!("shop/f/{file}"), "x".repeat(1_000))).collect();
    all.extend(with(text, &[("Dockerfile", "FROM scratch\n".into())]));
    all
}

fn words(numbers: &mut Numbers, size: usize) -> Files {
    let line = ["a ", "\\\" ", "'' "][numbers.below(3)].repeat(size * 50);
    one(format!("services:\n  web:\n    image: app\n    command: >-\n      {line}\n"))
}

fn escapes(numbers: &mut Numbers, size: usize) -> Files {
    let up = "../".repeat(1 + numbers.below(size));
    let place =
        ["build: ", "env_file: ", "volumes: [\"", "extends: {service: x, file: "][numbers.below(4)];
    let close = match place {
        "volumes: [\"" => "etc:/e\"]",
        "extends: {service: x, file: " => "etc/passwd}",
        _ => "etc/passwd",
    };
    one(format!(
        "include: [{up}etc/passwd]\nservices: {{web: {{image: app, {place}{up}{close}}}}}\n"
    ))
}

fn links(numbers: &mut Numbers, size: usize) -> Files {
    let mut files =
        one("services: {web: {image: app, volumes: [\"./l0:/a:ro\", \"./d:/d:ro\"]}}\n".into());
    let count = 2 + numbers.below(size.min(500));
    for link in 0..count {
        let to = if numbers.below(40) == 0 {
            "/etc/passwd".into()
        } else {
            format!("l{}", (link + 1) % count)
        };
        files.push((format!("shop/l{link}"), format!("link:{to}")));
        files
            .push((format!("shop/d/x{link}"), ["link:..", "link:.", "link:../d"][link % 3].into()));
    }
    files
}

fn noise(numbers: &mut Numbers, size: usize) -> Files {
    const BITS: [&str; 16] = [
        "services:\n",
        "  web:\n",
        "    image: app\n",
        "&a ",
        "*a ",
        "<<: ",
        "${A:-",
        "}",
        "\u{202e}",
        "\u{1b}[31m",
        "\t",
        "!reset ",
        "\"",
        "|\n",
        "? ",
        "- ",
    ];
    let mut text = String::new();
    for _ in 0..size * 10 {
        text.push_str(BITS[numbers.below(BITS.len())]);
    }
    with(text.clone(), &[(".env", text)])
}

fn env_files(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n".to_owned();
    for service in 0..size {
        writeln!(text, "  s{service}: {{image: app, env_file: [all.env], label_file: [all.env]}}")
            .unwrap();
    }
    let mut env = String::new();
    for line in 0..numbers.about(size) {
        writeln!(env, "V{line}={}", "w".repeat(60)).unwrap();
    }
    with(text, &[("all.env", env)])
}

fn contents(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = app() + "configs:\n";
    for config in 0..size {
        writeln!(text, "  c{config}: {{content: \"${{B}}${{B}}${{B}}\"}}").unwrap();
    }
    with(text, &[(".env", format!("B={}\n", "b".repeat(numbers.about(size) * 100)))])
}

fn secrets(numbers: &mut Numbers, size: usize) -> Files {
    let mut text = "services:\n  web:\n    image: app\n    environment:\n".to_owned();
    for variable in 0..numbers.about(size * 5) {
        writeln!(text, "      PASSWORD_{variable}: secret-value-{variable}-{}", "s".repeat(40))
            .unwrap();
    }
    one(text)
}

fn pools(numbers: &mut Numbers, size: usize) -> Files {
    let mut pools = String::new();
    for pool in 0..numbers.about(size) {
        write!(pools, "{{subnet: 10.{}.{}.0/24}}, ", pool / 250, pool % 250).unwrap();
    }
    let text = format!("networks: {{n: {{ipam: {{config: [{pools}]}}}}}}\n");
    with(app() + &text, &[("compose.override.yaml", text)])
}

fn quotes(numbers: &mut Numbers, size: usize) -> Files {
    let open = ["${A:-", "${A:+", "$${", "${A:?"][numbers.below(4)].repeat(size * 20);
    let env = format!("Q=\"{}\n", "\\\"".repeat(size * 20));
    with(format!("services: {{web: {{image: \"{open}x\"}}}}\n"), &[(".env", env)])
}

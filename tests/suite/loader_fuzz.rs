//! Damaged manifests: whatever bytes a repository holds, the loader answers, soon, and does not panic.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline::compose::{LoadPurpose, LoadRequest, Lookup, TREE_ROOT, TreeFiles, load};
use moorline::model::{FileMode, ManifestTree, TreeFile, TreePath};

/// Numbers without chance: the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap()
    }

    fn below(&mut self, most: usize) -> usize {
        self.next() % most.max(1)
    }
}

const WORDS: [&str; 40] = [
    "services:",
    "\n",
    "  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "!reset ",
    "!override ",
    "!!str ",
    "'",
    "\"",
    "|",
    ">-",
    "#",
    "${",
    "}",
    "$",
    "${A:-${B}}",
    "${A:?}",
    "\u{0}",
    "\t",
    "\u{feff}",
    "é",
    "null",
    "~",
    "99999999999999999999",
    "-1",
    "0x",
    "include:",
    "extends:",
    "file: compose.yaml",
    "---\n",
    "%",
    "x-a: ",
];

fn mutate(text: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
            3 => {
                let end = (at + numbers.below(80)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ => {
                let word = WORDS[numbers.below(WORDS.len())];
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let mut folders = vec![root];
    let mut seeds = Vec::new();
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "env") {
                seeds.push(std::fs::read(path).unwrap());
            }
        }
    }
    seeds
}

fn try_loading(manifest: &[u8], variables: &[u8]) -> bool {
    let file = |bytes: &[u8]| TreeFile { mode: FileMode::Regular, bytes: Arc::from(bytes) };
    let files = [
        ("compose.yaml", manifest),
        ("inc/compose.yaml", manifest),
        (".env", variables),
        ("web.env", variables),
    ]
    .map(|(name, bytes)| (TreePath::parse(name).unwrap(), file(bytes)));
    let tree = ManifestTree::new(BTreeMap::from(files));
    let loaded = load(&LoadRequest {
        files: &TreeFiles(&tree),
        folder: TREE_ROOT,
        compose_files: &[],
        lookup: Lookup::Folder,
        profiles: &[],
        variables: &BTreeMap::new(),
        given: &[],
        env_files: &[],
        shared_env_files: &[],
        project_name: Some("fuzz"),
        default_name: None,
        project_directory: None,
        home: None,
        purpose: LoadPurpose::Show,
    });
    let is_answered = loaded.project.is_some() || loaded.problems.has_errors();
    assert!(is_answered, "no project and no error:\n{}", String::from_utf8_lossy(manifest));
    loaded.project.is_some()
}

/// `FUZZ_ROUNDS` sets how long it goes on; `tests/all`, and with it CI, gives it 300,000.
#[test]
fn damaged_manifests_are_answered_without_panic_and_in_time() {
    let rounds: usize =
        std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4_000);
    let seeds = seeds();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let begin = Instant::now();
    let mut loaded = 0;
    for _ in 0..rounds {
        let seed = &seeds[numbers.below(seeds.len())];
        let bytes = mutate(seed, &mut numbers);
        let begin = Instant::now();
        let variables: &[u8] = if numbers.below(4) == 0 { &bytes } else { b"A=1" };
        loaded += usize::from(try_loading(&bytes, variables));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(begin.elapsed() < Duration::from_secs(5), "too slow:\n{text}");
    }
    println!("{rounds} damaged manifests, {loaded} of them still load, in {:?}", begin.elapsed());
}

#[test]
fn hostile_manifests_are_refused_in_time() {
    let aliases: String = (1..30)
        .map(|level| {
            format!("x-{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(","))
        })
        .collect();
    let wide_text = "x".repeat(100_000);
    let hostile = [
        format!("x-0: &a0 [{}]\n{aliases}services: {{a: {{image: x}}}}\n", wide_text),
        format!("services: {}", "{a: ".repeat(50_000)),
        format!("services: {}", "[".repeat(500_000)),
        format!(
            "services:\n{}",
            (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>()
        ),
        format!("services: {{a: {{image: \"{}\"}}}}", "${A:-".repeat(20_000)),
        format!("services: {{a: {{image: {}}}}}", "9".repeat(1_000_000)),
        (0..3_000).fold("services:\n".to_owned(), |text, n| {
            text + &format!("  s{n}: {{image: x, extends: s{}}}\n", n + 1)
        }),
        "services: {a: {image: x, ports: [\"1-65535:1-65535\", \"1-65535:1-65535/udp\"]}}"
            .to_owned(),
        (0..2_000).fold("services:\n".to_owned(), |text, n| {
            text + &format!("  s{n}: {{image: x, depends_on: [s{}]}}\n", (n + 1) % 2_000)
        }),
        "include: [compose.yaml, inc/compose.yaml, compose.yaml]".to_owned(),
    ];
    for text in hostile {
        let begin = Instant::now();
        try_loading(text.as_bytes(), b"A=1");
        let shown: String = text.chars().take(60).collect();
        println!("{shown}: {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(20), "{shown}: {:?}", begin.elapsed());
    }
}

#[test]
fn manifests_beyond_all_measure_are_refused_in_time() {
    let hostile = [
        (0..20_000).fold("services:\n".to_owned(), |text, n| {
            text + &format!("  s{n}: {{image: x, depends_on: [s{}]}}\n", (n + 1) % 20_000)
        }),
        format!("services: {{a: {{image: x, command: {}}}}}", "a ".repeat(500_000)),
        format!("services:\n  a:\n    image: x\n    labels:\n{}", "      a: b\n".repeat(100_000)),
        format!(
            "x: {}{}{}\nservices: {{a: {{image: x}}}}",
            (0..100).map(|n| format!("&a{n} [")).collect::<String>(),
            "b,".repeat(50_000),
            "]".repeat(100)
        ),
        format!("x: [{}]\nservices: {{a: {{image: x}}}}", "b,".repeat(1_100_000)),
    ];
    for text in hostile {
        let begin = Instant::now();
        let shown: String = text.chars().take(60).collect();
        assert!(!try_loading(text.as_bytes(), b"A=1"), "{shown}");
        println!("{shown}: {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(20), "{shown}: {:?}", begin.elapsed());
    }
}

//! A story: commits, accidents and passes in time, told as the outside sees them. `tests/README.md` shows one.
//!
//! Everything goes through the program itself: `pass` is `moorline sync`, `pass dry` is `moorline plan`, between a real
//! Git repository and simulated Engines. What comes out (`exit`, `calls`, `hosts`, `volumes`, `networks`, `status`,
//! `prints`) stands in the file; `UPDATE=1` writes it there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::accidents;
use super::daemon::Harbour;
use super::fake_engine::{FakeEngine, Fault, Faults, Options};
use super::foreseen;
use super::schema;

/// Sections that say what came out; everything else says what happens.
const OUTCOMES: [&str; 7] = ["exit", "calls", "hosts", "volumes", "networks", "status", "prints"];

/// Where the second column begins.
const COLUMN: usize = 9;

/// A verb in the first column, and what belongs to it: the rest of its line and the indented lines below.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    verb: String,
    lines: Vec<String>,
    /// An empty line comes before it.
    apart: bool,
}

impl Section {
    fn text(&self) -> String {
        let mut text = if self.apart { "\n".to_owned() } else { String::new() };
        for (number, line) in self.lines.iter().enumerate() {
            let verb = if number == 0 { self.verb.as_str() } else { "" };
            let gap = if verb.len() < COLUMN { COLUMN } else { verb.len() + 1 };
            writeln!(text, "{}", format!("{verb:<gap$}{line}").trim_end()).unwrap();
        }
        text
    }
}

fn read(story: &str) -> (String, Vec<Section>) {
    let (rule, rest) = story.split_once("\n\n").expect("a rule, an empty line, and what happens");
    let mut sections: Vec<Section> = Vec::new();
    let mut apart = true;
    for line in rest.lines() {
        if line.trim().is_empty() {
            apart = true;
            continue;
        }
        if line.starts_with(' ') {
            let below = line.get(COLUMN..).filter(|_| line[..COLUMN].trim().is_empty());
            let section = sections.last_mut().expect("a story begins with a verb");
            section.lines.push(below.unwrap_or(line.trim_start()).to_owned());
        } else {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            let lines = vec![rest.trim_start().to_owned()];
            sections.push(Section { verb: verb.to_owned(), lines, apart });
        }
        apart = false;
    }
    (rule.to_owned(), sections)
}

/// Plays a story. What it is with everything that came out in its place; the same text when all is as it says.
pub async fn play(story: &str) -> String {
    let (rule, sections) = read(story);
    let mut told = Told::new().await;
    let mut text = format!("{rule}\n");
    for section in sections {
        let mut section = section;
        if OUTCOMES.contains(&section.verb.as_str()) {
            section.lines = told.outcome(&section.verb);
            if section.lines.is_empty() {
                section.lines.push("-".to_owned());
            }
        } else {
            told.happen(&section).await;
        }
        text.push_str(&section.text());
    }
    told.harbour.stop().await;
    text
}

/// A story as far as it was told.
struct Told {
    harbour: Harbour,
    commits: Vec<String>,
    code: i32,
    printed: String,
    said: String,
    /// Volumes in the order in which they were first seen, by host: another number is other data.
    data: Vec<(String, u64)>,
}

impl Told {
    async fn new() -> Self {
        let mut harbour = Harbour::new(&["local"]).await;
        // One step at a time: the order of calls is the plan's.
        harbour.more =
            "limits: {parallel_steps: 1, step: 10s, progress: 10s, watch: 0s}\n".to_owned();
        let (code, printed, said) = (0, String::new(), String::new());
        Self { harbour, commits: Vec::new(), code, printed, said, data: Vec::new() }
    }

    async fn happen(&mut self, section: &Section) {
        let line = section.lines.join(" ");
        let line = line.trim();
        match section.verb.as_str() {
            "given" => self.given(line).await,
            "settings" => self.harbour.more = format!("{}\n", section.lines.join("\n")),
            "commit" => self.commit(&section.lines),
            "delete" => {
                let paths: Vec<&str> = line.split(' ').collect();
                self.commits.push(self.harbour.push_without(&paths, "less"));
            }
            "pass" => self.pass(line).await,
            "moorline" => self.run(&words(line)).await,
            "says" => self.must_say(line),
            "process" => self.on(line, accidents::behave),
            "fault" => self.on(line, fault),
            "away" => std::fs::rename(self.socket(line), self.aside(line)).unwrap(),
            "back" => std::fs::rename(self.aside(line), self.socket(line)).unwrap(),
            "daemon" if line == "starts" => self.harbour.start(),
            "daemon" if line == "stops" => self.harbour.stop().await,
            "daemon" if line == "dies" => self.harbour.kill().await,
            "until" => self.until(&section.lines).await,
            _ => self.on(&format!("{} {line}", section.verb), accidents::happen),
        }
    }

    /// What the world is like before anything happens, and what others do to it.
    async fn given(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap();
        match what {
            "hosts" => {
                let names: Vec<&str> = rest.split(", ").collect();
                let more = std::mem::take(&mut self.harbour.more);
                self.harbour = Harbour::new(&names).await;
                self.harbour.more = more;
                for (seed, engine) in (1..).zip(self.harbour.hosts.values_mut()) {
                    // Engines of one seed would give the same ids.
                    *engine = FakeEngine::start(Options { seed, ..Options::default() }).await;
                }
            }
            "engine" => {
                let (major, minor) = rest.trim_start_matches("API ").split_once('.').unwrap();
                let api = (major.parse().unwrap(), minor.parse().unwrap());
                for engine in self.harbour.hosts.values_mut() {
                    *engine = FakeEngine::start(Options { api, ..Options::default() }).await;
                }
            }
            "labels" => self.harbour.host_settings = format!(", labels: {rest}"),
            "container" => self.on(rest, accidents::by_hand),
            "network" => self.on(rest, |host, name| {
                host.create_network_by_hand(serde_json::json!({"Name": name}));
            }),
            "volume" => self.on(rest, |host, name| {
                host.create_volume_by_hand(serde_json::json!({"Name": name}));
            }),
            _ => panic!("unknown: given {line}"),
        }
    }

    /// Does something to the host that the end of the line names (`… on HOST`), else to the only one.
    fn on(&self, line: &str, what: impl Fn(&FakeEngine, &str)) {
        match line.rsplit_once(" on ") {
            Some((line, host)) => what(&self.harbour.hosts[host], line),
            None => {
                assert_eq!(self.harbour.hosts.len(), 1, "on which host: {line}");
                what(self.harbour.hosts.values().next().unwrap(), line);
            }
        }
    }

    fn socket(&self, host: &str) -> std::path::PathBuf {
        self.harbour.hosts[host].socket().to_owned()
    }

    fn aside(&self, host: &str) -> std::path::PathBuf {
        self.socket(host).with_extension("aside")
    }

    /// Lines `[STACK/]SERVICE: IMAGE [xN] [{more: …}]` and whole files: `file PATH`, with what it holds below.
    fn commit(&mut self, lines: &[String]) {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut file: Option<String> = None;
        for line in lines {
            if let Some(path) = line.strip_prefix("file ") {
                files.insert(path.to_owned(), String::new());
                file = Some(path.to_owned());
            } else if let Some(path) = file.as_ref().filter(|_| line.starts_with("  ")) {
                writeln!(files.get_mut(path).unwrap(), "{}", &line[2..]).unwrap();
            } else if !line.is_empty() {
                file = None;
                let (stack, service) = in_short(line);
                let path = format!("{stack}/compose.yaml");
                files.entry(path).or_insert_with(|| "services:\n".to_owned()).push_str(&service);
            }
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.commits.push(self.harbour.push(&files, "another"));
    }

    async fn pass(&mut self, line: &str) {
        for host in self.harbour.hosts.values() {
            host.clear_calls();
        }
        if let Some(calls) = line.strip_prefix("killed after call ") {
            return self.killed_after(calls.parse().unwrap()).await;
        }
        let mut words = words(line);
        match words.first().map(String::as_str) {
            Some("dry") => words[0] = "plan".to_owned(),
            _ => return self.sync(words).await,
        }
        self.run(&words).await;
    }

    /// A pass, and beside it the law of every plan: what `moorline plan` said just before is what is done, step by step.
    ///
    /// `crossing` says that stacks act on each other in this pass: what one does once another one lets go is in nobody's
    /// own plan.
    async fn sync(&mut self, mut words: Vec<String>) {
        if let Some(place) = words.iter().position(|word| word == "crossing") {
            words.remove(place);
            return self.run(&[vec!["sync".to_owned()], words].concat()).await;
        }
        let data = self.harbour.repository.data();
        let stacks = words.iter().filter(|word| !word.starts_with('-')).map(String::as_str);
        let ask: Vec<&str> = ["plan", "--output", "json"].into_iter().chain(stacks).collect();
        let (_, told, _) = self.harbour.command(&ask).await;
        let (_, before) = foreseen::read_journal(&data, 0);
        for host in self.harbour.hosts.values() {
            host.clear_calls();
        }
        self.run(&[vec!["sync".to_owned()], words].concat()).await;
        let (done, _) = foreseen::read_journal(&data, before);
        let wrong = foreseen::all_differences(&foreseen::read_plan(&told), &done);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn run(&mut self, words: &[String]) {
        let words: Vec<String> = words.iter().map(|word| self.filled(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (self.code, self.printed, self.said) = self.harbour.command(&words).await;
        let asks_for_json = words.windows(2).any(|pair| pair == ["--output", "json"]);
        if let Some(command) = words.first().filter(|_| asks_for_json) {
            let wrong = schema::problems(command, &self.printed);
            assert!(
                wrong.is_empty(),
                "{}:\n{}\n{}",
                words.join(" "),
                wrong.join("\n"),
                self.printed
            );
        }
    }

    /// The program is killed as soon as the only host carried out this many of its calls.
    async fn killed_after(&mut self, calls: usize) {
        let host = self.harbour.hosts.values().next().unwrap();
        host.stop_answering_after(calls);
        let mut running = self
            .harbour
            .program(&["sync"])
            .kill_on_drop(true)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        super::until("the calls were made", || host.is_silent()).await;
        running.kill().await.unwrap();
        host.revive();
        (self.code, self.printed, self.said) = (-1, String::new(), String::new());
    }

    /// `{commit-2}` is the second commit's id.
    fn filled(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for (number, id) in (1..).zip(&self.commits) {
            word = word.replace(&format!("{{commit-{number}}}"), id);
        }
        word
    }

    fn must_say(&self, what: &str) {
        let all = self.masked(&format!("{}{}", self.printed, self.said));
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat(&all).contains(&flat(what)), "it does not say {what:?}:\n{all}");
    }

    /// Waits for lines of the statuses, or with `hosts` in front of it for containers.
    async fn until(&self, lines: &[String]) {
        match lines[0].strip_prefix("hosts ") {
            None => {
                let id = self.commits.last().unwrap();
                for line in lines {
                    let so = |it: &Harbour| self.masked(&it.notes(id)).contains(line.as_str());
                    self.harbour.until(line, so).await;
                }
            }
            Some(first) => {
                let wanted: Vec<&str> =
                    std::iter::once(first).chain(lines[1..].iter().map(String::as_str)).collect();
                let so = |it: &Harbour| {
                    containers(it) == wanted || wanted == ["-"] && containers(it).is_empty()
                };
                self.harbour.until(&wanted.join(", "), so).await;
            }
        }
    }

    fn outcome(&mut self, verb: &str) -> Vec<String> {
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        match verb {
            "exit" => vec![self.code.to_string()],
            "calls" => self.each_host(|host| {
                let calls = host.changes().into_iter();
                let calls = calls.filter(|call| !call.path.starts_with("/exec/"));
                let calls = calls.map(|call| self.masked(&call.words()));
                calls.filter(|words| !is_ledger(words)).collect()
            }),
            "hosts" => containers(&self.harbour),
            "networks" => sorted(self.each_host(FakeEngine::networks)),
            "volumes" => self.volumes(),
            "status" => {
                let id = self.commits.last().unwrap();
                let notes = self.masked(&self.harbour.notes(id));
                sorted(notes.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
            }
            _ => {
                self.masked(&self.printed).lines().map(|line| line.trim_end().to_owned()).collect()
            }
        }
    }

    /// Volumes of the stacks, and for each the number of its data: the same number is the same data.
    fn volumes(&mut self) -> Vec<String> {
        let several = self.harbour.hosts.len() > 1;
        let mut lines = Vec::new();
        for (host, engine) in &self.harbour.hosts {
            for (name, born) in engine.volumes().into_iter().filter(|(name, _)| !is_ledger(name)) {
                let one = (host.clone(), born);
                if !self.data.contains(&one) {
                    self.data.push(one.clone());
                }
                let number = self.data.iter().position(|other| *other == one).unwrap() + 1;
                let host = if several { format!("{host}: ") } else { String::new() };
                lines.push(format!("{host}{name} with data {number}"));
            }
        }
        lines
    }

    /// Lines of each host, with its name in front where there are several.
    fn each_host(&self, lines: impl Fn(&FakeEngine) -> Vec<String>) -> Vec<String> {
        each(&self.harbour, lines)
    }

    /// What differs between two runs of the same story is named instead of shown.
    fn masked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (number, id) in (1..).zip(&self.commits) {
            for length in [40, 12, 10, 8, 7] {
                text = text.replace(&id[..length], &format!("commit-{number}"));
            }
        }
        for (name, host) in &self.harbour.hosts {
            text = text.replace(&host.socket().display().to_string(), &format!("/{name}.sock"));
        }
        without_ages(&without_digests(&without_times(&text)))
    }
}

fn each(harbour: &Harbour, lines: impl Fn(&FakeEngine) -> Vec<String>) -> Vec<String> {
    let only = harbour.hosts.len() == 1;
    let of = |(name, host): (&String, &FakeEngine)| {
        let lines = lines(host).into_iter();
        lines.map(|line| if only { line } else { format!("{name}: {line}") }).collect::<Vec<_>>()
    };
    harbour.hosts.iter().flat_map(of).collect()
}

/// What runs: `shop-web-1: app:v1 running`.
fn containers(harbour: &Harbour) -> Vec<String> {
    each(harbour, |host| {
        let all = host.containers().into_iter();
        let mut all: Vec<String> =
            all.map(|one| format!("{}: {} {}", one.name, one.image, one.state)).collect();
        all.sort();
        all
    })
}

/// The service of a line in short, as it stands in a Compose file, and its stack.
fn in_short(line: &str) -> (String, String) {
    let (name, rest) =
        line.split_once(": ").unwrap_or_else(|| panic!("SERVICE: IMAGE, not {line:?}"));
    let (stack, service) = name.split_once('/').unwrap_or(("shop", name));
    let (head, more) = rest.split_once(" {").map_or((rest, ""), |(head, more)| (head, more));
    let more = more.trim_end_matches('}').trim_end();
    let closing = rest.len() - rest.trim_end_matches('}').len();
    // Only the outermost brace is ours.
    let more =
        if closing > 1 { format!("{more}{}", "}".repeat(closing - 1)) } else { more.to_owned() };
    let mut words = head.split(' ');
    let version = words.next().unwrap().trim_matches('"');
    let image = if version.contains(':') { version.to_owned() } else { format!("app:{version}") };
    let mut fields = vec![format!("image: \"{image}\"")];
    if !more.contains("restart:") {
        fields.push("restart: always".to_owned());
    }
    if let Some(count) = words.next() {
        fields.push(format!("deploy: {{replicas: {}}}", count.trim_start_matches('x')));
    }
    if !more.is_empty() {
        fields.push(more);
    }
    (stack.to_owned(), format!("  {service}: {{{}}}\n", fields.join(", ")))
}

/// `fails at call 3`, `cuts before call 3`, `cuts after call 3`, `heals`.
fn fault(host: &FakeEngine, line: &str) {
    if line == "heals" {
        return host.heal();
    }
    let (what, number) = line.rsplit_once(' ').unwrap();
    let fault = match what {
        "fails at call" => Fault::Fail,
        "cuts before call" => Fault::CutBefore,
        "cuts after call" => Fault::CutAfter,
        "is late at call" => Fault::Late(Duration::from_millis(300)),
        _ => panic!("unknown fault {line}"),
    };
    host.set_faults(Faults::at_change(number.parse().unwrap(), fault));
}

/// Words of a command, with "quoted ones" kept together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// A text without what differs from run to run: instants and digests.
pub fn masked(text: &str) -> String {
    without_digests(&without_times(text))
}

/// Instants are written `<time>`.
pub fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let shape = |pattern: &str| {
            from.len() >= pattern.len()
                && pattern.bytes().zip(from.bytes()).all(|(p, b)| match p {
                    b'd' => b.is_ascii_digit(),
                    other => b == other,
                })
        };
        if shape("dddd-dd-dd") {
            let end = from.find(|c: char| !(c.is_ascii_digit() || "-T:.Z".contains(c)));
            let mut end = end.unwrap_or(from.len());
            // What follows an instant in a sentence is not its own.
            end = from[..end].trim_end_matches([':', '.', '-']).len();
            // `2026-11-28 01:00`
            if from[end..].len() > 6
                && from.as_bytes()[end] == b' '
                && from.as_bytes()[end + 3] == b':'
            {
                end += 6;
            }
            out.push_str("<time>");
            rest = &from[end..];
        } else {
            out.push_str("20");
            rest = &from[2..];
        }
    }
    out + rest
}

/// The process that answers, and how long ago something was, are not the same in two runs.
fn without_ages(text: &str) -> String {
    let replaced = |line: &str| {
        let line = match line.split_once(" (pid ") {
            Some((before, rest)) => {
                let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{before} (pid <pid>{rest}")
            }
            None => line.to_owned(),
        };
        match line.split_once("last looked ") {
            Some((before, rest)) if rest.ends_with(" ago") => {
                format!("{before}last looked <age> ago")
            }
            _ => line,
        }
    };
    text.split('\n').map(replaced).collect::<Vec<_>>().join("\n")
}

/// Runs of twelve and more hexadecimal digits are written `<digest>`.
fn without_digests(text: &str) -> String {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(hex) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c| !hex(c)).unwrap_or(rest.len());
        out.push_str(if end < 12 { &rest[..end] } else { "<digest>" });
        rest = &rest[end..];
    }
    out + rest
}

#[test]
fn what_differs_between_runs_is_named_instead() {
    assert_eq!(without_times("until 2026-11-28T01:00:00Z, 20 of"), "until <time>, 20 of");
    assert_eq!(without_times("until 2026-11-28 01:00: why"), "until <time>: why");
    assert_eq!(without_times("at 2026-11-28 01:00 ends"), "at <time> ends");
    assert_eq!(
        without_digests("moorline-files-0123456789abcdef x cafe"),
        "moorline-files-<digest> x cafe"
    );
    assert_eq!(
        without_ages("daemon runs (pid 17)\n  last looked 3 s ago\nx"),
        "daemon runs (pid <pid>)\n  last looked <age> ago\nx"
    );
    assert_eq!(
        words("rollback shop --reason \"bad release\""),
        ["rollback", "shop", "--reason", "bad release"]
    );
}

#[test]
fn a_service_in_short_is_a_line_of_a_compose_file() {
    let read = |line| in_short(line).1;
    assert_eq!(read("web: v1"), "  web: {image: \"app:v1\", restart: always}\n");
    assert_eq!(
        read("blog/web: v1 x2 {depends_on: {db: {condition: service_healthy}}}"),
        "  web: {image: \"app:v1\", restart: always, deploy: {replicas: 2}, depends_on: {db: {condition: service_healthy}}}\n"
    );
}

#[test]
fn a_story_is_written_as_it_was_read() {
    let story = "A rule.\n\ncommit   web: v1\n         db: v1\n\npass\nexit     0\n";
    let (rule, sections) = read(story);
    let text: String = sections.iter().map(Section::text).collect();
    assert_eq!(format!("{rule}\n{text}"), story);
}

/// Whether words are about a volume in which a host remembers: no deed of a plan, and tested in `lost_folder`.
fn is_ledger(words: &str) -> bool {
    words.contains("moorline-ledger-")
}

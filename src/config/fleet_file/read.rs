//! The fleet file: text in, stacks and every problem out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::window::CronProblem;
use super::{
    COMPOSE_FILES, Cron, FLEET_KEYS, Fleet, HostChoice, HostSelector, Stack, Suspension, Wave,
    Window, WindowKind,
};
use crate::config::reader::{Reading, Section, raw_text, with_nearest};
use crate::config::settings::Labels;
use crate::model::{
    AdoptPolicy, Diagnostic, Diagnostics, DriftPolicy, HostName, Location, StackName, SyncPolicy,
    Timestamp, TreePath, UnsetPolicy, pattern,
};
use crate::yaml::{self, Node};

/// Windows of a fleet, or of a stack: each is looked at for each target.
const MAX_WINDOWS: usize = 50;
/// Names in `after` of all stacks together: each is followed for each target.
const MAX_AFTER: usize = 20_000;

/// What a fleet file is held against. What is `None` is not checked: `validate` in CI knows no hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Paths of all files of the tree.
    pub paths: Option<&'a BTreeSet<TreePath>>,
    /// Hosts of the settings and their labels.
    pub hosts: Option<&'a BTreeMap<HostName, Labels>>,
}

/// Reads a fleet file. `file` is its name in messages.
///
/// # Errors
/// Every problem at once when any is an error; nothing runs on half a fleet. Warnings come with the fleet.
pub fn parse(
    file: &str,
    text: &[u8],
    around: Surroundings<'_>,
) -> Result<(Fleet, Diagnostics), Diagnostics> {
    let (fleet, problems) = read(file, text, around);
    if problems.has_errors() { Err(problems) } else { Ok((fleet, problems)) }
}

/// Reads what can be read of a fleet file, for telling the problems of its stacks beside its own. A fleet with an error
/// among its problems must not be acted on.
pub fn read(file: &str, text: &[u8], around: Surroundings<'_>) -> (Fleet, Diagnostics) {
    let root = match yaml::parse_one(file, text) {
        Ok(root) => root,
        Err(problems) => return (Fleet::default(), problems),
    };
    let reading = Reading::new(FLEET_KEYS, Path::new(""));
    let top = Section::top(&reading, file, root.as_ref());
    let fleet = FleetReader { around, top }.read();
    (fleet, reading.into_problems())
}

struct FleetReader<'a> {
    around: Surroundings<'a>,
    top: Section<'a>,
}

impl FleetReader<'_> {
    fn read(&self) -> Fleet {
        let mut fleet = Fleet::default();
        let stacks = self.top.section("stacks");
        if self.top.node("stacks").is_none() {
            let problem = self.top.problem("stacks", "missing: a fleet file names its stacks");
            self.top.note(
                problem.help("without a fleet file, every folder with a Compose file is a stack"),
            );
        }
        let defaults = self.defaults();
        for (entry, section) in stacks.named() {
            match StackName::parse(&entry.key) {
                Ok(name) => {
                    let origin = entry.key_span.location();
                    let stack = self.stack(&section, name.clone(), origin, defaults.as_ref());
                    fleet.stacks.insert(name, stack);
                }
                Err(problem) => self.top.note(
                    Diagnostic::error(entry.key_span.location(), problem.to_string())
                        .at(stacks.path_of(&entry.key)),
                ),
            }
        }
        let edges: usize = fleet.stacks.values().map(|stack| stack.after.len()).sum();
        if edges > MAX_AFTER {
            let message = format!("more than {MAX_AFTER} names in all the stacks' `after`");
            self.top.note(self.top.problem("stacks", message));
            return Fleet::default();
        }
        check_after(&stacks, &fleet);
        fleet.empty = self.top.flag("empty").unwrap_or(false);
        fleet.waves = self.waves();
        let minute = Duration::from_mins(1);
        fleet.wave_deadline =
            self.top.duration_from("wave_deadline", minute).unwrap_or(fleet.wave_deadline);
        fleet.windows = self.windows(&self.top);
        self.check_window_stacks(&fleet);
        fleet
    }

    /// The defaults, as a stack that lends what it says; its name and path are never looked at.
    fn defaults(&self) -> Option<Stack> {
        let name = StackName::parse("defaults").ok()?;
        let mut defaults = Stack::new(name, TreePath::default(), self.top.place().clone());
        let section = self.top.section("defaults");
        self.shared(&section, &mut defaults);
        for (text, place) in section.texts("env_files").unwrap_or_default() {
            if text.starts_with('/') {
                let problem = Diagnostic::error(place, "expected a relative path");
                section.note(problem.at(section.path_of("env_files")));
            } else {
                defaults.shared_env_files.push(text);
            }
        }
        Some(defaults)
    }

    fn stack(
        &self,
        section: &Section<'_>,
        name: StackName,
        origin: Location,
        defaults: Option<&Stack>,
    ) -> Stack {
        let own_folder = TreePath::parse(name.as_str()).unwrap_or_default();
        let path = section.parsed("path", TreePath::parse).unwrap_or(own_folder);
        let mut stack = match defaults {
            Some(defaults) => Stack { name, origin, path, ..defaults.clone() },
            None => Stack::new(name, path, origin),
        };
        self.shared(section, &mut stack);
        stack.directory = stack.directory.map(|path| path.replace("{stack}", stack.name.as_str()));
        stack.files = self.files(section, "files", &stack.path);
        stack.env_files = self.files(section, "env_files", &stack.path);
        stack.after = after(section);
        stack.project = section.parsed("project", StackName::parse);
        stack.suspend = suspension(&section.section("suspend"));
        stack.windows = self.windows(section);
        self.check_folder(section, &stack);
        self.check_only_host(section, &stack);
        stack
    }

    /// What stacks and defaults both may say.
    fn shared(&self, section: &Section<'_>, stack: &mut Stack) {
        if let Some(profiles) = section.texts("profiles") {
            stack.profiles = profiles.into_iter().map(|(text, _)| text).collect();
        }
        for (entry, value) in section.text_map("environment").unwrap_or_default() {
            stack.environment.insert(entry.key.clone(), value);
        }
        if let Some(node) = section.node("hosts") {
            stack.hosts = self.selector(section, "hosts", node);
        }
        let sync = [("auto", SyncPolicy::Auto), ("manual", SyncPolicy::Manual)];
        stack.sync = section.one_of("sync", &sync).unwrap_or(stack.sync);
        let unset = [("hold", UnsetPolicy::Hold), ("warn", UnsetPolicy::Warn)];
        stack.unset = section.one_of("unset", &unset).unwrap_or(stack.unset);
        let drift = [("correct", DriftPolicy::Correct), ("report", DriftPolicy::Report)];
        stack.drift = section.one_of("drift", &drift).unwrap_or(stack.drift);
        for (text, _) in section.texts("ignore").unwrap_or_default() {
            if !stack.ignore.contains(&text) {
                stack.ignore.push(text);
            }
        }
        if let Some(path) = section.text("directory") {
            stack.directory = directory(section, &path);
        }
        prune(&section.section("prune"), stack);
        match section.flag("adopt") {
            Some(true) => stack.adopt = AdoptPolicy::Adopt,
            Some(false) => stack.adopt = AdoptPolicy::Refuse,
            None => {}
        }
        stack.priority = section.whole("priority").unwrap_or(stack.priority);
    }

    fn files(&self, section: &Section<'_>, key: &str, folder: &TreePath) -> Vec<TreePath> {
        let mut files = Vec::new();
        for (text, place) in section.texts(key).unwrap_or_default() {
            match folder.join(&text) {
                Ok(path) => {
                    self.check_file(section, (key, &place), &path);
                    files.push(path);
                }
                Err(problem) => {
                    section.note(
                        Diagnostic::error(place, problem.to_string()).at(section.path_of(key)),
                    );
                }
            }
        }
        files
    }

    fn check_file(&self, section: &Section<'_>, (key, place): (&str, &Location), path: &TreePath) {
        let Some(paths) = self.around.paths.filter(|paths| !paths.contains(path)) else { return };
        let problem = Diagnostic::error(place.clone(), format!("there is no file {path}"));
        let names = paths.iter().filter(|known| known.parent() == path.parent());
        let names = names.map(TreePath::file_name);
        section.note(with_nearest(problem.at(section.path_of(key)), path.file_name(), names));
    }

    /// The folder must be there, and hold a Compose file unless files are named.
    fn check_folder(&self, section: &Section<'_>, stack: &Stack) {
        let Some(paths) = self.around.paths else { return };
        let problem = |message: String| match section.node("path") {
            Some(_) => section.problem("path", message),
            None => Diagnostic::error(stack.origin.clone(), message).at(section.path_of("path")),
        };
        if !folders(paths).contains(&stack.path) {
            let problem = problem(format!("there is no folder {}", stack.path));
            let known = folders(paths);
            let known = known.iter().map(TreePath::as_str);
            section.note(with_nearest(problem, stack.path.as_str(), known));
        } else if stack.files.is_empty() && !holds_compose_file(paths, &stack.path) {
            let problem = problem(format!("there is no Compose file in {}", stack.path));
            section.note(
                problem
                    .help(format!("expected one of {}, or say `files`", COMPOSE_FILES.join(", "))),
            );
        }
    }

    /// A stack that does not say where it runs needs a single host to run on.
    fn check_only_host(&self, section: &Section<'_>, stack: &Stack) {
        let Some(hosts) = self.around.hosts.filter(|hosts| hosts.len() != 1) else { return };
        if stack.hosts == HostSelector::Unsaid {
            let names: Vec<&str> = hosts.keys().map(HostName::as_str).take(8).collect();
            let message = format!("missing: there are {} hosts to choose from", hosts.len());
            let problem = Diagnostic::error(stack.origin.clone(), message);
            let help = format!("add `hosts: [{}]`, labels, or `hosts: all`", names.join(", "));
            section.note(problem.at(section.path_of("hosts")).help(help));
        }
    }

    fn selector(&self, section: &Section<'_>, key: &str, node: &Node) -> HostSelector {
        if node.as_text() == Some("all") {
            return HostSelector::All;
        }
        let items = node.as_list().unwrap_or(std::slice::from_ref(node));
        if items.is_empty() {
            section.wrong(key, node, "at least one host");
        }
        let choices = items.iter().filter_map(|item| self.choice(section, key, item)).collect();
        HostSelector::Any(choices)
    }

    fn choice(&self, section: &Section<'_>, key: &str, item: &Node) -> Option<HostChoice> {
        let path = section.path_of(key);
        if let Some(map) = item.as_map() {
            let mut wanted = BTreeMap::new();
            for entry in map {
                let values = entry.value.as_list().unwrap_or(std::slice::from_ref(&entry.value));
                let texts: BTreeSet<String> = values.iter().filter_map(raw_text).collect();
                if texts.is_empty() || texts.len() != values.len() {
                    let message = "expected a label's value, or a list of values";
                    section.note(entry.value.error(message).at(format!("{path}.{}", entry.key)));
                }
                wanted.insert(entry.key.clone(), texts);
            }
            return self.checked_labels(section, &path, item, wanted);
        }
        let Some(text) = raw_text(item) else {
            section.wrong(key, item, "a host's name, or labels such as `{zone: a}`");
            return None;
        };
        match HostName::parse(&text) {
            Ok(name) => Some(self.checked_name(section, &path, item, name)),
            Err(problem) => {
                section.note(item.error(problem.to_string()).at(path));
                None
            }
        }
    }

    fn checked_name(
        &self,
        section: &Section<'_>,
        path: &str,
        item: &Node,
        name: HostName,
    ) -> HostChoice {
        if let Some(hosts) = self.around.hosts.filter(|hosts| !hosts.contains_key(name.as_str())) {
            let problem = item.error(format!("the settings have no host {name}")).at(path);
            let known: Vec<&str> = hosts.keys().map(HostName::as_str).collect();
            let some = known.iter().take(12).copied().collect::<Vec<_>>().join(", ");
            let mut problem = with_nearest(problem, name.as_str(), known);
            if problem.help.is_empty() {
                problem.help = format!("known hosts: {some}");
            }
            section.note(problem);
        }
        HostChoice::Name(name)
    }

    fn checked_labels(
        &self,
        section: &Section<'_>,
        path: &str,
        item: &Node,
        wanted: BTreeMap<String, BTreeSet<String>>,
    ) -> Option<HostChoice> {
        if wanted.is_empty() {
            section.note(
                item.error("expected at least one label").at(path).help("every host is `all`"),
            );
            return None;
        }
        let choice = HostChoice::Labels(wanted);
        let matches_none = self
            .around
            .hosts
            .is_some_and(|hosts| !hosts.iter().any(|(name, labels)| choice.chooses(name, labels)));
        if matches_none {
            let message = format!("no host has the labels {choice}");
            section.note(Diagnostic::warning(item.location(), message).at(path));
        }
        Some(choice)
    }

    fn waves(&self) -> Vec<Wave> {
        let Some(node) = self.top.node("waves") else { return Vec::new() };
        let Some(items) = node.as_list() else {
            self.top.wrong("waves", node, "a list of waves such as `[[edge-1], {zone: a}, rest]`");
            return Vec::new();
        };
        let mut waves = Vec::new();
        for item in items {
            let wave = match item.as_text() {
                Some("rest") => Wave::Rest,
                _ => Wave::Hosts(self.selector(&self.top, "waves", item)),
            };
            if wave == Wave::Rest && waves.contains(&Wave::Rest) {
                self.top.note(item.error("`rest` is a wave already").at("waves"));
            }
            waves.push(wave);
        }
        waves
    }

    fn windows(&self, section: &Section<'_>) -> Vec<Window> {
        let items = section.items("windows");
        if let Some(one_too_many) = items.get(MAX_WINDOWS) {
            let message = format!("more than {MAX_WINDOWS} windows in one place");
            let place = one_too_many.path_of("");
            one_too_many.note(one_too_many.problem("for", message).at(place));
        }
        items.iter().take(MAX_WINDOWS).filter_map(|item| self.window(item)).collect()
    }

    fn window(&self, item: &Section<'_>) -> Option<Window> {
        let (kind, key) = match (item.node("allow"), item.node("deny")) {
            (Some(_), None) => (WindowKind::Allow, "allow"),
            (None, Some(_)) => (WindowKind::Deny, "deny"),
            _ => {
                let message = "expected either `allow` or `deny` with a cron expression";
                item.note(item.problem("allow", message).at(item.path_of("")));
                return None;
            }
        };
        let length = item.duration_from("for", Duration::from_mins(1));
        if item.node("for").is_none() {
            let problem = item.problem("for", "missing: how long the window stays open");
            item.note(problem.help("add `for: 4h`"));
        }
        let zone = item.text("zone").unwrap_or_else(|| "UTC".to_owned());
        let opens = Cron::parse(&item.text(key)?, &zone)
            .map_err(|problem| {
                let key = if matches!(problem, CronProblem::Zone(_)) { "zone" } else { key };
                item.note(item.problem(key, problem.to_string()));
            })
            .ok();
        let is_of_the_fleet = !item.path_of("").starts_with("stacks.");
        let (mut stacks, mut hosts) = (Vec::new(), HostSelector::All);
        if is_of_the_fleet {
            let patterns = item.texts("stacks").unwrap_or_default();
            stacks = patterns.into_iter().map(|(text, _)| text).collect();
            if let Some(node) = item.node("hosts") {
                hosts = self.selector(item, "hosts", node);
            }
        }
        Some(Window { kind, opens: opens?, length: length?, stacks, hosts })
    }

    /// A window about a stack that does not exist guards nothing.
    fn check_window_stacks(&self, fleet: &Fleet) {
        for item in self.top.items("windows") {
            for (pattern, place) in item.texts("stacks").unwrap_or_default() {
                if !fleet.stacks.keys().any(|name| pattern::fits(&pattern, name.as_str())) {
                    let problem = Diagnostic::error(place, format!("there is no stack {pattern}"));
                    let known = fleet.stacks.keys().map(StackName::as_str);
                    item.note(with_nearest(problem.at(item.path_of("stacks")), &pattern, known));
                }
            }
        }
    }
}

/// A folder on hosts. The stack's name is put in where the stack is known.
fn directory(section: &Section<'_>, path: &str) -> Option<String> {
    let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
    if path.starts_with('/') && !climbs && !path.trim_matches('/').is_empty() && !path.contains(':')
    {
        return Some(path.trim_end_matches('/').to_owned());
    }
    let problem = section.problem(
        "directory",
        format!("expected an absolute path on the host such as `/opt/stacks/shop`, found {path:?}"),
    );
    section.note(problem);
    None
}

/// Stacks of an `after` must exist and not wait for each other in a circle.
fn check_after(stacks: &Section<'_>, fleet: &Fleet) {
    for (entry, section) in stacks.named() {
        for (text, place) in section.texts("after").unwrap_or_default() {
            if fleet.stacks.contains_key(text.as_str()) {
                continue;
            }
            let problem = Diagnostic::error(place, format!("there is no stack {text}"));
            let known = fleet.stacks.keys().map(StackName::as_str);
            let known = known.filter(|name| *name != entry.key);
            section.note(with_nearest(problem.at(section.path_of("after")), &text, known));
        }
    }
    if let Some(circle) = circle(fleet) {
        let names: Vec<&str> = circle.iter().map(StackName::as_str).collect();
        let first = circle.first().and_then(|name| fleet.stacks.get(name));
        let place = first.map_or_else(|| stacks.place().clone(), |stack| stack.origin.clone());
        let message = format!("stacks wait for each other: {}", names.join(" after "));
        stacks.note(Diagnostic::error(place, message).at(stacks.path_of("")));
    }
}

fn after(section: &Section<'_>) -> BTreeSet<StackName> {
    let names = section.texts("after").unwrap_or_default();
    names.iter().filter_map(|(text, _)| StackName::parse(text).ok()).collect()
}

fn suspension(section: &Section<'_>) -> Option<Suspension> {
    if !section.is_written() {
        return None;
    }
    if section.node("reason").is_none() {
        section.note(section.problem("reason", "missing: why the stack is suspended"));
    }
    let until = section.read("until", "an instant such as `2026-12-24T18:00:00Z`", |node| {
        Timestamp::parse(&raw_text(node)?)
    });
    if section.node("until").is_some() && until.is_none() {
        return None;
    }
    Some(Suspension { reason: section.text("reason")?, until })
}

/// A circle of stacks that wait for each other, the first one named again at its end.
fn circle(fleet: &Fleet) -> Option<Vec<StackName>> {
    let mut left: BTreeMap<&StackName, BTreeSet<&StackName>> = fleet
        .stacks
        .iter()
        .map(|(name, stack)| {
            let after = stack.after.iter().filter(|name| fleet.stacks.contains_key(name.as_str()));
            (name, after.collect())
        })
        .collect();
    // Take away what waits for nothing, until only circles and what waits for them are left.
    loop {
        let free: BTreeSet<&StackName> =
            left.iter().filter(|(_, after)| after.is_empty()).map(|(name, _)| *name).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|name, _| !free.contains(name));
        for after in left.values_mut() {
            after.retain(|name| !free.contains(name));
        }
    }
    // Whoever is left waits for someone who is left: following that must come round.
    let mut path: Vec<&StackName> = vec![left.keys().next().copied()?];
    loop {
        let next = left.get(path.last()?)?.first().copied()?;
        if let Some(begin) = path.iter().position(|name| *name == next) {
            path.push(next);
            return path.get(begin..).map(|names| names.iter().copied().cloned().collect());
        }
        path.push(next);
    }
}

/// All folders of a tree, the root included.
fn folders(paths: &BTreeSet<TreePath>) -> BTreeSet<TreePath> {
    let mut folders = BTreeSet::from([TreePath::default()]);
    for path in paths {
        let mut folder = path.parent();
        while folders.insert(folder.clone()) {
            folder = folder.parent();
        }
    }
    folders
}

fn holds_compose_file(paths: &BTreeSet<TreePath>, folder: &TreePath) -> bool {
    COMPOSE_FILES.iter().any(|name| folder.join(name).is_ok_and(|path| paths.contains(&path)))
}

/// What may be removed once Git asks for it no more.
fn prune(said: &Section<'_>, stack: &mut Stack) {
    stack.prune.services = said.flag("services").unwrap_or(stack.prune.services);
    stack.prune.networks = said.flag("networks").unwrap_or(stack.prune.networks);
    stack.prune.volumes = said.flag("volumes").unwrap_or(stack.prune.volumes);
}

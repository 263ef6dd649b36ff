//! A container's configuration as a flat sheet: field and name to text, in one canonical form for both sides.
//!
//! What is at its default is absent. So two sheets are compared line by line, and what the Engine writes in another
//! form than it was asked for becomes the same text here.

pub(super) mod host;
pub(super) mod mounts;
pub(super) mod witness;

use std::collections::BTreeMap;

use super::mask;
use super::table::Field;
use crate::model::{ContainerConfig, HealthConfig, LogConfig, RestartPolicy};

/// One line: the text that is compared, and the text that people may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) exact: String,
    pub(super) shown: String,
}

/// Lines by field and name (`LOG_LEVEL` of the environment, `/data` of the mounts, empty for plain fields).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sheet(pub(super) BTreeMap<(Field, String), Line>);

impl Sheet {
    /// Puts a line; an empty text stands for the default and is left out.
    pub(super) fn put(&mut self, field: Field, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.named(field, "", text);
        }
    }

    /// Puts a line under a name, also when its text is empty.
    pub(super) fn named(&mut self, field: Field, name: &str, text: impl Into<String>) {
        let exact = text.into();
        let shown = mask::show(name, &exact);
        self.0.insert((field, name.to_owned()), Line { exact, shown });
    }

    /// Puts a number; zero stands for the default.
    pub(super) fn number(&mut self, field: Field, number: i64) {
        if number != 0 {
            self.put(field, number.to_string());
        }
    }

    /// Puts a flag that is on.
    pub(super) fn flag(&mut self, field: Field, on: bool) {
        if on {
            self.put(field, "true");
        }
    }

    /// Puts words whose order counts.
    pub(super) fn words(&mut self, field: Field, words: &[String]) {
        if !words.is_empty() {
            let line = Line { exact: json(words), shown: mask::show_words(words) };
            self.0.insert((field, String::new()), line);
        }
    }

    /// Puts words whose order does not count.
    pub(super) fn set(&mut self, field: Field, words: impl IntoIterator<Item = String>) {
        let mut words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.sort();
        words.dedup();
        self.words(field, &words);
    }

    /// Puts a map, name by name.
    pub(super) fn map(&mut self, field: Field, map: &BTreeMap<String, String>) {
        for (name, text) in map {
            self.named(field, name, text.clone());
        }
    }

    /// The exact text of a line.
    pub(super) fn text(&self, field: Field, name: &str) -> Option<&str> {
        self.0.get(&(field, name.to_owned())).map(|line| line.exact.as_str())
    }

    /// Takes a line out.
    pub(super) fn remove(&mut self, field: Field, name: &str) {
        self.0.remove(&(field, name.to_owned()));
    }
}

/// A list of words as JSON: `["sh", "-c", "a b"]` and `["sh", "-c", "a", "b"]` are two commands, and look alike when joined.
fn json(words: &[String]) -> String {
    serde_json::to_string(words).unwrap_or_default()
}

/// Compose's and our own labels that say nothing about what a container is.
const PASSING_LABELS: [&str; 17] = [
    "com.docker.compose.config-hash",
    "com.docker.compose.container-number",
    "com.docker.compose.depends_on",
    "com.docker.compose.image",
    "com.docker.compose.oneoff",
    "com.docker.compose.project",
    "com.docker.compose.project.config_files",
    "com.docker.compose.project.environment_file",
    "com.docker.compose.project.working_dir",
    "com.docker.compose.replace",
    "com.docker.compose.service",
    "com.docker.compose.slug",
    "com.docker.compose.version",
    "moorline.adopted",
    "moorline.asked",
    "moorline.revision",
    "moorline.spec",
];

/// Whether a label says nothing about what a container, network or volume is: who made it, when, from which file.
pub(super) fn is_passing_label(name: &str) -> bool {
    PASSING_LABELS.contains(&name) || name.starts_with("com.docker.compose.image.builder")
}

/// Writes `Config` into a sheet. The image's defaults were mixed in before.
pub(super) fn write_config(sheet: &mut Sheet, config: &ContainerConfig) {
    let ContainerConfig {
        image,
        cmd,
        entrypoint,
        env,
        labels,
        user,
        working_dir,
        hostname,
        domainname,
        // An endpoint's; compared there.
        mac_address: _,
        tty,
        open_stdin,
        stdin_once,
        // Told by the Engine, of no effect on a container that nobody attaches to.
        attach_stdin: _,
        attach_stdout: _,
        attach_stderr: _,
        stop_signal,
        stop_timeout,
        healthcheck,
        exposed_ports,
        volumes,
        network_disabled,
        shell,
        // The image's build triggers: of no effect on a container.
        on_build: _,
    } = config;
    sheet.put(Field::Image, image.clone());
    sheet.words(Field::Command, cmd.as_deref().unwrap_or_default());
    match entrypoint.as_deref().unwrap_or_default() {
        // The Engine takes one empty word as "no entrypoint".
        [only] if only.is_empty() => {}
        words => sheet.words(Field::Entrypoint, words),
    }
    write_environment(sheet, env);
    for (name, text) in labels.iter().filter(|(name, _)| !is_passing_label(name)) {
        sheet.named(Field::Labels, name, text.clone());
    }
    sheet.put(Field::User, user.clone());
    sheet.put(Field::WorkingDir, trim_path(working_dir));
    sheet.put(Field::Hostname, hostname.clone());
    sheet.put(Field::Domainname, domainname.clone());
    sheet.flag(Field::Tty, *tty);
    sheet.flag(Field::StdinOpen, *open_stdin);
    sheet.flag(Field::StdinOnce, *stdin_once);
    sheet.put(Field::StopSignal, signal(stop_signal));
    sheet.number(Field::StopTimeout, stop_timeout.filter(|seconds| *seconds != 10).unwrap_or(0));
    if *stop_timeout == Some(0) {
        sheet.put(Field::StopTimeout, "0");
    }
    if let Some(check) = healthcheck {
        write_health(sheet, check);
    }
    for port in exposed_ports.keys() {
        sheet.named(Field::Expose, &with_protocol(port), "");
    }
    for path in volumes.keys() {
        sheet.named(Field::Volumes, &trim_path(path), "");
    }
    sheet.flag(Field::NetworkDisabled, *network_disabled);
    sheet.words(Field::Shell, shell);
}

/// Variables by name: their order means nothing to the process, and of two with one name the Engine keeps the last.
fn write_environment(sheet: &mut Sheet, env: &[String]) {
    // A name without a value takes the image's variable away; Engines differ in whether they tell it.
    for (name, text) in env.iter().filter_map(|entry| entry.split_once('=')) {
        sheet.named(Field::Environment, name, text);
    }
}

/// A health check, one line a field, so that a changed interval is not shown as another test. Durations are nanoseconds, as
/// in the Engine API; zero is "not set".
fn write_health(sheet: &mut Sheet, check: &HealthConfig) {
    let HealthConfig { test, interval, timeout, retries, start_period, start_interval } = check;
    if !test.is_empty() {
        let line = Line { exact: json(test), shown: mask::show_words(test) };
        sheet.0.insert((Field::Healthcheck, "test".to_owned()), line);
    }
    if test.first().is_some_and(|word| word == "NONE") {
        return;
    }
    let durations = [
        ("interval", *interval),
        ("timeout", *timeout),
        ("start_period", *start_period),
        ("start_interval", *start_interval),
    ];
    for (name, nanos) in durations.into_iter().filter(|(_, nanos)| *nanos != 0) {
        sheet.named(Field::Healthcheck, name, duration(nanos));
    }
    if *retries != 0 {
        sheet.named(Field::Healthcheck, "retries", retries.to_string());
    }
}

/// Nanoseconds as people write them.
fn duration(nanos: i64) -> String {
    match nanos {
        _ if nanos % 1_000_000_000 == 0 => format!("{}s", nanos / 1_000_000_000),
        _ if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        _ => format!("{nanos}ns"),
    }
}

/// A path without a slash at its end.
pub(super) fn trim_path(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && !path.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

/// `80` as `80/tcp`.
pub(super) fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_ascii_lowercase() } else { format!("{port}/tcp") }
}

/// A signal in one spelling; empty for the default, SIGTERM.
fn signal(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = match short {
        "" | "TERM" | "15" => return String::new(),
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "9" => "KILL",
        "10" => "USR1",
        "12" => "USR2",
        other => other,
    };
    format!("SIG{known}")
}

/// A restart policy as Compose writes it; empty for `no`.
pub(super) fn restart(policy: &RestartPolicy) -> String {
    let RestartPolicy { name, maximum_retry_count } = policy;
    match (name.as_str(), *maximum_retry_count) {
        ("" | "no", _) => String::new(),
        ("on-failure", count) if count > 0 => format!("on-failure:{count}"),
        (name, _) => name.to_owned(),
    }
}

/// Writes a log configuration.
pub(super) fn write_log(sheet: &mut Sheet, log: &LogConfig) {
    let LogConfig { kind, config } = log;
    sheet.put(Field::LogDriver, kind.clone());
    sheet.map(Field::LogOptions, config);
}

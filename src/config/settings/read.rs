//! The settings file: text in, settings and every problem out.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{
    CapacitySettings, Credentials, ForgeApp, ForgeSettings, HostSettings, HostSsh, HostTls, Limits,
    RemoteTls, RemoteUrl, ReportTo, RepositorySettings, Returning, SETTINGS_KEYS, Settings,
    Transport, VariablesFrom,
};
use crate::config::endpoint::Endpoint;
use crate::config::reader::{Reading, Section, raw_text};
use crate::model::{Diagnostic, Diagnostics, HostName, RepositoryName, TreePath};
use crate::yaml;

/// Words that the fleet file uses for hosts, and that no host may have for a name.
const RESERVED_HOSTS: [&str; 2] = ["all", "rest"];

/// Reads a settings file. `file` is its name in messages; relative paths in it are below `folder`.
///
/// # Errors
/// Every problem at once when any is an error; nothing runs on half a configuration. Warnings come with the settings.
pub fn parse(
    file: &str,
    text: &[u8],
    folder: &Path,
) -> Result<(Settings, Diagnostics), Diagnostics> {
    parse_with(file, text, folder, None)
}

/// The same, where systemd gave the process credentials in a folder: `credential:NAME` names one in place of a file.
///
/// # Errors
/// As above.
pub fn parse_with(
    file: &str,
    text: &[u8],
    folder: &Path,
    credentials: Option<&Path>,
) -> Result<(Settings, Diagnostics), Diagnostics> {
    let root = yaml::parse_one(file, text)?;
    let reading = Reading::new(SETTINGS_KEYS, folder).with_credentials(credentials);
    let settings = read(&Section::top(&reading, file, root.as_ref()), folder);
    let problems = reading.into_problems();
    if problems.has_errors() { Err(problems) } else { Ok((settings, problems)) }
}

fn read(top: &Section<'_>, folder: &Path) -> Settings {
    let mut settings = Settings::default();
    for (entry, section) in top.section("repositories").named() {
        match RepositoryName::parse(&entry.key) {
            Ok(name) => {
                if let Some(repository) = repository(&section, folder) {
                    settings.repositories.insert(name, repository);
                }
            }
            Err(problem) => bad_name(top, entry, &problem.to_string()),
        }
    }
    let hosts = top.section("hosts");
    if hosts.is_written() {
        settings.hosts.clear();
        settings.names_hosts = true;
        read_hosts(&hosts, &mut settings);
    }
    settings.limits = limits(&top.section("limits"));
    if let Some(listen) =
        top.read("listen", "an address and port such as `127.0.0.1:7420`, or `none`", listen)
    {
        settings.listen = listen;
    }
    settings.data = top.file("data").unwrap_or(settings.data);
    settings.registries_file = top.section("registries").file("config_file");
    settings.age_key_files = top.section("secrets").files("age_key_files").unwrap_or_default();
    let variables = top.items("variables");
    settings.variables = variables.iter().filter_map(|item| variables_from(item)).collect();
    for (text, place) in top.texts("readable").unwrap_or_default() {
        match clean_folder(&text) {
            Some(path) => settings.readable.push(path),
            None => top.note(
                Diagnostic::error(place, "expected an absolute path of a folder, not `/` itself")
                    .at("readable"),
            ),
        }
    }
    settings
}

/// Exactly one of a file and a folder.
fn variables_from(item: &Section<'_>) -> Option<VariablesFrom> {
    let (file, folder) = (item.file("file"), item.file("folder"));
    let stacks = item.texts("stacks");
    match (item.node("file").is_some(), item.node("folder").is_some()) {
        (true, false) => {
            let stacks = stacks.unwrap_or_default().into_iter().map(|(text, _)| text).collect();
            Some(VariablesFrom::File { file: file?, stacks })
        }
        (false, true) => {
            if stacks.is_some() {
                let problem = item.problem("stacks", "has no meaning beside `folder`");
                item.note(problem.help("the folder's files are named after their stacks"));
            }
            Some(VariablesFrom::Folder(folder?))
        }
        _ => {
            item.note(item.problem("file", "expected either `file` or `folder`"));
            None
        }
    }
}

/// An absolute path without `.` and `..`.
fn clean_folder(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let is_clean = path.is_absolute() && path.components().all(plain) && path.parent().is_some();
    is_clean.then(|| path.components().collect())
}

fn bad_name(section: &Section<'_>, entry: &yaml::Entry, message: &str) {
    section.note(Diagnostic::error(entry.key_span.location(), message).at(entry.key.clone()));
}

#[expect(clippy::option_option, reason = "`none` is a valid value beside an invalid one")]
fn listen(node: &yaml::Node) -> Option<Option<std::net::SocketAddr>> {
    match node.as_text()? {
        "none" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

fn repository(section: &Section<'_>, folder: &Path) -> Option<RepositorySettings> {
    if section.node("url").is_none() {
        let problem = section.problem("url", "missing: where the repository is");
        section.note(problem.help("add `url: https://…`"));
    }
    let url = section.parsed("url", RemoteUrl::parse).map(|url| url.below(folder));
    if let Some(url) = url.as_ref().filter(|url| url.has_credentials()) {
        let problem = section.problem("url", format!("the address of {url} holds credentials"));
        section.note(problem.help("keep them in a file that `credentials.token_file` names"));
    }
    // The rest is read without a valid URL too: all problems at once.
    let stand_in = RemoteUrl::parse(".").ok();
    let found = url.is_some();
    let mut settings = RepositorySettings::new(url.or(stand_in)?);
    settings.branch = section.parsed("branch", branch);
    settings.path = section.parsed("path", TreePath::parse).unwrap_or_default();
    let second = Duration::from_secs(1);
    settings.interval = section.duration_from("interval", second).unwrap_or(settings.interval);
    settings.timeout = section.duration_from("timeout", second).unwrap_or(settings.timeout);
    settings.lfs = section.flag("lfs").unwrap_or(false);
    settings.submodules = section.flag("submodules").unwrap_or(false);
    settings.credentials = credentials(&section.section("credentials"));
    settings.tls = remote_tls(&section.section("tls"));
    settings.proxy = section.parsed("proxy", http_url);
    settings.age_key_files = section.section("secrets").files("age_key_files");
    settings.forge = forge(&section.section("forge"), &settings);
    found.then_some(settings)
}

/// A branch's name, by the rules of `git check-ref-format` that matter for safety.
pub(super) fn branch(text: &str) -> Result<String, crate::model::NameProblem> {
    let text = text.strip_prefix("refs/heads/").unwrap_or(text);
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let valid = !text.is_empty()
        && !text.starts_with(['-', '/'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains("//")
        && !text.contains(bad);
    valid.then(|| text.to_owned()).ok_or_else(|| crate::model::NameProblem {
        what: "branch name",
        text: text.to_owned(),
        rule: "as `git check-ref-format --branch` accepts it, such as `main`",
    })
}

fn http_url(text: &str) -> Result<RemoteUrl, crate::model::NameProblem> {
    let url = RemoteUrl::parse(text)?;
    if matches!(url.transport(), Transport::Http | Transport::Https) {
        return Ok(url);
    }
    Err(crate::model::NameProblem {
        what: "URL",
        text: url.to_string(),
        rule: "it begins with http:// or https://",
    })
}

fn credentials(section: &Section<'_>) -> Credentials {
    Credentials {
        username: section.text("username"),
        token_file: section.file("token_file"),
        ssh_key_file: section.file("ssh_key_file"),
        ssh_passphrase_file: section.file("ssh_passphrase_file"),
        known_hosts_file: section.file("known_hosts_file"),
        ssh_agent: section.flag("ssh_agent").unwrap_or_default(),
    }
}

fn remote_tls(section: &Section<'_>) -> RemoteTls {
    let digest = |text: &str| {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let digits = digits.to_lowercase();
        let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(digits)
    };
    let pin_sha256 =
        section.read("pin_sha256", "a SHA-256 digest of 64 hexadecimal digits", |node| {
            digest(&raw_text(node)?)
        });
    RemoteTls { ca_file: section.file("ca"), pin_sha256 }
}

/// Keys that say that there is a forge.
const FORGE_MEANT: [&str; 7] =
    ["kind", "api", "project", "token_file", "webhook_secret_file", "app", "drift_issue"];

fn forge(section: &Section<'_>, repository: &RepositorySettings) -> ForgeSettings {
    let guessed = ForgeSettings::guessed(&repository.url);
    let drift_on_commit = section.flag("drift_on_commit").unwrap_or(guessed.drift_on_commit);
    ForgeSettings {
        kind: section.one_of("kind", &ReportTo::words()).or(guessed.kind),
        is_written: drift_on_commit || FORGE_MEANT.iter().any(|key| section.node(key).is_some()),
        api: section.parsed("api", http_url),
        proxy: repository.proxy.clone(),
        names_project: section.node("project").is_some(),
        project: section.text("project").unwrap_or(guessed.project),
        token_file: section
            .file("token_file")
            .or_else(|| repository.credentials.token_file.clone()),
        webhook_secret_file: section.file("webhook_secret_file"),
        app: app(&section.section("app")),
        pull_requests: section.flag("pull_requests").unwrap_or(guessed.pull_requests),
        drift_on_commit,
        drift_issue: section.count("drift_issue").and_then(|number| u64::try_from(number).ok()),
    }
}

fn app(section: &Section<'_>) -> Option<ForgeApp> {
    if !section.is_written() {
        return None;
    }
    for key in ["id", "key_file"] {
        if section.node(key).is_none() {
            section.note(section.problem(key, "missing: an App needs both `id` and `key_file`"));
        }
    }
    let installation = section.word("installation");
    let (id, key_file) = (section.word("id"), section.file("key_file"));
    Some(ForgeApp { id: id?, installation, key_file: key_file? })
}

fn read_hosts(hosts: &Section<'_>, settings: &mut Settings) {
    for (entry, section) in hosts.named() {
        let name = match HostName::parse(&entry.key) {
            Ok(name) if RESERVED_HOSTS.contains(&name.as_str()) => {
                bad_name(hosts, entry, "this word means hosts in the fleet file: choose another");
                continue;
            }
            Ok(name) => name,
            Err(problem) => {
                bad_name(hosts, entry, &problem.to_string());
                continue;
            }
        };
        let Some(host) = host(&section) else { continue };
        if let Some((other, _)) =
            settings.hosts.iter().find(|(_, known)| known.engine == host.engine)
        {
            let message = format!("is the Engine of host {other} too");
            let problem = section.problem("engine", message);
            section.note(problem.help("two hosts on one Engine would fight: remove one"));
        }
        settings.hosts.insert(name, host);
    }
}

fn host(section: &Section<'_>) -> Option<HostSettings> {
    if section.node("engine").is_none() {
        let problem = section.problem("engine", "missing: where the Engine listens");
        section.note(problem.help("add `engine: unix:///var/run/docker.sock`, tcp://… or ssh://…"));
    }
    let engine = section.parsed("engine", Endpoint::parse);
    let mut host = HostSettings::new(engine.clone().unwrap_or_else(Endpoint::local));
    for (entry, value) in section.text_map("labels").unwrap_or_default() {
        host.labels.insert(entry.key.clone(), value);
    }
    host.tls = host_tls(&section.section("tls"));
    host.ssh = host_ssh(&section.section("ssh"));
    host.data = section.file("data").unwrap_or(host.data);
    if !host.data.is_absolute() {
        section.note(section.problem("data", "expected an absolute path on the host"));
    }
    host.capacity = capacity(&section.section("capacity"));
    let second = Duration::from_secs(1);
    host.timeout = section.duration_from("timeout", second).unwrap_or(host.timeout);
    check_transport(section, engine.as_ref()?, &host);
    Some(host)
}

fn host_tls(section: &Section<'_>) -> HostTls {
    let tls = HostTls {
        ca_file: section.file("ca"),
        cert_file: section.file("cert"),
        key_file: section.file("key"),
    };
    let files = [("ca", &tls.ca_file), ("cert", &tls.cert_file), ("key", &tls.key_file)];
    for (key, _) in files.iter().filter(|(_, file)| tls.is_used() && file.is_none()) {
        // Half of mutual TLS must not turn into none of it.
        section.note(section.problem(key, "missing: TLS takes `ca`, `cert` and `key`"));
    }
    tls
}

fn host_ssh(section: &Section<'_>) -> HostSsh {
    HostSsh {
        key_file: section.file("key_file"),
        passphrase_file: section.file("passphrase_file"),
        known_hosts_file: section.file("known_hosts_file"),
        agent: section.flag("agent").unwrap_or_default(),
    }
}

/// Settings of a transport that the endpoint does not use are mistakes; TCP without TLS is dangerous.
fn check_transport(section: &Section<'_>, engine: &Endpoint, host: &HostSettings) {
    let is_tcp = matches!(engine, Endpoint::Tcp { .. });
    if host.tls.is_used() && !is_tcp {
        section.note(section.problem("tls", format!("has no meaning for {engine}")));
    }
    if host.ssh != HostSsh::default() && !matches!(engine, Endpoint::Ssh { .. }) {
        section.note(section.problem("ssh", format!("has no meaning for {engine}")));
    }
    if is_tcp && !host.tls.is_used() {
        let mut problem = section.problem("engine", format!("{engine} is reached without TLS"));
        problem.severity = crate::model::Severity::Warning;
        section.note(problem.help("whoever can reach that port is root on the host: add `tls`"));
    }
}

fn capacity(section: &Section<'_>) -> CapacitySettings {
    let default = CapacitySettings::default();
    let overcommit = section.section("overcommit");
    CapacitySettings {
        cpus_thousandths: section.thousandths("cpus"),
        memory: section.size("memory"),
        overcommit_cpus_thousandths: overcommit
            .thousandths("cpus")
            .unwrap_or(default.overcommit_cpus_thousandths),
        overcommit_memory_thousandths: overcommit
            .thousandths("memory")
            .unwrap_or(default.overcommit_memory_thousandths),
    }
}

fn limits(section: &Section<'_>) -> Limits {
    let default = Limits::default();
    let second = Duration::from_secs(1);
    Limits {
        parallel_steps: section.count("parallel_steps").unwrap_or(default.parallel_steps),
        parallel_passes: section.count("parallel_passes").unwrap_or(default.parallel_passes),
        step: section.duration_from("step", second).unwrap_or(default.step),
        progress: section.duration_from("progress", second).unwrap_or(default.progress),
        full_look: section
            .duration_from("full_look", Duration::from_secs(10))
            .unwrap_or(default.full_look),
        watch: section.duration("watch").unwrap_or(default.watch),
        host_lost: section.duration("host_lost").unwrap_or(default.host_lost),
        returning: section.one_of("returning", &Returning::WORDS).unwrap_or(default.returning),
        stop: section.duration("stop").unwrap_or(default.stop),
        file_size: section.size("file_size").unwrap_or(default.file_size),
        tree_size: section.size("tree_size").unwrap_or(default.tree_size),
    }
}

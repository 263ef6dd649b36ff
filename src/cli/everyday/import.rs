//! `moorline import`: a fleet from what runs, written into an empty folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cli::disk::tree_of;
use crate::cli::options::{Global, working_folder};
use crate::cli::output;
use crate::cli::output::{Output, advised, note, push, show};
use crate::cli::progress;
use crate::cli::signals::with_runtime;
use crate::config::settings::{Settings, VariablesFrom};
use crate::daemon::Setup;
use crate::import::{self, Draft, DraftStack, HostFindings};
use crate::model::{HostName, RepositoryName, Secret, StackName};
use crate::oneshot::{self, Engines, Wish};
use crate::reconcile::Intent;
use crate::report::{Report, brief};

/// `import`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct ImportArgs {
    /// Compose projects that run, by name, or folders of Compose files; every project that runs when none is named.
    #[arg(value_name = "PROJECT")]
    projects: Vec<String>,
    /// Folder that the fleet is written into; it must be empty, or hold nothing but `.git`.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Folder outside Git that gets STACK.env for each stack that needs variables; readable to its owner alone.
    #[arg(long, value_name = "FOLDER")]
    variables: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Writes the fleet, and says what the first pass would do. Nothing on a host is changed.
pub(in crate::cli) fn run(global: &Global, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let here = working_folder()?;
    let into = here.join(&args.into);
    check_empty(&into)?;
    let variables = args.variables.as_ref().map(|folder| here.join(folder));
    if let Some(folder) = variables.as_ref().filter(|folder| folder.starts_with(&into)) {
        return Err(advised(
            anyhow::anyhow!("{} lies in {}", folder.display(), into.display()),
            "values of variables are kept outside the repository: name another folder",
        ));
    }
    let mut setup = global.setup(None)?;
    let (folders, names) = sort(&args.projects, &here)?;
    let (into, folder) = (into.as_path(), variables.as_deref());
    let home = setup.around.home.as_ref().and_then(|home| home.to_str()).map(str::to_owned);
    let own = &mut setup;
    let (draft, reports) = with_runtime(|stop| async move {
        let engines = Arc::new(oneshot::connect(own).await?);
        let findings = find(&engines, folders.is_empty()).await?;
        let draft = import::draft(&findings, (&folders, &names), home.as_deref());
        hide(&draft);
        write(&draft, into, folder)?;
        give(&mut own.settings, &draft, folder);
        let reports = foresee(own, &engines, into, &stop).await;
        Ok((draft, reports))
    })?;
    let written = Written { draft, into, variables: folder, reports, settings: &setup.settings };
    show(args.output.format, || written.json(), || written.text())?;
    Ok(if written.draft.stacks.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Folders, and names of projects. A word that is a path is a folder.
fn sort(projects: &[String], here: &Path) -> anyhow::Result<(Vec<PathBuf>, BTreeSet<String>)> {
    let (mut folders, mut names) = (Vec::new(), BTreeSet::new());
    for word in projects {
        if word.contains('/') || word.starts_with('.') {
            let folder = here.join(word);
            let folder = folder.canonicalize().with_context(|| format!("cannot find {word}"))?;
            anyhow::ensure!(folder.is_dir(), "{word} is no folder");
            folders.push(folder);
        } else {
            names.insert(word.clone());
        }
    }
    Ok((folders, names))
}

fn check_empty(into: &Path) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(into) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", into.display()));
        }
    };
    let mut names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let Some(name) = names.find(|name| name != ".git") else { return Ok(()) };
    let problem = anyhow::anyhow!("{} holds {} already", into.display(), name.to_string_lossy());
    Err(advised(problem, "name a folder that is empty, or that is not there yet"))
}

/// What runs on all hosts. One that cannot be seen is an error, unless folders say what is meant.
async fn find(engines: &Engines, must_see: bool) -> anyhow::Result<Vec<HostFindings>> {
    let mut findings = Vec::new();
    for (host, engine) in engines {
        let seen = match engine {
            Ok(engine) => engine.found_containers().await.map_err(|error| error.to_string()),
            Err(failure) => Err(failure.message.clone()),
        };
        match seen {
            Ok(containers) => findings.push(HostFindings { host: host.clone(), containers }),
            Err(why) if must_see => {
                return Err(advised(
                    anyhow::anyhow!("host {host} cannot be seen: {why}"),
                    "name other hosts with `--host NAME=ENDPOINT`; what is not seen would not be in the fleet",
                ));
            }
            Err(why) => note(&format!("warning: host {host} cannot be seen: {why}")),
        }
    }
    Ok(findings)
}

/// No value that was found is said anywhere.
fn hide(draft: &Draft) {
    for (name, text) in &draft.variables {
        let names = BTreeSet::from([name.to_string()]);
        output::hide(&crate::report::secrets::of_env_file(text.as_bytes(), &names));
    }
}

fn write(draft: &Draft, into: &Path, variables: Option<&Path>) -> anyhow::Result<()> {
    for (path, file) in &draft.files {
        let mode = if file.executable { 0o755 } else { 0o644 };
        put(&into.join(path), &file.bytes, mode)?;
    }
    let Some(folder) = variables else { return Ok(()) };
    for (stack, text) in &draft.variables {
        let path = folder.join(format!("{stack}.env"));
        anyhow::ensure!(
            !path.exists(),
            "{} is there already: move it away, or name another folder",
            path.display()
        );
        put(&path, text.as_bytes(), 0o600)?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let said = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(said)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).with_context(said)?;
    file.write_all(bytes).with_context(said)
}

/// Gives the stacks their variables, wherever they are kept.
fn give(settings: &mut Settings, draft: &Draft, variables: Option<&Path>) {
    match variables {
        Some(folder) => settings.variables.push(VariablesFrom::Folder(folder.to_owned())),
        None => settings.variables.extend(draft.variables.iter().map(|(stack, text)| {
            VariablesFrom::Text { stack: stack.to_string(), text: Secret::new(text.clone()) }
        })),
    }
}

/// What the first pass would do.
async fn foresee(
    setup: &Setup,
    engines: &Arc<Engines>,
    into: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Report>> {
    if !into.is_dir() {
        return Ok(Vec::new());
    }
    let repository = RepositoryName::parse("fleet")?;
    let (tree, wish) = (tree_of(into, None)?, Wish::default());
    let seen = oneshot::read_folder(setup, &wish, (into, tree), &repository).await?;
    let how = (Intent::Show, &progress::silent());
    Ok(oneshot::run_on(engines, setup, (&seen, &wish), how, stop).await?)
}

/// What is to be said.
struct Written<'a> {
    draft: Draft,
    into: &'a Path,
    variables: Option<&'a Path>,
    reports: anyhow::Result<Vec<Report>>,
    settings: &'a Settings,
}

impl Written<'_> {
    fn json(&self) -> Value {
        let problem = self.reports.as_ref().err().map(|error| format!("{error:#}"));
        let reports: Vec<Value> = self.reports.iter().flatten().map(Report::to_json).collect();
        json!({
            "into": self.into,
            "stacks": self.draft.stacks,
            "left_alone": self.draft.left_alone,
            "variables_folder": self.variables,
            "settings": self.settings_text(),
            "plan": reports,
            "problem": problem,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, stack) in &self.draft.stacks {
            push(&mut text, &line_of(name, stack));
            self.stack_text(&mut text, name, stack);
        }
        for left in &self.draft.left_alone {
            push(&mut text, &format!("no stack: {}: {}", left.what, left.why));
        }
        if self.draft.stacks.is_empty() {
            push(&mut text, "nothing was found that a fleet could be written from");
            return text;
        }
        self.plan_text(&mut text);
        self.rest_text(&mut text);
        text
    }

    fn stack_text(&self, text: &mut String, name: &StackName, stack: &DraftStack) {
        for variable in &stack.variables {
            let at = match (&variable.value_at, variable.needed_at.as_str()) {
                (Some(place), _) => format!("today in {place}"),
                (None, place) => format!("needed at {place}; nobody knows its value"),
            };
            push(text, &format!("  variable {}: {at}", variable.name));
        }
        for outside in &stack.not_in_git {
            push(text, &format!("  not in Git: {}: {}", outside.path, outside.why));
        }
        for todo in &stack.by_hand {
            push(text, &format!("  by hand: {todo}"));
        }
        let needs = self.draft.variables.contains_key(name);
        if needs && self.variables.is_none() {
            push(
                text,
                "  by hand: its variables were not written: name a folder with `--variables FOLDER`",
            );
        }
    }

    fn plan_text(&self, text: &mut String) {
        let reports = match &self.reports {
            Ok(reports) => reports,
            Err(error) => {
                push(text, &format!("\nwhat the first pass would do could not be told: {error:#}"));
                return;
            }
        };
        let changed: Vec<&Report> = reports.iter().filter(|report| !report.is_good()).collect();
        let same = reports.len() - changed.len();
        push(text, "");
        push(
            text,
            &format!("the first pass changes nothing in {same} of {} stacks", reports.len()),
        );
        for report in changed {
            push(text, &format!("{}  {}", report.target, crate::report::status::line(report)));
            for problem in &report.problems.0 {
                push(text, &format!("  {problem}"));
            }
            for line in brief::of(report).lines() {
                push(text, line);
            }
        }
    }

    fn rest_text(&self, text: &mut String) {
        push(text, "");
        push(text, "settings (moorline.yaml):");
        for line in self.settings_text().lines() {
            push(text, &format!("  {line}"));
        }
        let into = self.into.display();
        push(text, "");
        push(text, "left to do:");
        push(text, &format!("  cd {into} && git init && git add -A && git commit -m 'As it runs'"));
        push(text, "  moorline run --settings moorline.yaml");
    }

    /// What the settings file must say.
    fn settings_text(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let mut text =
            format!("repositories:\n  fleet: {{url: {}}}\n", quoted(&self.into.to_string_lossy()));
        let hosts: BTreeMap<&HostName, String> = self
            .settings
            .hosts
            .iter()
            .map(|(name, host)| (name, host.engine.to_string()))
            .collect();
        let usual = Settings::default().hosts;
        let is_usual = hosts.len() == usual.len()
            && usual.iter().all(|(name, host)| hosts.get(name) == Some(&host.engine.to_string()));
        if !is_usual {
            text.push_str("hosts:\n");
            for (name, engine) in hosts {
                push(&mut text, &format!("  {name}: {{engine: {}}}", quoted(&engine)));
            }
        }
        if let Some(folder) = &self.variables {
            let folder = quoted(&folder.to_string_lossy());
            push(&mut text, &format!("variables:\n  - {{folder: {folder}}}"));
        }
        text
    }
}

fn line_of(name: &StackName, stack: &DraftStack) -> String {
    let hosts: Vec<&str> = stack.hosts.iter().map(HostName::as_str).collect();
    let place = if hosts.is_empty() {
        "not running".to_owned()
    } else {
        format!("on {}", hosts.join(", "))
    };
    let directory = stack.directory.as_ref().map_or(String::new(), |it| format!(", from {it}"));
    format!("stack {name}: {}/ {place}{directory}", stack.path)
}

//! Completions: what may come next on the command line, names of stacks, services and hosts included.
//!
//! The shells' scripts only pass on what was typed; the answers come from `moorline complete`. Names come from the daemon
//! of this machine where one runs, else from the repository, within a moment: a shell waits for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, ValueEnum};

use crate::cli::options::{Chosen, Global, Stacks};
use crate::cli::output::{print, push};
use crate::cli::signals::with_runtime;
use crate::oneshot;
use crate::web::local;

/// How long names are looked for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Stands for names of files, which shells know better.
const FILES: &str = ":files";

/// A shell that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Shell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// The script that a shell reads.
pub(in crate::cli) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completions/moorline.bash"),
        Shell::Zsh => include_str!("completions/moorline.zsh"),
        Shell::Fish => include_str!("completions/moorline.fish"),
    }
}

/// Names that can be completed.
#[derive(Debug, Default)]
struct Names {
    stacks: BTreeMap<String, BTreeSet<String>>,
    hosts: BTreeSet<String>,
    repositories: BTreeSet<String>,
}

/// What is to come next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// One of these words, each with what it means.
    Words(Vec<(String, String)>),
    /// The name of a stack.
    Stack,
    /// The name of a service of a stack; of any, where none is named.
    Service(Option<String>),
    /// The name of a host.
    Host,
    /// The name of a repository, or a path.
    Repository,
    /// A file or folder.
    File,
}

/// Prints what may come next: a word a line, its meaning behind a tab.
pub(in crate::cli) fn run(
    global: &Global,
    command: &Command,
    words: &[String],
) -> anyhow::Result<ExitCode> {
    let (last, before) =
        words.split_last().map_or(("", words), |(last, rest)| (last.as_str(), rest));
    let (prefix, next) = next(command, before, last);
    let typed = last.strip_prefix(prefix.as_str()).unwrap_or(last);
    let mut text = String::new();
    for (word, meaning) in candidates(global, next) {
        if word == FILES || word.starts_with(typed) {
            let prefix = if word == FILES { "" } else { prefix.as_str() };
            push(&mut text, &format!("{prefix}{word}\t{meaning}"));
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn candidates(global: &Global, next: Next) -> Vec<(String, String)> {
    let plain = |names: Vec<String>| names.into_iter().map(|name| (name, String::new())).collect();
    match next {
        Next::Words(words) => words,
        Next::File => plain(vec![FILES.to_owned()]),
        Next::Stack => plain(names(global).stacks.into_keys().collect()),
        Next::Host => plain(names(global).hosts.into_iter().collect()),
        Next::Repository => {
            let known = names(global).repositories.into_iter();
            plain(known.chain([FILES.to_owned()]).collect())
        }
        Next::Service(stack) => {
            let known = names(global).stacks;
            let own =
                known.into_iter().filter(|(name, _)| stack.as_ref().is_none_or(|it| it == name));
            let services: BTreeSet<String> = own.flat_map(|(_, services)| services).collect();
            plain(services.into_iter().collect())
        }
    }
}

/// Names, as far as they can be had at once. Who cannot be asked knows none.
fn names(global: &Global) -> Names {
    let mut names = Names::default();
    let Ok(chosen) = Chosen::new(global, &Stacks::of(&[]), None) else { return names };
    let settings = &chosen.setup.settings;
    names.hosts.extend(settings.hosts.keys().map(ToString::to_string));
    names.repositories.extend(settings.repositories.keys().map(ToString::to_string));
    let own = &chosen;
    let found = with_runtime(|stop| async move {
        let asked = async {
            if let Ok(Some(known)) = local::ask(&own.setup.settings.data, "/v1/status?all").await {
                return Ok(of_daemon(&known));
            }
            let seen = oneshot::read(&own.setup, &own.wish, &stop).await?;
            let stacks = seen.iter().flat_map(|one| one.commit.stacks.values());
            let of = |stack: &std::sync::Arc<crate::commit::LoadedStack>| {
                let services = stack.project.iter().flat_map(|project| project.services.keys());
                (stack.stack.name.to_string(), services.map(ToString::to_string).collect())
            };
            Ok(stacks.map(of).collect())
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_late| Ok(BTreeMap::new()))
    });
    names.stacks = found.unwrap_or_else(|_: anyhow::Error| BTreeMap::new());
    names
}

fn of_daemon(known: &serde_json::Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut stacks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for report in known.get("reports").and_then(|all| all.as_array()).into_iter().flatten() {
        let Some(stack) = report.get("stack").and_then(|name| name.as_str()) else { continue };
        let services = report.get("services").and_then(|all| all.as_object());
        let own = stacks.entry(stack.to_owned()).or_default();
        own.extend(services.into_iter().flat_map(|all| all.keys().cloned()));
    }
    stacks
}

/// What may come after these words, and what stands before it in the same word (`--output=`).
fn next(command: &Command, before: &[String], last: &str) -> (String, Next) {
    let mut command = command;
    let mut positionals: Vec<&str> = Vec::new();
    let mut awaited: Option<&Arg> = None;
    let mut only_words = false;
    for word in before {
        if awaited.take().is_some() {
            continue;
        }
        if word == "--" {
            only_words = true;
        } else if let Some(option) = option(command, word).filter(|_| !only_words) {
            awaited = Some(option).filter(|option| takes_value(option) && !word.contains('='));
        } else if word.starts_with('-') && !only_words {
            // An option that nobody knows.
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
            positionals.clear();
        } else {
            positionals.push(word);
        }
    }
    if let Some(option) = awaited {
        return (String::new(), of_value(option, &positionals));
    }
    if let Some((name, _)) = last.split_once('=')
        && let Some(option) = option(command, name)
    {
        return (format!("{name}="), of_value(option, &positionals));
    }
    if last.starts_with('-') && !only_words {
        return (String::new(), Next::Words(flags(command)));
    }
    if command.has_subcommands() {
        let all = command.get_subcommands().filter(|one| !one.is_hide_set());
        let words = all.map(|one| (one.get_name().to_owned(), first_line(one.get_about())));
        return (String::new(), Next::Words(words.collect()));
    }
    let all: Vec<&Arg> = command.get_positionals().collect();
    let place = all.get(positionals.len()).or_else(|| {
        all.last().filter(|last| last.get_num_args().is_some_and(|count| count.max_values() > 1))
    });
    let next = place.map_or(Next::Words(Vec::new()), |arg| of_value(arg, &positionals));
    (String::new(), next)
}

fn option<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|arg| {
        let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        let short = arg.get_short().is_some_and(|short| name == format!("-{short}"));
        long || short
    })
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn flags(command: &Command) -> Vec<(String, String)> {
    // Those of every command are known to those who look for them: they come last.
    let (own, shared): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some())
        .partition(|arg| !arg.is_global_set());
    let named = own
        .into_iter()
        .chain(shared)
        .filter_map(|arg| Some((format!("--{}", arg.get_long()?), first_line(arg.get_help()))));
    named.collect()
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace('\t', " ")
}

/// What a value may be, by its possible words or by what it is called.
fn of_value(arg: &Arg, positionals: &[&str]) -> Next {
    let words: Vec<(String, String)> = arg
        .get_possible_values()
        .iter()
        .map(|value| (value.get_name().to_owned(), first_line(value.get_help())))
        .collect();
    if !words.is_empty() {
        return Next::Words(words);
    }
    let name = arg.get_value_names().and_then(|names| names.first());
    match name.map(clap::builder::Str::as_str).unwrap_or_default() {
        "STACK" => Next::Stack,
        "SERVICE" => Next::Service(positionals.first().map(|stack| (*stack).to_owned())),
        "HOST" => Next::Host,
        "URL" => Next::Repository,
        "FILE" | "FOLDER" | "DIR" | "PATH" | "PROJECT" => Next::File,
        _ => Next::Words(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(words: &str) -> (String, Next) {
        let command = crate::cli::built();
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let last = words.pop().unwrap();
        next(&command, &words, &last)
    }

    #[test]
    fn names_are_asked_for_where_they_stand() {
        assert_eq!(after("logs ").1, Next::Stack);
        assert_eq!(after("logs shop ").1, Next::Service(Some("shop".to_owned())));
        assert_eq!(after("plan a b ").1, Next::Stack);
        assert_eq!(after("suspend shop --on ").1, Next::Host);
        assert_eq!(after("--settings x status ").1, Next::Stack);
        assert_eq!(after("--settings ").1, Next::File);
        assert_eq!(after("import --into ").1, Next::File);
    }

    #[test]
    fn words_are_those_of_the_command() {
        let words = |typed: &str| match after(typed) {
            (prefix, Next::Words(words)) => {
                (prefix, words.into_iter().map(|(word, _)| word).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        };
        assert!(words("").1.contains(&"import".to_owned()));
        assert!(words("plan --").1.starts_with(&["--revision".to_owned()]));
        assert_eq!(words("plan --output ").1, ["text", "json", "yaml"]);
        assert_eq!(words("plan --output=").0, "--output=");
        assert_eq!(words("completions ").1, ["bash", "zsh", "fish"]);
    }
}

//! How things are said: formats, errors, logs.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::model::Diagnostics;
use crate::redaction;
use crate::report::visible;

use super::everyday::caret;

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The form of printed data.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Output {
    /// Form of the printed data.
    #[arg(short = 'o', long = "output", value_enum, default_value = "text", value_name = "FORM")]
    pub(super) format: Format,
}

/// The form of printed data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// JSON, whose shape is stable.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Problems of a file, as an error.
#[derive(Debug)]
pub(super) struct Problems(pub(super) Diagnostics);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.0.iter().map(ToString::to_string).collect();
        out.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// An error with advice.
#[derive(Debug)]
struct Advised {
    text: String,
    help: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl std::error::Error for Advised {}

/// An error that a person can act on.
pub(super) fn advised(error: impl Into<anyhow::Error>, help: &str) -> anyhow::Error {
    let error: anyhow::Error = error.into();
    Advised { text: format!("{error:#}"), help: help.to_owned() }.into()
}

/// Prints text to standard output. A closed pipe ends the command quietly.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let written = if text.contains('\x1b') {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    } else {
        // No colour to take out: a large model is written as it is.
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints text, with a line end if it has none.
pub(super) fn print_lines(text: &str) -> anyhow::Result<()> {
    if text.ends_with('\n') { print(text) } else { print(&format!("{text}\n")) }
}

/// Prints a value in the form that was asked for, without secrets; `text` is made only when it is wanted.
pub(super) fn show(
    format: Format,
    value: impl FnOnce() -> serde_json::Value,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Text => print(&redaction::hushed_coloured(&text())),
        Format::Json | Format::Yaml => {
            show_exact(format, || redaction::hushed_value(value()), text)
        }
    }
}

/// The same, to the last byte: for data that a command reads again.
pub(super) fn show_exact(
    format: Format,
    value: impl FnOnce() -> serde_json::Value,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Text => print(&visible::coloured(&text())),
        Format::Json => {
            let written = serde_json::to_string_pretty(&value())?;
            print(&format!("{}\n", visible::json(&written)))
        }
        Format::Yaml => print(&serde_yaml::to_string(&shown(value()))?),
    }
}

/// Data whose texts show what they hold: YAML writes as it is what JSON can write as an escape.
fn shown(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(visible::text(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(shown).collect(),
        Value::Object(fields) => {
            let each =
                |(name, value): (String, Value)| (visible::line(&name).into_owned(), shown(value));
            Value::Object(fields.into_iter().map(each).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Says all problems; `text_of` gives a file's text by the name that problems call it by.
pub(super) fn problems(problems: &Diagnostics, text_of: &dyn Fn(&str) -> Option<String>) {
    for said in caret::all(problems, text_of) {
        note(&said);
    }
}

/// Data as JSON text, indented.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(visible::json(&serde_json::to_string_pretty(value)?).into_owned())
}

/// Data as YAML text: to the last byte, and what would act is written as an escape.
pub(super) fn yaml(value: &impl serde::Serialize) -> anyhow::Result<String> {
    let written = serde_yaml::to_string(value)?;
    if !visible::is_hidden_in(&written) {
        return Ok(written);
    }
    let marked = marked(serde_yaml::to_value(value)?);
    Ok(visible::unmarked(&serde_yaml::to_string(&marked)?))
}

fn marked(value: serde_yaml::Value) -> serde_yaml::Value {
    use serde_yaml::Value;
    match value {
        Value::String(text) => Value::String(visible::marked(&text)),
        Value::Sequence(items) => items.into_iter().map(marked).collect(),
        Value::Mapping(fields) => Value::Mapping(
            fields.into_iter().map(|(name, value)| (marked(name), marked(value))).collect(),
        ),
        other => other,
    }
}

/// No line of this process says these any more.
pub(super) fn hide(secrets: &crate::report::mask::SecretSet) {
    redaction::hide(secrets);
}

/// A text without secrets.
pub(super) fn hushed(text: &str) -> String {
    redaction::hushed(text)
}

/// Data without secrets.
pub(super) fn hushed_value(value: serde_json::Value) -> serde_json::Value {
    redaction::hushed_value(value)
}

/// Says something to people, on standard error, without secrets.
pub(super) fn note(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(anstream::stderr().lock(), "{}", redaction::hushed_coloured(text)));
}

/// The form of data that a command line asks for, also where it is not understood.
pub(super) fn asked_for(words: impl Iterator<Item = std::ffi::OsString>) -> Format {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let after = |place: usize| words.get(place + 1).map(String::as_str);
    let mut said = words.iter().enumerate().rev().filter_map(|(place, word)| match word.as_str() {
        "-o" | "--output" => after(place),
        word => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")),
    });
    match said.next().map(|word| word.trim_start_matches('=')) {
        Some("json") => Format::Json,
        Some("yaml") => Format::Yaml,
        _ => Format::Text,
    }
}

/// Says why a command failed, and what to do. Who asked for data is told as data too.
pub(super) fn complain(error: &anyhow::Error, format: Format, here: &std::path::Path) -> ExitCode {
    if let Some(Problems(problems)) = error.downcast_ref::<Problems>() {
        self::problems(problems, &caret::of_disk(&[here]));
        let first = problems.0.first().map_or_else(String::new, ToString::to_string);
        complain_as_data(format, &first, None, &problems.0);
        return ExitCode::FAILURE;
    }
    let style = anstyle::AnsiColor::Red.on_default().bold();
    note(&format!("{style}error{style:#}: {error:#}"));
    let once = error.downcast_ref::<crate::oneshot::OnceError>();
    let start = error.downcast_ref::<crate::daemon::StartError>();
    let help = error
        .downcast_ref::<Advised>()
        .map(|advised| advised.help.clone())
        .or_else(|| once.and_then(crate::oneshot::OnceError::help))
        .or_else(|| start.and_then(crate::daemon::StartError::help));
    if let Some(help) = &help {
        note(&format!("  help: {help}"));
    }
    complain_as_data(format, &format!("{error:#}"), help.as_deref(), &[]);
    ExitCode::FAILURE
}

/// An error as data, on standard output: `{error: {message, help, problems}}`.
pub(super) fn complain_as_data(
    format: Format,
    message: &str,
    help: Option<&str>,
    problems: &[crate::model::Diagnostic],
) {
    let value = || {
        serde_json::json!({
            "error": { "message": message, "help": help, "problems": problems },
        })
    };
    if format != Format::Text && show(format, value, String::new).is_err() {
        note("the error could not be written as data");
    }
}

/// Sends log lines to standard error; `RUST_LOG` says how many.
pub(super) fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,hyper=warn,russh=warn,reqwest=warn"));
    let coloured = matches!(format, LogFormat::Text) && colour();
    let is_json = matches!(format, LogFormat::Json);
    let writer = move || Discreet { coloured, is_json };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let done = match format {
        // Colours come last: those of others are shown as what they are.
        LogFormat::Text => lines.with_ansi(false).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if let Err(error) = done {
        note(&format!("cannot log: {error}"));
    }
}

/// Standard error, without secrets. Each write is a whole event.
struct Discreet {
    coloured: bool,
    is_json: bool,
}

/// An event with its level in colour, which stands behind the time.
fn painted(event: &str) -> Option<String> {
    use anstyle::AnsiColor::{Blue, Green, Magenta, Red, Yellow};
    let levels =
        [("ERROR", Red), ("WARN", Yellow), ("INFO", Green), ("DEBUG", Blue), ("TRACE", Magenta)];
    let (time, rest) = event.split_once(' ')?;
    let rest = rest.trim_start();
    let (level, colour) = levels.into_iter().find(|(level, _)| rest.starts_with(level))?;
    let (style, said) = (colour.on_default(), rest.strip_prefix(level)?);
    Some(format!("{time} {style}{level:>5}{style:#}{said}"))
}

impl std::io::Write for Discreet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let event = String::from_utf8_lossy(bytes);
        // An event is one line: what it quotes begins no other.
        let inside = event.strip_suffix('\n').unwrap_or(&event).replace('\n', "\\n");
        // JSON has its own way to write what acts; what it has written so is left as it is.
        let inside = if self.is_json { visible::json(&inside).into_owned() } else { inside };
        let text = redaction::hushed(&inside);
        let text = self.coloured.then(|| painted(&text)).flatten().unwrap_or(text);
        std::io::stderr().lock().write_all(format!("{text}\n").as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Whether standard output is a terminal.
pub(super) fn is_screen() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdout().is_terminal()
}

/// Whether standard error wants colour.
pub(super) fn colour() -> bool {
    use std::io::IsTerminal as _;
    let choice = anstream::AutoStream::choice(&std::io::stderr());
    std::io::stderr().is_terminal() && choice != anstream::ColorChoice::Never
}

/// Adds a line to a text.
pub(super) fn push(text: &mut String, line: &str) {
    // Writing into a String cannot fail.
    if writeln!(text, "{line}").is_err() {
        text.push('\n');
    }
}

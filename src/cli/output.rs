//! What goes to the terminal.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use crate::model::Diagnostics;

/// How a command prints its data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Writes a result.
pub(super) fn result(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Writes a line about a problem. A closed standard error has no reader left to tell.
pub(super) fn problem(text: &str) {
    let mut out = anstream::stderr().lock();
    drop(writeln!(out, "{text}"));
}

/// Writes all problems, and how many errors there are.
pub(super) fn problems(problems: &Diagnostics) {
    for diagnostic in &problems.0 {
        problem(&diagnostic.to_string());
    }
}

/// Data as JSON text, indented.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

/// Data as YAML text.
pub(super) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(value)?)
}

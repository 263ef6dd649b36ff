//! `moorline validate`: every problem in the fleet file and the manifests.

use std::process::ExitCode;

use super::{Format, Surroundings, output, render};

/// Arguments of `validate`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    project: render::Args,
}

/// Runs the command.
pub(super) fn run(args: &Args, surroundings: &Surroundings) -> anyhow::Result<ExitCode> {
    let loaded = render::load_from_disk(&args.project, surroundings)?;
    let problems = &loaded.problems;
    match args.project.output() {
        Format::Text => output::problems(problems),
        Format::Json => output::print_lines(&output::json(problems)?)?,
        Format::Yaml => output::print_lines(&output::yaml(problems)?)?,
    }
    if problems.has_errors() {
        return Ok(ExitCode::FAILURE);
    }
    if args.project.output() == Format::Text {
        let services = loaded.project.map_or(0, |project| project.services.len());
        output::print_lines(&format!(
            "no errors in {} files, {services} services",
            loaded.files_used.len()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

//! The commands: arguments in, text out. Results go to standard output, problems to standard error.

mod disk;
mod output;
mod render;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use disk::DiskFiles;
pub use output::OutputFormat;

/// Keeps Docker hosts at what Git says.
#[derive(Debug, Parser)]
#[command(name = "moorline", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print the Compose model after interpolation, merge and normalisation; needs neither host nor Git
    Render(render::Args),
    /// Report every problem in the fleet file and the manifests
    Validate(validate::Args),
}

/// What a command is given by the process: nothing else of the process is read.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The working directory.
    pub folder: PathBuf,
    /// The home folder, for paths that begin with `~`.
    pub home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> anyhow::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the process's surroundings are read once, here"
        )]
        let (folder, home) = (std::env::current_dir()?, std::env::var("HOME").ok());
        Ok(Self { folder, home: home.map(PathBuf::from) })
    }
}

/// Parses the arguments of the process, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::problem(&format!("moorline: error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_process()?;
    match cli.command {
        Command::Render(args) => render::run(&args, &surroundings),
        Command::Validate(args) => validate::run(&args, &surroundings),
    }
}

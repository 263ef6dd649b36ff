//! The command line: arguments in, text out. Data goes to standard output, everything else to standard error.

mod commands;
mod disk;
mod down;
mod everyday;
mod listener;
mod options;
mod orders;
mod output;
mod planned;
mod progress;
mod render;
mod secret_files;
mod signals;
mod standing;
mod story;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::oneshot::hands::Renew;

use options::{Chosen, Global, Stacks, Variables};
use output::Output;

pub use disk::DiskFiles;
pub use output::Format;

/// GitOps for plain Docker hosts: keeps stacks of Compose files at what Git says.
#[derive(Debug, Parser)]
#[command(name = "moorline", version, about, max_term_width = 100, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the repositories and keep the hosts at what they say, until stopped.
    Run {
        /// Keep only this host of the settings; statuses are called `moorline/STACK@HOST`.
        #[arg(long, value_name = "HOST", env = "MOORLINE_AS_HOST")]
        as_host: Option<String>,
    },
    /// Run one pass now, then exit.
    Sync {
        #[command(flatten)]
        stacks: Stacks,
        #[command(flatten)]
        by_hand: orders::ByHand,
        #[command(flatten)]
        variables: Variables,
        #[command(flatten)]
        output: Output,
    },
    /// Say what a pass would do, and why. Exits with 0 when in sync, 2 when not.
    Plan(planned::PlanArgs),
    /// Show how the hosts differ from Git, field by field. Exits with 0 when in sync, 2 when not.
    Drift {
        #[command(flatten)]
        stacks: Stacks,
        #[command(flatten)]
        output: Output,
    },
    /// Show what runs where, at which revision.
    Status {
        #[command(flatten)]
        stacks: Stacks,
        /// Name every host, however many there are.
        #[arg(long)]
        all: bool,
        /// Go on looking, and show what changed, until stopped.
        #[arg(short, long)]
        watch: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show the hosts: reachable, version, capacity, stacks, how they stand.
    Hosts {
        #[command(flatten)]
        output: Output,
    },
    /// Leave stacks or hosts alone until it is resumed or ends by itself; they are still looked at.
    Suspend(orders::SuspendArgs),
    /// End suspensions and rollbacks.
    Resume(orders::ResumeArgs),
    /// Keep a stack at an earlier commit until a later one changes it, it is resumed or it ends by itself.
    Rollback(orders::RollbackArgs),
    /// Remove one stack from its hosts, keep its data, and leave it suspended.
    Down(down::DownArgs),
    /// Show what was done, the latest last.
    History(story::HistoryArgs),
    /// Show what happens: commits, hosts, verdicts, passes, orders.
    Events(story::EventsArgs),
    /// Print what the hosts run, as data: the input of `plan --observed`. Holds the containers' environment.
    Observe {
        #[command(flatten)]
        stacks: Stacks,
        #[command(flatten)]
        output: Output,
    },
    /// Print the Compose model after interpolation, merge and normalisation; needs neither host nor Git.
    Render(render::Args),
    /// Report every problem in the fleet file and the manifests.
    Validate(validate::Args),
    /// Show what a stack's containers wrote, on all of its hosts.
    Logs(everyday::logs::LogsArgs),
    /// Restart a stack's containers, one after the other, each when the one before is healthy.
    Restart(everyday::hands::RestartArgs),
    /// Fetch the images of stacks anew, and replace the containers whose image is another one.
    Pull(everyday::hands::RenewArgs),
    /// Build the images of stacks anew, and replace the containers whose image is another one.
    Rebuild(everyday::hands::RenewArgs),
    /// Wait until stacks are in sync and healthy. Exits with 1 when they are not in time.
    Wait(everyday::wait::WaitArgs),
    /// Name images of which the registry has newer ones. Exits with 0 when there is none, 2 when there is.
    Outdated(everyday::outdated::OutdatedArgs),
    /// Show what the repository asks for: stacks, where they run, and their services.
    Tree(everyday::tree::TreeArgs),
    /// Compare what two commits ask for. Exits with 0 when it is the same, 2 when not.
    Diff(everyday::compare::DiffArgs),
    /// Write a fleet from the Compose projects that run, or from folders of Compose files. Changes nothing on a host.
    Import(everyday::import::ImportArgs),
    /// Say whether repositories, forges and hosts can be reached, and what the tokens lack. Changes nothing.
    Doctor {
        #[command(flatten)]
        output: Output,
    },
    /// Print what a shell reads to complete commands, options, and names of stacks, services and hosts.
    Completions {
        /// The shell.
        shell: everyday::complete::Shell,
    },
    /// Print a manual page: of the program, or of a command.
    Man {
        /// The command.
        #[arg(value_name = "COMMAND")]
        about: Option<String>,
        /// Write the pages of all commands into this folder.
        #[arg(long, value_name = "FOLDER", conflicts_with = "about")]
        into: Option<PathBuf>,
    },
    /// Print what may come next on a command line.
    #[command(hide = true)]
    Complete {
        /// The words so far, the last one as far as it was typed.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let format = output::asked_for(std::env::args_os());
    let matches = command_line().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return misread(&error, format),
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error, format, &options::working_folder().unwrap_or_default())
        }
    }
}

/// The command line: of a command, help shows its own options; those of all commands stand in the program's.
pub(crate) fn command_line() -> clap::Command {
    let shared = Arguments::command();
    let shared = shared.get_arguments().filter(|arg| arg.is_global_set()).cloned();
    let mut alone = clap::Command::new("moorline")
        .disable_help_flag(true)
        .max_term_width(100)
        .help_template("{options}")
        .args(shared.map(|arg| arg.global(false)));
    let told = format!("Options of all commands:\n{}", alone.render_help());
    Arguments::command()
        .mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg })
        .mut_subcommands(|one| one.after_help(OPTIONS_ELSEWHERE))
        .after_help(told)
}

/// The same with what each command takes over from the program.
pub(crate) fn built() -> clap::Command {
    let mut command = command_line();
    command.build();
    command
}

/// What stands below the help of each command.
const OPTIONS_ELSEWHERE: &str =
    "Options of all commands, such as --settings and --host: `moorline --help`.";

/// Help and version are what was asked for. Anything else is an error like all others: 2 says that hosts differ.
fn misread(error: &clap::Error, format: Format) -> ExitCode {
    let told = error.print().is_ok();
    if error.use_stderr() && format != Format::Text {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        output::complain_as_data(format, text.trim(), None, &[]);
    }
    if told && !error.use_stderr() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Render(args) => render::run(&args, &Surroundings::of_process()?),
        Command::Validate(args) => validate::run(&args, &global, &Surroundings::of_process()?),
        Command::Completions { shell } => {
            output::print(everyday::complete::script(shell))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Complete { words } => everyday::complete::run(&global, &built(), &words),
        Command::Man { about, into } => {
            everyday::manual::run(&built(), about.as_deref(), into.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { as_host } => {
            let setup = global.setup(as_host.as_deref())?;
            output::log_to_stderr(global.log_format);
            commands::follow(setup)
        }
        Command::Sync { stacks, by_hand, variables, output } => {
            let mut chosen = Chosen::new(&global, &stacks, None)?.with(&variables)?;
            let mode = by_hand.prepare(&mut chosen)?;
            commands::sync(&chosen, mode, output.format)
        }
        Command::Plan(args) => planned::run(&global, &args),
        Command::Drift { stacks, output } => {
            commands::drift(&Chosen::new(&global, &stacks, None)?, output.format)
        }
        Command::Status { stacks, all, watch, output } => {
            let chosen = Chosen::new(&global, &stacks, None)?;
            if watch {
                return standing::watch(&chosen, all, output.format);
            }
            standing::status(&chosen, all, output.format)
        }
        Command::Doctor { output } => {
            commands::doctor(&Chosen::new(&global, &Stacks::default(), None)?, output.format)
        }
        Command::Hosts { output } => {
            standing::glance::hosts(&Chosen::new(&global, &Stacks::of(&[]), None)?, output.format)
        }
        Command::Logs(args) => everyday::logs::run(&global, &args),
        Command::Restart(args) => everyday::hands::restart(&global, &args),
        Command::Pull(args) => everyday::hands::renew(&global, &args, Renew::Pulled),
        Command::Rebuild(args) => everyday::hands::renew(&global, &args, Renew::Built),
        Command::Wait(args) => everyday::wait::run(&global, &args),
        Command::Outdated(args) => everyday::outdated::run(&global, &args),
        Command::Tree(args) => everyday::tree::run(&global, &args),
        Command::Diff(args) => everyday::compare::run(&global, &args),
        Command::Import(args) => everyday::import::run(&global, &args),
        Command::Suspend(args) => orders::suspend(&global, &args),
        Command::Resume(args) => orders::resume(&global, &args),
        Command::Rollback(args) => orders::rollback(&global, &args),
        Command::Down(args) => down::down(&global, &args),
        Command::History(args) => story::history(&global, &args),
        Command::Events(args) => story::events(&global, &args),
        Command::Observe { stacks, output } => {
            commands::observe(&Chosen::new(&global, &stacks, None)?, output.format)
        }
    }
}

/// What a command is given by the process: nothing else of the process is read.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The working folder.
    pub folder: PathBuf,
    /// The home folder, for paths that begin with `~`.
    pub home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> anyhow::Result<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Ok(Self { folder: options::working_folder()?, home })
    }
}

//! Manual pages: one of the program, one a command.

use std::path::Path;

use anyhow::Context as _;
use clap::Command;

use crate::cli::output::{advised, print};

/// Prints the page of the program or of a command; with `into`, writes all of them.
pub(in crate::cli) fn run(
    command: &Command,
    about: Option<&str>,
    into: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(folder) = into {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        write(folder, "moorline", command)?;
        for sub in commands(command) {
            write(folder, &format!("moorline-{}", sub.get_name()), sub)?;
        }
        return Ok(());
    }
    let text = match about {
        None => page(command)?,
        Some(name) => {
            let found = commands(command).find(|sub| sub.get_name() == name).ok_or_else(|| {
                let known: Vec<&str> = commands(command).map(Command::get_name).collect();
                let error = anyhow::anyhow!("there is no command {name}");
                advised(error, &format!("there are: {}", known.join(", ")))
            })?;
            page(found)?
        }
    };
    print(&text)
}

/// The commands that people know of.
fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn write(folder: &Path, name: &str, command: &Command) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn page(command: &Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

//! Process entry: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    moorline::cli::main()
}

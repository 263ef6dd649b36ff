//! Process entry: parse, run, exit code.

fn main() {}

//! Variables of env files: of the project, of what it includes, and from outside.

use std::collections::btree_map::Entry;

use super::files::join;
use super::interpolate::Env;
use super::loader::{Loader, texts};
use super::text::dotenv::{self, Variable, Variables};
use crate::model::{Diagnostic, Location};
use crate::yaml::Node;

impl Loader<'_> {
    /// Adds the variables of an include's env files that are not set already.
    ///
    /// An include without `env_file` takes the `.env` of its own folder (Compose Specification, "Include"), so that a
    /// part of a stack brings its defaults with it.
    pub(super) fn include_env(
        &mut self,
        include: &Node,
        folder: &str,
        directory: &str,
        env: &mut Env,
    ) -> Option<()> {
        let given = texts(include.get("env_file"));
        let mut variables = Variables::new();
        if given.is_empty() {
            let default = join(directory, ".env");
            if self.files.read(&default).is_ok() {
                self.env_file(&default, None, env, &mut variables)?;
            }
        }
        for file in given {
            let text = file.as_text().unwrap_or_default();
            if text != "/dev/null" {
                self.env_file(&join(folder, text), Some(file), env, &mut variables)?;
            }
        }
        self.adopt(variables, env);
        Some(())
    }

    /// Adds variables of env files that are not set already.
    ///
    /// First come, first served: the including project's variables were there before.
    pub(super) fn adopt(&mut self, variables: Variables, env: &mut Env) {
        for (name, variable) in variables {
            let Entry::Vacant(free) = env.entry(name) else { continue };
            let Variable { value, file, line, unset } = variable;
            if !unset.is_empty() {
                let location = Location { file: file.to_string(), line, column: 1 };
                self.unset.note_variable(free.key(), &unset, &location);
            }
            free.insert(value);
        }
    }

    /// Reads the text of an env file from outside. What it refers to may come from `env`.
    pub(super) fn give(&mut self, (file, text): (&str, &str), env: &Env) {
        let mut variables = Variables::new();
        let outside = |name: &str| env.get(name).map(String::as_str);
        match dotenv::parse((&file.into(), text), &outside, &mut variables, self.budget) {
            Ok(()) => self.sealed.note(&variables),
            Err(problem) => {
                let location = Location { file: file.to_owned(), line: problem.line, column: 0 };
                self.problems.push(Diagnostic::error(location, problem.message));
            }
        }
        for (name, variable) in variables {
            let Variable { value, file, line, unset } = variable;
            let location = Location { file: file.to_string(), line, column: 1 };
            self.unset.note_variable(&name, &unset, &location);
            self.given.insert(name, value);
        }
    }

    /// Reads an env file into `variables`.
    pub(super) fn env_file(
        &mut self,
        path: &str,
        asked_at: Option<&Node>,
        env: &Env,
        variables: &mut Variables,
    ) -> Option<()> {
        if self.budget.over().is_some() {
            return None;
        }
        let bytes = self.read(path, asked_at)?;
        let shown = self.files.show(path);
        let Ok(text) = std::str::from_utf8(&bytes) else {
            self.problems.push(Diagnostic::error(Location::file(shown), "it is not UTF-8 text"));
            return None;
        };
        let unset = &self.unset;
        let outside = |name: &str| {
            unset.asks(name);
            env.get(name).map(String::as_str)
        };
        match dotenv::parse((&shown.as_str().into(), text), &outside, variables, self.budget) {
            Ok(()) => {
                if self.may_be_sealed {
                    self.sealed.note(variables);
                }
                Some(())
            }
            Err(problem) => {
                let location = Location { file: shown, line: problem.line, column: 0 };
                self.problems.push(Diagnostic::error(location, problem.message));
                None
            }
        }
    }
}

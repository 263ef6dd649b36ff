//! Problems of files, each with its line and a caret under the place.

use std::path::Path;

use crate::drift::is_secret_name;
use crate::model::{Diagnostic, Diagnostics, Severity};
use crate::report::mask::{SecretSet, mask_line};
use crate::report::visible;

/// The longest part of a line that is shown.
const LONGEST: usize = 160;

/// The text of manifests of this machine, named as problems name them: relative to one of these folders. Env files are none:
/// what stands in them is nobody's business.
pub(in crate::cli) fn of_disk<'f>(folders: &'f [&'f Path]) -> impl Fn(&str) -> Option<String> + 'f {
    move |file| {
        let is_yaml = Path::new(file).extension().is_some_and(|end| end == "yaml" || end == "yml");
        let mut texts = folders.iter().map(|folder| folder.join(file));
        texts.find_map(|path| std::fs::read_to_string(path).ok().filter(|_| is_yaml))
    }
}

/// All problems; `text_of` gives a file's text by the name that problems call it by.
pub(in crate::cli) fn all(
    problems: &Diagnostics,
    text_of: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let one = |problem: &Diagnostic| told(problem, text_of(&problem.location.file).as_deref());
    let mut said: Vec<String> = problems.0.iter().map(one).collect();
    let count = |severity| problems.0.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 1 {
        said.push(format!("{}, {}", number(errors, "error"), number(warnings, "warning")));
    }
    said
}

fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A problem with its line, where that is known.
fn told(problem: &Diagnostic, text: Option<&str>) -> String {
    let said = problem.to_string();
    let Some(line) = line_of(problem, text) else { return said };
    // The line stands under the sentence, before the advice.
    let (head, help) = said.split_once('\n').unwrap_or((&said, ""));
    let help = if help.is_empty() { String::new() } else { format!("\n{help}") };
    format!("{head}\n{line}{help}")
}

fn line_of(problem: &Diagnostic, text: Option<&str>) -> Option<String> {
    let place = &problem.location;
    let number = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let line = text?.lines().nth(number).filter(|line| !may_tell_a_secret(line))?;
    let shown: String = visible::line(line).chars().take(LONGEST).collect();
    let column = usize::try_from(place.column).ok()?.saturating_sub(1);
    if shown.chars().count() < column {
        return None;
    }
    let margin = " ".repeat(place.line.to_string().len());
    // Tabs stay tabs, so that the caret stands where they put it.
    let blank: String =
        shown.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    Some(format!("  {} | {shown}\n  {margin} | {blank}^", place.line))
}

/// Whether a line may hold what nobody is to read: by a name in it, by what a word looks like, or as the login of an
/// address. Such a line is not shown; its place is named all the same.
fn may_tell_a_secret(line: &str) -> bool {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)));
    let mut addresses = line.split("://").skip(1);
    words.any(is_secret_name)
        || addresses
            .any(|rest| rest.split(['/', ' ', '"', '\'']).next().is_some_and(|it| it.contains('@')))
        || mask_line(line, &SecretSet::default()) != line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Location;

    #[test]
    fn the_caret_stands_under_the_place() {
        let place = Location { file: "compose.yaml".to_owned(), line: 2, column: 3 };
        let problem = Diagnostic::error(place, "unknown attribute").help("there is `image`");
        let said = told(&problem, Some("services:\n  imag: x\n"));
        assert!(said.contains("  2 |   imag: x\n    |   ^"), "{said}");
        assert!(said.ends_with("there is `image`"), "{said}");
    }

    #[test]
    fn a_line_that_may_tell_a_secret_is_not_shown() {
        for line in [
            "url: \"https://bob-word@127.0.0.1/x\"",
            "url: https://u:p@host/x",
            "DB_PASSWORD: hunter2",
            "- API_KEY=abc",
            "image: ghp_0123456789abcdefghijABCDEFGHIJ",
        ] {
            assert!(may_tell_a_secret(line), "{line}");
        }
        for line in ["image: app@sha256:00", "  ports: [\"80:80\"]", "url: https://host/a@b"] {
            assert!(!may_tell_a_secret(line), "{line}");
        }
    }
}

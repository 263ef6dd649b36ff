//! `.dockerignore`: which files of a folder do not belong to a build's context.
//!
//! The rules of the Docker command line: one pattern a line, `#` begins a comment, a later line overrides an earlier
//! one, `!` takes back, `*` and `?` stay within one part of a path, `**` stands for any number of parts, and a
//! pattern that fits a folder fits everything below it.

/// The lines of an ignore file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    keeps: bool,
    parts: Vec<String>,
}

impl Patterns {
    /// Reads an ignore file.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        Self(lines.filter(|line| !line.is_empty()).filter_map(pattern).collect())
    }

    /// Whether a file, by its path below the context, is left out.
    pub(super) fn ignores(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut ignored = false;
        for Pattern { keeps, parts: pattern } in &self.0 {
            // A pattern that fits a folder fits what is below it.
            let fits = (1..=parts.len())
                .any(|depth| parts.get(..depth).is_some_and(|above| fits(pattern, above)));
            if fits {
                ignored = !keeps;
            }
        }
        ignored
    }
}

fn pattern(line: &str) -> Option<Pattern> {
    let (keeps, rest) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let mut parts: Vec<String> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part.to_owned()),
        }
    }
    (!parts.is_empty()).then_some(Pattern { keeps, parts })
}

fn fits(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((head, rest)), _) if head == "**" => {
            fits(rest, path) || path.split_first().is_some_and(|(_, below)| fits(pattern, below))
        }
        (Some(_), None) => false,
        (Some((head, rest)), Some((part, below))) => {
            let (head, part): (Vec<char>, Vec<char>) =
                (head.chars().collect(), part.chars().collect());
            part_fits(&head, &part) && fits(rest, below)
        }
    }
}

fn part_fits(pattern: &[char], text: &[char]) -> bool {
    let Some((head, rest)) = pattern.split_first() else { return text.is_empty() };
    match head {
        '*' => {
            let rest = rest
                .iter()
                .position(|c| *c != '*')
                .map_or(&[][..], |at| rest.get(at..).unwrap_or_default());
            (0..=text.len())
                .any(|taken| text.get(taken..).is_some_and(|tail| part_fits(rest, tail)))
        }
        '?' => text.split_first().is_some_and(|(_, tail)| part_fits(rest, tail)),
        '[' => set_fits(rest, text),
        '\\' => match (rest.split_first(), text.split_first()) {
            (Some((escaped, rest)), Some((c, tail))) => escaped == c && part_fits(rest, tail),
            (_, _) => false,
        },
        plain => text.split_first().is_some_and(|(c, tail)| c == plain && part_fits(rest, tail)),
    }
}

/// `[a-z]`, `[^a]`.
fn set_fits(pattern: &[char], text: &[char]) -> bool {
    let Some(end) = pattern.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else {
        return false;
    };
    let (Some(set), Some(rest)) = (pattern.get(..end), pattern.get(end + 1..)) else {
        return false;
    };
    let Some((c, tail)) = text.split_first() else { return false };
    let (negated, set) = match set.split_first() {
        Some(('^', set)) => (true, set),
        _ => (false, set),
    };
    let mut inside = false;
    let mut at = 0;
    while let Some(from) = set.get(at) {
        match (set.get(at + 1), set.get(at + 2)) {
            (Some('-'), Some(to)) => {
                inside |= from <= c && c <= to;
                at += 3;
            }
            (_, _) => {
                inside |= from == c;
                at += 1;
            }
        }
    }
    inside != negated && part_fits(rest, tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_fits_decides() {
        let patterns = Patterns::parse("# all\n*.md\n!README.md\nnode_modules\n**/*.log\n/tmp/*\n");
        for (path, ignored) in [
            ("a.md", true),
            ("README.md", false),
            ("docs/a.md", false),
            ("node_modules/x/y.js", true),
            ("src/node_modules/x", false),
            ("deep/er/x.log", true),
            ("x.log", true),
            ("tmp/x", true),
            ("src/main.rs", false),
        ] {
            assert_eq!(patterns.ignores(path), ignored, "{path}");
        }
    }

    #[test]
    fn what_is_taken_back_below_an_ignored_folder_stays() {
        let patterns = Patterns::parse("*\n!src/**\n!Cargo.[a-t]*\n");
        assert!(!patterns.ignores("src/a/b.rs") && !patterns.ignores("Cargo.toml"));
        assert!(patterns.ignores("target/x") && patterns.ignores("README.md"));
    }
}

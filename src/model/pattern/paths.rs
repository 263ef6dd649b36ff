//! Patterns of ignore files: which paths of a folder they name.
//!
//! The rules are those of the Docker command line (its package `patternmatcher`): one pattern a line, `#` begins a
//! comment, a later line overrides an earlier one, `!` takes back, `*` and `?` stay within one part of a path, `**`
//! stands for any number of parts, `\` takes the next character literally, and what fits a folder fits all below it.
//!
//! A pattern is walked as a set of places where it may stand: each character of a path moves all of them once. That
//! costs at most the pattern's length for each character, where trying one way after the other costs a power of it.

/// The longest pattern, in characters: no path that it could fit is longer.
const LONGEST: usize = 4096;

/// The lines of an ignore file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<Line>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    keeps: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// This character.
    One(char),
    /// `?`: any character of a part.
    Any,
    /// `[a-z]`, `[^a]`: a character of a part, by ranges.
    Set { negated: bool, ranges: Vec<(char, char)> },
    /// `*`: any run within a part.
    Run,
    /// `**/`: any number of whole parts.
    Parts,
    /// `**` at the end: everything that follows.
    Rest,
}

impl Paths {
    /// Reads an ignore file. A line with a `[` that is never closed fits nothing, nor does one that is
    /// longer than any path.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        Self(lines.filter_map(line).collect())
    }

    /// Whether a file, by its path below the folder, is named; and how many moves it took to tell.
    pub fn name(&self, path: &str) -> (bool, u64) {
        let (mut named, mut moves) = (false, 0);
        let mut walk = Walk::default();
        for Line { keeps, tokens } in &self.0 {
            moves += 1;
            // Only a line that would change the answer is looked at.
            if named == *keeps && walk.fits(tokens, path) {
                named = !keeps;
            }
            moves += std::mem::take(&mut walk.moves);
        }
        (named, moves)
    }
}

fn line(text: &str) -> Option<Line> {
    let (keeps, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then_some(())?;
    Some(Line { keeps, tokens: tokens(&parts.join("/"))? })
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        let token = match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                while rest.next_if_eq(&'*').is_some() {}
                rest.next_if_eq(&'/');
                if rest.peek().is_some() { Token::Parts } else { Token::Rest }
            }
            '*' => Token::Run,
            '?' => Token::Any,
            '[' => set(&mut rest)?,
            '\\' => Token::One(rest.next()?),
            c => Token::One(c),
        };
        // Any number twice is any number.
        let is_any_number = matches!(token, Token::Run | Token::Parts | Token::Rest);
        if !is_any_number || tokens.last() != Some(&token) {
            tokens.push(token);
        }
        if tokens.len() > LONGEST {
            return None;
        }
    }
    Some(tokens)
}

/// What follows a `[`. The first character of a set may be a `]`.
fn set(rest: &mut impl Iterator<Item = char>) -> Option<Token> {
    let mut inside: Vec<char> = Vec::new();
    loop {
        match rest.next()? {
            ']' if !inside.is_empty() => break,
            c => inside.push(c),
        }
    }
    let negated = inside.first() == Some(&'^');
    let mut left = inside.get(usize::from(negated)..).unwrap_or_default();
    let mut ranges = Vec::new();
    while let [from, after @ ..] = left {
        left = match after {
            ['-', to, after @ ..] => {
                ranges.push((*from, *to));
                after
            }
            after => {
                ranges.push((*from, *from));
                after
            }
        };
    }
    Some(Token::Set { negated, ranges })
}

/// The places of a pattern that a path has reached.
#[derive(Debug, Default)]
struct Walk {
    here: Vec<usize>,
    next: Vec<usize>,
    moves: u64,
}

impl Walk {
    fn fits(&mut self, tokens: &[Token], path: &str) -> bool {
        self.here.clear();
        reach(tokens, &mut self.here, 0, true);
        for c in path.chars() {
            // A pattern that fits a folder fits what is below it.
            if c == '/' && self.has_ended(tokens) {
                return true;
            }
            self.next.clear();
            for at in self.here.drain(..) {
                self.moves += 1;
                let Some(token) = tokens.get(at) else { continue };
                match token {
                    Token::One(wanted) if *wanted == c => {
                        reach(tokens, &mut self.next, at + 1, true);
                    }
                    Token::Any if c != '/' => reach(tokens, &mut self.next, at + 1, true),
                    Token::Set { negated, ranges } if c != '/' => {
                        if ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated {
                            reach(tokens, &mut self.next, at + 1, true);
                        }
                        self.moves += ranges.len() as u64;
                    }
                    Token::Run if c != '/' => reach(tokens, &mut self.next, at, true),
                    Token::Rest => reach(tokens, &mut self.next, at, true),
                    // Whole parts: what follows begins after a slash.
                    Token::Parts => reach(tokens, &mut self.next, at, c == '/'),
                    Token::One(_) | Token::Any | Token::Set { .. } | Token::Run => {}
                }
            }
            std::mem::swap(&mut self.here, &mut self.next);
            if self.here.is_empty() {
                return false;
            }
        }
        self.has_ended(tokens)
    }

    fn has_ended(&self, tokens: &[Token]) -> bool {
        self.here.last() == Some(&tokens.len())
    }
}

/// Adds a place, and, where it may be left at once, those that can be reached without a character. Places are added in
/// order, and each with all that it leads to: one that is not behind the last is there already.
fn reach(tokens: &[Token], places: &mut Vec<usize>, from: usize, may_leave: bool) {
    let mut at = from;
    loop {
        if places.last().is_none_or(|last| *last < at) {
            places.push(at);
        }
        match tokens.get(at) {
            Some(Token::Run | Token::Rest | Token::Parts) if may_leave => at += 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::texts;
    use super::*;

    fn names(lines: &str, path: &str) -> bool {
        Paths::parse(lines).name(path).0
    }

    /// The same rules for one line, tried one way after the other.
    fn slow(pattern: &[u8], path: &[u8]) -> bool {
        let tail = |n: usize| &pattern[n..];
        match (pattern, path) {
            ([], _) => matches!(path, [] | [b'/', ..]),
            ([b'*', b'*'], _) => true,
            ([b'*', b'*', rest @ ..], _) => {
                let after = rest.strip_prefix(b"/").unwrap_or(rest);
                let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
                slow(after, path) || slashes.into_iter().any(|at| slow(after, &path[at + 1..]))
            }
            ([b'*', ..], _) => {
                let run = path.iter().take_while(|c| **c != b'/').count();
                (0..=run).any(|at| slow(tail(1), &path[at..]))
            }
            ([b'?', ..], [c, rest @ ..]) => *c != b'/' && slow(tail(1), rest),
            ([wanted, ..], [c, rest @ ..]) => wanted == c && slow(tail(1), rest),
            (_, []) => false,
        }
    }

    #[test]
    fn every_short_pattern_names_what_the_slow_way_says() {
        let is_path =
            |text: &&String| !text.is_empty() && text.split('/').all(|part| !part.is_empty());
        let paths = texts(b"ab/", 6);
        for pattern in texts(b"ab*?/", 5).iter().filter(is_path).filter(|p| !p.contains("***")) {
            let patterns = Paths::parse(pattern);
            for path in paths.iter().filter(is_path) {
                let expected = slow(pattern.as_bytes(), path.as_bytes());
                assert_eq!(patterns.name(path).0, expected, "{pattern} {path}");
            }
        }
    }

    #[test]
    fn the_last_line_that_fits_decides() {
        let lines = "# all\n*.md\n!README.md\nnode_modules\n**/*.log\n/tmp/*\n[]x]\n\\*y\n";
        for (path, named) in [
            ("a.md", true),
            ("README.md", false),
            ("docs/a.md", false),
            ("node_modules/x/y.js", true),
            ("src/node_modules/x", false),
            ("deep/er/x.log", true),
            ("x.log", true),
            ("tmp/x", true),
            ("src/main.rs", false),
            ("]", true),
            ("x/y", true),
            ("*y", true),
            ("yy", false),
        ] {
            assert_eq!(names(lines, path), named, "{path}");
        }
        assert!(!names("[ab", "a"));
    }

    #[test]
    fn what_is_taken_back_below_a_named_folder_stays() {
        let lines = "*\n!src/**\n!Cargo.[a-t]*\n!x[^0-9]\n";
        assert!(!names(lines, "src/a/b.rs") && !names(lines, "Cargo.toml") && !names(lines, "xy"));
        assert!(names(lines, "target/x") && names(lines, "README.md") && names(lines, "x7"));
    }

    #[test]
    fn stars_cost_no_more_than_length_times_length() {
        let path = "a".repeat(300);
        for pattern in [
            "*".repeat(100_000),
            "*a".repeat(150) + "b",
            "**/".repeat(50_000) + "b",
            "**a".repeat(150) + "b",
            "*?".repeat(150) + "b",
            "[a-b]*".repeat(150) + "b",
        ] {
            let (named, moves) = Paths::parse(&pattern).name(&path);
            let most = 2 * (pattern.len().min(2_000) * path.len()) as u64;
            assert!(
                moves <= most,
                "{moves} moves for {}",
                pattern.chars().take(20).collect::<String>()
            );
            assert_eq!(named, !pattern.ends_with('b'));
        }
    }
}

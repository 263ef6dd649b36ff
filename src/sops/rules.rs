//! Which values of a file are encrypted: one rule a file, tried on every name of a value's path.

use regex_automata::nfa::thompson::{self, pikevm::PikeVM};

/// The rule of a file. One name that it hits suffices.
#[derive(Debug)]
pub(super) enum Rule {
    /// Encrypted is what is under no name that ends like this; nothing, where it is empty.
    UnlessSuffix(String),
    /// Encrypted is what is under a name that ends like this.
    Suffix(String),
    /// Encrypted is what is under no name that matches.
    UnlessPattern(Box<PikeVM>),
    /// Encrypted is what is under a name that matches.
    Pattern(Box<PikeVM>),
}

impl Rule {
    /// Whether a value is encrypted. `path` are the names that it is under; places in lists are none.
    pub(super) fn encrypts(&self, path: &[&str]) -> bool {
        let ends = |suffix: &String| path.iter().any(|name| name.ends_with(suffix.as_str()));
        let matches = |pattern: &PikeVM| {
            let mut cache = pattern.create_cache();
            path.iter().any(|name| pattern.is_match(&mut cache, *name))
        };
        match self {
            Self::UnlessSuffix(suffix) => suffix.is_empty() || !ends(suffix),
            Self::Suffix(suffix) => ends(suffix),
            Self::UnlessPattern(pattern) => !matches(pattern),
            Self::Pattern(pattern) => matches(pattern),
        }
    }
}

/// A pattern of Go's `regexp`, ready to be tried; an error says why it is not followed.
pub(super) fn pattern(text: &str) -> Result<Box<PikeVM>, String> {
    /// Bytes of a pattern, and of what it becomes: the file may be anybody's.
    const LONGEST: usize = 4096;
    const LARGEST: usize = 1 << 20;
    if LONGEST < text.len() {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let own = translated(text)?;
    let limits = thompson::Config::new().nfa_size_limit(Some(LARGEST));
    let built = PikeVM::builder().thompson(limits).build(&own);
    built.map(Box::new).ok().ok_or_else(|| "it is no regular expression".to_owned())
}

/// The same pattern in the words of the engine that tries it, whose classes know all alphabets where Go's know ASCII, and
/// whose sets nest where Go's do not.
/// <https://pkg.go.dev/regexp/syntax>
fn translated(text: &str) -> Result<String, String> {
    let mut own = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    // Inside `[…]`, and whether nothing stands in it yet.
    let (mut in_set, mut is_first) = (false, false);
    while let Some(c) = rest.next() {
        let was_first = std::mem::take(&mut is_first);
        match c {
            '\\' => match rest.next() {
                Some('d') => own.push_str("[0-9]"),
                Some('D') => own.push_str("[^0-9]"),
                Some('w') => own.push_str("[0-9A-Za-z_]"),
                Some('W') => own.push_str("[^0-9A-Za-z_]"),
                Some('s') => own.push_str(r"[\t\n\x0c\r ]"),
                Some('S') => own.push_str(r"[^\t\n\x0c\r ]"),
                Some(boundary @ ('b' | 'B')) if !in_set => {
                    own.extend(["(?-u:\\", &boundary.to_string(), ")"]);
                }
                Some(other @ ('Q' | 'C')) => return Err(format!("it holds \\{other}")),
                Some(other) => own.extend(['\\', other]),
                None => return Err("it ends with a backslash".to_owned()),
            },
            '[' if in_set && rest.peek() == Some(&':') => {
                own.push('[');
                for named in rest.by_ref() {
                    own.push(named);
                    if named == ']' {
                        break;
                    }
                }
            }
            '[' if in_set => own.push_str("\\["),
            '[' => {
                (in_set, is_first) = (true, true);
                own.push('[');
                own.extend(rest.next_if_eq(&'^'));
            }
            ']' if was_first => own.push_str("\\]"),
            ']' if in_set => {
                in_set = false;
                own.push(']');
            }
            '&' | '~' if in_set => own.extend(['\\', c]),
            // `--` would take one set from another.
            '-' if in_set && rest.peek() == Some(&'-') => own.push_str("\\-"),
            other => own.push(other),
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(text: &str, name: &str) -> bool {
        Rule::Pattern(pattern(text).unwrap()).encrypts(&[name])
    }

    #[test]
    fn patterns_mean_what_they_mean_to_go() {
        assert!(hits("^(data|stringData)$", "data"));
        assert!(!hits("^(data|stringData)$", "metadata"));
        assert!(hits("pass", "db_password"));
        assert!(!hits("pass", "DB_PASSWORD"));
        assert!(hits("(?i)pass", "DB_PASSWORD"));
        assert!(hits(r"^\d+$", "123"));
        assert!(!hits(r"^\d+$", "\u{663}"));
        assert!(hits(r"^[\w.]+$", "a.b_c"));
        assert!(!hits(r"^\w+$", "\u{e9}"));
        assert!(hits("^.$", "\u{e9}"));
        assert!(hits("^[^]a]+$", "bc"));
        assert!(hits("^[[a]$", "["));
        assert!(hits("^[[:alpha:]&&x]+$", "a&"));
        assert!(hits(r"\bkey\b", "my key"));
        assert!(hits("^a{2}$", "aa"));
    }

    #[test]
    fn what_is_not_followed_is_said() {
        for bad in ["(", r"\Qa", "a\\", "(?<", "[z-a]"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
        assert!(pattern("((a{100}){100}){100}").is_err());
    }

    #[test]
    fn one_name_of_the_path_suffices() {
        let rule = Rule::UnlessSuffix("_unencrypted".to_owned());
        assert!(!rule.encrypts(&["a_unencrypted", "b"]));
        assert!(rule.encrypts(&["a", "b"]));
        assert!(Rule::UnlessSuffix(String::new()).encrypts(&["a"]));
    }
}

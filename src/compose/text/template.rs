//! `$NAME`, `${NAME}` and the operators `:-`, `-`, `:+`, `+`, `:?`, `?`.

use std::collections::BTreeSet;

/// The deepest nesting of `${…}` that is followed.
/// Each level is a call: a file is to end with a problem and not with the stack.
const MAX_DEPTH: usize = 32;
/// The longest text that a template may grow to.
pub(in crate::compose) const MAX_LENGTH: usize = 1 << 20;

/// Why a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compose) enum TemplateProblem {
    /// The text from the `$` on is not a reference.
    Malformed(String),
    /// A variable with `?` has no value.
    Missing {
        /// The variable.
        name: String,
        /// What the template says about it; may be empty.
        message: String,
    },
    /// It nests or grows too much.
    TooLarge,
}

/// A text with its references filled in.
#[derive(Debug, Default)]
pub(in crate::compose) struct Filled {
    /// The text.
    pub(in crate::compose) text: String,
    /// Variables without a value that stood for nothing.
    pub(in crate::compose) unset: BTreeSet<String>,
}

/// Fills in the references of a text.
///
/// Compose Specification, "Interpolation". `:-` and `-` differ as in a POSIX shell: with the colon an empty value
/// counts as none. `$$` is a dollar, and is the only escape.
pub(in crate::compose) fn fill<'v>(
    template: &str,
    lookup: &dyn Fn(&str) -> Option<&'v str>,
) -> Result<Filled, TemplateProblem> {
    let mut filled = Filled::default();
    Filler { lookup, unset: &mut filled.unset }.run(template, &mut filled.text, 0)?;
    Ok(filled)
}

/// The variable whose plain reference (`$NAME`, `${NAME}`) a template begins with.
///
/// For paths: what is left of `${DATA}/db` when `DATA` says nothing is `/db`, which is somewhere else entirely.
pub(in crate::compose) fn begins_with(template: &str) -> Option<&str> {
    let after = template.strip_prefix('$')?;
    let (inside, is_braced) = match after.strip_prefix('{') {
        Some(inside) => (inside, true),
        None => (after, false),
    };
    let (name, rest) = inside.split_at(name_length(inside));
    let is_whole = !is_braced || rest.starts_with('}');
    (is_whole && name.starts_with(is_name_start)).then_some(name)
}

/// What is filled in, and how much of it: references may stand inside the words of others, to a limit.
struct Filler<'l, 'v> {
    lookup: &'l dyn Fn(&str) -> Option<&'v str>,
    unset: &'l mut BTreeSet<String>,
}

impl Filler<'_, '_> {
    fn run(
        &mut self,
        template: &str,
        out: &mut String,
        depth: usize,
    ) -> Result<(), TemplateProblem> {
        if depth > MAX_DEPTH || out.len() > MAX_LENGTH {
            return Err(TemplateProblem::TooLarge);
        }
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            let (before, reference) = rest.split_at(at);
            out.push_str(before);
            let after = reference.get(1..).unwrap_or_default();
            rest = match after.chars().next() {
                Some('$') => {
                    out.push('$');
                    after.get(1..).unwrap_or_default()
                }
                Some('{') => self.braced(reference, out, depth)?,
                Some(first) if is_name_start(first) => {
                    let (name, rest) = after.split_at(name_length(after));
                    self.plain(name, out);
                    rest
                }
                _ => {
                    out.push('$');
                    after
                }
            };
        }
        out.push_str(rest);
        if out.len() > MAX_LENGTH { Err(TemplateProblem::TooLarge) } else { Ok(()) }
    }

    /// `$NAME` or `${NAME}`: the value, or nothing, and then it is noted as unset.
    ///
    /// The reference warns and goes on with nothing. Whether that is harmless depends on where it stands, and is judged
    /// when the whole model is known.
    fn plain(&mut self, name: &str, out: &mut String) {
        match (self.lookup)(name) {
            Some(value) => out.push_str(value),
            None => {
                self.unset.insert(name.to_owned());
            }
        }
    }

    /// Fills in a reference that begins with `${`, and returns what follows it.
    ///
    /// Only the branch that is taken is filled in: the default of a variable that has a value may refer to what does
    /// not exist.
    fn braced<'t>(
        &mut self,
        reference: &'t str,
        out: &mut String,
        depth: usize,
    ) -> Result<&'t str, TemplateProblem> {
        let malformed = || {
            let shown: String = reference.chars().take(60).collect();
            TemplateProblem::Malformed(shown)
        };
        let inside = reference.get(2..).unwrap_or_default();
        if !inside.starts_with(is_name_start) {
            return Err(malformed());
        }
        let (name, operation) = inside.split_at(name_length(inside));
        if let Some(rest) = operation.strip_prefix('}') {
            self.plain(name, out);
            return Ok(rest);
        }
        let value = (self.lookup)(name);
        let (operation, value) = match operation.strip_prefix(':') {
            Some(operation) => (operation, value.filter(|value| !value.is_empty())),
            None => (operation, value),
        };
        let end = reference.len() - operation.len()
            + closing_brace(reference, operation).ok_or_else(malformed)?;
        let (operator, word) = {
            let mut parts =
                reference.get(reference.len() - operation.len()..end).unwrap_or_default().chars();
            (parts.next(), parts.as_str())
        };
        let rest = reference.get(end + 1..).unwrap_or_default();
        match (operator, value) {
            (Some('-' | '?'), Some(value)) => out.push_str(value),
            (Some('-'), None) | (Some('+'), Some(_)) => self.run(word, out, depth + 1)?,
            (Some('+'), None) => {}
            (Some('?'), None) => {
                let mut message = String::new();
                self.run(word, &mut message, depth + 1)?;
                return Err(TemplateProblem::Missing { name: name.to_owned(), message });
            }
            _ => return Err(malformed()),
        }
        Ok(rest)
    }
}

/// Names of variables are those of a POSIX shell: a letter or `_` first.
fn is_name_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

/// How much of a text is a name.
///
/// `$HOME-dir` is the variable `HOME` and the text `-dir`; braces say where a name ends.
fn name_length(text: &str) -> usize {
    text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len())
}

/// Where in an operation (the end of `reference`, which begins with `${`) its closing brace stands.
///
/// As compose-go's `template.go` finds it: a reference ends on its own line. Each `{` counts, also one of the default
/// itself, but for the character behind it, which is passed over; where that does not come out even, the last brace of
/// the line closes.
fn closing_brace(reference: &str, operation: &str) -> Option<usize> {
    let skipped = reference.len() - operation.len();
    let line = operation.split('\n').next().unwrap_or_default();
    let last = skipped + line.rfind('}')?;
    let mut open = 0_usize;
    let mut bytes = reference.bytes().enumerate().take(last + 1);
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'{' => {
                open += 1;
                bytes.next();
            }
            b'}' if open <= 1 => return place.checked_sub(skipped),
            b'}' => open -= 1,
            _ => {}
        }
    }
    last.checked_sub(skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let lookup = |name: &str| match name {
            "A" => Some("a"),
            "E" => Some(""),
            _ => None,
        };
        match fill(template, &lookup) {
            Ok(filled) => filled.text,
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn references_are_filled_in_as_the_specification_says() {
        for (template, expected) in [
            ("$A-${A}", "a-a"),
            ("$$A $$$A $} $1", "$A $a $} $1"),
            ("${E:-x}${E-x}${U-x}", "xx"),
            ("${A:+y}${E:+y}${E+y}${U+y}", "yy"),
            ("${U:-${A:-z}-$A}!", "a-a!"),
            ("${U:-a-b?c}", "a-b?c"),
            ("${U:?no $A}", "Missing { name: \"U\", message: \"no a\" }"),
            ("${A:-{\"json\":1}}${U:-{\"json\":1}}", "a{\"json\":1}"),
            ("${U:-{}}", "{}"),
            ("${U:-{}", "{"),
            ("${U:-^(\\d{4})$}", "^(\\d{4})$"),
            ("${U:-{{x}}y}z", "{{x}y}z"),
            ("${U:-x\ny}", "Malformed(\"${U:-x\\ny}\")"),
            ("${U", "Malformed(\"${U\")"),
            ("${ A}", "Malformed(\"${ A}\")"),
        ] {
            assert_eq!(filled(template), expected, "{template}");
        }
    }
}

//! Variables that a text refers to.

/// A reference to a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The variable.
    pub(super) name: String,
    /// It stands for something without a value too: `${NAME:-…}`, `${NAME+…}`.
    pub(super) has_default: bool,
}

/// The references of a text, in their order, those inside defaults included. `$$` is a dollar.
pub(super) fn references(text: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let (inside, is_braced) = match rest.strip_prefix('{') {
            Some(inside) => (inside, true),
            None => (rest, false),
        };
        let (name, after) = inside.split_at(name_length(inside));
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let operator = after.strip_prefix(':').unwrap_or(after);
        let has_default = is_braced && operator.starts_with(['-', '+']);
        found.push(Reference { name: name.to_owned(), has_default });
        rest = after;
    }
    found
}

/// What a variable's value must have been, where a text that refers to it alone came out as `seen`.
pub(super) fn solve(template: &str, seen: &str) -> Option<(String, String)> {
    let [only] = references(template).try_into().ok()?;
    let Reference { name, .. } = only;
    let plain = [format!("${{{name}}}"), format!("${name}")];
    let written = plain.iter().find(|written| template.contains(written.as_str()))?;
    let (before, after) = template.split_once(written.as_str())?;
    // Another dollar would have been read as something else.
    if before.contains('$') || after.contains('$') {
        return None;
    }
    let value = seen.strip_prefix(before)?.strip_suffix(after)?;
    Some((name, value.to_owned()))
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_with_those_inside_defaults() {
        let names = |text: &str| -> Vec<(String, bool)> {
            references(text).into_iter().map(|one| (one.name, one.has_default)).collect()
        };
        let own = |name: &str, default: bool| (name.to_owned(), default);
        assert_eq!(names("$A-${B}"), [own("A", false), own("B", false)]);
        assert_eq!(names("${A:-${B}}${C:?no}"), [own("A", true), own("B", false), own("C", false)]);
        assert_eq!(names("$$A $1 ${ B}"), []);
    }

    #[test]
    fn a_value_follows_from_what_a_text_came_to() {
        let solved = |template: &str, seen: &str| solve(template, seen).map(|(_, value)| value);
        assert_eq!(solved("postgres:${TAG}", "postgres:16"), Some("16".to_owned()));
        assert_eq!(solved("$A", ""), Some(String::new()));
        assert_eq!(solved("${A}-${B}", "x-y"), None);
        assert_eq!(solved("x-${A}", "y"), None);
        assert_eq!(solved("${A:-z}", "z"), None, "a default may have spoken");
    }
}

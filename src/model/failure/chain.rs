//! Errors with their causes, in one line: the only printer of chains. A text of its own at each place where errors are said
//! would leave out a cause here and say one twice there.

use std::error::Error;

/// An error with all its causes: `cannot reach edge-1: connection refused`. A cause that its error says already is not
/// said again.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

/// An error and what is at the bottom of it, for libraries whose layers between say nothing to people.
pub fn with_root(error: &(dyn Error + 'static)) -> String {
    match causes(error).last() {
        Some(root) => format!("{error}: {root}"),
        None => error.to_string(),
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Layer {
        what: &'static str,
        source: Option<Box<Self>>,
    }

    fn layers(all: &[&'static str]) -> Layer {
        let (first, rest) = all.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(layers(rest)));
        Layer { what: first, source }
    }

    #[test]
    fn every_cause_is_said_and_none_twice() {
        let error =
            layers(&["cannot reach edge-1", "client error", "refused", "cannot reach edge-1"]);
        assert_eq!(in_full(&error), "cannot reach edge-1: client error: refused");
        assert_eq!(with_root(&layers(&["a", "b", "c"])), "a: c");
        assert_eq!(
            (in_full(&layers(&["a"])), with_root(&layers(&["a"]))),
            ("a".into(), "a".into())
        );
    }
}

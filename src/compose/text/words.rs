//! Command lines in one text, split as a shell would.

/// Splits a command line into words: blanks separate, quotes group, a backslash takes the next character
/// literally (inside double quotes only before `"`, `\`, `$` and a backquote). `None` when a quote is left open.
pub(in crate::compose) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut started = false;
    let mut quote: Option<char> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.push(c),
            (Some(_), '\\') => match chars.next()? {
                next @ ('"' | '\\' | '$' | '`') => word.push(next),
                '\n' => {}
                next => {
                    word.push('\\');
                    word.push(next);
                }
            },
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                started = true;
            }
            (None, '\\') => {
                word.push(chars.next()?);
                started = true;
            }
            (None, ' ' | '\t' | '\r' | '\n') => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
            }
            (None, c) => {
                word.push(c);
                started = true;
            }
        }
    }
    if quote.is_some() {
        return None;
    }
    if started {
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_group_and_backslashes_escape() {
        let words = |line: &str| split(line).map(|words| words.join("|"));
        assert_eq!(words("a  'b c' \"d \\\" e\" f\\ g ''"), Some("a|b c|d \" e|f g|".to_owned()));
        assert_eq!(words("a 'b"), None);
    }
}

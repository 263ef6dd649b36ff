//! Text without characters that nobody sees: what a reviewer reads is what there is.

/// Without characters that have no width or turn the direction of writing: a text in which they stand can read otherwise
/// than it is.
///
/// The rule's source is Unicode's report 36 on security, which names them.
pub(in crate::report) fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).collect()
}

fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_width_or_turns_the_text_is_left_out_and_the_rest_stays() {
        assert_eq!(visible("a\u{202e}b\u{200b}c\u{feff}d\u{2066}e"), "abcde");
        assert_eq!(visible("ünïcödé 🚢 日本 → −"), "ünïcödé 🚢 日本 → −");
    }
}

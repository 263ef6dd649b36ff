//! Text of others, shown as what it is.
//!
//! Commits, labels, variables, hosts and files hold any characters. Some of them do something where they are shown: they
//! end a line, colour a terminal, move its cursor, turn the direction of what follows, or are not seen at all. They are
//! shown as escapes (`\n`, `\u{202e}`), so that a text can say nothing but what it holds.

use std::borrow::Cow;

/// A text within a line: nothing in it ends the line, moves, colours, turns or hides anything.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, |c| acts(c) || matches!(c, '\n' | '\t'))
}

/// A text of several lines, which stay lines.
pub fn text(text: &str) -> Cow<'_, str> {
    escape(text, acts)
}

/// Lines in which our own colours stay: `ESC [ … m`. What is of others within them went through [`line()`] before it was
/// coloured.
pub fn coloured(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return self::text(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let (before, from) = rest.split_at(at);
        shown.push_str(&self::text(before));
        let colour = colour_length(from).unwrap_or(0);
        let (colour, after) = from.split_at(colour);
        shown.push_str(colour);
        rest = match after.strip_prefix('\x1b') {
            Some(after) if colour.is_empty() => {
                shown.push_str("\\u{1b}");
                after
            }
            _ => after,
        };
    }
    shown.push_str(&self::text(rest));
    Cow::Owned(shown)
}

/// JSON whose texts hold the same and show what they hold: what acts is written as JSON writes it, `\u202e`.
pub fn json(written: &str) -> Cow<'_, str> {
    let is_raw = |c: char| acts(c) && !c.is_ascii();
    if !written.contains(is_raw) {
        return Cow::Borrowed(written);
    }
    let mut shown = String::with_capacity(written.len());
    for c in written.chars() {
        if is_raw(c) {
            let mut units = [0; 2];
            shown.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether YAML would write as it is what acts: it has escapes for what is no ASCII, and uses them for little.
pub fn is_hidden_in(yaml: &str) -> bool {
    yaml.contains(|c: char| acts(c) && !c.is_ascii())
}

/// Around the number of a character that [`unmarked()`] writes as an escape. Control characters: what holds them is written
/// between double quotes, with escapes.
const MARKS: (&str, &str) = ("\u{1}\u{2}", "\u{1}");

/// A text to be written as YAML, with marks where something acts.
pub fn marked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && !c.is_ascii() {
            shown.extend([MARKS.0, &format!("{:x}", u32::from(c)), MARKS.1]);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// YAML of texts that were marked: it holds the same texts, and shows what they hold.
pub fn unmarked(yaml: &str) -> String {
    let mut pieces = yaml.split("\\x01\\x02");
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once("\\x01").unwrap_or((piece, ""));
        let escape = if number.len() > 4 { 'U' } else { 'u' };
        let width = if number.len() > 4 { 8 } else { 4 };
        shown.extend([&*format!("\\{escape}{number:0>width$}"), rest]);
    }
    shown
}

fn colour_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("\x1b[")?;
    let digits = inside.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    inside.get(digits..)?.starts_with('m').then_some(2 + digits + 1)
}

fn escape(text: &str, is_shown: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_shown) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if is_shown(c) => shown.push_str("\\n"),
            '\t' if is_shown(c) => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if is_shown(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character does something else than being seen; line ends and tabs apart. The ranges are those of Unicode's
/// general categories Cc, Zl and Zp, of its bidirectional controls, and of what has no width and belongs to no script.
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{feff}' => true,
        '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' => true,
        '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_and_what_is_seen_stays() {
        assert_eq!(line("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(text("a\nb\tc\u{7}"), "a\nb\tc\\u{7}");
        assert_eq!(line("x\u{202e}y\u{2066}z\u{200b}"), "x\\u{202e}y\\u{2066}z\\u{200b}");
        assert_eq!(line("\u{1b}[31mred"), "\\u{1b}[31mred");
        for plain in ["Grüße", "שלום", "日本語", "👩\u{200d}👧", "e\u{301}"] {
            assert_eq!(line(plain), plain);
        }
    }

    #[test]
    fn only_colours_pass_where_colours_may() {
        assert_eq!(coloured("\u{1b}[1;31mred\u{1b}[0m\n"), "\u{1b}[1;31mred\u{1b}[0m\n");
        assert_eq!(coloured("a\u{1b}[2Jb\u{1b}"), "a\\u{1b}[2Jb\\u{1b}");
        assert_eq!(coloured("\u{1b}\u{1b}[1m"), "\\u{1b}\u{1b}[1m");
    }

    #[test]
    fn json_holds_the_same_text() {
        let value = serde_json::json!({"a": "x\u{202e}\n\u{e0001}"});
        let written = json(&value.to_string()).into_owned();
        assert!(written.contains("\\u202e") && !written.contains('\u{202e}'), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }
}

//! Markdown that cannot be broken out of, and that ends in time.

use super::comment::Dialect;
use super::visible;

/// A plan of fewer bytes than this is not worth showing cut.
const WORTH: usize = 600;
/// Room for saying what was left out.
const CLOSING: usize = 200;

/// Text between backticks: nothing in it is markup.
pub(super) fn code(text: &str) -> String {
    let text = visible::line(text).replace('|', "\\|");
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Text of others outside of code: no markup, no mentions, no references, no links.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Lines and tabs were made by those who wrote a message; all else that is not seen is shown.
    for c in visible::text(text).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            // A zero-width space keeps people from being called and addresses from becoming links.
            '@' => out.push_str("@\u{200b}"),
            ':' => out.push_str(":\u{200b}"),
            '#' => out.push_str("#\u{200b}"),
            '!' => out.push_str("!\u{200b}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '>' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    // A colon followed by anything but a slash or a word is harmless.
    out.replace(":\u{200b} ", ": ").replace("!\u{200b} ", "! ")
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Writes Markdown until the room is used up.
pub(super) struct Writer {
    text: String,
    room: usize,
    dialect: Dialect,
    left_out: usize,
}

impl Writer {
    /// A writer that leaves room for a footer.
    pub(super) fn new(dialect: Dialect, footer: usize) -> Self {
        let room = dialect.limit.saturating_sub(footer + CLOSING);
        Self { text: String::new(), room, dialect, left_out: 0 }
    }

    /// A line, if there is room.
    pub(super) fn line(&mut self, line: &str) -> bool {
        if self.room < self.text.len() + line.len() + 1 {
            return false;
        }
        self.text.push_str(line);
        self.text.push('\n');
        true
    }

    /// A line, if an `nth` of the room is left afterwards.
    pub(super) fn line_within(&mut self, line: &str, nth: usize) -> bool {
        let all = self.room;
        self.room = all - all / nth;
        let written = self.line(line);
        self.room = all;
        written
    }

    /// An empty line.
    pub(super) fn blank(&mut self) {
        self.line("");
    }

    /// A folded part: a title, lines, and a text shown as it is. The text is cut at a line's end where it is too long;
    /// where too little would be left, the part is left out and counted.
    pub(super) fn section(&mut self, title: &str, before: &[String], text: &str) {
        let text = text.trim_end();
        let (open, close) = if self.dialect.folds {
            (format!("\n<details><summary>{}</summary>\n\n", escape_html(title)), "\n</details>\n")
        } else {
            (format!("\n#### {}\n\n", plain(title)), "\n")
        };
        let mut body = before.join("\n");
        if !before.is_empty() {
            body.push_str("\n\n");
        }
        let fence = "`".repeat(longest_run(text).max(2) + 1);
        let frame = fence.len() * 2 + 24;
        let used = self.text.len() + open.len() + body.len() + close.len();
        let free = self.room.saturating_sub(used + frame);
        let shown = if text.len() <= free { text.to_owned() } else { cut_lines(text, free) };
        if self.room < used || (!text.is_empty() && shown.len() < text.len() && shown.len() < WORTH)
        {
            self.left_out += 1;
            return;
        }
        if !shown.is_empty() {
            body.push_str(&[&fence, "diff\n", &shown, "\n", &fence, "\n"].concat());
        }
        self.text.push_str(&open);
        self.text.push_str(&body);
        self.text.push_str(close);
    }

    /// A folded part that is of no use when it is cut: where there is no room for all of it, it is left out.
    pub(super) fn whole_section(&mut self, title: &str, language: &str, text: &str) {
        let (open, close) = if self.dialect.folds {
            (format!("\n<details><summary>{}</summary>\n\n", escape_html(title)), "\n</details>\n")
        } else {
            (format!("\n#### {}\n\n", plain(title)), "\n")
        };
        let fence = "`".repeat(longest_run(text).max(2) + 1);
        let part = [&open, &fence, language, "\n", text, "\n", &fence, "\n", close].concat();
        if self.room < self.text.len() + part.len() {
            self.left_out += 1;
        } else {
            self.text.push_str(&part);
        }
    }

    /// Says what was left out, and where it can be seen.
    pub(super) fn close(&mut self, hint: &str) {
        if 0 < self.left_out {
            let parts = match self.left_out {
                1 => "1 part was".to_owned(),
                many => format!("{many} parts were"),
            };
            let words = format!("\n… {parts} left out, too long for a comment: {hint}\n");
            self.text.push_str(&words);
        }
    }

    /// What was written.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "@\u{200b}")
}

/// As many whole lines as fit, and a line that says so.
fn cut_lines(text: &str, free: usize) -> String {
    const MORE: &str = "… cut: too long for a comment";
    let free = free.saturating_sub(MORE.len() + 1);
    let mut kept = String::new();
    for line in text.lines() {
        if free < kept.len() + line.len() + 1 {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    if !kept.is_empty() {
        kept.push_str(MORE);
    }
    kept
}

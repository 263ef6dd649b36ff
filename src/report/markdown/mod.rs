//! Markdown that cannot be broken out of, and that ends in time.

use super::visible;

/// What a forge's comments may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Bytes at most; the strictest way in which any forge could count.
    pub limit: usize,
    /// Whether `<details>` folds; elsewhere headings part the plans.
    pub folds: bool,
}

/// A plan of fewer bytes than this is not worth showing cut.
const WORTH: usize = 600;
/// Room for saying what was left out.
const CLOSING: usize = 200;

/// Text of others, with what is not seen shown; lines stay.
pub(super) fn visible(text: &str) -> String {
    visible::text(text).into_owned()
}

/// Text between backticks: nothing in it is markup.
pub(super) fn code(text: &str) -> String {
    let text = visible::line(text).replace('|', "\\|");
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Text of others outside of code: no markup, no mentions, no references, no links. Words of which a forge would make a
/// link or call somebody stand in code, where no forge does.
pub(super) fn plain(text: &str) -> String {
    // What is not seen is shown; only lines and tabs, which writers of messages made, are blanks.
    let shown = visible::text(text);
    let words: Vec<String> = shown.split_whitespace().map(word).collect();
    words.join(" ")
}

fn word(word: &str) -> String {
    if calls(word) {
        return code(word);
    }
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '>' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    // A word alone must not begin a heading, a list or a rule.
    if out.starts_with(['#', '+', '-', '=']) && out.chars().count() == word.chars().count() {
        out.insert(0, '\\');
    }
    out
}

/// Whether a forge would turn a word into something: a mention, an address, an issue or a merge request, a commit of
/// another repository, a picture (`:tada:`).
fn calls(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let number_after = |sign: char| {
        let mut parts = word.split(sign).skip(1);
        parts.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let pair = |sign: char| 1 < word.matches(sign).count();
    word.contains('@')
        || lower.contains("://")
        || lower.starts_with("www.")
        || lower.contains("mailto:")
        || lower.starts_with("gh-")
        || number_after('#')
        || number_after('!')
        || number_after('%')
        || pair(':')
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

    /// Lines, a text in colours, and more lines: a part that is not folded. Where there is no room for all of it, less of
    /// the text; where too little would be left, none of it, which is counted.
    pub(super) fn fenced(&mut self, before: &[String], after: &[String], text: &str) {
        let fence = "`".repeat(longest_run(text).max(2) + 1);
        let mut around = format!("\n{}\n", before.join("\n\n"));
        let mut tail = String::new();
        if !after.is_empty() {
            tail = format!("\n{}\n", after.join("\n"));
        }
        let frame = fence.len() * 2 + 16;
        // Half of what is left belongs to the others.
        let free =
            self.room.saturating_sub(self.text.len() + around.len() + tail.len() + frame) / 2;
        let shown = if text.len() <= free { text.to_owned() } else { cut_lines(text, free) };
        let fits = self.text.len() + around.len() + frame + shown.len() <= self.room;
        if !fits || shown.len() < text.len().min(WORTH) {
            self.left_out += 1;
            return;
        }
        if !shown.is_empty() {
            around.push_str(&["\n", &fence, "diff\n", &shown, "\n", &fence, "\n"].concat());
        }
        self.text.push_str(&around);
        if self.room < self.text.len() + tail.len() {
            return;
        }
        self.text.push_str(&tail);
    }

    /// Markdown of ours, folded as it is; left out where there is no room for all of it.
    pub(super) fn enclosed(&mut self, title: &str, markdown: &str) {
        let (open, close) = if self.dialect.folds {
            (format!("\n<details><summary>{}</summary>\n\n", escape_html(title)), "\n</details>\n")
        } else {
            (format!("\n#### {}\n\n", plain(title)), "\n")
        };
        let part = [&open, markdown.trim_end(), "\n", close].concat();
        if self.text.len() + part.len() <= self.room {
            self.text.push_str(&part);
        }
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
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "&#64;")
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

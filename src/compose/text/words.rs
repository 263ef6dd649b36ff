//! Command lines in one text, split as the reference splits them.

/// A command line in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compose) struct Line {
    pub(in crate::compose) words: Vec<String>,
    /// The operator of a shell at which the line ends, with everything behind it dropped.
    pub(in crate::compose) cut: Option<char>,
}

/// Splits a command line: blanks separate, quotes group, a backslash takes the next character literally (`\n` and
/// `\t` as a line's end and a tab) except inside single quotes. `$(…)` and backquotes group without being carried
/// out. The first operator of a shell (`;`, `&`, `|`, `<`, `>`) that nothing quotes ends the line.
/// `None` when a quote or a parenthesis is left open or stands alone.
///
/// There is no shell in most containers, and none that reads this: `command: a && b` runs `a` alone with the reference
/// (mattn/go-shellwords), which surprises people, and so is warned of.
pub(in crate::compose) fn split(line: &str) -> Option<Line> {
    let mut splitter = Splitter::default();
    for c in line.chars() {
        if splitter.cut.is_some() {
            break;
        }
        splitter.take(c)?;
    }
    splitter.finish()
}

/// What groups characters until it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Switch {
    #[default]
    Off,
    On,
}

impl Switch {
    fn turn(&mut self) {
        *self = if *self == Self::On { Self::Off } else { Self::On };
    }
}

/// Splits a command line into words as a POSIX shell would, without expanding anything: quotes, backslashes, operators.
#[derive(Debug, Default)]
struct Splitter {
    words: Vec<String>,
    word: String,
    /// A word has begun, even if it is empty so far.
    has_word: bool,
    escape: Switch,
    single: Switch,
    double: Switch,
    back: Switch,
    call: Switch,
    cut: Option<char>,
}

impl Splitter {
    /// Whether all of these are off.
    fn are_off(switches: &[Switch]) -> bool {
        switches.iter().all(|switch| *switch == Switch::Off)
    }

    fn take(&mut self, c: char) -> Option<()> {
        let Self { single, double, back, call, .. } = *self;
        if self.escape == Switch::On {
            self.escape = Switch::Off;
            self.push(match c {
                't' => '\t',
                'n' => '\n',
                other => other,
            });
            return Some(());
        }
        match c {
            '\\' if single == Switch::Off => self.escape = Switch::On,
            ' ' | '\t' | '\r' | '\n' if Self::are_off(&[single, double, back, call]) => {
                self.end_word();
            }
            '`' if Self::are_off(&[single, double, call]) => {
                self.back.turn();
                self.push(c);
            }
            ')' if Self::are_off(&[single, double, back]) => {
                self.call.turn();
                self.push(c);
            }
            '(' if Self::are_off(&[single, double, back]) => {
                if call == Switch::On || !self.word.ends_with('$') {
                    return None;
                }
                self.call = Switch::On;
                self.push(c);
            }
            '"' if Self::are_off(&[single, call]) => self.quote(double, |all| &mut all.double),
            '\'' if Self::are_off(&[double, call]) => self.quote(single, |all| &mut all.single),
            ';' | '&' | '|' | '<' | '>' if Self::are_off(&[single, double, back, call]) => {
                self.end_line(c);
            }
            other => self.push(other),
        }
        Some(())
    }

    fn push(&mut self, c: char) {
        self.word.push(c);
        self.has_word = true;
    }

    /// A quote that ends makes a word, even an empty one.
    fn quote(&mut self, was: Switch, which: impl Fn(&mut Self) -> &mut Switch) {
        which(self).turn();
        self.has_word |= was == Switch::On;
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.has_word) {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Before `>`, a word that begins with a digit is taken for a file descriptor and dropped.
    ///
    /// As in `2>/dev/null`.
    fn end_line(&mut self, operator: char) {
        if operator == '>' && self.word.starts_with(|c: char| c.is_ascii_digit()) {
            self.has_word = false;
        }
        self.cut = Some(operator);
    }

    fn finish(mut self) -> Option<Line> {
        self.end_word();
        let Self { escape, single, double, back, call, .. } = self;
        Self::are_off(&[escape, single, double, back, call])
            .then_some(Line { words: self.words, cut: self.cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<String> {
        split(line).map(|line| line.words.join("|"))
    }

    #[test]
    fn quotes_group_and_backslashes_escape() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(words("a  'b c' \"d \\\" e\" f\\ g ''"), some("a|b c|d \" e|f g|"));
        assert_eq!(words(r#"a b\tc\nd "x\yz" '\t'"#), some("a|b\tc\nd|xyz|\\t"));
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("a \\"), None);
    }

    #[test]
    fn substitutions_are_one_word_and_stay_as_they_are() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(words("a $(b 'c d') e"), some("a|$(b 'c d')|e"));
        assert_eq!(words("a `b c` d \"$(e f)\""), some("a|`b c`|d|$(e f)"));
        for open in ["a $(b", "a (b)", "a b)", "a `b", "a $((1+2))"] {
            assert_eq!(words(open), None, "{open}");
        }
    }

    #[test]
    fn an_operator_of_a_shell_ends_the_line() {
        let cut = |line: &str| split(line).map(|line| (line.words.join("|"), line.cut));
        let some = |words: &str, cut: char| Some((words.to_owned(), Some(cut)));
        assert_eq!(cut("a b && c"), some("a|b", '&'));
        assert_eq!(cut("a|b"), some("a", '|'));
        assert_eq!(cut("a 2>&1"), some("a", '>'));
        assert_eq!(cut("; a"), some("", ';'));
        assert_eq!(cut("sh -c 'a && b' \\; c"), Some(("sh|-c|a && b|;|c".to_owned(), None)));
    }
}

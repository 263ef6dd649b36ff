//! Env files: `NAME=value`, quotes, escapes, comments, references to other variables.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::template::{self, Filled, TemplateProblem};
use crate::model::{Budget, OverBudget};

/// A variable of an env file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compose) struct Variable {
    /// Its value.
    pub(in crate::compose) value: String,
    /// The file that sets it, as messages name it.
    pub(in crate::compose) file: Arc<str>,
    /// The line that sets it, from 1.
    pub(in crate::compose) line: u32,
    /// Variables without a value that it refers to.
    pub(in crate::compose) unset: BTreeSet<String>,
}

/// Why an env file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compose) struct DotenvProblem {
    /// The line, from 1.
    pub(in crate::compose) line: u32,
    /// What is wrong.
    pub(in crate::compose) message: String,
}

/// The variables that an env file sets, by name.
pub(in crate::compose) type Variables = BTreeMap<String, Variable>;

/// What one variable takes beside its text, in a service too: its place there, and where it comes from.
/// Of `A=1` a million times little is text, and most is the places where it is kept.
const VARIABLE_BYTES: usize = 448;

/// What reading one line takes, in steps.
const LINE_STEPS: u64 = 600;

/// Takes the memory of a variable that is set in a line.
fn charge(budget: &Budget, line: u32, name: &str, value: &str) -> Result<(), DotenvProblem> {
    let bytes = 4 * (name.len() + value.len()) + VARIABLE_BYTES;
    // About what reading a line takes.
    let cost = budget.bytes(bytes).and_then(|()| budget.steps(LINE_STEPS));
    cost.map_err(|over: OverBudget| DotenvProblem {
        line,
        message: format!("with the variables up to this line, it is {over}"),
    })
}

/// Reads an env file (its name and its text) into `variables`. `outside` gives the variables from elsewhere: they come first in
/// references, and give a value to a name that stands alone.
///
/// The rules are those of compose-go's `dotenv` package, and not those of a shell: `export` is passed over, a name may
/// hold dots and dashes, and what is not quoted ends at ` #`.
pub(in crate::compose) fn parse<'v>(
    (file, text): (&Arc<str>, &str),
    outside: &dyn Fn(&str) -> Option<&'v str>,
    variables: &mut Variables,
    budget: &Budget,
) -> Result<(), DotenvProblem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut parser = Parser { rest: &text, line: 1 };
    while parser.skip_to_statement() {
        let line = parser.line;
        let Some(key) = parser.key()? else { continue };
        let Filled { text: value, unset } = match key.value {
            Follows::Value => parser.value(outside, variables)?,
            Follows::Nothing => match outside(&key.name) {
                Some(value) => Filled { text: value.to_owned(), ..Filled::default() },
                None => continue,
            },
        };
        charge(budget, line, &key.name, &value)?;
        // What each variable lacks is kept with it, and with all that refer to it.
        unset.iter().try_for_each(|name| charge(budget, line, name, ""))?;
        if !key.name.starts_with(|first: char| first.is_ascii_digit()) {
            let file = Arc::clone(file);
            variables.insert(key.name, Variable { value, file, line, unset });
        }
    }
    Ok(())
}

/// The variables that an env file sets, with the line of each, without any from elsewhere.
///
/// # Errors
/// Where and why it cannot be read.
pub fn variables_of(file: &str, text: &str) -> Result<BTreeMap<String, (String, u32)>, String> {
    let mut variables = Variables::new();
    let name: Arc<str> = file.into();
    parse((&name, text), &|_| None, &mut variables, &Budget::of_a_stack())
        .map_err(|problem| format!("{file}:{}: {}", problem.line, problem.message))?;
    Ok(variables.into_iter().map(|(name, one)| (name, (one.value, one.line))).collect())
}

/// Reads an env file of format `raw`: lines `NAME=value`, taken literally.
///
/// `format: raw` (Compose Specification, `env_file`) is for values that are full of `$` and quotes, such as hashes of
/// passwords: they reach the container byte for byte.
pub(in crate::compose) fn parse_raw<'v>(
    (file, text): (&Arc<str>, &str),
    outside: &dyn Fn(&str) -> Option<&'v str>,
    variables: &mut Variables,
    budget: &Budget,
) -> Result<(), DotenvProblem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1_u32..).zip(text.lines()) {
        let statement = line.trim_start();
        if statement.is_empty() || statement.starts_with('#') {
            continue;
        }
        let problem = |message: String| DotenvProblem { line: number, message };
        let (name, value) = match statement.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (statement, outside(statement.trim()).map(str::to_owned)),
        };
        if name.is_empty() {
            return Err(problem(format!("no variable name in {statement:?}")));
        }
        if name.contains(char::is_whitespace) {
            return Err(problem(format!("the variable name {name:?} contains a blank")));
        }
        if let Some(value) = value {
            charge(budget, number, name, &value)?;
            let (file, unset) = (Arc::clone(file), BTreeSet::new());
            let variable = Variable { value, file, line: number, unset };
            variables.insert(name.to_owned(), variable);
        }
    }
    Ok(())
}

/// Reads a text from its beginning to its end, once.
struct Parser<'t> {
    rest: &'t str,
    line: u32,
}

/// A variable's name, and what comes behind it.
struct Key {
    name: String,
    value: Follows,
}

/// What comes behind a name: a value, or the end of the line, which asks for the variable of that name from outside.
enum Follows {
    Value,
    Nothing,
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

impl<'t> Parser<'t> {
    /// The next bytes, which are read then.
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }

    /// Goes on to what is not white space on this line.
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    /// Skips white space and comments; false at the end.
    ///
    /// Comments and empty lines may stand between any two variables, and before the first.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            if self.rest.is_empty() {
                return false;
            }
            if !self.rest.starts_with('#') {
                return true;
            }
            let Some(end) = self.rest.find('\n') else { return false };
            self.take(end);
        }
    }

    /// A problem at the line that is being read.
    fn problem(&self, message: impl Into<String>) -> DotenvProblem {
        DotenvProblem { line: self.line, message: message.into() }
    }

    fn key(&mut self) -> Result<Option<Key>, DotenvProblem> {
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.rest = rest.trim_start_matches(is_blank);
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let name = self.rest.get(..end).unwrap_or_default();
        let bad = |c: char| !(c.is_alphanumeric() || is_blank(c) || "_.-[]".contains(c));
        if let Some(bad) = name.chars().find(|c| bad(*c)) {
            let shown: String = name.chars().take(40).collect();
            return Err(self
                .problem(format!("unexpected character {bad:?} in the variable name {shown:?}")));
        }
        let name = name.trim_end().to_owned();
        if name.contains(is_blank) {
            return Err(self.problem(format!("the variable name {name:?} contains a blank")));
        }
        let separator = self.rest.get(end..).and_then(|rest| rest.chars().next());
        let value = match separator {
            Some('=' | ':') => Follows::Value,
            _ => Follows::Nothing,
        };
        self.take(end + usize::from(separator.is_some()));
        if matches!(value, Follows::Value) {
            self.skip_blanks();
        }
        Ok((!name.is_empty()).then_some(Key { name, value }))
    }

    fn value<'v>(
        &mut self,
        outside: &dyn Fn(&str) -> Option<&'v str>,
        variables: &Variables,
    ) -> Result<Filled, DotenvProblem> {
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let line = self.line;
                let inside = self.quoted(quote)?;
                if quote == '\'' {
                    return Ok(Filled { text: inside, ..Filled::default() });
                }
                expand(&unescape(&inside), line, outside, variables)
            }
            _ => {
                let line = self.line;
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                let text = self.take(end);
                let text = text.split_once(" #").map_or(text, |(before, _)| before).trim_end();
                expand(text, line, outside, variables)
            }
        }
    }

    /// The text inside quotes; a backslash before the quote takes it literally.
    ///
    /// A value in quotes may go over several lines: keys in PEM are written so.
    fn quoted(&mut self, quote: char) -> Result<String, DotenvProblem> {
        let mut text = String::new();
        let mut escaped = false;
        for (place, c) in self.rest.char_indices().skip(1) {
            if c == quote && !escaped {
                self.take(place + 1);
                return Ok(text);
            }
            if c == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && c != quote {
                text.push('\\');
            }
            escaped = false;
            text.push(c);
        }
        let shown: String = self.rest.lines().next().unwrap_or_default().chars().take(40).collect();
        Err(self.problem(format!("unterminated quoted value {shown}")))
    }
}

/// Escapes of double quotes. `\$` becomes `$$`, which a template takes for a dollar.
///
/// The result goes through the template afterwards, so that a dollar which was escaped has to be doubled to survive
/// that.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let plain = match after.chars().next() {
            Some('a') => "\u{7}",
            Some('b') => "\u{8}",
            Some('f') => "\u{c}",
            Some('n') => "\n",
            Some('r') => "\r",
            Some('t') => "\t",
            Some('v') => "\u{b}",
            Some('$') => "$$",
            Some('"') => "\"",
            Some('\\') => "\\",
            Some('0') => {
                rest = octal(after, &mut out);
                continue;
            }
            _ => {
                out.push('\\');
                rest = after;
                continue;
            }
        };
        out.push_str(plain);
        rest = after.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Reads `0` and three octal digits; fewer digits stay as they are, without the zero.
///
/// A shell's `$'…'` reads octal digits without the zero too; the reference asks for it.
fn octal<'t>(after: &'t str, out: &mut String) -> &'t str {
    let digits: usize = after.bytes().skip(1).take(3).take_while(u8::is_ascii_digit).count();
    let number = after.get(1..=digits).unwrap_or_default();
    match u32::from_str_radix(number, 8)
        .ok()
        .filter(|n| digits == 3 && *n < 256)
        .and_then(char::from_u32)
    {
        Some(c) => out.push(c),
        None => {
            out.push('\\');
            out.push_str(number);
        }
    }
    after.get(digits + 1..).unwrap_or_default()
}

fn expand<'v>(
    text: &str,
    line: u32,
    outside: &dyn Fn(&str) -> Option<&'v str>,
    variables: &Variables,
) -> Result<Filled, DotenvProblem> {
    if !text.contains('$') {
        return Ok(Filled { text: text.to_owned(), ..Filled::default() });
    }
    let both = both(outside, variables);
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        both(name)
    };
    let filled = template::fill(text, &lookup).map(|mut filled| {
        // What one of them lacks, this one lacks too.
        let asked = asked.borrow();
        let own = asked.iter().filter(|name| outside(name).is_none());
        let lacks = own.filter_map(|name| variables.get(name)).flat_map(|one| &one.unset);
        filled.unset.extend(lacks.cloned());
        filled
    });
    filled.map_err(|problem| DotenvProblem {
        line,
        message: match problem {
            TemplateProblem::Malformed(text) => format!("{text:?} is not a reference"),
            TemplateProblem::Missing { name, message } => {
                format!("the required variable {name} has no value: {message}")
            }
            TemplateProblem::TooLarge => "the references nest or grow too much".to_owned(),
        },
    })
}

/// Variables from elsewhere, and those that this file has set so far.
fn both<'s, 'v: 's>(
    outside: &'s dyn Fn(&str) -> Option<&'v str>,
    variables: &'s Variables,
) -> impl Fn(&str) -> Option<&'s str> {
    move |name| outside(name).or_else(|| variables.get(name).map(|own| own.value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let mut variables = Variables::new();
        let outside = |name: &str| (name == "OUT").then_some("out");
        match parse((&"env".into(), text), &outside, &mut variables, &Budget::of_a_stack()) {
            Ok(()) => {
                let all = variables.iter().map(|(k, v)| format!("{k}={}@{} ", v.value, v.line));
                all.collect::<Vec<_>>().concat()
            }
            Err(problem) => format!("{}: {}", problem.line, problem.message),
        }
    }

    #[test]
    fn env_files_are_read_as_the_reference_reads_them() {
        assert_eq!(read("A=1 # c\n\nexport B: 2\nOUT\n"), "A=1@1 B=2@3 OUT=out@4 ");
        assert_eq!(read("A='x\\'$y'\nB=\"$A\\n\\0123\""), "A=x'$y@1 B=x'$y\nS@2 ");
        assert_eq!(read("A=\"x\ny\"\nB=2"), "A=x\ny@1 B=2@3 ");
        assert_eq!(read("A B=1"), "1: the variable name \"A B\" contains a blank");
        assert_eq!(read("\nA='x"), "2: unterminated quoted value 'x");
    }

    #[test]
    fn lines_that_refer_to_each_other_do_not_multiply() {
        use std::fmt::Write as _;
        let mut text = "A0=0123456789abcdef\n".to_owned();
        for line in 1..17 {
            writeln!(text, "A{line}=${{A{0}}}${{A{0}}}", line - 1).unwrap();
        }
        for line in 0..20_000 {
            writeln!(text, "B{line}=$A16").unwrap();
        }
        let problem = read(&text);
        assert!(problem.ends_with("it is more memory than one stack may take"), "{problem}");
    }
}

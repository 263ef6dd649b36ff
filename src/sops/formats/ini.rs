//! Sections of `name = value`, as the reader that SOPS uses takes them.
//! <https://ini.unknwon.io/docs/howto/work_with_values>

use std::collections::BTreeSet;

use super::super::metadata::{Metadata, unflattened};
use super::super::open::{Means, Opener, Written};
use super::super::refusal::Refusal;
use super::super::{Opened, value::BEGINS};

/// Where names before the first section belong.
const TOP: &str = "DEFAULT";
const OWN: &str = "sops";

/// A value, and the lines that it takes.
struct Entry<'t> {
    section: &'t str,
    name: &'t str,
    /// What stands before the value on its line.
    before: &'t str,
    value: String,
    first: usize,
    last: usize,
}

/// Opens a file. Values stay on their lines; the section of the metadata is left out.
pub(super) fn open(bytes: &[u8], means: Means<'_>) -> Result<Opened, Refusal> {
    let text =
        std::str::from_utf8(bytes).ok().ok_or_else(|| Refusal::malformed("it is no UTF-8 text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let entries = entries_of(&lines)?;
    let own = entries.iter().filter(|entry| entry.section == OWN);
    let own: Vec<(String, String)> = own.map(|it| (it.name.to_owned(), it.value.clone())).collect();
    let metadata = Metadata::read(&unflattened(&own)?)?;
    let mut opener = Opener::new(metadata, means)?;
    let mut expected = Vec::new();
    let mut plain: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    for entry in &entries {
        let replaced = if entry.section == OWN {
            String::new()
        } else {
            let line = u32::try_from(entry.first + 1).unwrap_or(0);
            let path = [entry.section, entry.name];
            let opened = opener.value(&path, Written::Text(entry.value.as_bytes()), line)?;
            let opened = String::from_utf8(opened.shown())
                .ok()
                .ok_or_else(|| Refusal::malformed("a value is no UTF-8 text").at_line(line))?;
            expected.push((entry.section, entry.name, opened.clone()));
            if !entry.value.starts_with(BEGINS) {
                continue;
            }
            format!("{}{}", entry.before, quoted(&opened))
        };
        for line in plain.iter_mut().take(entry.last + 1).skip(entry.first) {
            line.clear();
        }
        if let Some(line) = plain.get_mut(entry.first) {
            *line = replaced;
        }
    }
    let finished = opener.finish()?;
    for (line, written) in plain.iter_mut().zip(&lines) {
        let comment = written.trim().trim_start_matches([';', '#']).trim_start();
        if written.trim() == "[sops]"
            || (comment.len() < written.trim().len() && comment.starts_with(BEGINS))
        {
            line.clear();
        }
    }
    let text = plain.join("\n");
    // Whoever reads it reads what was encrypted, or it is not given away.
    let read: Vec<&str> = text.split('\n').collect();
    let read = entries_of(&read)?;
    if !read
        .iter()
        .map(|it| (it.section, it.name, &it.value))
        .eq(expected.iter().map(|(s, n, v)| (*s, *n, v)))
    {
        return Err(Refusal::malformed("a value cannot be written in this format"));
    }
    Ok(finished.with(format!("{}\n", text.trim_end_matches('\n')).into_bytes()))
}

/// A value so that the reader takes all of it.
fn quoted(value: &str) -> String {
    if value.contains(['\n', '`']) {
        format!("\"\"\"{value}\"\"\"")
    } else if value.contains(['#', ';']) || value.starts_with(['"', '\'']) || value.ends_with('\\')
    {
        format!("`{value}`")
    } else if value.trim().len() != value.len() {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

fn entries_of<'t>(lines: &[&'t str]) -> Result<Vec<Entry<'t>>, Refusal> {
    let mut entries: Vec<Entry<'t>> = Vec::new();
    let mut known: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut sections: BTreeSet<&str> = BTreeSet::from([TOP]);
    let mut section = TOP;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let number = u32::try_from(at + 1).unwrap_or(0);
        let malformed = |message: &str| Refusal::malformed(message).at_line(number);
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            at += 1;
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let (name, _) =
                rest.rsplit_once(']').ok_or_else(|| malformed("a section without `]`"))?;
            section = name;
            if !sections.insert(name) && name != TOP {
                return Err(super::twice(name, number));
            }
            at += 1;
            continue;
        }
        if trimmed.starts_with(['"', '`']) {
            return Err(malformed("names in quotes are not followed"));
        }
        let end = line.find(['=', ':']).ok_or_else(|| malformed("a line without `=`"))?;
        let (name, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        let rest = rest.get(1..).unwrap_or_default();
        let name = name.trim();
        if !known.insert((section, name)) {
            return Err(super::twice(name, number));
        }
        let blanks = rest.len() - rest.trim_start().len();
        let before = line.get(..end + 1 + blanks).unwrap_or(line);
        let (value, last) = value(lines, at, rest.trim_start())
            .ok_or_else(|| malformed("a value that does not end"))?;
        entries.push(Entry { section, name, before, value, first: at, last });
        at = last + 1;
    }
    // What stands before all sections counts first, wherever a section of that name is written.
    entries.sort_by_key(|entry| entry.section != TOP);
    Ok(entries)
}

/// A value that begins on a line, and the line on which it ends.
fn value(lines: &[&str], first: usize, text: &str) -> Option<(String, usize)> {
    for quote in ["\"\"\"", "`"] {
        let Some(inside) = text.strip_prefix(quote) else { continue };
        // The last quotes of the line on which there are any.
        let (mut before, mut line, mut at) = (String::new(), inside, first);
        loop {
            if let Some((value, _)) = line.rsplit_once(quote) {
                return Some((before + value, at));
            }
            at += 1;
            before.extend([line, "\n"]);
            line = lines.get(at)?;
        }
    }
    let text = text.trim();
    let bare = text.split(['#', ';']).next().unwrap_or(text).trim();
    if text.ends_with('\\') {
        // A line that goes on on the next one is written by nobody's SOPS.
        return None;
    }
    let unquoted = ['"', '\''].into_iter().find_map(|quote| {
        let inside = bare.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inside).filter(|inside| !inside.contains(quote))
    });
    Some((unquoted.unwrap_or(bare).to_owned(), first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, String)> {
        let lines: Vec<&str> = text.split('\n').collect();
        let all = entries_of(&lines).unwrap();
        all.into_iter().map(|it| (it.section.to_owned(), it.name.to_owned(), it.value)).collect()
    }

    #[test]
    fn values_are_read_as_they_are_quoted() {
        let text = "top = 1\n; c\n[db]\na   = `x;y`\nb = \"\"\"one\ntwo\"\"\"\nc = \"  p  \"\nd = v # c\ne =\nf: g\n[z]\na = 'q'\n";
        let values: Vec<String> =
            read(text).into_iter().map(|(s, k, v)| format!("{s}.{k}={v}")).collect();
        assert_eq!(
            values,
            [
                "DEFAULT.top=1",
                "db.a=x;y",
                "db.b=one\ntwo",
                "db.c=  p  ",
                "db.d=v",
                "db.e=",
                "db.f=g",
                "z.a=q"
            ]
        );
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for value in ["x", "a;b", "  p ", "one\ntwo", "a`b", "#", "\"q\"", "'", "a\\", "a`b\"", ""]
        {
            let text = format!("k = {}\n", quoted(value));
            assert_eq!(
                read(&text),
                [("DEFAULT".to_owned(), "k".to_owned(), value.to_owned())],
                "{text}"
            );
        }
    }
}

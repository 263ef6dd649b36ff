//! `NAME=value`, a line each. Quotes are part of a value, and `\n` in it is a line break.

use super::super::metadata::{Metadata, unflattened};
use super::super::open::{Means, Opener, Written};
use super::super::refusal::Refusal;
use super::super::{Opened, value::BEGINS};

/// What names of the metadata begin with.
const OWN: &str = "sops_";

/// Opens a file. Values stay on their lines; those of the metadata are left empty.
pub(super) fn open(bytes: &[u8], means: Means<'_>) -> Result<Opened, Refusal> {
    let text =
        std::str::from_utf8(bytes).ok().ok_or_else(|| Refusal::malformed("it is no UTF-8 text"))?;
    let own = text.lines().filter_map(|line| line.strip_prefix(OWN)?.split_once('='));
    let own: Vec<(String, String)> = own.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let metadata = Metadata::read(&unflattened(&own)?)?;
    let mut opener = Opener::new(metadata, means)?;
    let mut plain = Vec::with_capacity(text.len());
    let mut names = std::collections::BTreeSet::new();
    for (number, line) in (1_u32..).zip(text.split('\n')) {
        if number > 1 {
            plain.push(b'\n');
        }
        if line.is_empty() || line.starts_with(OWN) || line.strip_prefix('#').is_some_and(is_sealed)
        {
            continue;
        }
        if line.starts_with('#') || line.trim().is_empty() {
            plain.extend(line.as_bytes());
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            let message = "a line without `=` stands in the SOPS file";
            return Err(Refusal::malformed(message).at_line(number));
        };
        if !names.insert(name) {
            return Err(super::twice(name, number));
        }
        let mut value = value.replace("\\n", "\n");
        if is_sealed(&value) {
            value.truncate(value.trim_end().len());
        }
        let opened = opener.value(&[name], Written::Text(value.as_bytes()), number)?.shown();
        let opened = String::from_utf8(opened)
            .ok()
            .ok_or_else(|| Refusal::malformed("a value is no UTF-8 text").at_line(number))?;
        plain.extend(name.as_bytes());
        plain.push(b'=');
        plain.extend(opened.replace('\n', "\\n").as_bytes());
    }
    let finished = opener.finish()?;
    let end = plain.iter().rposition(|byte| *byte != b'\n').map_or(0, |at| at + 2);
    plain.truncate(end);
    Ok(finished.with(plain))
}

fn is_sealed(text: &str) -> bool {
    text.starts_with(BEGINS)
}

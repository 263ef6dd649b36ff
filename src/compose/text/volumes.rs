//! The short syntax of mounts: `[SOURCE:]TARGET[:OPTIONS]`.

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::compose) struct Mount {
    /// Path, volume or nothing.
    pub(in crate::compose) source: String,
    /// Path in the container.
    pub(in crate::compose) target: String,
    /// Read-only.
    pub(in crate::compose) read_only: bool,
    /// The image's content is not copied.
    pub(in crate::compose) nocopy: bool,
    /// `z` or `Z`.
    pub(in crate::compose) selinux: String,
    /// Propagation.
    pub(in crate::compose) propagation: String,
}

impl Mount {
    /// `bind`, `npipe` or `volume`.
    pub(in crate::compose) fn kind(&self) -> &'static str {
        if is_file_path(&self.source) { "bind" } else { "volume" }
    }
}

/// Reads a mount. The message says what is wrong with it.
///
/// Compose Specification, `volumes`, "Short syntax". Options that nobody knows are passed over, as the reference does:
/// `consistent` and `delegated` once meant something on a Mac.
pub(in crate::compose) fn parse(text: &str) -> Result<Mount, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() <= 2 {
        return Ok(Mount { target: text.to_owned(), ..Mount::default() });
    }
    let sections = sections(text);
    if sections.iter().any(String::is_empty) {
        return Err(format!("an empty section between colons in {text:?}"));
    }
    let mut sections = sections.into_iter();
    let (first, second, third) = (sections.next(), sections.next(), sections.next());
    if sections.next().is_some() {
        return Err(format!("too many colons in {text:?}"));
    }
    let first = first.unwrap_or_default();
    let Some(second) = second else { return Ok(Mount { target: first, ..Mount::default() }) };
    let mut mount = Mount { source: first, target: second, ..Mount::default() };
    for option in third.iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.nocopy = true,
            "z" | "Z" => option.clone_into(&mut mount.selinux),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                option.clone_into(&mut mount.propagation);
            }
            _ => {}
        }
    }
    Ok(mount)
}

/// Splits at colons, except behind a drive letter.
///
/// `C:\data:/data` has three parts to a splitter and two to a person.
fn sections(text: &str) -> Vec<String> {
    let mut sections = vec![];
    let mut section = String::new();
    for c in text.chars() {
        let is_drive = section.chars().count() == 1 && section.starts_with(char::is_alphabetic);
        if c == ':' && !is_drive {
            sections.push(std::mem::take(&mut section));
        } else {
            section.push(c);
        }
    }
    sections.push(section);
    sections
}

/// A name or a path: what begins with `.`, `/` or `~`, or holds a drive letter, is a path; anything else is a volume
/// that must be declared.
fn is_file_path(source: &str) -> bool {
    let mut chars = source.chars();
    match (chars.next(), chars.next()) {
        (Some('.' | '/' | '~'), _) | (Some('\\'), Some('\\')) => true,
        (Some(drive), Some(':')) => drive.is_alphabetic(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_letter_is_not_a_section() {
        let mount = parse("C:\\data:/x:ro,Z").unwrap();
        assert_eq!((mount.source.as_str(), mount.target.as_str()), ("C:\\data", "/x"));
        assert_eq!((mount.kind(), mount.read_only, mount.selinux.as_str()), ("bind", true, "Z"));
        assert!(parse("aa::/b").is_err() && parse("aa:bb:cc:dd").is_err());
    }
}

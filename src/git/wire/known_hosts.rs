//! OpenSSH's file of known host keys (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

use base64::Engine as _;

/// What the file says of a host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the one.
    Known,
    /// No line names the host.
    Unknown,
    /// A line names the host with another key, or revokes this one.
    Changed { line: usize },
}

/// Host and port as the file writes them.
pub(super) fn host_name(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_ascii_lowercase()
    } else {
        format!("[{}]:{port}", host.to_ascii_lowercase())
    }
}

/// What `text` says of the key `key` (base64) of `host` (as [`host_name`] writes it).
pub(super) fn check(text: &str, host: &str, key: &str) -> Verdict {
    let mut verdict = Verdict::Unknown;
    for entry in entries(text, host) {
        match entry.marker {
            Some("@revoked") if entry.key == key => return Verdict::Changed { line: entry.line },
            Some(_) => {}
            None if entry.key == key => verdict = Verdict::Known,
            None if verdict == Verdict::Unknown => verdict = Verdict::Changed { line: entry.line },
            None => {}
        }
    }
    verdict
}

/// The kinds of key that the file knows of a host, such as `ssh-ed25519`: to be asked for first, because a server
/// has several keys and shows one.
pub(super) fn kinds<'a>(text: &'a str, host: &str) -> Vec<&'a str> {
    entries(text, host).filter(|entry| entry.marker.is_none()).map(|entry| entry.kind).collect()
}

struct Entry<'a> {
    line: usize,
    marker: Option<&'a str>,
    kind: &'a str,
    key: &'a str,
}

fn entries<'a>(text: &'a str, host: &str) -> impl Iterator<Item = Entry<'a>> {
    text.lines().enumerate().filter_map(move |(index, line)| {
        let line_number = index + 1;
        let mut words = line.split_whitespace();
        let first = words.next().filter(|word| !word.starts_with('#'))?;
        let marker = Some(first).filter(|word| word.starts_with('@'));
        let hosts = if marker.is_some() { words.next()? } else { first };
        let (kind, key) = (words.next()?, words.next()?);
        names(hosts, host).then_some(Entry { line: line_number, marker, kind, key })
    })
}

/// Whether a list of patterns names the host: one must fit, and none that begins with `!`.
fn names(patterns: &str, host: &str) -> bool {
    let mut named = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if fits(not, host) => return false,
            Some(_) => {}
            None => named = named || hashed_fits(pattern, host) || fits(pattern, host),
        }
    }
    named
}

/// `|1|salt|hash`: HMAC-SHA1 of the host under the salt.
fn hashed_fits(pattern: &str, host: &str) -> bool {
    let Some((salt, hash)) = pattern.strip_prefix("|1|").and_then(|rest| rest.split_once('|'))
    else {
        return false;
    };
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
    let (Some(salt), Some(hash)) = (decode(salt), decode(hash)) else { return false };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    ring::hmac::verify(&key, host.as_bytes(), &hash).is_ok()
}

/// `*` stands for any characters, `?` for one.
fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().map(|c| c.to_ascii_lowercase()).collect();
    let text: Vec<char> = text.chars().collect();
    // Which lengths of the text the pattern fits so far.
    let mut reach = vec![false; text.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let mut next = vec![false; text.len() + 1];
        let mut any = false;
        for (length, slot) in next.iter_mut().enumerate() {
            let before = length.checked_sub(1);
            let one = before.is_some_and(|at| {
                reach.get(at) == Some(&true) && (wanted == '?' || text.get(at) == Some(&wanted))
            });
            any = any || reach.get(length) == Some(&true);
            *slot = if wanted == '*' { any } else { one };
        }
        reach = next;
    }
    reach.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n\
        example.com,192.0.2.1 ssh-ed25519 AAAAone comment\n\
        [example.com]:2222 ssh-rsa AAAAtwo\n\
        |1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAthree\n\
        *.lab.example.org,!bad.lab.example.org ecdsa-sha2-nistp256 AAAAfour\n\
        @revoked * ssh-ed25519 AAAAbad\n\
        example.com ssh-rsa AAAAfive\n";

    #[test]
    fn a_key_is_known_changed_or_unknown() {
        let cases = [
            ("example.com", 22, "AAAAone", Verdict::Known),
            ("EXAMPLE.com", 22, "AAAAfive", Verdict::Known),
            ("example.com", 22, "AAAAtwo", Verdict::Changed { line: 2 }),
            ("example.com", 2222, "AAAAtwo", Verdict::Known),
            ("192.0.2.1", 22, "AAAAone", Verdict::Known),
            ("192.168.1.61", 22, "AAAAthree", Verdict::Known),
            ("192.168.1.62", 22, "AAAAthree", Verdict::Unknown),
            ("git.lab.example.org", 22, "AAAAfour", Verdict::Known),
            ("bad.lab.example.org", 22, "AAAAfour", Verdict::Unknown),
            ("elsewhere.example", 22, "AAAAone", Verdict::Unknown),
            ("example.com", 22, "AAAAbad", Verdict::Changed { line: 6 }),
        ];
        for (host, port, key, expected) in cases {
            assert_eq!(check(FILE, &host_name(host, port), key), expected, "{host} {port} {key}");
        }
    }

    #[test]
    fn the_kinds_of_key_that_are_known_are_asked_for() {
        assert_eq!(kinds(FILE, "example.com"), ["ssh-ed25519", "ssh-rsa"]);
    }
}

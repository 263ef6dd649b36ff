//! Keys that open files: those of age, and SSH keys.

use std::fmt;

use super::ssh::SshKey;
use super::stanza::Stanza;
use super::{NotOpened, bech32, hybrid, x25519};

/// Keys that open files. It prints how many there are, and nothing of them.
#[derive(Default)]
pub struct Identities(Vec<Identity>);

enum Identity {
    X25519([u8; 32]),
    Hybrid([u8; 32]),
    Ssh(Box<SshKey>),
}

impl fmt::Debug for Identities {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identities({})", self.0.len())
    }
}

/// Why a key file cannot be used. It holds nothing of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", match line { 0 => String::new(), line => format!("line {line}: ") })]
pub struct UnusableKey {
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Identities {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the keys of a file: one of age a line, or an SSH private key. Comments begin with `#`.
    pub fn add(&mut self, text: &str) -> Result<(), UnusableKey> {
        let trimmed = text.trim_start();
        if ["-----BEGIN AGE ENCRYPTED FILE", "age-encryption.org/"]
            .iter()
            .any(|it| trimmed.starts_with(it))
        {
            let why = "it is encrypted itself, and nobody is there to type its passphrase";
            return Err(UnusableKey { line: 0, why });
        }
        if trimmed.starts_with("-----BEGIN") {
            let key = SshKey::read(trimmed).map_err(|why| UnusableKey { line: 0, why })?;
            self.0.push(Identity::Ssh(Box::new(key)));
            return Ok(());
        }
        let mut found = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if !line.is_empty() && !line.starts_with('#') {
                found.push(of_line(line).map_err(|why| UnusableKey { line: number, why })?);
            }
        }
        if found.is_empty() {
            return Err(UnusableKey { line: 0, why: "it holds no key" });
        }
        self.0.extend(found);
        Ok(())
    }

    /// The file's key, where one of these opens the stanza.
    pub(super) fn unwrap(&self, stanza: &Stanza<'_>) -> Result<Option<Vec<u8>>, NotOpened> {
        for identity in &self.0 {
            let opened = match (identity, stanza.kind) {
                (Identity::X25519(secret), "X25519") => x25519::unwrap(secret, stanza)?,
                (Identity::Hybrid(seed), "mlkem768x25519") => hybrid::unwrap(seed, stanza)?,
                (Identity::Ssh(key), _) => key.unwrap(stanza)?,
                (Identity::X25519(_) | Identity::Hybrid(_), _) => None,
            };
            if let Some(key) = opened {
                if key.len() != 16 {
                    return Err(NotOpened::Broken("its key has another length"));
                }
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

fn of_line(line: &str) -> Result<Identity, &'static str> {
    const MISTYPED: &str = "it is no key of age: its check digits do not hold";
    if line.starts_with("AGE-PLUGIN-") {
        return Err(
            "keys of plugins are not used, because a plugin is a program that a repository would choose",
        );
    }
    if line.starts_with("age1") || line.starts_with("ssh-") {
        return Err("this is the public half of a key; the other one begins with AGE-SECRET-KEY-");
    }
    let (kind, data) = bech32::decode(line).ok_or(MISTYPED)?;
    let secret: [u8; 32] = data.try_into().ok().ok_or(MISTYPED)?;
    match kind.as_str() {
        "age-secret-key-" => Ok(Identity::X25519(secret)),
        "age-secret-key-pq-" => Ok(Identity::Hybrid(secret)),
        _ => Err("it is no secret key of age"),
    }
}

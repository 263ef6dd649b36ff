//! Files of age, which SOPS keeps data keys in: a key of the file, encrypted for each recipient, and what it encrypts.
//! <https://github.com/C2SP/C2SP/blob/main/age.md>

mod armor;
mod bech32;
mod hkdf;
mod hybrid;
mod identity;
mod payload;
mod ssh;
mod stanza;
mod x25519;

pub use identity::{Identities, UnusableKey};

use ring::hmac;

use self::stanza::Header;

/// Why a file of age was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// None of its recipients is one of the identities.
    NotOurs,
    /// It is not written as age writes files, or was changed.
    Broken(&'static str),
}

/// Decrypts a small file, armored or not, in memory.
pub(super) fn decrypt(bytes: &[u8], identities: &Identities) -> Result<Vec<u8>, NotOpened> {
    let own = armor::removed(bytes)?;
    let (header, rest) = Header::read(&own)?;
    if header.stanzas.iter().any(|stanza| stanza.kind == "scrypt") {
        return Err(NotOpened::Broken("it is encrypted with a passphrase"));
    }
    for stanza in &header.stanzas {
        let Some(key) = identities.unwrap(stanza)? else { continue };
        let mac = hkdf::derive(&key, b"", b"header");
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &mac);
        if hmac::verify(&mac, header.signed, &header.mac).is_err() {
            return Err(NotOpened::Broken("its header was changed"));
        }
        return payload::decrypt(&key, rest);
    }
    Err(NotOpened::NotOurs)
}

/// Whether a recipient is of a kind that identities can open, as opposed to one of a plugin.
pub(super) fn follows(recipient: &str) -> bool {
    let recipient = recipient.trim();
    let is_ssh = recipient.starts_with("ssh-ed25519 ") || recipient.starts_with("ssh-rsa ");
    let is_native =
        recipient.rsplit_once('1').is_some_and(|(kind, _)| kind == "age" || kind == "age1pq");
    is_ssh || is_native
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_of_plugins_are_told_from_others() {
        assert!(follows("age1wmyva2yntuav2d7pmqmnan02ksfup7x0jlr587hapk2w8cxy6u0qkmr6ka"));
        assert!(follows("age1pq1wmyva2y"));
        assert!(follows("ssh-ed25519 AAAA me@here"));
        assert!(!follows("age1yubikey1qtd6lr3"));
        assert!(!follows("AKIA"));
    }
}

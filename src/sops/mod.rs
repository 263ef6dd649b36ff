//! Files that SOPS encrypted, read.
//!
//! The format is that of <https://github.com/getsops/sops>: values are AES-256-GCM with their path as additional data, a
//! digest over all values (the MAC) stands beside them, and the key of the file is encrypted with age for whoever may
//! read it (<https://age-encryption.org/v1>).
//!
//! *Guarantees:* nothing comes out unless every encrypted value and the MAC hold; what cannot be followed (another key
//! service, a plugin, a rule, a missing MAC) is refused by name. *Caveats:* SOPS does not authenticate names of keys, nor
//! which file or repository a value is from: whoever may write to the repository can move what a key opens into a file of
//! their own. Comments are not authenticated either, and are left out.

mod age;
mod data_key;
mod formats;
mod metadata;
mod open;
mod refusal;
mod rules;
mod shamir;
mod value;

pub use age::{Identities, UnusableKey};
pub use formats::{Format, format_of};
pub use refusal::{Refusal, Refused};

use std::collections::BTreeMap;

use crate::model::Secret;

/// Bytes that one file may have, and that its plaintext may: what holds more is data, not secrets.
pub const MAX_BYTES: usize = 4 << 20;

/// What came out of a file.
#[derive(Debug)]
pub struct Opened {
    /// The text as it was before it was encrypted, in the same format, values on the lines where they were.
    pub bytes: Secret<Vec<u8>>,
    /// Each value that was encrypted: nobody may read one anywhere.
    pub values: Vec<Secret<String>>,
    /// What each encrypted text stands for, by its path and itself.
    known: Known,
}

/// Encrypted texts and what they stand for, by what they are bound to and by themselves.
#[derive(Clone, Default)]
struct Known(BTreeMap<(String, String), value::Plain>);

impl std::fmt::Debug for Known {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Known({})", self.0.len())
    }
}

/// Opens a file of a format, which [`format_of`] tells.
pub fn open(format: Format, bytes: &[u8], identities: &Identities) -> Result<Opened, Refusal> {
    check_size(bytes)?;
    formats::open(format, bytes, open::Means::Keys(identities))
}

/// Reads a file that somebody proposes, without a key: a value that is encrypted as it is in the file `before` is what it is
/// there, any other is a token that tells it from others. Nothing of it is checked, and it may only be looked at.
pub fn compare(format: Format, bytes: &[u8], before: Option<&Opened>) -> Result<Opened, Refusal> {
    check_size(bytes)?;
    formats::open(format, bytes, open::Means::Before(before.map(|opened| &opened.known)))
}

fn check_size(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("the SOPS file has more than {} MiB", MAX_BYTES >> 20);
    Err(Refusal::malformed(message))
}

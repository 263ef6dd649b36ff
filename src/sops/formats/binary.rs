//! Files of no known format: JSON with the bytes as the one value `data`.

use super::super::open::{Means, Opener, Written};
use super::super::refusal::Refusal;
use super::super::{Opened, value::Plain};
use super::json::{Json, split};

/// Opens a file.
pub(super) fn open(bytes: &[u8], means: Means<'_>) -> Result<Opened, Refusal> {
    let (metadata, fields) = split(bytes)?;
    let [(name, Json::Text(data))] = fields.as_slice() else {
        return Err(Refusal::malformed("a binary file of SOPS holds `data` and nothing else"));
    };
    let mut opener = Opener::new(metadata, means)?;
    let plain = opener.value(&[name], Written::Text(data.as_bytes()), 0)?;
    let finished = opener.finish()?;
    match plain {
        Plain::Text(bytes) => Ok(finished.with(bytes)),
        other => Ok(finished.with(other.shown())),
    }
}

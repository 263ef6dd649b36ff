//! The armor: base64 between two lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::NotOpened;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// A file without its armor, if it has one.
pub(super) fn removed(bytes: &[u8]) -> Result<Vec<u8>, NotOpened> {
    const BROKEN: NotOpened = NotOpened::Broken("its armor is not complete");
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(bytes.to_vec()) };
    let Some(rest) = text.trim_start().strip_prefix(BEGIN) else { return Ok(bytes.to_vec()) };
    let inside = rest.trim_end().strip_suffix(END).ok_or(BROKEN)?;
    let mut encoded = String::with_capacity(inside.len());
    let mut is_last = false;
    for line in inside.trim().lines().map(|line| line.trim_end_matches('\r')) {
        // Only the last line is shorter than the others.
        if is_last || line.len() > 64 || line.is_empty() {
            return Err(BROKEN);
        }
        is_last = line.len() < 64;
        encoded.push_str(line);
    }
    STANDARD.decode(encoded).ok().ok_or(BROKEN)
}

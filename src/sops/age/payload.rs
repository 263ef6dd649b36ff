//! What a file of age holds: pieces of 64 KiB, numbered, the last one marked.

use super::NotOpened;
use super::hkdf;

/// Bytes of one piece before it is sealed.
const PIECE: usize = 64 << 10;
const TAG: usize = 16;

/// Decrypts everything behind the header.
pub(super) fn decrypt(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, NotOpened> {
    const BROKEN: NotOpened = NotOpened::Broken("it is cut short, or was changed");
    let (nonce, mut rest) = bytes.split_at_checked(16).ok_or(BROKEN)?;
    let key = hkdf::derive(key, nonce, b"payload");
    let mut plain = Vec::with_capacity(rest.len());
    let mut number = 0_u64;
    loop {
        let (piece, after) = rest.split_at_checked(PIECE + TAG).unwrap_or((rest, &[]));
        let is_last = after.is_empty();
        let mut nonce = [0; 12];
        // Eleven bytes of number, one that says whether more follows.
        for (to, from) in nonce.iter_mut().skip(3).zip(number.to_be_bytes()) {
            *to = from;
        }
        if let Some(last) = nonce.last_mut() {
            *last = u8::from(is_last);
        }
        let opened = hkdf::opened(&key, nonce, piece).ok_or(BROKEN)?;
        // Only a file that is empty as a whole ends with an empty piece.
        if opened.is_empty() && number > 0 {
            return Err(BROKEN);
        }
        plain.extend(opened);
        if is_last {
            return Ok(plain);
        }
        rest = after;
        number += 1;
    }
}

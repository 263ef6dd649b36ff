//! HKDF with SHA-256. <https://www.rfc-editor.org/rfc/rfc5869>

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;

/// The pseudorandom key of a secret.
pub(super) fn extract(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    let salt = if salt.is_empty() { &[0; 32] } else { salt };
    hmac_of(salt, &[secret])
}

/// The first 32 bytes or fewer that a pseudorandom key gives for a purpose.
pub(super) fn expand(key: &[u8; 32], purpose: &[&[u8]]) -> [u8; 32] {
    let mut parts = purpose.to_vec();
    parts.push(&[1]);
    hmac_of(key, &parts)
}

/// A key for one purpose.
pub(super) fn derive(secret: &[u8], salt: &[u8], purpose: &[u8]) -> [u8; 32] {
    expand(&extract(salt, secret), &[purpose])
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Opens what ChaCha20-Poly1305 sealed without additional data.
pub(super) fn opened(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_as_the_standard_says() {
        // RFC 5869, appendix A.1 and A.3: the first 32 of 42 bytes.
        let salt: Vec<u8> = (0..=12).collect();
        let purpose: Vec<u8> = (0xf0..=0xf9).collect();
        let key = derive(&[0x0b; 22], &salt, &purpose);
        assert_eq!(
            hex::encode(key),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
        let key = derive(&[0x0b; 22], b"", b"");
        assert_eq!(
            hex::encode(key),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }
}

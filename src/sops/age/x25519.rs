//! Recipients `age1…`: an agreement on Curve25519.

use curve25519_dalek::montgomery::MontgomeryPoint;

use super::stanza::Stanza;
use super::{NotOpened, hkdf};

const PURPOSE: &[u8] = b"age-encryption.org/v1/X25519";

/// The file's key, where the stanza is for this secret.
pub(super) fn unwrap(secret: &[u8; 32], stanza: &Stanza<'_>) -> Result<Option<Vec<u8>>, NotOpened> {
    stanza.expects(1, Some(32))?;
    let share: [u8; 32] = stanza.argument(0)?;
    let shared = agreed(secret, &share)?;
    let salt = [share, public(secret)].concat();
    let key = hkdf::derive(&shared, &salt, PURPOSE);
    Ok(hkdf::opened(&key, [0; 12], &stanza.body))
}

/// The public half of a secret.
pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
}

/// What both sides know: a secret, and the other side's public half. <https://www.rfc-editor.org/rfc/rfc7748#section-6.1>
pub(super) fn agreed(secret: &[u8; 32], public: &[u8; 32]) -> Result<[u8; 32], NotOpened> {
    let shared = MontgomeryPoint(*public).mul_clamped(*secret).to_bytes();
    // A point of low order: whoever chose it would know what is agreed on.
    if shared == [0; 32] { Err(NotOpened::Broken("its share is not valid")) } else { Ok(shared) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_agree_as_the_standard_says() {
        let bytes = |text: &str| -> [u8; 32] { hex::decode(text).unwrap().try_into().unwrap() };
        let alice = bytes("77076d0a7318a57d3c16c17251b26645c6c2f6fcd6a9b9a4c6d9b6a4c2b0d9f0");
        let bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        assert_eq!(agreed(&alice, &public(&bob)).unwrap(), agreed(&bob, &public(&alice)).unwrap());
        // RFC 7748, 6.1.
        assert_eq!(
            hex::encode(public(&bob)),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
        );
        assert!(agreed(&alice, &[0; 32]).is_err());
    }
}

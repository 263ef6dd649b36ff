//! Recipients `age1pq1…`: ML-KEM-768 beside X25519, so that neither breaking the one nor the other suffices.
//!
//! The two make one key encapsulation (X-Wing), which HPKE uses in its base mode.
//! <https://www.rfc-editor.org/rfc/rfc9180>, <https://datatracker.ietf.org/doc/draft-connolly-cfrg-xwing-kem/>

use ml_kem::kem::Decapsulate;
use ml_kem::{FromSeed as _, MlKem768};
use sha3::{Digest as _, Sha3_256};
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

use super::stanza::Stanza;
use super::{NotOpened, hkdf, x25519};

const PURPOSE: &[u8] = b"age-encryption.org/mlkem768x25519";
/// X-Wing, HKDF-SHA256, ChaCha20-Poly1305.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
/// Bytes of what ML-KEM-768 encapsulates to.
const ENCAPSULATED: usize = 1088;

/// The file's key, where the stanza is for this seed.
pub(super) fn unwrap(seed: &[u8; 32], stanza: &Stanza<'_>) -> Result<Option<Vec<u8>>, NotOpened> {
    stanza.expects(1, Some(32))?;
    let sealed: [u8; ENCAPSULATED + 32] = stanza.argument(0)?;
    let (lattice, curve) = sealed.split_at(ENCAPSULATED);
    let curve: [u8; 32] = curve.try_into().ok().ok_or(BROKEN)?;
    let shared = shared(seed, lattice, &curve)?;
    let (key, nonce) = schedule(&shared);
    Ok(hkdf::opened(&key, nonce, &stanza.body))
}

const BROKEN: NotOpened = NotOpened::Broken("its post-quantum stanza is not valid");

/// What is encapsulated. A wrong key gives another secret, and is noticed when that opens nothing.
fn shared(seed: &[u8; 32], lattice: &[u8], curve: &[u8; 32]) -> Result<[u8; 32], NotOpened> {
    let mut expanded = [0; 96];
    let mut shake = Shake256::default();
    shake.update(seed);
    shake.finalize_xof().read(&mut expanded);
    let (lattice_seed, secret) = expanded.split_at(64);
    let secret: [u8; 32] = secret.try_into().ok().ok_or(BROKEN)?;
    let lattice_seed = lattice_seed.try_into().ok().ok_or(BROKEN)?;
    let (key, _) = MlKem768::from_seed(&lattice_seed);
    let from_lattice = key.decapsulate_slice(lattice).ok().ok_or(BROKEN)?;
    let from_curve = x25519::agreed(&secret, curve)?;
    let mut digest = Sha3_256::new();
    for part in [&from_lattice[..], &from_curve, curve, &x25519::public(&secret), br"\.//^\"] {
        sha3::Digest::update(&mut digest, part);
    }
    Ok(digest.finalize().into())
}

/// Key and first nonce of HPKE without a password or a sender's key. <https://www.rfc-editor.org/rfc/rfc9180#section-5.1>
fn schedule(shared: &[u8; 32]) -> ([u8; 32], [u8; 12]) {
    let extract = |salt: &[u8], label: &[u8], secret: &[u8]| {
        hkdf::extract(salt, &[b"HPKE-v1", SUITE, label, secret].concat())
    };
    let context =
        [&[0][..], &extract(b"", b"psk_id_hash", b""), &extract(b"", b"info_hash", PURPOSE)]
            .concat();
    let secret = extract(shared, b"secret", b"");
    let expand = |label: &[u8], length: u8| {
        hkdf::expand(&secret, &[&[0, length], b"HPKE-v1", SUITE, label, &context])
    };
    let (key, long) = (expand(b"key", 32), expand(b"base_nonce", 12));
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().zip(long) {
        *to = from;
    }
    (key, nonce)
}

//! Recipients that are SSH keys. <https://github.com/FiloSottile/age/blob/main/agessh/agessh.go>

use rsa::Oaep;
use rsa::sha2::Sha256;
use sha2::{Digest as _, Sha512};
use ssh_key::PrivateKey;
use ssh_key::private::KeypairData;

use super::stanza::Stanza;
use super::{NotOpened, hkdf, x25519};

const ED25519: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
const RSA: &[u8] = b"age-encryption.org/v1/ssh-rsa";

/// An SSH key that is ready to be tried.
pub(super) struct SshKey {
    /// The beginning of the digest of the public key: the stanza names it.
    tag: [u8; 4],
    secret: Secret,
}

enum Secret {
    Ed25519 { secret: [u8; 32], public: Vec<u8> },
    Rsa(Box<rsa::RsaPrivateKey>),
}

impl SshKey {
    /// A key from its file's text; an error says why it cannot be used.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let key = PrivateKey::from_openssh(text).ok().ok_or("it is no OpenSSH private key")?;
        if key.is_encrypted() {
            return Err("the SSH key has a passphrase, which nobody is there to type");
        }
        let public = key.public_key().to_bytes().ok().ok_or("it is no OpenSSH private key")?;
        let digest = sha2::Sha256::digest(&public);
        let mut tag = [0; 4];
        for (to, from) in tag.iter_mut().zip(digest) {
            *to = from;
        }
        let secret = match key.key_data() {
            KeypairData::Ed25519(pair) => {
                let long = Sha512::digest(pair.private.to_bytes());
                let mut secret = [0; 32];
                for (to, from) in secret.iter_mut().zip(long) {
                    *to = from;
                }
                Secret::Ed25519 { secret, public }
            }
            KeypairData::Rsa(pair) => {
                let key =
                    rsa::RsaPrivateKey::try_from(pair).ok().ok_or("the RSA key is not valid")?;
                Secret::Rsa(Box::new(key))
            }
            _ => return Err("SSH keys that open files are of type ed25519 or rsa"),
        };
        Ok(Self { tag, secret })
    }

    /// The file's key, where the stanza is for this one.
    pub(super) fn unwrap(&self, stanza: &Stanza<'_>) -> Result<Option<Vec<u8>>, NotOpened> {
        match (&self.secret, stanza.kind) {
            (Secret::Ed25519 { secret, public }, "ssh-ed25519") => {
                stanza.expects(2, Some(32))?;
                if stanza.argument(0)? != self.tag {
                    return Ok(None);
                }
                let share: [u8; 32] = stanza.argument(1)?;
                // Bound to the SSH key as it is written, because two of those may have one key on the curve.
                let tweak = hkdf::derive(b"", public, ED25519);
                let shared = x25519::agreed(&tweak, &x25519::agreed(secret, &share)?)?;
                let salt = [share, x25519::public(secret)].concat();
                let key = hkdf::derive(&shared, &salt, ED25519);
                Ok(hkdf::opened(&key, [0; 12], &stanza.body))
            }
            (Secret::Rsa(key), "ssh-rsa") => {
                stanza.expects(1, None)?;
                if stanza.argument(0)? != self.tag {
                    return Ok(None);
                }
                let padding = Oaep::<Sha256>::new_with_label(RSA);
                let opened = key.decrypt(padding, &stanza.body);
                Ok(opened.ok().filter(|key| key.len() == 16))
            }
            (Secret::Ed25519 { .. } | Secret::Rsa(_), _) => Ok(None),
        }
    }
}

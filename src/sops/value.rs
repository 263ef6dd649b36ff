//! One value: as it is encrypted, as it is plain, and what of it the MAC is made of.

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::{U12, U16, U32};
use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};
use aes_gcm::aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A value that is known.
#[derive(Clone, PartialEq)]
pub(super) enum Plain {
    /// A text; bytes of any kind where the file is binary.
    Text(Vec<u8>),
    /// A whole number.
    Int(i128),
    /// A number.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// An instant, as RFC 3339 writes it.
    Time(String),
}

impl Plain {
    /// What the MAC is made of: neither the type nor the key is in it.
    pub(super) fn digested(&self) -> Vec<u8> {
        match self {
            Self::Text(bytes) => bytes.clone(),
            Self::Int(number) => number.to_string().into_bytes(),
            Self::Float(number) => float(*number).into_bytes(),
            Self::Bool(true) => b"True".to_vec(),
            Self::Bool(false) => b"False".to_vec(),
            Self::Time(text) => text.clone().into_bytes(),
        }
    }

    /// The value as formats without types write it.
    pub(super) fn shown(&self) -> Vec<u8> {
        match self {
            Self::Bool(truth) => truth.to_string().into_bytes(),
            Self::Text(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) => self.digested(),
        }
    }
}

/// A number in full, without an exponent: the shortest digits that mean it.
fn float(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => format!("{number}"),
    }
}

/// Why a value cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It has not the form `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.
    Form,
    /// The key, the path or the bytes are others.
    Authentication,
    /// Its type is none that SOPS has.
    Type,
}

/// How every encrypted value begins.
pub(super) const BEGINS: &str = "ENC[AES256_GCM,";

/// Decrypts a value with the file's key. `path` is the additional data.
pub(super) fn decrypt(text: &str, key: &[u8; 32], path: &str) -> Result<Plain, Unreadable> {
    let inside = text.strip_prefix("ENC[AES256_GCM,data:").and_then(|rest| rest.strip_suffix(']'));
    let inside = inside.ok_or(Unreadable::Form)?;
    let (data, rest) = inside.split_once(",iv:").ok_or(Unreadable::Form)?;
    let (iv, rest) = rest.split_once(",tag:").ok_or(Unreadable::Form)?;
    let (tag, kind) = rest.split_once(",type:").ok_or(Unreadable::Form)?;
    let decode = |text: &str| STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let (Some(mut sealed), Some(iv), Some(tag)) = (decode(data), decode(iv), decode(tag)) else {
        return Err(Unreadable::Form);
    };
    if tag.len() != 16 {
        return Err(Unreadable::Form);
    }
    sealed.extend(tag);
    let payload = Payload { msg: &sealed, aad: path.as_bytes() };
    // SOPS writes 32 bytes; others of its kind wrote the usual lengths.
    let plain = match iv.len() {
        32 => with::<AesGcm<Aes256, U32>>(key, &iv, payload),
        16 => with::<AesGcm<Aes256, U16>>(key, &iv, payload),
        12 => with::<AesGcm<Aes256, U12>>(key, &iv, payload),
        _ => return Err(Unreadable::Form),
    };
    typed(plain.ok_or(Unreadable::Authentication)?, kind)
}

fn with<C: Aead + KeyInit>(key: &[u8; 32], iv: &[u8], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
    let nonce = Nonce::<C>::try_from(iv).ok()?;
    C::new_from_slice(key).ok()?.decrypt(&nonce, payload).ok()
}

/// What the bytes of a value mean. The type is not authenticated: a text that was a number stays the same digits.
fn typed(bytes: Vec<u8>, kind: &str) -> Result<Plain, Unreadable> {
    let text = || String::from_utf8(bytes.clone()).ok().ok_or(Unreadable::Type);
    Ok(match kind {
        "str" | "bytes" => Plain::Text(bytes),
        "int" | "int64" => {
            let number: i64 = text()?.parse().ok().ok_or(Unreadable::Type)?;
            Plain::Int(number.into())
        }
        "float" => Plain::Float(text()?.parse().ok().ok_or(Unreadable::Type)?),
        "bool" => match text()?.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Plain::Bool(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Plain::Bool(false),
            _ => return Err(Unreadable::Type),
        },
        "time" => Plain::Time(text()?),
        _ => return Err(Unreadable::Type),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digested_in_full() {
        assert_eq!(float(1e21), "1000000000000000000000");
        assert_eq!(float(1.5), "1.5");
        assert_eq!(float(0.000_000_1), "0.0000001");
        assert_eq!(float(f64::INFINITY), "+Inf");
        assert_eq!(Plain::Bool(false).digested(), b"False");
        assert_eq!(Plain::Bool(false).shown(), b"false");
    }

    #[test]
    fn what_is_not_written_as_sops_writes_it_is_no_value() {
        let key = [0; 32];
        for text in [
            "",
            "ENC[]",
            "ENC[AES256_GCM,data:,iv:AAAA,tag:AAAA,type:str]",
            "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]",
            "ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAA,tag:AAAA,type:str]",
            "ENC[AES256_GCM,data:A A=,iv:AAAAAAAAAAAAAAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]",
            "x ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]",
        ] {
            assert_eq!(decrypt(text, &key, "a:").err(), Some(Unreadable::Form), "{text}");
        }
        let form =
            "ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAA,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]";
        assert_eq!(decrypt(form, &key, "a:").err(), Some(Unreadable::Authentication));
    }
}

//! Who we are: tokens from files, and GitHub Apps.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::{Credentials, ForgeError, Kind};
use crate::model::{Secret, Timestamp};

/// A request's credential, and the values that must never show.
#[derive(Debug)]
pub(in crate::forge) struct Credential {
    /// The header.
    pub(in crate::forge) name: HeaderName,
    /// Its value, marked as sensitive.
    pub(in crate::forge) value: HeaderValue,
    /// The token itself.
    pub(in crate::forge) token: Secret<String>,
}

/// An installation token that is still good.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Installation {
    /// The token.
    pub(in crate::forge) token: Secret<String>,
    /// When it ends.
    pub(in crate::forge) expires: Timestamp,
}

/// Credentials of one forge, with the App's token while it lasts.
#[derive(Debug)]
pub(in crate::forge) struct Auth {
    kind: Option<Kind>,
    credentials: Credentials,
    installation: Mutex<Option<Installation>>,
}

impl Auth {
    /// Credentials as they are said to this kind of forge; nothing is said while the kind is not known.
    pub(in crate::forge) fn new(kind: Option<Kind>, credentials: Credentials) -> Self {
        Self { kind, credentials, installation: Mutex::new(None) }
    }

    /// The credentials.
    pub(in crate::forge) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The App's token, if it is good for another five minutes.
    pub(in crate::forge) fn installation(&self, now: Timestamp) -> Option<Installation> {
        let held = self.installation.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|held| now.plus(Duration::from_mins(5)) < held.expires)
    }

    /// Keeps (or forgets) the App's token.
    pub(in crate::forge) fn keep(&self, installation: Option<Installation>) {
        *self.installation.lock().unwrap_or_else(PoisonError::into_inner) = installation;
    }

    /// What a request says, from files as they are now. `None` for anonymous requests.
    pub(in crate::forge) async fn credential(&self) -> Result<Option<Credential>, ForgeError> {
        let Some(kind) = self.kind else { return Ok(None) };
        let (user, token) = match &self.credentials {
            Credentials::Anonymous | Credentials::App { .. } => return Ok(None),
            Credentials::Token(token) => (None, token.clone()),
            Credentials::TokenFile(file) => (None, read(file).await?),
            Credentials::UserTokenFile { user, file } => (Some(user), read(file).await?),
        };
        header(kind, user.map(String::as_str), token).map(Some)
    }
}

/// Reads a token's file; white space around the token is not part of it.
async fn read(path: &Path) -> Result<Secret<String>, ForgeError> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|source| ForgeError::Token { path: path.to_owned(), source })?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(ForgeError::BadToken { path: path.to_owned(), expected: "token on one line" });
    }
    Ok(Secret::new(token.to_owned()))
}

/// The header by which a kind of forge takes a token.
pub(in crate::forge) fn header(
    kind: Kind,
    user: Option<&str>,
    token: Secret<String>,
) -> Result<Credential, ForgeError> {
    let text = token.reveal();
    let (name, value) = match (kind, user) {
        (Kind::GitLab, _) => (HeaderName::from_static("private-token"), text.clone()),
        (Kind::Gitea | Kind::Forgejo, _) => (AUTHORIZATION, format!("token {text}")),
        (Kind::Bitbucket, Some(user)) => {
            (AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{user}:{text}"))))
        }
        (Kind::Bitbucket | Kind::GitHub, _) => (AUTHORIZATION, format!("Bearer {text}")),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_header| ForgeError::Tls {
        why: "the token holds characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Credential { name, value, token })
}

/// The App's own token: RS256 over its id, good from a minute ago for ten minutes in all.
pub(in crate::forge) async fn app_token(
    app: &str,
    key_file: &Path,
    now: Timestamp,
) -> Result<Secret<String>, ForgeError> {
    let pem = tokio::fs::read(key_file)
        .await
        .map_err(|source| ForgeError::Token { path: key_file.to_owned(), source })?;
    let bad =
        || ForgeError::BadToken { path: key_file.to_owned(), expected: "RSA private key in PEM" };
    let key = match PrivateKeyDer::from_pem_slice(&pem).map_err(|_secret| bad())? {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err(bad()),
    }
    .map_err(|_secret| bad())?;
    let seconds = now.as_millis() / 1000;
    let claims =
        serde_json::json!({ "iat": seconds - 60, "exp": seconds + 540, "iss": app }).to_string();
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &ring::rand::SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_secret| bad())?;
    Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

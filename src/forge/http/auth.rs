//! Who we are: tokens from files, and Apps that trade their own token for another one.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::Http;
use crate::forge::{Credentials, ForgeError};
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

/// A token that is good for some time.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Lease {
    /// The token.
    pub(in crate::forge) token: Secret<String>,
    /// When it ends.
    pub(in crate::forge) expires: Timestamp,
}

/// Credentials of one forge, with the App's token while it lasts.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Credentials,
    lease: Mutex<Option<Lease>>,
}

impl Auth {
    /// These credentials.
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, lease: Mutex::new(None) }
    }

    /// The credentials.
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The App's token, if it is good for another five minutes.
    fn lease(&self, now: Timestamp) -> Option<Lease> {
        let held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|held| now.plus(Duration::from_mins(5)) < held.expires)
    }

    /// Keeps (or forgets) the App's token.
    pub(super) fn keep(&self, lease: Option<Lease>) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }
}

impl Http {
    /// What requests say of who we are, from files as they are now. `None` for anonymous requests, and while the kind of
    /// forge is not known.
    pub(super) async fn credential(&self) -> Result<Option<Credential>, ForgeError> {
        let Some(rules) = self.rules else { return Ok(None) };
        let (user, token) = match self.auth.credentials() {
            Credentials::Anonymous => return Ok(None),
            Credentials::App { .. } => {
                let Some(app) = rules.app else { return Ok(None) };
                let held = match self.auth.lease((self.clock)()) {
                    Some(held) => held,
                    None => {
                        let bought = (app.lease)(self).await?;
                        self.auth.keep(Some(bought.clone()));
                        bought
                    }
                };
                (None, held.token)
            }
            Credentials::Token(token) => (None, token.clone()),
            Credentials::TokenFile(file) => (None, read(file).await?),
            Credentials::UserTokenFile { user, file } => (Some(user), read(file).await?),
        };
        let (name, value) = (rules.header)(user.map(String::as_str), token.reveal());
        sensitive(name, &value, token).map(Some)
    }
}

/// `Authorization: Bearer TOKEN`.
pub(in crate::forge) fn bearer(token: Secret<String>) -> Result<Credential, ForgeError> {
    let value = format!("Bearer {}", token.reveal());
    sensitive(AUTHORIZATION, &value, token)
}

fn sensitive(
    name: HeaderName,
    value: &str,
    token: Secret<String>,
) -> Result<Credential, ForgeError> {
    let mut value = HeaderValue::from_str(value).map_err(|_header| ForgeError::Tls {
        why: "the token holds characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Credential { name, value, token })
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

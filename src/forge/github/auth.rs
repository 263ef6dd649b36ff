//! Tokens, and GitHub Apps: the App's own token buys an installation's, which is good for an hour.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

use super::super::http::App;
use super::super::http::{Ask, Credential, Http, Lease, bearer};
use super::super::{Credentials, ForgeError, Right};
use crate::model::{Secret, Timestamp};

/// Tokens of any sort.
pub(super) fn header(_user: Option<&str>, token: &str) -> (HeaderName, String) {
    (AUTHORIZATION, format!("Bearer {token}"))
}

/// GitHub Apps.
pub(super) const APP: App =
    App { lease: |http| lease(http).boxed(), account: |http| account(http).boxed() };

#[derive(Deserialize)]
struct InstallationFound {
    id: u64,
}

#[derive(Deserialize)]
struct TokenBought {
    token: String,
    expires_at: String,
}

#[derive(Deserialize)]
struct AppFound {
    slug: Option<String>,
}

/// The App's account name, as its comments carry it: `SLUG[bot]`.
async fn account(http: &Http) -> Result<Option<String>, ForgeError> {
    let own = own_credential(http).await?;
    let answer = http.send(&Ask::get(["app"], "GitHub App"), own.as_ref()).await?;
    let found: AppFound = answer.read("an App")?;
    Ok(found.slug.map(|slug| format!("{slug}[bot]")))
}

async fn own_credential(http: &Http) -> Result<Option<Credential>, ForgeError> {
    let Credentials::App { app, key_file, .. } = http.credentials() else { return Ok(None) };
    let token = app_token(app, key_file, http.now()).await?;
    bearer(token).map(Some)
}

async fn lease(http: &Http) -> Result<Lease, ForgeError> {
    let own = own_credential(http).await?;
    let (_, project) = http.place();
    let (owner, name) = project.split_once('/').unwrap_or((project, ""));
    let given = match http.credentials() {
        Credentials::App { installation, .. } => *installation,
        _ => None,
    };
    let id = match given {
        Some(id) => id,
        None => {
            let ask = Ask::get(["repos", owner, name, "installation"], "installation of the App");
            let answer = http.send(&ask, own.as_ref()).await?;
            answer.read::<InstallationFound>("an installation")?.id
        }
    };
    // Only this repository and only these rights: a stolen token is worth little.
    let wanted = json!({
        "repositories": [name],
        "permissions": {
            "contents": "read", "statuses": "write", "pull_requests": "write", "issues": "write",
        },
    });
    let path = ["app", "installations", &id.to_string(), "access_tokens"].map(str::to_owned);
    let ask = Ask::new(Method::POST, path, Right::Read, "installation of the App");
    let first = http.send(&ask.clone().body(wanted), own.as_ref()).await;
    let answer = match first {
        // The App has fewer rights than these: take what it has, and let each ability speak for itself.
        Err(ForgeError::Rejected { code: 422, .. }) => {
            http.send(&ask.body(json!({ "repositories": [name] })), own.as_ref()).await?
        }
        other => other?,
    };
    let bought: TokenBought = answer.read("an installation's token")?;
    let expires = Timestamp::parse(&bought.expires_at).unwrap_or_else(|| http.now());
    Ok(Lease { token: Secret::new(bought.token), expires })
}

/// The App's own token: RS256 over its id, good from a minute ago for ten minutes in all.
async fn app_token(
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

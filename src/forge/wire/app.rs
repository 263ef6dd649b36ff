//! GitHub Apps: the App's own token buys an installation's, which is good for an hour.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::auth::{self, Credential, Installation};
use super::{Ask, Wire};
use crate::forge::{Credentials, ForgeError, Kind, Right};
use crate::model::{Secret, Timestamp};

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

impl Wire {
    /// What requests say of who we are.
    pub(in crate::forge) async fn credential(&self) -> Result<Option<Credential>, ForgeError> {
        let Credentials::App { installation, .. } = self.auth.credentials() else {
            return self.auth.credential().await;
        };
        let Some(kind) = self.kind else { return Ok(None) };
        if let Some(held) = self.auth.installation((self.clock)()) {
            return auth::header(kind, None, held.token).map(Some);
        }
        let bought = self.buy(*installation).await?;
        let token = bought.token.clone();
        self.auth.keep(Some(bought));
        auth::header(kind, None, token).map(Some)
    }

    /// The App's account name, as its comments carry it: `SLUG[bot]`.
    pub(in crate::forge) async fn app_account(&self) -> Result<Option<String>, ForgeError> {
        let own = self.app_credential().await?;
        let answer = self.send(&Ask::get(["app"], "GitHub App"), own.as_ref()).await?;
        let found: AppFound = answer.read("an App")?;
        Ok(found.slug.map(|slug| format!("{slug}[bot]")))
    }

    async fn app_credential(&self) -> Result<Option<Credential>, ForgeError> {
        let Credentials::App { app, key_file, .. } = self.auth.credentials() else {
            return Ok(None);
        };
        let token = auth::app_token(app, key_file, (self.clock)()).await?;
        auth::header(Kind::GitHub, None, token).map(Some)
    }

    async fn buy(&self, installation: Option<u64>) -> Result<Installation, ForgeError> {
        let own = self.app_credential().await?;
        let (owner, name) = self.project.split_once('/').unwrap_or((&self.project, ""));
        let id = match installation {
            Some(id) => id,
            None => {
                let ask =
                    Ask::get(["repos", owner, name, "installation"], "installation of the App");
                self.send(&ask, own.as_ref())
                    .await?
                    .read::<InstallationFound>("an installation")?
                    .id
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
        let first = self.send(&ask.clone().body(wanted), own.as_ref()).await;
        let answer = match first {
            // The App has fewer rights than these: take what it has, and let each ability speak for itself.
            Err(ForgeError::Rejected { code: 422, .. }) => {
                self.send(&ask.body(json!({ "repositories": [name] })), own.as_ref()).await?
            }
            other => other?,
        };
        let bought: TokenBought = answer.read("an installation's token")?;
        let expires = Timestamp::parse(&bought.expires_at).unwrap_or_else(|| (self.clock)());
        Ok(Installation { token: Secret::new(bought.token), expires })
    }
}

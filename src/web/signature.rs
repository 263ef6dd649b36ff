//! Who sent a webhook: each forge's signature over the raw body, compared in constant time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::hmac;

use super::Refusal;
use crate::model::{Secret, Timestamp};

/// How a forge signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookKind {
    /// `X-Hub-Signature-256`.
    GitHub,
    /// `X-Gitlab-Token`, or the newer signed webhooks.
    GitLab,
    /// `X-Gitea-Signature` or `X-Forgejo-Signature`.
    Gitea,
    /// `X-Hub-Signature: sha256=…`.
    Bitbucket,
}

/// A signed message is good for this long around its time (Standard Webhooks).
const WINDOW: Duration = Duration::from_mins(5);

/// A message whose sender is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    /// The delivery's id, where the forge gives one.
    pub(super) delivery: Option<String>,
    /// The event's name in the forge's words.
    pub(super) event: String,
}

impl HookKind {
    /// From the headers, for endpoints whose forge is not configured. Gitea also sends GitHub's headers: it is looked
    /// for first. A wrong guess only means a signature that is not there.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let has = |name: &str| headers.contains_key(name);
        if has("x-forgejo-event") || has("x-gitea-event") {
            Some(Self::Gitea)
        } else if has("x-gitlab-event") {
            Some(Self::GitLab)
        } else if has("x-event-key") {
            Some(Self::Bitbucket)
        } else if has("x-github-event") {
            Some(Self::GitHub)
        } else {
            None
        }
    }

    /// Checks a message against the secrets that are good now.
    pub(super) fn verify(
        self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[Secret<String>],
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let either =
            |first: &str, second: &str| text(first).or_else(|| text(second)).map(str::to_owned);
        let hex = |signature: Option<&str>| signed_hex(signature, body, secrets);
        let (good, event, delivery) = match self {
            Self::GitHub => (
                hex(text("x-hub-signature-256").and_then(|value| value.strip_prefix("sha256="))),
                either("x-github-event", ""),
                either("x-github-delivery", ""),
            ),
            Self::Gitea => (
                hex(text("x-forgejo-signature").or_else(|| text("x-gitea-signature"))),
                either("x-forgejo-event", "x-gitea-event"),
                either("x-forgejo-delivery", "x-gitea-delivery"),
            ),
            Self::Bitbucket => (
                hex(text("x-hub-signature").and_then(|value| value.strip_prefix("sha256="))),
                either("x-event-key", ""),
                either("x-request-uuid", ""),
            ),
            Self::GitLab => (
                gitlab(headers, body, secrets, now)?,
                either("x-gitlab-event", ""),
                either("webhook-id", "idempotency-key"),
            ),
        };
        match (good, event) {
            (false, _) => Err(Refusal::Signature),
            (true, None) => Err(Refusal::NoEvent),
            (true, Some(event)) => Ok(Verified { delivery, event }),
        }
    }

    /// Whether an event can mean that there is something new to see.
    pub(super) fn concerns(self, event: &str) -> bool {
        match self {
            Self::GitHub => matches!(event, "push" | "pull_request" | "create" | "delete"),
            Self::GitLab => matches!(event, "Push Hook" | "Merge Request Hook" | "Tag Push Hook"),
            Self::Gitea => {
                matches!(event, "push" | "create" | "delete") || event.starts_with("pull_request")
            }
            Self::Bitbucket => event == "repo:push" || event.starts_with("pullrequest:"),
        }
    }
}

/// An empty signature is none: Gitea sends an empty header when no secret is set.
fn signed_hex(signature: Option<&str>, body: &[u8], secrets: &[Secret<String>]) -> bool {
    let Some(signature) = signature.and_then(|text| hex::decode(text).ok()) else { return false };
    any(secrets, |secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, body, &signature).is_ok()
    })
}

/// Every secret is tried, so that the time does not tell which one is in use.
fn any(secrets: &[Secret<String>], good: impl Fn(&str) -> bool) -> bool {
    let given = secrets.iter().map(Secret::reveal).filter(|secret| !secret.is_empty());
    0 < given.filter(|secret| good(secret)).count()
}

fn gitlab(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret<String>],
    now: Timestamp,
) -> Result<bool, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = (text("webhook-signature"), text("webhook-id"), text("webhook-timestamp"));
    if let (Some(signatures), Some(id), Some(sent)) = signed {
        let seconds: i64 = sent.parse().map_err(|_number| Refusal::Signature)?;
        let at = Timestamp::from_millis(seconds.saturating_mul(1000));
        if WINDOW < now.since(at).max(at.since(now)) {
            return Err(Refusal::TooOld);
        }
        let message = [id.as_bytes(), b".", sent.as_bytes(), b".", body].concat();
        return Ok(any(secrets, |secret| standard_webhook(secret, &message, signatures)));
    }
    let token = text("x-gitlab-token").unwrap_or_default();
    Ok(!token.is_empty() && any(secrets, |secret| same(secret, token)))
}

/// `v1,BASE64` among the signatures; the secret is `whsec_BASE64`, or plain text.
fn standard_webhook(secret: &str, message: &[u8], signatures: &str) -> bool {
    let encoded = secret.strip_prefix("whsec_");
    let key = encoded
        .and_then(|text| STANDARD.decode(text).ok())
        .unwrap_or_else(|| secret.as_bytes().to_vec());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let given =
        signatures.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    0 < given.filter(|signature| hmac::verify(&key, message, signature).is_ok()).count()
}

/// Compares texts of any length in a time that depends on neither: by their digests under a key of chance.
fn same(ours: &str, theirs: &str) -> bool {
    let Ok(key) = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new()) else {
        return false;
    };
    let tag = hmac::sign(&key, ours.as_bytes());
    hmac::verify(&key, theirs.as_bytes(), tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn secret(text: &str) -> Vec<Secret<String>> {
        vec![Secret::new("an older one".to_owned()), Secret::new(text.to_owned())]
    }

    const NOW: i64 = 1_795_219_200_000;

    #[test]
    fn githubs_published_vector_is_accepted() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = headers(&[
            ("x-hub-signature-256", signature),
            ("x-github-event", "push"),
            ("x-github-delivery", "d1"),
        ]);
        let secrets = secret("It's a Secret to Everybody");
        let now = Timestamp::from_millis(NOW);
        let verified = HookKind::GitHub.verify(&headers, b"Hello, World!", &secrets, now).unwrap();
        assert_eq!(verified.delivery.as_deref(), Some("d1"));
        assert!(HookKind::GitHub.verify(&headers, b"Hello, World?", &secrets, now).is_err());
        assert!(
            HookKind::GitHub.verify(&headers, b"Hello, World!", &secret("other"), now).is_err()
        );
    }

    #[test]
    fn gitlabs_signed_webhooks_are_accepted_in_their_time_only() {
        let headers = headers(&[
            ("webhook-id", "7f1c1d2e-0000-4000-8000-000000000001"),
            ("webhook-timestamp", "1795219200"),
            ("webhook-signature", "v1,TSi+UOLUdf9UBBoTxzN0SKN3Fb4jv4RlY0nKMIskUck="),
            ("x-gitlab-event", "Push Hook"),
        ]);
        let secrets = secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let body = br#"{"object_kind":"push"}"#;
        let at = |minutes: i64| Timestamp::from_millis(NOW + minutes * 60_000);
        assert!(HookKind::GitLab.verify(&headers, body, &secrets, at(4)).is_ok());
        assert_eq!(HookKind::GitLab.verify(&headers, body, &secrets, at(6)), Err(Refusal::TooOld));
        assert_eq!(HookKind::GitLab.verify(&headers, body, &secrets, at(-6)), Err(Refusal::TooOld));
        assert_eq!(
            HookKind::GitLab.verify(&headers, b"{}", &secrets, at(0)),
            Err(Refusal::Signature)
        );
    }

    #[test]
    fn an_empty_signature_is_none() {
        let cases = [
            (
                HookKind::Gitea,
                headers(&[
                    ("x-gitea-signature", ""),
                    ("x-gitea-event", "push"),
                    ("x-hub-signature-256", "sha256="),
                ]),
            ),
            (
                HookKind::GitHub,
                headers(&[("x-hub-signature-256", "sha256="), ("x-github-event", "push")]),
            ),
            (HookKind::GitHub, headers(&[("x-github-event", "push")])),
            (HookKind::GitLab, headers(&[("x-gitlab-token", ""), ("x-gitlab-event", "Push Hook")])),
            (
                HookKind::Bitbucket,
                headers(&[("x-hub-signature", "sha1=00"), ("x-event-key", "repo:push")]),
            ),
        ];
        for (kind, headers) in cases {
            let now = Timestamp::from_millis(NOW);
            for secrets in [secret("s3cret"), secret(""), Vec::new()] {
                assert_eq!(
                    kind.verify(&headers, b"{}", &secrets, now),
                    Err(Refusal::Signature),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn gitea_is_known_although_it_also_says_github() {
        let both = headers(&[("x-github-event", "push"), ("x-gitea-event", "push")]);
        assert_eq!(HookKind::of(&both), Some(HookKind::Gitea));
    }
}

//! Who sent a webhook: each forge's signature over the raw body, compared in constant time. A webhook only means "look
//! now"; what it says is never believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::hmac;

use super::RULES;
use crate::model::{ForgeKind, Secret, Timestamp};

/// A forge's way of sending webhooks.
#[derive(Clone, Copy)]
pub(super) struct Webhook {
    /// Whether these headers are its own.
    pub(super) is_ours: fn(&HeaderMap) -> bool,
    /// Checks a message.
    pub(super) verify: fn(&Message<'_>) -> Result<Signed, HookRefusal>,
    /// Whether an event can mean that there is something new to see.
    pub(super) concerns: fn(&str) -> bool,
}

/// A message as it came, and what it is checked with.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, as the bytes that were signed.
    pub body: &'a [u8],
    /// The secrets that are good now: more than one while they are being changed.
    pub secrets: &'a [Secret<String>],
    /// The time.
    pub now: Timestamp,
}

/// What a message says of itself, and whether it is signed.
#[derive(Debug, Clone, Default)]
pub(super) struct Signed {
    /// Whether one of the secrets signed it.
    pub(super) good: bool,
    /// The event's name in the forge's words.
    pub(super) event: Option<String>,
    /// The delivery's id, where the forge gives one.
    pub(super) delivery: Option<String>,
}

/// A message whose sender is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, where the forge gives one: the same for each time that it is sent again.
    pub id: Option<String>,
    /// Whether it can mean that there is something new to see.
    pub concerns_us: bool,
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HookRefusal {
    /// The signature is missing or wrong.
    #[error("the signature is missing or does not match")]
    Signature,
    /// The message's time is too far from ours.
    #[error("the message is more than five minutes old or ahead")]
    TooOld,
    /// It does not say what happened.
    #[error("the event's name is missing")]
    NoEvent,
}

/// The kind of forge that these headers are from, for endpoints whose forge is not configured. A wrong guess only means a
/// signature that is not there.
pub fn sender(headers: &HeaderMap) -> Option<ForgeKind> {
    let found = RULES.iter().find(|rules| (rules.webhook.is_ours)(headers));
    found.map(|rules| rules.kind)
}

/// Checks that a message is from a forge of this kind that knows one of our secrets.
///
/// # Errors
/// A `HookRefusal`, when that is not proven.
pub fn verify(kind: ForgeKind, message: &Message<'_>) -> Result<Delivery, HookRefusal> {
    let webhook = super::table(kind).webhook;
    let Signed { good, event, delivery } = (webhook.verify)(message)?;
    match (good, event) {
        (false, _) => Err(HookRefusal::Signature),
        (true, None) => Err(HookRefusal::NoEvent),
        (true, Some(event)) => {
            Ok(Delivery { id: delivery, concerns_us: (webhook.concerns)(&event) })
        }
    }
}

impl Message<'_> {
    /// A header's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first of these headers that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name)).map(str::to_owned)
    }

    /// Whether a signature in hexadecimal digits is that of the body. An empty signature is none: Gitea sends an empty
    /// header when no secret is set.
    pub(super) fn is_signed(&self, hexadecimal: Option<&str>) -> bool {
        let Some(signature) = hexadecimal.and_then(|text| hex::decode(text).ok()) else {
            return false;
        };
        self.any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hmac::verify(&key, self.body, &signature).is_ok()
        })
    }

    /// Whether a secret is what was sent along, as it is.
    pub(super) fn is_secret(&self, sent: &str) -> bool {
        !sent.is_empty() && self.any(|secret| same(secret, sent))
    }

    /// Whether a password of HTTP Basic authentication is one of the secrets; the user's name does not matter.
    pub(super) fn is_password(&self, authorization: &str) -> bool {
        let encoded =
            authorization.split_once(' ').filter(|(way, _)| way.eq_ignore_ascii_case("basic"));
        let told = encoded.and_then(|(_, text)| STANDARD.decode(text.trim()).ok());
        let told = told.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        self.is_secret(told.split_once(':').map_or("", |(_, password)| password))
    }

    /// Every secret is tried, so that the time does not tell which one is in use.
    pub(super) fn any(&self, good: impl Fn(&str) -> bool) -> bool {
        let given = self.secrets.iter().map(Secret::reveal).filter(|secret| !secret.is_empty());
        0 < given.filter(|secret| good(secret)).count()
    }
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

    fn checked(
        kind: ForgeKind,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[Secret<String>],
    ) -> Result<Delivery, HookRefusal> {
        let now = Timestamp::from_millis(NOW);
        verify(kind, &Message { headers, body, secrets, now })
    }

    #[test]
    fn githubs_published_vector_is_accepted() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = headers(&[
            ("x-hub-signature-256", signature),
            ("x-github-event", "push"),
            ("x-github-delivery", "d1"),
        ]);
        let secrets = secret("It's a Secret to Everybody");
        let told = checked(ForgeKind::GitHub, &headers, b"Hello, World!", &secrets).unwrap();
        assert_eq!(told, Delivery { id: Some("d1".to_owned()), concerns_us: true });
        checked(ForgeKind::GitHub, &headers, b"Hello, World?", &secrets).unwrap_err();
        checked(ForgeKind::GitHub, &headers, b"Hello, World!", &secret("other")).unwrap_err();
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
        let body: &[u8] = br#"{"object_kind":"push"}"#;
        let at = |minutes: i64, body| {
            let now = Timestamp::from_millis(NOW + minutes * 60_000);
            verify(ForgeKind::GitLab, &Message { headers: &headers, body, secrets: &secrets, now })
        };
        at(4, body).unwrap();
        assert_eq!(at(6, body), Err(HookRefusal::TooOld));
        assert_eq!(at(-6, body), Err(HookRefusal::TooOld));
        assert_eq!(at(0, b"{}"), Err(HookRefusal::Signature));
    }

    #[test]
    fn an_empty_signature_is_none() {
        let cases = [
            (
                ForgeKind::Gitea,
                headers(&[
                    ("x-gitea-signature", ""),
                    ("x-gitea-event", "push"),
                    ("x-hub-signature-256", "sha256="),
                ]),
            ),
            (
                ForgeKind::GitHub,
                headers(&[("x-hub-signature-256", "sha256="), ("x-github-event", "push")]),
            ),
            (ForgeKind::GitHub, headers(&[("x-github-event", "push")])),
            (
                ForgeKind::GitLab,
                headers(&[("x-gitlab-token", ""), ("x-gitlab-event", "Push Hook")]),
            ),
            (
                ForgeKind::Bitbucket,
                headers(&[("x-hub-signature", "sha1=00"), ("x-event-key", "repo:push")]),
            ),
            // `user:` in Basic authentication.
            (ForgeKind::Azure, headers(&[("authorization", "Basic dXNlcjo=")])),
            (ForgeKind::Azure, headers(&[])),
        ];
        for (kind, headers) in cases {
            for secrets in [secret("s3cret"), secret(""), Vec::new()] {
                let told = checked(kind, &headers, br#"{"eventType":"git.push"}"#, &secrets);
                assert_eq!(told, Err(HookRefusal::Signature), "{kind:?}");
            }
        }
    }

    #[test]
    fn azures_password_is_the_secret_and_its_body_names_the_event() {
        let basic = format!("Basic {}", STANDARD.encode("whoever:s3cret"));
        let headers = headers(&[("authorization", &basic)]);
        let told = |body: &[u8]| checked(ForgeKind::Azure, &headers, body, &secret("s3cret"));
        let delivery = told(br#"{"id":"03c1","eventType":"git.push"}"#).unwrap();
        assert_eq!(delivery, Delivery { id: Some("03c1".to_owned()), concerns_us: true });
        assert!(told(br#"{"eventType":"git.pullrequest.updated"}"#).unwrap().concerns_us);
        assert!(!told(br#"{"eventType":"workitem.created"}"#).unwrap().concerns_us);
        assert_eq!(told(b"no json"), Err(HookRefusal::NoEvent));
        let other = checked(ForgeKind::Azure, &headers, b"{}", &secret("another"));
        assert_eq!(other, Err(HookRefusal::Signature));
    }

    #[test]
    fn gitea_is_known_although_it_also_says_github() {
        let both = headers(&[("x-github-event", "push"), ("x-gitea-event", "push")]);
        assert_eq!(sender(&both), Some(ForgeKind::Gitea));
        assert_eq!(sender(&headers(&[("x-github-event", "push")])), Some(ForgeKind::GitHub));
        assert_eq!(sender(&headers(&[("user-agent", "VSServices/19.0")])), Some(ForgeKind::Azure));
        assert_eq!(sender(&headers(&[("user-agent", "curl/8")])), None);
    }
}

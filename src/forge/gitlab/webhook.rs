//! `X-Gitlab-Token`, the secret as it is; or the newer signed webhooks, which follow the specification Standard Webhooks.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::super::webhook::{HookRefusal, Message, Signed, Webhook};
use crate::model::Timestamp;

/// A signed message is good for this long around its time (Standard Webhooks).
const WINDOW: Duration = Duration::from_mins(5);

/// GitLab's webhooks.
pub(super) const WEBHOOK: Webhook = Webhook {
    is_ours: |headers| headers.contains_key("x-gitlab-event"),
    verify: |message| {
        Ok(Signed {
            good: is_good(message)?,
            event: message.first(&["x-gitlab-event"]),
            delivery: message.first(&["webhook-id", "idempotency-key"]),
        })
    },
    concerns: |event| matches!(event, "Push Hook" | "Merge Request Hook" | "Tag Push Hook"),
};

fn is_good(message: &Message<'_>) -> Result<bool, HookRefusal> {
    let text = |name| message.text(name);
    let signed = (text("webhook-signature"), text("webhook-id"), text("webhook-timestamp"));
    let (Some(signatures), Some(id), Some(sent)) = signed else {
        return Ok(message.is_secret(text("x-gitlab-token").unwrap_or_default()));
    };
    let seconds: i64 = sent.parse().map_err(|_number| HookRefusal::Signature)?;
    let at = Timestamp::from_millis(seconds.saturating_mul(1000));
    if WINDOW < message.now.since(at).max(at.since(message.now)) {
        return Err(HookRefusal::TooOld);
    }
    let whole = [id.as_bytes(), b".", sent.as_bytes(), b".", message.body].concat();
    Ok(message.any(|secret| standard_webhook(secret, &whole, signatures)))
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

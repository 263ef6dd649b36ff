//! `X-Hub-Signature: sha256=HEX`, an HMAC over the body.

use super::super::webhook::{Signed, Webhook};

/// Bitbucket's webhooks. GitHub once used the same header for SHA-1: the prefix tells.
pub(super) const WEBHOOK: Webhook = Webhook {
    is_ours: |headers| headers.contains_key("x-event-key"),
    verify: |message| {
        let signature = message.text("x-hub-signature");
        Ok(Signed {
            good: message.is_signed(signature.and_then(|value| value.strip_prefix("sha256="))),
            event: message.first(&["x-event-key"]),
            delivery: message.first(&["x-request-uuid"]),
        })
    },
    concerns: |event| event == "repo:push" || event.starts_with("pullrequest:"),
};

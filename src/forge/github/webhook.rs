//! `X-Hub-Signature-256: sha256=HEX`, an HMAC over the body.

use super::super::webhook::{Signed, Webhook};

/// GitHub's webhooks. Gitea sends the same headers besides its own, and is looked for before.
pub(super) const WEBHOOK: Webhook = Webhook {
    is_ours: |headers| headers.contains_key("x-github-event"),
    verify: |message| {
        let signature = message.text("x-hub-signature-256");
        Ok(Signed {
            good: message.is_signed(signature.and_then(|value| value.strip_prefix("sha256="))),
            event: message.first(&["x-github-event"]),
            delivery: message.first(&["x-github-delivery"]),
        })
    },
    concerns: |event| matches!(event, "push" | "pull_request" | "create" | "delete"),
};

//! `X-Gitea-Signature` or `X-Forgejo-Signature`: an HMAC over the body in hexadecimal digits.

use super::super::webhook::{Signed, Webhook};

/// Their webhooks. They send GitHub's headers too, and are looked for first.
pub(super) const WEBHOOK: Webhook = Webhook {
    is_ours: |headers| {
        headers.contains_key("x-forgejo-event") || headers.contains_key("x-gitea-event")
    },
    verify: |message| {
        let signature = message.text("x-forgejo-signature");
        let signature = signature.or_else(|| message.text("x-gitea-signature"));
        Ok(Signed {
            good: message.is_signed(signature),
            event: message.first(&["x-forgejo-event", "x-gitea-event"]),
            delivery: message.first(&["x-forgejo-delivery", "x-gitea-delivery"]),
        })
    },
    concerns: |event| {
        matches!(event, "push" | "create" | "delete") || event.starts_with("pull_request")
    },
};

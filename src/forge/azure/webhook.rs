//! Azure signs nothing: a service hook sends a user and a password. The password is the secret. The body names event and
//! delivery.

use serde::Deserialize;

use super::super::webhook::{Signed, Webhook};

/// Azure's service hooks. No header is their own; the sender names itself.
pub(super) const WEBHOOK: Webhook = Webhook {
    is_ours: |headers| {
        let agent = headers.get("user-agent").and_then(|value| value.to_str().ok());
        agent.is_some_and(|agent| agent.starts_with("VSServices"))
    },
    verify: |message| {
        let good = message.is_password(message.text("authorization").unwrap_or_default());
        // Nothing is read of what nobody vouches for.
        let told = if good { serde_json::from_slice(message.body).ok() } else { None };
        let EventTold { id, event } = told.unwrap_or_default();
        Ok(Signed { good, event, delivery: id })
    },
    concerns: |event| event == "git.push" || event.starts_with("git.pullrequest."),
};

#[derive(Default, Deserialize)]
struct EventTold {
    id: Option<String>,
    #[serde(rename = "eventType")]
    event: Option<String>,
}

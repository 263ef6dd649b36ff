//! Whether a hand ended a container. `inspect` tells a stop and an end of its own alike; only the events of that time
//! differ. The Engine keeps the latest few hundred, so that they can be asked for afterwards, by whoever comes late.

use std::time::Duration;

use serde::Deserialize;

use super::Looker;
use crate::docker::EngineError;
use crate::docker::connect::{Ask, Lines};
use crate::model::{ContainerState, ObservedContainer, Timestamp};

/// A signal that long before the end is taken for its cause: longer than nearly every grace period.
const LONGEST_GRACE: Duration = Duration::from_mins(2);
/// An Engine under load notes this much after an end what led to it.
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// The end itself is noted last. Whoever looks at once waits for that, but no longer than this: an Engine that restarted
/// has forgotten it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Signals that services take as a request: reload, rotate, resize, continue.
const HARMLESS: [&str; 6] = ["1", "10", "12", "18", "19", "28"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Actor {
    #[serde(rename = "Attributes")]
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Attributes {
    signal: String,
}

impl Looker<'_> {
    /// Whether a container that ended was told to. What the Engine does not remember any more counts as "no".
    ///
    /// The Engine sends a signal first and notes it afterwards, when the process may long have ended: what was noted up
    /// to the end's own event counts, whatever instants it carries.
    pub(super) async fn was_stopped(&self, container: &ObservedContainer) -> bool {
        let (ContainerState::Exited(_), Some(finished)) = (container.state, container.finished_at)
        else {
            return false;
        };
        let own = number_of(&container.spec.config.stop_signal);
        let asked = self.was_signalled(container, finished, own);
        matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(true)))
    }

    async fn was_signalled(
        &self,
        container: &ObservedContainer,
        finished: Timestamp,
        own: &str,
    ) -> Result<bool, EngineError> {
        let earliest = finished.minus(LONGEST_GRACE);
        let since = container.started_at.map_or(earliest, |started| started.max(earliest));
        let filters = serde_json::json!({
            "type": ["container"], "event": ["kill", "die"], "container": [container.id.as_str()],
        });
        let what = format!("ask how {} ended", container.name);
        let ask = Ask::get("/events", what.clone())
            .query("since", &seconds(since))
            .query("until", &seconds(finished.plus(LONGEST_DELAY)))
            .query("filters", &filters.to_string());
        let body = self.wire.begin(ask, self.wire.limits().read).await?;
        let mut lines = Lines::new(what, body);
        while let Some(line) = lines.next().await? {
            let event: Event = serde_json::from_slice(&line).unwrap_or_default();
            let signal = event.actor.attributes.signal.as_str();
            match event.action.as_str() {
                "die" => break,
                "kill" if !HARMLESS.contains(&signal) || signal == own => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }
}

/// Seconds since 1970 with their fraction, as the Engine takes them.
fn seconds(at: Timestamp) -> String {
    let millis = at.as_millis().max(0);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// A stop signal that is harmless elsewhere, as a number.
fn number_of(signal: &str) -> &str {
    match signal.trim_start_matches("SIG") {
        "HUP" => "1",
        "USR1" => "10",
        "USR2" => "12",
        "CONT" => "18",
        "WINCH" => "28",
        other => other,
    }
}

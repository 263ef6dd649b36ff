//! Whether a hand ended a container. `inspect` tells a stop and an end of its own alike; only the events of that time
//! differ. The Engine keeps the latest few hundred, so that they can be asked for afterwards, by whoever comes late.

use std::time::Duration;

use serde::Deserialize;

use super::Looker;
use crate::docker::connect::Ask;
use crate::model::{ContainerState, ObservedContainer, Timestamp};

/// A signal that long before the end is taken for its cause: longer than nearly every grace period.
const LONGEST_GRACE: Duration = Duration::from_mins(2);
/// Instants are read to the millisecond, and the Engine notes an end after it happened.
const SLACK: Duration = Duration::from_millis(2);
/// Signals that services take as a request: reload, rotate, resize, continue.
const HARMLESS: [&str; 6] = ["1", "10", "12", "18", "19", "28"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
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
    pub(super) async fn was_stopped(&self, container: &ObservedContainer) -> bool {
        let (ContainerState::Exited(_), Some(finished)) = (container.state, container.finished_at)
        else {
            return false;
        };
        let earliest = finished.minus(LONGEST_GRACE);
        let since = container.started_at.map_or(earliest, |started| started.max(earliest));
        let filters = serde_json::json!({
            "type": ["container"], "event": ["kill"], "container": [container.id.as_str()],
        });
        let ask = Ask::get("/events", format!("ask how {} ended", container.name))
            .query("since", &seconds(since))
            .query("until", &seconds(finished.plus(SLACK)))
            .query("filters", &filters.to_string());
        let Ok(bytes) = self.wire.read_bytes(ask).await else { return false };
        let own = container.spec.config.stop_signal.as_str();
        bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Event>(line).ok())
            .map(|event| event.actor.attributes.signal)
            .any(|signal| !HARMLESS.contains(&signal.as_str()) || number_of(own) == signal)
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

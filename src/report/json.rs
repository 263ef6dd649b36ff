//! A report as data, and whether it is good: what needs its line and its state, which are made of it.

use super::{Report, status};
use crate::model::CommitState;

impl Report {
    /// The report as data. The shape is stable: members may be added, none is renamed or removed.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "repository": self.target.repository,
            "stack": self.target.stack,
            "host": self.target.host,
            "revision": self.revision,
            "at": self.at,
            "sync": self.sync,
            "health": self.health,
            "state": status::state(self),
            "summary": status::line(self),
            "services": self.services,
            "replicas": self.replicas,
            "found": self.found,
            "remaining": self.remaining,
            "rounds": self.rounds.iter().map(|round| serde_json::json!({
                "plan": crate::plan::to_json(&round.plan),
                "outcomes": round.outcomes,
            })).collect::<Vec<_>>(),
            "problems": self.problems,
            "failure": self.failure,
            "wait": self.wait,
            "seats": self.seats,
            "unproven": self.unproven,
        })
    }

    /// Whether the commit may be called deployed here.
    pub fn is_good(&self) -> bool {
        status::state(self) == CommitState::Success
    }
}

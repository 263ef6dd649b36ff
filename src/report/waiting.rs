//! What a target waits for, in words and as data.

use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::fleet::WaitingOn;

use super::Wait;

impl fmt::Display for Wait {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        words(&self.on, out)
    }
}

impl Wait {
    /// What it waits for, and until when where that is known: `waits until 2026-11-28T22:00:00Z: change freeze`.
    pub fn in_full(&self) -> String {
        match (&self.on, self.until) {
            // They say by themselves that it waits, and until when.
            (WaitingOn::Gate(_) | WaitingOn::Approval(_) | WaitingOn::Data(_), _) => {
                self.to_string()
            }
            (WaitingOn::Window(opening), _) => opening.to_string(),
            (_, Some(until)) => format!("waits until {until}: {self}"),
            (_, None) => format!("waits: {self}"),
        }
    }
}

fn words(on: &WaitingOn, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match on {
        WaitingOn::Brake(brake) => write!(out, "{brake}"),
        WaitingOn::Suspension(it) => write!(out, "suspended in the fleet file: {}", it.reason),
        WaitingOn::Window(opening) => write!(out, "{opening}"),
        WaitingOn::Gate(gate) => write!(out, "{gate}"),
        WaitingOn::Rollback(rollback) => write!(out, "{rollback}"),
        WaitingOn::Manifest(Some(problem)) => {
            write!(out, "{}: ", problem.location)?;
            if !problem.path.is_empty() {
                write!(out, "{}: ", problem.path)?;
            }
            out.write_str(&problem.message)
        }
        WaitingOn::Manifest(None) => out.write_str("the manifest cannot be used"),
        WaitingOn::Room(waiting) => write!(out, "{waiting}"),
        WaitingOn::Data(heir) => write!(
            out,
            "it stays until there is a word about its data: stack {heir} seems to be this one, and is held"
        ),
        WaitingOn::Approval(verdict) => write!(out, "{verdict}"),
        WaitingOn::Unreadable { on, revision, error } => {
            words(on, out)?;
            match revision {
                Some(revision) => write!(out, "; {} cannot be read: {error}", revision.short()),
                None => write!(out, "; it cannot be read: {error}"),
            }
        }
    }
}

impl Serialize for Wait {
    /// `on` is one of a few words, `why` a sentence, `until` an instant or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Wait", 4)?;
        fields.serialize_field("on", self.on.word())?;
        fields.serialize_field("why", &self.to_string())?;
        fields.serialize_field("until", &self.until)?;
        fields.serialize_field("state", &self.state)?;
        fields.end()
    }
}

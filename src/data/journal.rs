//! The story of what happened: one line of JSON an event, in the data folder.
//!
//! Nothing is decided by it: deleting it loses the story, never a service. It is bounded: a full file becomes the one
//! before, and the one before goes.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{
    CommitState, HostName, Outcome, RepositoryName, Revision, StackName, Timestamp,
};
use crate::report::{Report, status};

use crate::data::disk::at_the_disk;
use crate::data::folder::DataFolder;
use crate::redaction::hushed;

/// Bytes of one file.
const FULL: u64 = 8 << 20;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: Kind,
    /// In which repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// To which stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// On which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// At which commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// How it stands then, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CommitState>,
    /// In words.
    pub text: String,
    /// What was done, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Done>,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A new commit was read.
    Commit,
    /// A host came or went.
    Host,
    /// A target's verdict changed.
    Verdict,
    /// A pass did something.
    Pass,
    /// An operator said something.
    Order,
}

/// One step and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The action.
    pub action: String,
    /// Why.
    pub because: String,
    /// What became of it.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl Entry {
    /// Something without a place.
    pub fn new(at: Timestamp, kind: Kind, text: impl Into<String>) -> Self {
        Self {
            at,
            kind,
            repository: None,
            stack: None,
            host: None,
            revision: None,
            state: None,
            text: text.into(),
            steps: Vec::new(),
        }
    }

    /// What a pass did; nothing, when it did nothing.
    pub fn of_pass(report: &Report) -> Option<Self> {
        let steps: Vec<Done> = report
            .rounds
            .iter()
            .flat_map(|round| {
                round.outcomes.iter().filter_map(|outcome| {
                    let step = round.plan.steps.iter().find(|step| step.id == outcome.step)?;
                    let outcome_text = match &outcome.outcome {
                        Outcome::Done => "done".to_owned(),
                        other => other.to_string(),
                    };
                    Some(Done {
                        action: step.action.to_string(),
                        because: step.because.to_string(),
                        outcome: outcome_text,
                        millis: outcome.millis,
                    })
                })
            })
            .collect();
        (!steps.is_empty()).then(|| Self { steps, ..Self::about(report, Kind::Pass) })
    }

    /// How a target stands after a pass.
    pub fn of_verdict(report: &Report) -> Self {
        Self::about(report, Kind::Verdict)
    }

    /// Without secrets: Engines quote in their errors what they were sent.
    fn hushed(&self) -> Self {
        let steps = self.steps.iter().map(|step| Done {
            action: hushed(&step.action),
            because: hushed(&step.because),
            outcome: hushed(&step.outcome),
            millis: step.millis,
        });
        Self { text: hushed(&self.text), steps: steps.collect(), ..self.clone() }
    }

    fn about(report: &Report, kind: Kind) -> Self {
        Self {
            repository: Some(report.target.repository.clone()),
            stack: Some(report.target.stack.clone()),
            host: Some(report.target.host.clone()),
            revision: Some(report.revision.clone()),
            state: Some(status::state(report)),
            ..Self::new(report.at, kind, status::line(report))
        }
    }
}

impl DataFolder {
    /// Adds to the story. A story that cannot be written stops nothing.
    pub fn tell(&self, entry: &Entry) {
        if let Err(error) = at_the_disk(|| self.append(entry)) {
            tracing::debug!(%error, "cannot write the journal");
        }
    }

    fn append(&self, entry: &Entry) -> io::Result<()> {
        let path = self.journal();
        let mut line = serde_json::to_vec(&entry.hushed())?;
        line.push(b'\n');
        let mut file = File::options().create(true).append(true).open(&path)?;
        if FULL < file.metadata()?.len() {
            // Two writers may both come here: the second one finds a fresh file, and leaves it.
            let _lock = self.lock_journal().map_err(io::Error::other)?;
            if FULL < fs::metadata(&path)?.len() {
                fs::rename(&path, self.journal_before())?;
            }
            file = File::options().create(true).append(true).open(&path)?;
        }
        // One call, so that lines of several processes do not mix.
        file.write_all(&line)
    }

    /// The story so far, oldest first. Lines that are cut off or unknown are left out.
    pub fn story(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for path in [self.journal_before(), self.journal()] {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in BufReader::new(file).split(b'\n') {
                entries.extend(serde_json::from_slice::<Entry>(&line?).ok());
            }
        }
        Ok(entries)
    }

    fn journal(&self) -> PathBuf {
        self.root().join("journal.jsonl")
    }

    fn journal_before(&self) -> PathBuf {
        self.root().join("journal.before.jsonl")
    }
}

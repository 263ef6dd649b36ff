//! What forges tell, before it is in our words.

use std::collections::BTreeMap;

use crate::model::{CommitState, CommitStatus};

/// Every forge shows this many characters of a status; GitHub refuses more.
pub(super) const DESCRIPTION: usize = 140;
/// GitHub's limit of a context.
const CONTEXT: usize = 255;

/// A comment as its forge tells it.
#[derive(Debug, Clone)]
pub(super) struct FoundComment {
    /// Its id.
    pub(super) id: u64,
    /// The account that wrote it, if it is told.
    pub(super) author: Option<String>,
    /// Its Markdown.
    pub(super) body: String,
}

/// A status as its forge tells it; `order` grows with time.
pub(super) struct FoundStatus {
    pub(super) order: u64,
    pub(super) context: String,
    pub(super) state: CommitState,
    pub(super) description: Option<String>,
    pub(super) link: Option<String>,
}

/// The newest of each context.
pub(super) fn newest(found: impl IntoIterator<Item = FoundStatus>) -> Vec<CommitStatus> {
    let mut newest: BTreeMap<String, (u64, CommitStatus)> = BTreeMap::new();
    for status in found {
        let told = CommitStatus {
            context: status.context,
            state: status.state,
            description: status.description.unwrap_or_default(),
            link: status.link.filter(|link| !link.is_empty()),
            progress: None,
        };
        match newest.get(&told.context) {
            Some((order, _)) if status.order <= *order => {}
            _ => {
                newest.insert(told.context.clone(), (status.order, told));
            }
        }
    }
    newest.into_values().map(|(_, status)| status).collect()
}

/// A context within the limit: its beginning, and a digest of the whole where it is cut.
pub(super) fn context(text: &str) -> String {
    if text.chars().count() <= CONTEXT {
        return text.to_owned();
    }
    let digest = crate::model::Digest::of(text.as_bytes());
    let tail = digest.as_str().get(..12).unwrap_or_default();
    let kept: String = text.chars().take(CONTEXT - 13).collect();
    format!("{kept}-{tail}")
}

/// An account named in a forge's answer; Gitea tells both, GitHub the first and GitLab the second.
#[derive(serde::Deserialize)]
pub(super) struct Account {
    login: Option<String>,
    username: Option<String>,
}

impl Account {
    pub(super) fn name(self) -> Option<String> {
        self.login.or(self.username)
    }
}

//! Which webhooks there are, and what each is answered. Pure but for the memory of deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;

use super::LookNow;
use super::signature::HookKind;
use crate::model::{RepositoryName, Secret, Timestamp};

/// Deliveries that are remembered, over all endpoints.
const MOST_DELIVERIES: usize = 4096;

/// One repository's webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    /// How its forge signs; told from the headers when not given.
    pub kind: Option<HookKind>,
    /// The secrets that are good now: more than one while they are being changed. Without any it refuses.
    pub secrets: Vec<Secret<String>>,
}

/// Why a webhook is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No repository of that name has a webhook with a secret.
    #[error("no webhook is configured here")]
    NotConfigured,
    /// No forge of ours sends this.
    #[error("this is not a webhook of a forge that Moorline knows")]
    UnknownSender,
    /// The signature is missing or wrong.
    #[error("the signature is missing or does not match")]
    Signature,
    /// The message's time is too far from ours.
    #[error("the message is more than five minutes old or ahead")]
    TooOld,
    /// It does not say what happened.
    #[error("the event's name is missing")]
    NoEvent,
}

impl Refusal {
    /// The HTTP status.
    pub fn code(self) -> u16 {
        match self {
            Self::NotConfigured => 404,
            Self::UnknownSender | Self::NoEvent => 400,
            Self::Signature | Self::TooOld => 401,
        }
    }
}

/// What a good webhook means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Look now.
    Look(LookNow),
    /// It was delivered before.
    Again,
    /// An event that does not concern us.
    Ignored,
}

/// All webhooks, and the deliveries that were seen.
#[derive(Debug, Default)]
pub struct HookBook {
    hooks: BTreeMap<RepositoryName, Hook>,
    seen: Mutex<VecDeque<(RepositoryName, String)>>,
}

impl HookBook {
    /// These webhooks, at `/hooks/REPOSITORY`.
    pub fn new(hooks: BTreeMap<RepositoryName, Hook>) -> Self {
        Self { hooks, seen: Mutex::default() }
    }

    /// Checks a message and says what it means.
    ///
    /// # Errors
    /// A `Refusal`, when it is not proven that the forge sent it.
    pub fn receive(
        &self,
        repository: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Answered, Refusal> {
        let found =
            self.hooks.get_key_value(repository).filter(|(_, hook)| !hook.secrets.is_empty());
        let (repository, hook) = found.ok_or(Refusal::NotConfigured)?;
        let kind = hook.kind.or_else(|| HookKind::of(headers)).ok_or(Refusal::UnknownSender)?;
        let verified = kind.verify(headers, body, &hook.secrets, now)?;
        if verified.delivery.is_some_and(|delivery| self.saw(repository, delivery)) {
            return Ok(Answered::Again);
        }
        Ok(if kind.concerns(&verified.event) {
            Answered::Look(LookNow { repository: repository.clone() })
        } else {
            Answered::Ignored
        })
    }

    /// Whether a delivery came before; from now on it did.
    fn saw(&self, repository: &RepositoryName, delivery: String) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let delivery = (repository.clone(), delivery.chars().take(128).collect());
        if seen.contains(&delivery) {
            return true;
        }
        while MOST_DELIVERIES <= seen.len() {
            seen.pop_front();
        }
        seen.push_back(delivery);
        false
    }
}

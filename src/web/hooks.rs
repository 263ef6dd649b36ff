//! Which webhooks there are, and what each is answered. Pure but for the memory of deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;

use super::LookNow;
use crate::forge::webhook::{self, HookRefusal, Message};
use crate::model::{ForgeKind, RepositoryName, Secret, Timestamp};

/// Deliveries that are remembered, over all endpoints.
const MOST_DELIVERIES: usize = 4096;

/// One repository's webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    /// How its forge signs; told from the headers when not given.
    pub kind: Option<ForgeKind>,
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
    /// The message is not proven to be the forge's.
    #[error(transparent)]
    Unproven(#[from] HookRefusal),
}

impl Refusal {
    /// The HTTP status.
    pub fn code(self) -> u16 {
        match self {
            Self::NotConfigured => 404,
            Self::UnknownSender | Self::Unproven(HookRefusal::NoEvent) => 400,
            Self::Unproven(HookRefusal::Signature | HookRefusal::TooOld) => 401,
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
        let kind = hook.kind.or_else(|| webhook::sender(headers)).ok_or(Refusal::UnknownSender)?;
        let message = Message { headers, body, secrets: &hook.secrets, now };
        let delivery = webhook::verify(kind, &message)?;
        if delivery.id.is_some_and(|delivery| self.saw(repository, delivery)) {
            return Ok(Answered::Again);
        }
        Ok(if delivery.concerns_us {
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

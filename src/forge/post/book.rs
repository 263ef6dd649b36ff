//! Decides what is posted and when. Pure: the time is an argument, and someone else carries it out.
//!
//! # Guarantees
//! What was posted is not posted again, not even after a restart or when the memory is lost: a commit's statuses are
//! read before the first write. Only the newest letter of a key is sent. A write without an answer is looked up
//! before it is repeated. A missing right rests one ability and leaves the others alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::super::{CommentReceipt, ForgeError, Limits, Published, Right};
use super::ledger::{self, Entry, Posted};
use super::letter::{Condition, Letter, LetterKey, Pace, Warning};
use crate::forge::found::DESCRIPTION;
use crate::forge::http::cut;
use crate::model::{CommitState, CommitStatus, Revision, Timestamp};

/// GitHub keeps 1000 statuses of one context on one commit; the last hundred are not for us.
const MOST_WRITES: u32 = 900;
/// From here on only changes of state are worth a write.
const MANY_WRITES: u32 = 50;
/// A commit that the forge does not know may be late, by seconds or by the next mirroring: asked for after 10 s, 20 s,
/// 40 s … and then once an hour for a day.
const NOT_FOUND_TRIES: u32 = 30;
const NOT_FOUND_WAIT: Duration = Duration::from_secs(10);
const NOT_FOUND_REST: Duration = Duration::from_hours(1);
/// From this try on it is worth a word.
const NOT_FOUND_SAID: u32 = 3;
/// What is refused as it is may be taken once the forge or its settings are others: after 1 h, 2 h … a day.
const REFUSED_WAIT: Duration = Duration::from_hours(1);
/// GitLab holds its lease for seconds.
const BUSY_WAIT: Duration = Duration::from_secs(2);
const BUSY_TRIES: u32 = 10;
/// After a refused token; repeated refusals make GitLab ban the address.
const UNAUTHORISED_WAIT: Duration = Duration::from_mins(10);
/// Commits whose statuses are remembered as they were read.
const MOST_SEEN: usize = 256;
const LONGEST_REST: Duration = Duration::from_hours(24);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Send this; the id is that of the comment, where it is known.
    Send(Box<Letter>, Option<u64>),
    /// Read the statuses of a commit, before the first write to it.
    ReadBack(Revision),
    /// Wait this long, or for a new letter.
    Wait(Duration),
    /// Wait for a new letter.
    Rest,
}

/// An ability that rests.
#[derive(Debug, Clone, Default)]
struct Desk {
    closed_until: Timestamp,
    rest: Duration,
    why: String,
}

/// How long forges count writes.
const HOUR: Duration = Duration::from_hours(1);

/// The book of one repository.
#[derive(Debug)]
pub struct StatusBook {
    limits: Limits,
    pace: Pace,
    entries: BTreeMap<LetterKey, Entry>,
    seen: BTreeMap<Revision, Vec<CommitStatus>>,
    desks: BTreeMap<Right, Desk>,
    warned: BTreeSet<String>,
    paused_until: Timestamp,
    next_write: Timestamp,
    /// When the writes of the last hour were made, where the forge counts them.
    written: VecDeque<Timestamp>,
    failures: u32,
    problem: Option<String>,
    changed: bool,
}

impl StatusBook {
    /// An empty book.
    pub fn new(limits: Limits, pace: Pace) -> Self {
        Self {
            limits,
            pace,
            entries: BTreeMap::new(),
            seen: BTreeMap::new(),
            desks: BTreeMap::new(),
            warned: BTreeSet::new(),
            paused_until: Timestamp::default(),
            next_write: Timestamp::default(),
            written: VecDeque::new(),
            failures: 0,
            problem: None,
            changed: false,
        }
    }

    /// Opens what [`StatusBook::text`] wrote; `false` when the text is not such a one, and the book stays empty.
    pub fn remember(&mut self, text: &str) -> bool {
        match ledger::read(text) {
            Some(mut entries) => {
                // Another start is another try.
                for entry in entries.values_mut().filter(|entry| entry.refused.is_some()) {
                    (entry.refused, entry.attempts) = (None, 0);
                    entry.not_before = Timestamp::default();
                }
                self.entries = entries;
                true
            }
            None => false,
        }
    }

    /// The book as text, if it changed since it was last [`StatusBook::kept`].
    pub fn text(&mut self, now: Timestamp) -> Option<String> {
        if !self.changed {
            return None;
        }
        ledger::prune(&mut self.entries, now);
        Some(ledger::write(&self.entries))
    }

    /// The text is safe.
    pub fn kept(&mut self) {
        self.changed = false;
    }

    /// Something is to be said from now on; whatever else was to be said of the same thing is forgotten.
    pub fn want(&mut self, letter: Letter, now: Timestamp) {
        let (key, digest, state) = (letter.key(), letter.digest(), letter.state());
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.wanted.as_ref().is_some_and(|wanted| wanted.digest() == digest) {
            return;
        }
        if let (None, LetterKey::Status(revision, _)) = (&entry.posted, &key)
            && let Some(told) = self.seen.get(revision)
        {
            entry.wanted = Some(letter.clone());
            adopt(entry, &key, told, (self.limits, now));
            entry.wanted = None;
            self.changed = true;
        }
        let said = entry.posted.as_ref();
        let known =
            !entry.doubtful && said.is_some_and(|said| said.digest.as_ref() == Some(&digest));
        let same_state = said.is_some_and(|said| state.is_some() && said.state == state);
        let pending_again =
            same_state && state == Some(CommitState::Pending) && !self.limits.pending_again;
        let worn = MOST_WRITES <= entry.writes || (MANY_WRITES <= entry.writes && same_state);
        if known
            || pending_again
            || (worn && state.is_some())
            || entry.refused.as_ref() == Some(&digest)
        {
            self.changed |= entry.wanted.take().is_some();
            return;
        }
        let waits_on = entry.wanted.as_ref().is_some_and(|wanted| wanted.state() == state);
        if !waits_on {
            entry.since = now;
        }
        if entry.refused.take().is_some() {
            entry.not_before = Timestamp::default();
        }
        entry.attempts = 0;
        entry.wanted = Some(letter);
        self.changed = true;
    }

    /// What to do now.
    pub fn next(&self, now: Timestamp) -> Errand {
        let mut best: Option<(Timestamp, &Letter, &Entry)> = None;
        for entry in self.entries.values() {
            let Some(letter) = &entry.wanted else { continue };
            let due = self.due(letter, entry).max(now);
            let turn = (due, letter.rank(), entry.since);
            if best.is_none_or(|(due, letter, kept)| turn < (due, letter.rank(), kept.since)) {
                best = Some((due, letter, entry));
            }
        }
        let Some((due, letter, entry)) = best else { return Errand::Rest };
        if now < due {
            return Errand::Wait(due.since(now));
        }
        match letter {
            Letter::Status { target, .. }
                if entry.doubtful
                    || (entry.posted.is_none() && !self.seen.contains_key(&target.revision)) =>
            {
                Errand::ReadBack(target.revision.clone())
            }
            _ => {
                let id = entry.posted.as_ref().and_then(|posted| posted.id);
                Errand::Send(Box::new(letter.clone()), id)
            }
        }
    }

    fn due(&self, letter: &Letter, entry: &Entry) -> Timestamp {
        let settles = !matches!(
            letter.state(),
            Some(CommitState::Success | CommitState::Failure | CommitState::Error)
        );
        let settled = if settles { entry.since.plus(self.pace.settle) } else { entry.since };
        let open =
            self.desks.get(&letter.right()).map_or(Timestamp::default(), |desk| desk.closed_until);
        settled.max(entry.not_before).max(self.paused_until).max(self.next_write).max(open)
    }

    /// A commit's statuses were read (or cannot be): what already is as wanted counts as posted.
    pub fn read(
        &mut self,
        revision: &Revision,
        told: Result<Vec<CommitStatus>, ForgeError>,
        now: Timestamp,
    ) -> Option<Warning> {
        let mut warning = None;
        let told = match told {
            Ok(told) => told,
            Err(problem) => match self.pause(&problem, now) {
                Some(warning) => return warning,
                // It will not tell: then writing tells.
                None => {
                    if matches!(problem, ForgeError::TooLong { .. }) {
                        warning = self.warn(None, &problem);
                    }
                    Vec::new()
                }
            },
        };
        for (key, entry) in &mut self.entries {
            let LetterKey::Status(of, _) = key else { continue };
            if of == revision && (entry.posted.is_none() || entry.doubtful) {
                entry.doubtful = false;
                adopt(entry, key, &told, (self.limits, now));
                self.changed = true;
            }
        }
        while MOST_SEEN <= self.seen.len() {
            self.seen.pop_first();
        }
        self.seen.insert(revision.clone(), told);
        warning
    }

    /// A letter is about to leave: should we not live to see the answer, it must be looked up.
    pub fn sending(&mut self, letter: &Letter) {
        if let (Letter::Status { .. }, Some(entry)) = (letter, self.entries.get_mut(&letter.key()))
        {
            entry.doubtful = true;
            self.changed = true;
        }
    }

    /// A letter was taken.
    pub fn sent(&mut self, letter: &Letter, receipt: &CommentReceipt, now: Timestamp) {
        let digest = letter.digest();
        if receipt.published != Published::Unchanged {
            self.next_write = self.next_write_after(now);
        }
        let entry = self.entries.entry(letter.key()).or_default();
        if entry.wanted.as_ref().is_some_and(|wanted| wanted.digest() == digest) {
            entry.wanted = None;
        }
        if receipt.published != Published::Unchanged {
            entry.writes = entry.writes.saturating_add(1);
        }
        entry.posted =
            Some(Posted { digest: Some(digest), state: letter.state(), at: now, id: receipt.id });
        (entry.attempts, entry.doubtful, entry.refused) = (0, false, None);
        self.desks.remove(&letter.right());
        self.warned.clear();
        (self.failures, self.problem, self.changed) = (0, None, true);
    }

    /// When the next write may be made after one now: some pause later, and when the forge's hour has room for it.
    fn next_write_after(&mut self, now: Timestamp) -> Timestamp {
        let next = now.plus(self.pace.gap);
        let Some(most) = self.limits.hourly else { return next };
        self.written.push_back(now);
        while self.written.front().is_some_and(|first| HOUR <= now.since(*first)) {
            self.written.pop_front();
        }
        let full = most <= self.written.len();
        let room = self.written.front().filter(|_| full).map(|first| first.plus(HOUR));
        room.map_or(next, |room| next.max(room))
    }

    /// A letter was not taken. Tells what the operator should know, once.
    pub fn failed(
        &mut self,
        letter: &Letter,
        problem: &ForgeError,
        now: Timestamp,
    ) -> Option<Warning> {
        self.changed = true;
        let key = letter.key();
        if let Some(entry) = self.entries.get_mut(&key) {
            // A server that fails may have failed after it wrote, and one behind a proxy may still be writing.
            let unanswered =
                matches!(problem, ForgeError::NoAnswer { .. } | ForgeError::Server { .. });
            entry.doubtful = unanswered && matches!(letter, Letter::Status { .. });
        }
        if let Some(warning) = self.pause(problem, now) {
            return warning;
        }
        let entry = self.entries.entry(key).or_default();
        entry.attempts = entry.attempts.saturating_add(1);
        let tries = entry.attempts;
        let again = match problem {
            ForgeError::Denied { right, .. } => {
                return self.rest(*right, self.pace.denied, problem, now);
            }
            ForgeError::Busy { .. } => (tries < BUSY_TRIES).then_some(BUSY_WAIT),
            ForgeError::NotFound { .. } => (tries < NOT_FOUND_TRIES)
                .then(|| doubled(NOT_FOUND_WAIT, tries).min(NOT_FOUND_REST)),
            ForgeError::Rejected { .. } | ForgeError::TooLong { .. } => {
                let digest = letter.digest();
                let same = entry.wanted.as_ref().is_some_and(|wanted| wanted.digest() == digest);
                entry.refused = same.then_some(digest);
                Some(doubled(REFUSED_WAIT, tries).min(LONGEST_REST))
            }
            ForgeError::Full { .. } => {
                entry.writes = MOST_WRITES;
                None
            }
            _ => None,
        };
        if let Some(wait) = again {
            entry.not_before = now.plus(wait);
            let waits_quietly = match problem {
                ForgeError::Busy { .. } => true,
                ForgeError::NotFound { .. } => tries < NOT_FOUND_SAID,
                _ => false,
            };
            return if waits_quietly { None } else { self.warn(None, problem) };
        }
        if entry.wanted.as_ref().is_some_and(|wanted| wanted.digest() == letter.digest()) {
            entry.wanted = None;
            entry.refused = Some(letter.digest());
        }
        self.warn(None, problem)
    }

    /// Problems of the forge as a whole: everything waits. `None` when the problem is the letter's own.
    #[expect(clippy::option_option, reason = "whether it was one, and whether to warn")]
    fn pause(&mut self, problem: &ForgeError, now: Timestamp) -> Option<Option<Warning>> {
        let wait = match problem {
            ForgeError::RateLimited { wait, .. } => *wait,
            ForgeError::Unreachable { .. }
            | ForgeError::NoAnswer { .. }
            | ForgeError::Server { .. }
            | ForgeError::Proxy { .. }
            | ForgeError::Unreadable { .. }
            | ForgeError::Memory { .. } => {
                self.failures = self.failures.saturating_add(1);
                let own = backoff(self.failures, self.pace.backoff, now);
                own.max(problem.wait().unwrap_or_default())
            }
            ForgeError::Token { .. }
            | ForgeError::BadToken { .. }
            | ForgeError::Insecure { .. }
            | ForgeError::Tls { .. } => self.pace.backoff,
            ForgeError::Unauthorised { .. } => {
                let mut warning = None;
                for right in [Right::Statuses, Right::Comments] {
                    warning = self.rest(right, UNAUTHORISED_WAIT, problem, now).or(warning);
                }
                return Some(warning);
            }
            _ => return None,
        };
        self.paused_until = self.paused_until.max(now.plus(wait));
        Some(self.warn(None, problem))
    }

    fn rest(
        &mut self,
        right: Right,
        first: Duration,
        problem: &ForgeError,
        now: Timestamp,
    ) -> Option<Warning> {
        let desk = self.desks.entry(right).or_default();
        desk.rest = desk.rest.saturating_mul(2).clamp(first, LONGEST_REST);
        desk.closed_until = now.plus(desk.rest);
        desk.why = problem.in_full();
        self.warn(Some(right), problem)
    }

    fn warn(&mut self, right: Option<Right>, problem: &ForgeError) -> Option<Warning> {
        let text = problem.in_full();
        self.problem = Some(text.clone());
        // How long the forge asks to wait changes; that it does is said once.
        let about = match problem {
            ForgeError::RateLimited { host, .. } => format!("rate limit of {host}"),
            _ => text.clone(),
        };
        self.warned.insert(about).then_some(Warning { right, text })
    }

    /// Resting abilities and pauses end: the settings or the token changed.
    pub fn reopen(&mut self) {
        self.desks.clear();
        self.paused_until = Timestamp::default();
        for entry in self.entries.values_mut() {
            entry.refused = None;
        }
    }

    /// The forge is known now, and with it its rules.
    pub fn knows(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Something beside the letters went wrong: recognising the forge, or keeping the book.
    pub fn unrecognised(&mut self, problem: &ForgeError) -> Option<Warning> {
        self.warn(None, problem)
    }

    /// Nothing waits to settle any more: the daemon is about to leave.
    pub fn hurry(&mut self) {
        self.pace.settle = Duration::ZERO;
    }

    /// How it is doing.
    pub fn condition(&self, now: Timestamp) -> Condition {
        let resting = self.desks.iter().filter(|(_, desk)| now < desk.closed_until);
        // What was refused rests, and holds nothing up.
        let waits = |entry: &&Entry| entry.wanted.is_some() && entry.refused.is_none();
        let behind = self.entries.values().filter(waits).count();
        Condition {
            behind,
            is_quiet: behind == 0,
            resting: resting.map(|(right, desk)| (*right, desk.why.clone())).collect(),
            paused_until: (now < self.paused_until).then_some(self.paused_until),
            problem: self.problem.clone(),
        }
    }
}

/// What the forge shows of a context counts as posted; if it is as wanted, there is nothing left to say.
fn adopt(entry: &mut Entry, key: &LetterKey, told: &[CommitStatus], now: (Limits, Timestamp)) {
    let ((limits, now), LetterKey::Status(_, context)) = (now, key) else { return };
    let Some(told) = told.iter().find(|told| told.context.to_lowercase() == *context) else {
        return;
    };
    let Some(letter) = &entry.wanted else { return };
    let Letter::Status { status, .. } = letter else { return };
    let same = says_same(told, status, limits.tells_error);
    let again = status.state == CommitState::Pending
        && told.state == CommitState::Pending
        && !limits.pending_again;
    let digest = same.then(|| letter.digest());
    if same || again {
        entry.wanted = None;
    }
    entry.posted = Some(Posted { digest, state: Some(told.state), at: now, id: None });
}

/// A wait that doubles with each try after the first.
fn doubled(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.saturating_sub(1).min(16))
}

/// 1 s, 2 s, 4 s … up to the longest, between half and all of it, so that many repositories do not come at once.
fn backoff(failures: u32, longest: Duration, now: Timestamp) -> Duration {
    let whole = doubled(Duration::from_secs(1), failures).min(longest);
    let spread = u32::try_from(now.as_millis().rem_euclid(97)).unwrap_or(0);
    whole / 2 + whole / 2 * spread / 97
}

fn says_same(told: &CommitStatus, wanted: &CommitStatus, tells_error: bool) -> bool {
    let fold = |state| match state {
        CommitState::Error if !tells_error => CommitState::Failure,
        other => other,
    };
    let link = wanted.link.is_none() || told.link == wanted.link;
    fold(told.state) == fold(wanted.state)
        && told.description.trim() == cut(&wanted.description, DESCRIPTION).trim()
        && link
}

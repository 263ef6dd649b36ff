//! Carries letters to the forge, beside everything else: whoever has something to say puts it in the postbox and
//! goes on. One courier a repository, so that there is one writer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::settings::Clock;
use super::super::{
    CommentDraft, CommentReceipt, Forge, ForgeError, ForgeSettings, Limits, Published,
};
use super::book::{Errand, StatusBook};
use super::letter::{Condition, Letter, LetterKey, Pace, Warning};
use crate::report::mask::SecretSet;

/// Letters that wait to be looked at; far more than stacks times commits between two looks.
const MOST_LETTERS: usize = 4096;

/// The last words before leaving take no longer than this.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Slot {
    letters: Mutex<BTreeMap<LetterKey, Letter>>,
    secrets: Mutex<SecretSet>,
    condition: watch::Sender<Condition>,
    reopened: Mutex<bool>,
    bell: Notify,
}

/// Where letters are put. Cheap to copy; never waits for the forge.
#[derive(Debug, Clone, Default)]
pub struct Postbox(Arc<Slot>);

impl Postbox {
    /// Takes a letter. A newer letter of the same key takes an older one's place; when thousands wait, the first in
    /// order gives way.
    pub fn put(&self, letter: Letter) {
        let mut letters = lock(&self.0.letters);
        if MOST_LETTERS <= letters.len() && !letters.contains_key(&letter.key()) {
            letters.pop_first();
        }
        letters.insert(letter.key(), letter);
        drop(letters);
        self.0.bell.notify_one();
    }

    /// Secrets to take out of everything from now on, besides those that are known already.
    pub fn hide(&self, secrets: &SecretSet) {
        lock(&self.0.secrets).extend(secrets);
    }

    /// Tries again at once what rests for want of rights.
    pub fn reopen(&self) {
        *lock(&self.0.reopened) = true;
        self.0.bell.notify_one();
    }

    /// Whether every letter was looked at and nothing is left to say.
    pub fn is_quiet(&self) -> bool {
        let waiting = !lock(&self.0.letters).is_empty();
        !waiting && !*lock(&self.0.reopened) && self.0.condition.borrow().is_quiet
    }

    /// How the reporting is doing.
    pub fn condition(&self) -> Condition {
        self.0.condition.borrow().clone()
    }

    /// How the reporting is doing, from now on.
    pub fn conditions(&self) -> watch::Receiver<Condition> {
        self.0.condition.subscribe()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one writer to a repository's forge.
#[derive(Debug)]
pub struct Courier {
    settings: ForgeSettings,
    pace: Pace,
    forge: Option<Forge>,
    book: StatusBook,
    file: PathBuf,
    slot: Arc<Slot>,
    clock: Clock,
}

impl Courier {
    /// A courier and its postbox. What was posted is remembered in `file`; a file that is not readable is told of and
    /// replaced, because the forge can be asked instead.
    pub async fn open(settings: ForgeSettings, pace: Pace, file: PathBuf) -> (Self, Postbox) {
        let postbox = Postbox::default();
        // Until the forge is known nothing is sent, and nothing is held back.
        let limits = Limits {
            comment: 0,
            folds: false,
            pending_again: true,
            tells_error: true,
            comments_on_commits: true,
            hourly: None,
        };
        let mut book = StatusBook::new(limits, pace);
        match tokio::fs::read_to_string(&file).await {
            Ok(text) if book.remember(&text) => {}
            Ok(_) => {
                warn!(file = %file.display(), "what was posted to the forge is not readable; asking the forge");
            }
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => {}
            Err(problem) => {
                warn!(file = %file.display(), %problem, "cannot read what was posted to the forge");
            }
        }
        let clock = settings.clock;
        let slot = Arc::clone(&postbox.0);
        (Self { settings, pace, forge: None, book, file, slot, clock }, postbox)
    }

    /// Carries letters until it is stopped, then for at most five more seconds what is there; the rest is in the file.
    /// A forge that is down or asks to wait is not waited for.
    pub async fn run(mut self, stop: CancellationToken) {
        let work = async {
            loop {
                self.step().await;
            }
        };
        if stop.run_until_cancelled(work).await.is_none() {
            self.flush(FAREWELL).await;
        }
    }

    /// Carries everything that can be carried, for at most so long: for a single pass, and before leaving.
    pub async fn flush(&mut self, limit: Duration) {
        self.book.hurry();
        let work = async {
            loop {
                self.collect();
                let now = (self.clock)();
                if self.book.condition(now).paused_until.is_some() {
                    break;
                }
                match self.book.next(now) {
                    Errand::Rest => break,
                    Errand::Wait(wait) if limit < wait => break,
                    _ => self.step().await,
                }
            }
        };
        if tokio::time::timeout(limit, work).await.is_err() {
            info!("leaving before everything was said to the forge; the rest is remembered");
        }
        self.collect();
        self.save().await;
    }

    /// One errand, or one wait.
    async fn step(&mut self) {
        self.collect();
        let wait = match self.book.next((self.clock)()) {
            Errand::Rest => None,
            Errand::Wait(wait) => Some(wait),
            errand => match self.forge().await {
                Ok(forge) => {
                    self.carry(&forge, errand).await;
                    Some(Duration::ZERO)
                }
                Err(wait) => Some(wait),
            },
        };
        self.tell();
        self.save().await;
        let bell = self.slot.bell.notified();
        match wait {
            Some(Duration::ZERO) => {}
            Some(wait) => {
                // A letter or the time, whichever comes first.
                drop(tokio::time::timeout(wait, bell).await);
            }
            None => bell.await,
        }
    }

    fn collect(&mut self) {
        // Letters that are taken but not yet in the book are not forgotten by whoever waits for quiet.
        self.slot.condition.send_modify(|condition| condition.is_quiet = false);
        if std::mem::take(&mut *lock(&self.slot.reopened)) {
            self.book.reopen();
        }
        let letters = std::mem::take(&mut *lock(&self.slot.letters));
        let secrets = lock(&self.slot.secrets).clone();
        let now = (self.clock)();
        for letter in letters.into_values() {
            self.book.want(letter.masked(&secrets), now);
        }
        self.tell();
    }

    /// The forge, recognised at the first need; or how long to wait before asking again.
    async fn forge(&mut self) -> Result<Forge, Duration> {
        if let Some(forge) = &self.forge {
            return Ok(forge.clone());
        }
        match Forge::recognise(&self.settings).await {
            Ok(forge) => {
                self.book.knows(forge.limits());
                self.forge = Some(forge.clone());
                Ok(forge)
            }
            Err(problem) => {
                let warning = self.book.unrecognised(&problem);
                say(warning);
                Err(self.pace.backoff)
            }
        }
    }

    async fn carry(&mut self, forge: &Forge, errand: Errand) {
        let warning = match errand {
            Errand::ReadBack(revision) => {
                let told = forge.read_statuses(&revision).await;
                self.book.read(&revision, told, (self.clock)())
            }
            Errand::Send(letter, id) => {
                self.book.sending(&letter);
                self.save().await;
                match send(forge, &letter, id).await {
                    Ok(receipt) => {
                        self.book.sent(&letter, &receipt, (self.clock)());
                        None
                    }
                    Err(problem) => self.book.failed(&letter, &problem, (self.clock)()),
                }
            }
            Errand::Wait(_) | Errand::Rest => None,
        };
        say(warning);
    }

    fn tell(&self) {
        let condition = self.book.condition((self.clock)());
        self.slot.condition.send_replace(condition);
    }

    async fn save(&mut self) {
        let Some(text) = self.book.text((self.clock)()) else { return };
        // A write that is cut off leaves the book unsaved, and it is written again on the way out.
        match write_whole(&self.file, &text).await {
            Ok(()) => self.book.kept(),
            Err(source) => {
                let problem = ForgeError::Memory { path: self.file.clone(), source };
                say(self.book.unrecognised(&problem));
            }
        }
    }
}

fn say(warning: Option<Warning>) {
    match warning {
        Some(Warning { right: Some(right), text }) => {
            warn!(%right, problem = %text, "an ability of the forge's token rests");
        }
        Some(Warning { right: None, text }) => warn!(problem = %text, "cannot report to the forge"),
        None => {}
    }
}

async fn send(
    forge: &Forge,
    letter: &Letter,
    id: Option<u64>,
) -> Result<CommentReceipt, ForgeError> {
    match letter {
        Letter::Status { target, status } => {
            let published: Published = forge.publish(target, status).await?;
            Ok(CommentReceipt { published, id: None })
        }
        Letter::Comment { place, marker, body, mode } => {
            let draft = CommentDraft { place, marker, body, id, mode: *mode };
            forge.upsert_comment(draft).await
        }
    }
}

/// Writes beside and renames, so that a crash leaves the old file or the new one. Only the owner may read it.
async fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let beside = file.with_extension("new");
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut out = options.open(&beside).await?;
    tokio::io::AsyncWriteExt::write_all(&mut out, text.as_bytes()).await?;
    out.sync_data().await?;
    drop(out);
    tokio::fs::rename(&beside, file).await
}

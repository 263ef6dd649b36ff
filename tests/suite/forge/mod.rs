//! The forge edge against simulated forges on real sockets.

mod book;
mod clients;
mod contract;
mod daemon;
mod drift;
mod faults;
mod hooked;
mod hour;
mod kinds;
mod life;
mod notes;
mod outages;
mod overtaken;
mod pull_requests;
mod reading;
mod rights;
mod sealed;
mod secrets;
mod stories;
mod thrift;
mod ways;

use std::path::PathBuf;
use std::time::Duration;

use moorline::forge::{
    CommentMode, Courier, Credentials, ForgeSettings, Letter, Marker, Pace, Place, Postbox,
    StatusTarget,
};
use moorline::model::ForgeKind as Kind;
use moorline::model::{CommitState, CommitStatus, Revision, Secret, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::fake_forge::{FakeForge, TOKEN};
use crate::support::{PATIENCE, a_moment, comes};

const KINDS: [Kind; 6] =
    [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Forgejo, Kind::Bitbucket, Kind::Azure];

/// Whether it has issues that reports are written to.
fn has_issues(kind: Kind) -> bool {
    !matches!(kind, Kind::Bitbucket | Kind::Azure)
}

fn clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn settings(forge: &FakeForge) -> ForgeSettings {
    let (kind, project) = forge.look(|world| (world.kind, world.project.clone()));
    let remote = format!("{}/{project}.git", forge.url());
    let mut settings = ForgeSettings::for_remote(&remote, Some(kind), None, clock).unwrap();
    settings.credentials = Credentials::Token(Secret::new(TOKEN.to_owned()));
    settings.patience = Duration::from_millis(500);
    settings
}

/// As quick as it can be.
const QUICK: Pace = Pace {
    settle: Duration::ZERO,
    gap: Duration::ZERO,
    backoff: Duration::from_millis(50),
    denied: Duration::from_hours(1),
};

fn sha(digit: char) -> Revision {
    Revision::parse(&digit.to_string().repeat(40)).unwrap()
}

fn status(revision: &Revision, context: &str, state: CommitState, words: &str) -> Letter {
    Letter::Status {
        target: StatusTarget {
            revision: revision.clone(),
            branch: Some("main".to_owned()),
            pull_request: None,
        },
        status: CommitStatus {
            context: context.to_owned(),
            state,
            description: words.to_owned(),
            link: None,
            progress: None,
        },
    }
}

fn comment(number: u64, body: &str) -> Letter {
    Letter::Comment {
        place: Place::PullRequest(number),
        marker: Marker::new("plan"),
        body: body.to_owned(),
        mode: CommentMode::Upsert,
    }
}

/// A courier at work, and where its memory is.
struct Post {
    postbox: Postbox,
    stop: CancellationToken,
    work: JoinSet<()>,
}

impl Post {
    async fn start(settings: ForgeSettings, pace: Pace, memory: PathBuf) -> Self {
        let (courier, postbox) = Courier::open(settings, pace, memory).await;
        let stop = CancellationToken::new();
        let mut work = JoinSet::new();
        work.spawn(courier.run(stop.clone()));
        Self { postbox, stop, work }
    }

    /// Puts a letter and waits until nothing is left to say.
    async fn say(&self, letter: Letter) {
        self.postbox.put(letter);
        self.quiet().await;
    }

    /// Waits until the courier has looked at everything and nothing is left to say.
    async fn quiet(&self) {
        // What was put a moment ago is taken up first.
        a_moment().await;
        let quiet = comes(|| self.postbox.is_quiet(), PATIENCE).await;
        assert!(quiet, "there is still something to say: {:?}", self.postbox.condition());
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while self.work.join_next().await.is_some() {}
    }
}

/// Waits for a condition of the simulated forge.
async fn until(
    forge: &FakeForge,
    what: &str,
    at: impl Fn(&mut crate::support::fake_forge::World) -> bool,
) {
    crate::support::until(what, || forge.look(&at)).await;
}

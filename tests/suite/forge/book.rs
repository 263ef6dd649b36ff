//! The book's decisions, in a time of its own.

use std::time::Duration;

use moorline::forge::{
    CommentMode, CommentReceipt, Errand, ForgeError, Letter, Limits, Marker, Pace, Place,
    Published, Right, StatusBook,
};
use moorline::model::CommitState::{Failure, Pending, Success};
use moorline::model::{CommitStatus, Revision, Timestamp};

use super::{comment, sha, status};

const LIMITS: Limits = Limits {
    comment: 60_000,
    folds: true,
    pending_again: true,
    tells_error: true,
    hourly: None,
    comments_on_commits: true,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_795_219_200_000 + seconds * 1000)
}

fn book() -> StatusBook {
    StatusBook::new(LIMITS, Pace::default())
}

/// Carries everything out at once; gives what was sent.
fn carry(book: &mut StatusBook, now: Timestamp) -> Vec<Letter> {
    let mut sent = Vec::new();
    loop {
        match book.next(now) {
            Errand::Send(letter, _) => {
                let receipt = CommentReceipt { published: Published::Created, id: Some(5) };
                book.sent(&letter, &receipt, now);
                sent.push(*letter);
            }
            Errand::ReadBack(revision) => {
                assert_eq!(book.read(&revision, Ok(Vec::new()), now), None);
            }
            Errand::Wait(_) | Errand::Rest => return sent,
        }
    }
}

fn denied(right: Right) -> ForgeError {
    ForgeError::Denied { host: "forge".into(), right, missing: "`statuses: write`".into() }
}

#[test]
fn a_pending_status_that_is_overtaken_is_never_sent() {
    let mut book = book();
    let commit = sha('a');
    book.want(status(&commit, "moorline/shop", Pending, "deploying"), at(0));
    assert_eq!(carry(&mut book, at(1)), []);
    let done = status(&commit, "moorline/shop", Success, "in sync");
    book.want(done.clone(), at(1));
    assert_eq!(carry(&mut book, at(1)), [done]);
    assert_eq!(book.next(at(100)), Errand::Rest);
}

#[test]
fn a_long_deployment_is_shown_as_pending_and_restarts_do_not_postpone_it() {
    let mut book = book();
    let commit = sha('a');
    for second in 0..2 {
        book.want(status(&commit, "moorline/shop", Pending, &format!("step {second}")), at(second));
    }
    let shown = carry(&mut book, at(2));
    assert!(
        matches!(shown.as_slice(), [Letter::Status { status, .. }] if status.description == "step 1"),
        "{shown:?}"
    );
}

#[test]
fn fifteen_hundred_flaps_are_fewer_than_nine_hundred_writes_and_words_alone_fewer_than_sixty() {
    let commit = sha('a');
    let mut flaps = book();
    let mut writes = 0;
    for round in 0..1500 {
        let state = if round % 2 == 0 { Failure } else { Success };
        flaps.want(status(&commit, "moorline/shop", state, "flap"), at(round * 10));
        writes += carry(&mut flaps, at(round * 10)).len();
    }
    assert_eq!(writes, 900);
    let mut words = book();
    let mut writes = 0;
    for round in 0..1500 {
        words.want(
            status(&commit, "moorline/shop", Failure, &format!("{round} differences")),
            at(round * 10),
        );
        writes += carry(&mut words, at(round * 10)).len();
    }
    assert!(writes < 60, "{writes}");
}

#[test]
fn writes_keep_their_distance() {
    let mut book = book();
    let commit = sha('a');
    for number in 0..10 {
        book.want(status(&commit, &format!("moorline/s{number}"), Success, "in sync"), at(0));
    }
    let mut sent = 0;
    for second in 0..9 {
        sent += carry(&mut book, at(second)).len();
    }
    assert_eq!(sent, 9, "one a second");
}

#[test]
fn gitlabs_running_is_not_said_twice() {
    let limits = Limits { pending_again: false, tells_error: false, ..LIMITS };
    let mut book = StatusBook::new(limits, Pace::default());
    let commit = sha('a');
    book.want(status(&commit, "moorline/shop", Pending, "one"), at(0));
    assert_eq!(carry(&mut book, at(5)).len(), 1);
    book.want(status(&commit, "moorline/shop", Pending, "two"), at(6));
    assert_eq!(carry(&mut book, at(20)), []);
    book.want(status(&commit, "moorline/shop", Success, "in sync"), at(21));
    assert_eq!(carry(&mut book, at(21)).len(), 1);
    book.want(status(&commit, "moorline/shop", Pending, "again"), at(30));
    assert_eq!(carry(&mut book, at(40)).len(), 1);
}

#[test]
fn a_denied_ability_rests_longer_each_time_and_warns_once() {
    let mut book = book();
    let commit = sha('a');
    book.want(status(&commit, "moorline/shop", Success, "in sync"), at(0));
    book.want(comment(7, "plan"), at(0));
    assert!(matches!(book.next(at(0)), Errand::ReadBack(_)));
    assert_eq!(book.read(&commit, Err(denied(Right::Statuses)), at(0)), None);
    let Errand::Send(letter, None) = book.next(at(0)) else { panic!("statuses come first") };
    let warning = book.failed(&letter, &denied(Right::Statuses), at(0)).unwrap();
    assert_eq!(warning.right, Some(Right::Statuses));
    assert!(warning.text.contains("`statuses: write`"), "{}", warning.text);
    let Errand::Send(letter, None) = book.next(at(10)) else { panic!("comments go on") };
    assert!(matches!(*letter, Letter::Comment { .. }));
    book.sent(&letter, &CommentReceipt { published: Published::Created, id: Some(9) }, at(10));
    assert_eq!(book.next(at(10)), Errand::Wait(Duration::from_secs(3590)));
    assert_eq!(book.condition(at(10)).behind, 1);
    let Errand::Send(letter, None) = book.next(at(3600)) else { panic!("it is tried again") };
    drop(book.failed(&letter, &denied(Right::Statuses), at(3600)));
    assert_eq!(book.next(at(3600)), Errand::Wait(Duration::from_hours(2)));
    assert_eq!(book.failed(&letter, &denied(Right::Statuses), at(10_800)), None);
    book.reopen();
    assert!(matches!(book.next(at(10_801)), Errand::Send(..)));
}

#[test]
fn what_the_forge_already_shows_is_not_said_again() {
    let mut book = book();
    let commit = sha('a');
    let told = |state, words: &str| CommitStatus {
        context: "Moorline/Shop".into(),
        state,
        description: words.into(),
        link: Some("https://someones.link".into()),
        progress: None,
    };
    book.want(status(&commit, "moorline/shop", Success, "in sync "), at(0));
    assert!(matches!(book.next(at(0)), Errand::ReadBack(_)));
    book.read(&commit, Ok(vec![told(Success, "in sync")]), at(0));
    assert_eq!(book.next(at(0)), Errand::Rest);
    // The same commit is not read twice.
    book.want(status(&commit, "moorline", Success, "in sync"), at(1));
    assert!(matches!(book.next(at(1)), Errand::Send(..)));
}

#[test]
fn a_crash_between_sending_and_hearing_is_looked_up() {
    let mut book = book();
    let commit = sha('a');
    book.want(status(&commit, "moorline/shop", Success, "in sync"), at(0));
    carry(&mut book, at(0));
    let red = status(&commit, "moorline/shop", Failure, "out of sync");
    book.want(red.clone(), at(10));
    book.sending(&red);
    let text = book.text(at(10)).unwrap();
    let mut next_life = super::book::book();
    assert!(next_life.remember(&text));
    assert!(matches!(next_life.next(at(20)), Errand::ReadBack(_)));
    let shown = CommitStatus {
        context: "moorline/shop".into(),
        state: Failure,
        description: "out of sync".into(),
        link: None,
        progress: None,
    };
    next_life.read(&commit, Ok(vec![shown]), at(20));
    assert_eq!(next_life.next(at(20)), Errand::Rest);
    next_life.want(red, at(21));
    assert_eq!(next_life.next(at(21)), Errand::Rest);
}

/// Fails again and again with the same problem; gives the seconds at which it was tried, and the warnings.
fn tries(book: &mut StatusBook, problem: impl Fn() -> ForgeError, until: i64) -> (Vec<i64>, usize) {
    let (mut tried, mut warnings, mut second) = (Vec::new(), 0, 0);
    while second < until {
        match book.next(at(second)) {
            Errand::Wait(wait) => {
                second += i64::try_from(wait.as_millis().div_ceil(1000).max(1)).unwrap();
            }
            Errand::ReadBack(revision) => {
                warnings += usize::from(book.read(&revision, Err(problem()), at(second)).is_some());
            }
            Errand::Send(letter, _) => {
                tried.push(second);
                warnings += usize::from(book.failed(&letter, &problem(), at(second)).is_some());
            }
            Errand::Rest => break,
        }
    }
    (tried, warnings)
}

#[test]
fn a_commit_that_the_forge_does_not_know_is_asked_for_less_and_less_for_a_day() {
    let mut book = book();
    let commit = sha('a');
    let letter = status(&commit, "moorline/shop", Success, "in sync");
    let problem = || ForgeError::NotFound { host: "forge".into(), what: "such commit".into() };
    book.want(letter.clone(), at(0));
    let (tried, warnings) = tries(&mut book, problem, 3 * 24 * 3600);
    assert_eq!(tried[..6], [0, 10, 30, 70, 150, 310]);
    assert_eq!((tried.len(), warnings), (30, 1));
    assert!(*tried.last().unwrap() < 24 * 3600, "{tried:?}");
    // Given up: the same words are not tried again, other words and another start are.
    book.want(letter.clone(), at(300_000));
    assert_eq!(book.next(at(300_000)), Errand::Rest);
    let mut next_life = super::book::book();
    assert!(next_life.remember(&book.text(at(300_000)).unwrap()));
    next_life.want(letter, at(300_001));
    assert!(matches!(next_life.next(at(300_001)), Errand::ReadBack(_)));
    book.want(status(&commit, "moorline/shop", Failure, "other words"), at(300_002));
    assert!(matches!(book.next(at(300_002)), Errand::Send(..)));
}

#[test]
fn what_is_refused_as_it_is_rests_and_is_tried_again() {
    let mut book = book();
    let commit = sha('a');
    let letter = status(&commit, "moorline/shop", Success, "in sync");
    let problem = || ForgeError::Rejected { host: "forge".into(), code: 422, message: "no".into() };
    book.want(letter.clone(), at(0));
    let (tried, warnings) = tries(&mut book, problem, 10 * 3600);
    assert_eq!((tried, warnings), (vec![0, 3600, 3 * 3600, 7 * 3600], 1));
    let condition = book.condition(at(10 * 3600));
    assert!(condition.is_quiet, "nobody waits for what rests: {condition:?}");
    assert!(condition.problem.unwrap().contains("refuses with 422"));
    // Others are not held up, other words go at once, and so does the same after a restart.
    book.want(status(&commit, "moorline", Success, "in sync"), at(10 * 3600));
    assert_eq!(carry(&mut book, at(10 * 3600)).len(), 1);
    let mut next_life = super::book::book();
    assert!(next_life.remember(&book.text(at(10 * 3600)).unwrap()));
    assert_eq!(carry(&mut next_life, at(10 * 3600 + 1)), [letter]);
    let other = status(&commit, "moorline/shop", Failure, "other words");
    book.want(other.clone(), at(10 * 3600 + 5));
    assert_eq!(carry(&mut book, at(10 * 3600 + 5)), [other]);
}

#[test]
fn a_commit_that_takes_no_more_statuses_of_a_context_is_left_alone() {
    let mut book = book();
    let commit = sha('a');
    let problem = || ForgeError::Full { host: "forge".into(), context: "moorline/shop".into() };
    book.want(status(&commit, "moorline/shop", Success, "in sync"), at(0));
    assert_eq!(tries(&mut book, problem, 24 * 3600), (vec![0], 1));
    for round in 1..50 {
        let state = if round % 2 == 0 { Failure } else { Success };
        book.want(status(&commit, "moorline/shop", state, &round.to_string()), at(round * 100));
        assert_eq!(book.next(at(round * 100)), Errand::Rest);
    }
    book.want(status(&sha('b'), "moorline/shop", Success, "in sync"), at(10_000));
    assert_eq!(carry(&mut book, at(10_000)).len(), 1);
}

#[test]
fn a_server_that_fails_is_left_alone_for_as_long_as_it_asks() {
    let mut book = book();
    let commit = sha('a');
    let letter = status(&commit, "moorline/shop", Success, "in sync");
    book.want(letter.clone(), at(0));
    let wait = Some(Duration::from_secs(600));
    let down = ForgeError::Server { host: "forge".into(), code: 502, wait };
    assert!(book.failed(&letter, &down, at(0)).is_some());
    assert_eq!(book.next(at(1)), Errand::Wait(Duration::from_secs(599)));
    // It may have been written all the same.
    assert!(matches!(book.next(at(600)), Errand::ReadBack(_)));
}

#[test]
fn an_hour_of_silence_is_asked_about_once_a_minute_at_most() {
    let mut book = book();
    let commit = sha('a');
    let letter = status(&commit, "moorline/shop", Success, "in sync");
    book.want(letter.clone(), at(0));
    let down = || ForgeError::Server { host: "forge".into(), code: 503, wait: None };
    let (mut tries, mut warnings, mut second) = (0, 0, 0);
    while second < 3600 {
        match book.next(at(second)) {
            Errand::Wait(wait) => {
                second += i64::try_from(wait.as_millis().div_ceil(1000).max(1)).unwrap();
            }
            Errand::ReadBack(revision) => {
                tries += 1;
                warnings += usize::from(book.read(&revision, Err(down()), at(second)).is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((55..=140).contains(&tries), "{tries}");
    assert_eq!(warnings, 1);
    assert_eq!(carry(&mut book, at(3700)), [letter]);
}

#[test]
fn a_book_that_cannot_be_read_is_empty() {
    for text in ["", "{}", "rubbish", "{\"version\":9,\"entries\":[]}"] {
        assert!(!book().remember(text), "{text}");
    }
}

/// Ninety pull requests and four hundred stacks, a push every two minutes for an hour: within the forge's hour nothing is
/// written that it would not take, the roll-up of each commit is said before its stacks, and comments come last.
#[test]
fn an_hour_of_pushes_stays_within_what_the_forge_takes_in_an_hour() {
    let pace = Pace::default();
    let most = 480;
    let mut book = StatusBook::new(Limits { hourly: Some(most), ..LIMITS }, pace);
    let revision = |number: i64| Revision::parse(&format!("{number:040x}")).unwrap();
    let mut writes: Vec<(i64, Letter)> = Vec::new();
    // The book is looked at every few seconds: that is still more often than the forge would take.
    for second in (0..5_400_i64).step_by(5) {
        if second % 120 == 0 && second < 3_600 {
            let commit = revision(second / 120);
            for stack in 0..400 {
                let context = format!("moorline/site-{stack:03}");
                book.want(status(&commit, &context, Success, "in sync"), at(second));
            }
            book.want(status(&commit, "moorline", Success, "400 stacks"), at(second));
            for number in 1..=90 {
                let body = if second == 0 { "a plan" } else { "the same plan" };
                let place = Place::PullRequest(number);
                let (marker, body) = (Marker::new("plan"), body.to_owned());
                let mode = CommentMode::Upsert;
                book.want(Letter::Comment { place, marker, body, mode }, at(second));
            }
        }
        match book.next(at(second)) {
            Errand::ReadBack(revision) => drop(book.read(&revision, Ok(Vec::new()), at(second))),
            Errand::Send(letter, _) => {
                let receipt = CommentReceipt { published: Published::Created, id: Some(1) };
                book.sent(&letter, &receipt, at(second));
                writes.push((second, *letter));
            }
            Errand::Wait(_) | Errand::Rest => {}
        }
    }
    for from in (0..3_600).step_by(60) {
        let within = writes.iter().filter(|(at, _)| (from..from + 3_600).contains(at)).count();
        assert!(within <= most, "{within} writes from second {from}");
    }
    // While there was room for them, each commit's own verdict was said within seconds.
    let said = |commit: i64| {
        writes.iter().find(|(_, letter)| {
            matches!(letter, Letter::Status { target, status }
                if target.revision == revision(commit) && status.context == "moorline")
        })
    };
    for commit in 0..3 {
        let (at, _) = said(commit).expect("a verdict");
        assert!(at - commit * 120 < 30, "commit {commit} at {at}");
    }
}

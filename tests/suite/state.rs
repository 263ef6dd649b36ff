//! The record of what is known of targets: statuses and gates are views of it, whatever order changes come in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moorline::config::settings::Labels;
use moorline::fleet::{WaitingOn, windows::Opening};
use moorline::model::{
    CommitState, Digest, Health, HostName, Remedy, RepositoryName, Revision, ServiceName,
    StackName, Sync, Timestamp,
};
use moorline::report::{Failure, Head, Report, Target, Unproven, Wait};
use moorline::state::{Change, NewHead, State};
use proptest::prelude::*;

const HOSTS: [&str; 2] = ["left", "right"];
const STACKS: [&str; 2] = ["blog", "shop"];

fn revision(letter: char) -> Revision {
    Revision::parse(&letter.to_string().repeat(40)).unwrap()
}

fn target(stack: &str, host: &str) -> Target {
    Target {
        repository: RepositoryName::parse("fleet").unwrap(),
        stack: StackName::parse(stack).unwrap(),
        host: HostName::parse(host).unwrap(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn state() -> State {
    let hosts: BTreeMap<HostName, Labels> =
        HOSTS.iter().map(|name| (HostName::parse(name).unwrap(), Labels::new())).collect();
    let own: Vec<HostName> = hosts.keys().cloned().collect();
    State::new(Arc::new(hosts), own)
}

/// A commit of which each stack asks for what these letters say.
fn head(commit: char, asks: [char; 2]) -> Change {
    Change::Head(Box::new(new_head(commit, asks)))
}

fn new_head(commit: char, asks: [char; 2]) -> NewHead {
    let asks = STACKS.iter().zip(asks).map(|(stack, asked)| {
        (StackName::parse(stack).unwrap(), Digest::of(asked.to_string().as_bytes()))
    });
    let targets: Vec<Target> =
        STACKS.iter().flat_map(|stack| HOSTS.map(|host| target(stack, host))).collect();
    NewHead {
        head: Head { revision: revision(commit), subject: String::new(), fleet_problem: None },
        fleet: None,
        asks: asks.collect(),
        awaited: targets.iter().map(Target::name).collect::<BTreeSet<_>>(),
        targets,
        at: at(0),
    }
}

/// How a look may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Well,
    OnItsWay,
    Restarting,
    Crashed,
    Degraded,
    Unseen,
    Held,
}

fn report(of: &Target, commit: char, found: Found, seconds: i64) -> Report {
    let failure = Failure { message: "gone".to_owned(), remedy: Remedy::Retry };
    let mut report = Report::failed(of.clone(), revision(commit), at(seconds), failure.clone());
    (report.failure, report.sync, report.health) = (None, Sync::Synced, Health::Healthy);
    let web = ServiceName::parse("web").unwrap();
    report.services.insert(web.clone(), Health::Healthy);
    let crashed = Unproven { service: web, number: 1, until: None, crashed: true };
    match found {
        Found::Well => {}
        Found::OnItsWay => {
            (report.health, report.is_under_way) = (Health::Progressing, true);
        }
        Found::Restarting | Found::Crashed => {
            (report.health, report.is_under_way) = (Health::Progressing, true);
            report.unproven = vec![crashed];
        }
        Found::Degraded => (report.sync, report.health) = (Sync::OutOfSync, Health::Degraded),
        Found::Unseen => report.failure = Some(failure),
        Found::Held => {
            report.sync = Sync::OutOfSync;
            report.wait = Some(wait());
        }
    }
    report
}

fn wait() -> Wait {
    let on = WaitingOn::Window(Opening::Shut { until: Some(at(9)), because: "night".to_owned() });
    Wait { on, until: Some(at(9)), state: CommitState::Pending }
}

fn reported(report: Report) -> Change {
    Change::Reported { newest: report.revision.clone(), report: Arc::new(report) }
}

/// State and words of a stack, the roll-up as `moorline`.
fn said(state: &State, commit: char, context: &str) -> (CommitState, String) {
    let all = state.reports_of_commits(None);
    let of = all.iter().find(|report| report.revision == revision(commit)).unwrap();
    let status = of.statuses.iter().find(|status| status.context == context).unwrap();
    (status.state, status.description.clone())
}

fn all_said(state: &State) -> String {
    format!("{:?}", state.reports_of_commits(None))
}

#[test]
fn a_crash_loop_is_red_from_the_first_crash_until_it_is_well_and_says_one_thing() {
    let mut state = state();
    let shop = target("shop", "left");
    state.apply(head('a', ['x', 'x']));
    let mut heard = Vec::new();
    let mut tell = |state: &State| {
        let now = said(state, 'a', "moorline/shop");
        if heard.last() != Some(&now) {
            heard.push(now);
        }
    };
    tell(&state);
    state.apply(reported(report(&target("shop", "right"), 'a', Found::Well, 1)));
    for second in 1..40 {
        let found = match second % 4 {
            0 => Found::Crashed,
            1 => Found::Restarting,
            2 => Found::Degraded,
            _ => Found::OnItsWay,
        };
        state.apply(reported(report(&shop, 'a', found, second)));
        tell(&state);
        state.apply(Change::Deploys(shop.clone()));
        tell(&state);
    }
    state.apply(reported(report(&shop, 'a', Found::Well, 99)));
    tell(&state);
    let states: Vec<CommitState> = heard.iter().map(|(state, _)| *state).collect();
    assert_eq!(
        states,
        [CommitState::Pending, CommitState::Failure, CommitState::Success],
        "{heard:?}"
    );
}

#[test]
fn what_failed_is_failed_when_it_is_overtaken_and_what_was_held_is_not_red() {
    let mut state = state();
    state.apply(head('a', ['x', 'x']));
    for host in HOSTS {
        state.apply(reported(report(&target("shop", host), 'a', Found::Degraded, 1)));
        state.apply(reported(report(&target("blog", host), 'a', Found::Held, 1)));
    }
    let (failed, words) = said(&state, 'a', "moorline/shop");
    assert_eq!(failed, CommitState::Failure);
    state.apply(Change::Deploys(target("shop", "left")));
    state.apply(head('b', ['y', 'y']));
    assert_eq!(said(&state, 'a', "moorline/shop"), (CommitState::Failure, words));
    let (state_of_held, words) = said(&state, 'a', "moorline/blog");
    assert_eq!(state_of_held, CommitState::Pending, "{words}");
    assert_eq!(words, format!("superseded by {} while it was held", revision('b').short()));
    assert_eq!(said(&state, 'b', "moorline/shop").0, CommitState::Pending);
}

#[test]
fn a_commit_that_asks_for_the_same_is_red_as_the_one_before_was() {
    let mut state = state();
    state.apply(head('a', ['x', 'x']));
    state.apply(reported(report(&target("shop", "left"), 'a', Found::Crashed, 1)));
    state.apply(head('b', ['y', 'x']));
    assert_eq!(said(&state, 'b', "moorline/shop").0, CommitState::Failure);
    assert_eq!(said(&state, 'b', "moorline/blog").0, CommitState::Pending);
}

#[test]
fn at_a_refused_fleet_file_no_stack_is_green() {
    let mut state = state();
    state.apply(head('a', ['x', 'x']));
    let mut refused = new_head('b', ['x', 'x']);
    refused.head.fleet_problem = Some("fleet.yaml:1:1: error".to_owned());
    state.apply(Change::Head(Box::new(refused)));
    for host in HOSTS {
        for stack in STACKS {
            state.apply(reported(report(&target(stack, host), 'b', Found::Well, 1)));
        }
    }
    for context in ["moorline/shop", "moorline/blog", "moorline"] {
        assert_eq!(said(&state, 'b', context).0, CommitState::Error, "{context}");
    }
    // What the commit before asked for is there, and that commit hears of it.
    assert_eq!(said(&state, 'a', "moorline/shop").0, CommitState::Success);
}

fn any_found() -> impl Strategy<Value = Found> {
    prop_oneof![
        Just(Found::Well),
        Just(Found::OnItsWay),
        Just(Found::Restarting),
        Just(Found::Crashed),
        Just(Found::Degraded),
        Just(Found::Unseen),
        Just(Found::Held),
    ]
}

/// What one target goes through: looks, beginnings, steps.
fn any_course() -> impl Strategy<Value = Vec<(u8, Found)>> {
    prop::collection::vec((0_u8..4, any_found()), 0..6)
}

fn changes(of: &Target, course: &[(u8, Found)]) -> Vec<Change> {
    let newest = revision('a');
    let all = course.iter().enumerate().map(|(place, (kind, found))| match kind {
        0 => Change::Begins { target: of.clone(), newest: newest.clone(), at: at(1) },
        1 => Change::Deploys(of.clone()),
        2 => Change::Waits { target: of.clone(), newest: newest.clone(), wait: wait() },
        _ => reported(report(of, 'a', *found, i64::try_from(place).unwrap())),
    });
    all.collect()
}

proptest! {
    /// Each target's own changes keep their order; how those of different targets come between each other is chance.
    #[test]
    fn any_order_of_independent_changes_gives_the_same_views(
        courses in prop::collection::vec(any_course(), 4),
        picks in prop::collection::vec(0_usize..4, 40),
    ) {
        let targets: Vec<Target> =
            STACKS.iter().flat_map(|stack| HOSTS.map(|host| target(stack, host))).collect();
        let all: Vec<Vec<Change>> =
            targets.iter().zip(&courses).map(|(of, course)| changes(of, course)).collect();
        let mut one_after_the_other = state();
        one_after_the_other.apply(head('a', ['x', 'x']));
        for change in all.iter().flatten() {
            one_after_the_other.apply(change.clone());
        }
        let mut mixed = state();
        mixed.apply(head('a', ['x', 'x']));
        let mut open: Vec<std::collections::VecDeque<Change>> =
            all.into_iter().map(Into::into).collect();
        for pick in picks.into_iter().chain((0..4).flat_map(|one| [one; 6])) {
            if let Some(change) = open[pick].pop_front() {
                mixed.apply(change);
                // Reading leaves no trace.
                drop(all_said(&mixed));
            }
        }
        prop_assert_eq!(all_said(&one_after_the_other), all_said(&mixed));
        prop_assert_eq!(one_after_the_other.gates(at(99)), mixed.gates(at(99)));
        prop_assert_eq!(one_after_the_other.recollection(), mixed.recollection());
        prop_assert_eq!(one_after_the_other.sight(), mixed.sight());
    }

    /// Green is green everywhere, red anywhere is red in the roll-up, and what is red is pending again only by a target that
    /// is well.
    #[test]
    fn the_roll_up_and_its_stacks_never_contradict_and_red_stays(
        course in prop::collection::vec((0_usize..4, 0_u8..4, any_found()), 1..40),
    ) {
        let targets: Vec<Target> =
            STACKS.iter().flat_map(|stack| HOSTS.map(|host| target(stack, host))).collect();
        let mut state = state();
        state.apply(head('a', ['x', 'x']));
        let mut was_red = BTreeMap::new();
        for (who, kind, found) in course {
            for change in changes(&targets[who], &[(kind, found)]) {
                state.apply(change);
            }
            let report = state.commit_report(None).unwrap();
            let (roll_up, stacks) = report.statuses.split_last().unwrap();
            let any = |state| stacks.iter().any(|status| status.state == state);
            let worst = [CommitState::Error, CommitState::Failure, CommitState::Pending]
                .into_iter()
                .find(|state| any(*state))
                .unwrap_or(CommitState::Success);
            prop_assert_eq!(roll_up.state, worst);
            for status in stacks {
                let red = was_red.insert(status.context.clone(), status.state);
                if red == Some(CommitState::Failure) && found != Found::Well {
                    prop_assert_ne!(status.state, CommitState::Pending, "{:?}", status);
                }
            }
        }
    }
}

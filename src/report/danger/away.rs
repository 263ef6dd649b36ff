//! Services that are away for a while: which share of their replicas at once, and for how long at most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Action, Location, Plan, Step, StepId};
use crate::report::Report;

/// One container's time away.
struct Absence {
    /// The replica, or the container's name.
    whose: String,
    begins: StepId,
    /// `None` when it does not come back.
    ends: Option<StepId>,
    longest: Duration,
}

/// What the steps about one container come to.
enum Gap {
    /// It stops, for a while or for good.
    Away(Absence),
    /// It runs on, and leaves this network for a moment.
    Unplugged(String),
}

/// Services that lose time, in words, with their place in the manifest, over all rounds: each begins when the one before
/// has ended.
pub(super) fn away(report: &Report, plans: &[&Plan]) -> Vec<(String, Option<Location>)> {
    let steps = in_a_row(plans);
    let mut of_service: BTreeMap<String, (Vec<Absence>, BTreeSet<String>)> = BTreeMap::new();
    for ((service, whose), steps) in by_container(&steps) {
        match gap(&whose, &steps) {
            Some(Gap::Away(absence)) => of_service.entry(service).or_default().0.push(absence),
            Some(Gap::Unplugged(network)) => {
                of_service.entry(service).or_default().1.insert(network);
            }
            None => {}
        }
    }
    let mut found = Vec::new();
    for (service, (absences, unplugged)) in of_service {
        let origin = steps.iter().find(|step| name_of(step).is_some_and(|(it, _)| it == service));
        let origin = origin.and_then(|step| step.origin.clone());
        if !absences.is_empty() {
            let of_it = report.replicas.iter().map(|line| line.replica.as_str());
            let of_it = of_it.filter(|it| it.rsplit_once('-').is_some_and(|(of, _)| of == service));
            // Those that go are no longer asked for, and stand there all the same.
            let leaving = absences.iter().map(|absence| absence.whose.as_str());
            let standing: BTreeSet<&str> = of_it.chain(leaving).collect();
            let text = said(&service, &absences, standing.len(), &steps);
            found.push((text, origin.clone()));
        }
        for network in unplugged {
            let text = format!("{service} is off network {network} for a moment");
            found.push((text, origin.clone()));
        }
    }
    found
}

/// The steps of all rounds as those of one plan.
fn in_a_row(plans: &[&Plan]) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::new();
    for plan in plans {
        let before: BTreeSet<StepId> = all.iter().map(|step| step.id).collect();
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let later = |id: &StepId| StepId(id.0.saturating_add(offset));
        let steps: Vec<Step> = plan
            .steps
            .iter()
            .map(|step| {
                let own = step.after.iter().map(later);
                Step {
                    id: later(&step.id),
                    after: own.chain(before.clone()).collect(),
                    ..step.clone()
                }
            })
            .collect();
        all.extend(steps);
    }
    all
}

fn said(service: &str, absences: &[Absence], standing: usize, steps: &[Step]) -> String {
    let for_good = absences.iter().filter(|absence| absence.ends.is_none()).count();
    if for_good == absences.len() {
        return match (for_good, standing) {
            (gone, all) if gone == all => format!("{service} stops for good"),
            (gone, all) => format!("{service} keeps {} of {all} replicas", all - gone),
        };
    }
    let longest = absences.iter().map(|absence| absence.longest).max().unwrap_or_default();
    let at_once = at_once(absences, steps);
    let time = time(longest);
    if standing <= at_once {
        let all =
            if standing == 1 { String::new() } else { format!(" with all {standing} replicas") };
        format!("{service} is down{all}, for at most {time}")
    } else {
        format!(
            "{service} runs with {} of {standing} replicas, for at most {time} each",
            standing - at_once
        )
    }
}

/// Whose step it is: the service and the replica; for a container that is no replica, its name twice.
fn name_of(step: &Step) -> Option<(String, String)> {
    if let Some(replica) = &step.replica {
        return Some((replica.service.to_string(), replica.to_string()));
    }
    match &step.action {
        Action::Stop { container, .. } | Action::Start { container } => {
            let name = container.name().to_owned();
            Some((name.clone(), name))
        }
        _ => None,
    }
}

/// Steps about each container that is there, in order.
fn by_container(steps: &[Step]) -> BTreeMap<(String, String), Vec<&Step>> {
    let mut found: BTreeMap<(String, String), Vec<&Step>> = BTreeMap::new();
    for step in steps {
        if let Some(key) = name_of(step) {
            found.entry(key).or_default().push(step);
        }
    }
    found
}

/// What one container goes through. A successor that is up before its predecessor stops leaves no gap.
fn gap(whose: &str, steps: &[&Step]) -> Option<Gap> {
    let stops = || {
        steps.iter().filter_map(|step| match &step.action {
            Action::Stop { grace, .. } | Action::Restart { grace, .. } => Some((step.id, *grace)),
            _ => None,
        })
    };
    let Some((begins, _)) = stops().next() else { return unplugged(steps).map(Gap::Unplugged) };
    let started =
        |step: &&&Step| matches!(step.action, Action::Start { .. } | Action::Restart { .. });
    let starts = steps.iter().filter(started).map(|step| step.id).max();
    if starts.is_some_and(|starts| starts < begins) {
        return None;
    }
    let ready = steps.iter().filter_map(|step| match &step.action {
        Action::AwaitHealthy { limit, .. } if begins < step.id => Some((step.id, *limit)),
        _ => None,
    });
    let ready = ready.max();
    let grace: Duration = stops().map(|(_, grace)| grace).sum();
    let longest = grace + ready.map_or(Duration::ZERO, |(_, limit)| limit);
    let ends = ready.map(|(id, _)| id).filter(|_| starts.is_some()).or(starts);
    Some(Gap::Away(Absence { whose: whose.to_owned(), begins, ends, longest }))
}

/// The network that a container leaves and joins again.
fn unplugged(steps: &[&Step]) -> Option<String> {
    steps.iter().find_map(|step| match &step.action {
        Action::Disconnect { network: left, .. } => {
            let joins = |step: &&Step| {
                matches!(&step.action, Action::Connect { network, .. } if network == left)
            };
            steps.iter().any(joins).then(|| left.clone())
        }
        _ => None,
    })
}

/// How many are away at the same time at most: those of which none waits for the end of another.
fn at_once(absences: &[Absence], steps: &[Step]) -> usize {
    let before: BTreeMap<StepId, BTreeSet<StepId>> = ancestors(steps);
    let apart = |one: &Absence, other: &Absence| {
        let waits = |late: &Absence, early: &Absence| {
            early.ends.is_some_and(|end| {
                before.get(&late.begins).is_some_and(|before| before.contains(&end))
            })
        };
        waits(one, other) || waits(other, one)
    };
    let together = |one: &Absence| absences.iter().filter(|other| !apart(one, other)).count();
    absences.iter().map(together).max().unwrap_or(0)
}

/// All steps that each step waits for, through others too. Steps only wait for smaller numbers.
fn ancestors(steps: &[Step]) -> BTreeMap<StepId, BTreeSet<StepId>> {
    let mut all: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    for step in steps {
        let mut mine = step.after.clone();
        for before in &step.after {
            mine.extend(all.get(before).into_iter().flatten().copied());
        }
        all.insert(step.id, mine);
    }
    all
}

/// `45 s`, `10 m 10 s`, `2 h`.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "m"), (seconds, "s")];
    let said: Vec<String> = parts
        .iter()
        .filter(|(count, _)| 0 < *count)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    said.join(" ")
}

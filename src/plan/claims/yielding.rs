//! Stacks that wait for each other: one of a circle lets go of what it holds, so that the next one can go on.
//!
//! Two stacks that swap a host port or a container's name in one commit would each wait for the other for ever. Every
//! stack is planned for itself, but all see the same commit and the same host: the stack of the circle whose name comes
//! first is the one that lets go, and all the others know it. A container that holds a wanted port has to stop for that;
//! a name is let go of by a passing one, and nothing stops.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Action, Claimed, DesiredReplica, Drift, HeldBecause, ObservedContainer, Reason, Replica,
    Resource, StackName,
};

use crate::plan::place::handle;
use crate::plan::remove::fixed_ports;
use crate::plan::{Planner, cause};

impl Planner<'_> {
    /// Stops the container of a replica that waits for a port of another stack, where that one, directly or by others,
    /// waits for a port of this container.
    pub(in crate::plan) fn yield_ports(&mut self, desired: &DesiredReplica, drift: &Drift) {
        let Some(container) = self.keeper(&desired.replica) else { return };
        let own = fixed_ports(container);
        if !container.state.is_up() || own.is_empty() {
            return;
        }
        let awaited = self.awaited();
        let stack = &self.input.desired.stack;
        let Some(other) = circle_through(stack, &awaited) else { return };
        let needed = awaited.iter().any(|((_, holder), ports)| {
            holder == stack && ports.iter().any(|port| own.contains(*port))
        });
        if !needed {
            return;
        }
        self.warnings.insert(format!(
            "{} stops before its successor can start: this stack and {other} wait for each other's host ports",
            container.name
        ));
        let cause = cause(drift);
        self.stop_container(container, &cause, []);
    }

    /// Which stack waits for which other one's ports, and for which of them.
    ///
    /// Known from the commit (who wants what) and from the host (who has it), so that every stack's pass comes to the
    /// same answer without asking the others.
    fn awaited(&self) -> BTreeMap<(StackName, StackName), BTreeSet<&str>> {
        let input = &self.input;
        let own = input.observed.containers.iter().filter(|container| container.state.is_up());
        let own = own.filter(|container| self.may_touch(container)).flat_map(|container| {
            fixed_ports(container).into_iter().map(|port| (port, input.desired.stack.clone()))
        });
        let others = input.observed.ports_taken.iter().filter_map(|taken| {
            let stack = StackName::parse(&taken.stack).ok()?;
            Some((format!("{}/{}", taken.port, taken.protocol), stack))
        });
        let held: BTreeSet<(String, StackName)> = own.chain(others).collect();
        let mut awaited: BTreeMap<(StackName, StackName), BTreeSet<&str>> = BTreeMap::new();
        for (what, stack) in input.desired.neighbours.wanted() {
            let Claimed::Port(port) = what else { continue };
            for (_, holder) in held.iter().filter(|(held, holder)| held == port && holder != stack)
            {
                awaited.entry((stack.clone(), holder.clone())).or_default().insert(port);
            }
        }
        awaited
    }

    /// Why a container cannot be called as it is to be called: another one has that name.
    pub(in crate::plan) fn name_held_elsewhere(&self, drift: &Drift) -> Option<HeldBecause> {
        match (&drift.resource, &drift.reason) {
            (Resource::Replica { replica, .. }, Reason::Renamed { .. }) => self.name_taken(replica),
            _ => None,
        }
    }

    /// Gives a passing name to containers whose name another stack of the commit waits for, while they wait for theirs.
    pub(in crate::plan) fn yield_names(&mut self) {
        let waiting: Vec<(&Drift, &ObservedContainer, String)> = self
            .input
            .findings
            .drifts
            .iter()
            .filter(|drift| matches!(drift.reason, Reason::Renamed { .. }))
            .filter(|drift| drift.cure == crate::model::Cure::None)
            .filter_map(|drift| {
                let Resource::Replica { replica, .. } = &drift.resource else { return None };
                let container = self.keeper(replica)?;
                let passing = format!("{}.next", self.desired(replica)?.1.name);
                self.is_wanted_elsewhere(container, replica).then_some((drift, container, passing))
            })
            .collect();
        for (drift, container, name) in waiting {
            let action = Action::Rename { container: handle(container), name };
            self.drafts.add(action, &cause(drift), []);
        }
    }

    /// Whether another stack of the commit wants a container's name, which the container is to lose.
    ///
    /// A container is not renamed for anybody outside the commit: somebody may know it by its name.
    fn is_wanted_elsewhere(&self, container: &ObservedContainer, replica: &Replica) -> bool {
        let desired = &self.input.desired;
        let taken = matches!(self.name_taken(replica), Some(HeldBecause::NameHeldByStack { .. }));
        taken
            && desired.neighbours.wanted().any(|(what, stack)| {
                *stack != desired.stack
                    && matches!(what, Claimed::Container(name) if *name == container.name)
            })
    }
}

/// The stack for which this one waits in a circle of which it comes first by name; `None` where it is in no circle, or
/// another one of the circle is to let go.
///
/// Exactly one of them lets go. If all did, each would be down at once; if none did, they would wait for each other for
/// ever. The first by name is a choice that all passes make alike.
fn circle_through(
    stack: &StackName,
    awaited: &BTreeMap<(StackName, StackName), BTreeSet<&str>>,
) -> Option<StackName> {
    let next = |from: &StackName| {
        let from = from.clone();
        awaited
            .keys()
            .filter(move |(waiting, _)| *waiting == from)
            .map(|(_, holder)| holder.clone())
    };
    let reach = |from: &StackName| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<StackName> = next(from).collect();
        while let Some(at) = open.pop() {
            if seen.insert(at.clone()) {
                open.extend(next(&at));
            }
        }
        seen
    };
    let circle: BTreeSet<StackName> =
        reach(stack).into_iter().filter(|other| reach(other).contains(stack)).collect();
    let first = circle.first()? == stack;
    next(stack).find(|other| first && circle.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(name: &str) -> StackName {
        StackName::parse(name).unwrap()
    }

    fn yields(name: &str, waits: &[(&str, &str)]) -> Option<String> {
        let awaited = waits
            .iter()
            .map(|(one, other)| ((stack(one), stack(other)), BTreeSet::new()))
            .collect();
        circle_through(&stack(name), &awaited).map(|other| other.to_string())
    }

    #[test]
    fn of_a_circle_of_stacks_the_first_one_lets_go_and_nobody_else() {
        let two = [("a", "b"), ("b", "a")];
        assert_eq!(yields("a", &two).as_deref(), Some("b"));
        assert_eq!(yields("b", &two), None);
        let three = [("c", "a"), ("a", "b"), ("b", "c"), ("x", "a")];
        assert_eq!(yields("a", &three).as_deref(), Some("b"));
        for name in ["b", "c", "x"] {
            assert_eq!(yields(name, &three), None, "{name}");
        }
    }

    #[test]
    fn who_waits_for_somebody_who_waits_for_nobody_keeps_what_it_has() {
        assert_eq!(yields("a", &[("a", "b"), ("c", "a")]), None);
        assert_eq!(yields("a", &[("b", "c"), ("c", "b"), ("a", "b")]), None);
    }
}

//! A plan under construction: nodes in the order in which they were thought of, edges between them, and at the end
//! a numbering in which every step waits only for smaller numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Action, Location, Reason, Replica, Step, StepId};

/// A step before it has its number.
/// An index and not a number: steps are thought of in the order of services and not in that in which they can be done,
/// and numbers that people read should ascend with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(usize);

/// Why a step is there and whom it serves: what all steps of one affair share.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) replica: Option<Replica>,
    pub(super) because: Reason,
    pub(super) origin: Option<Location>,
}

/// A step under construction: edges are added to it as long as the plan is.
#[derive(Debug)]
struct Draft {
    action: Action,
    cause: Cause,
    after: BTreeSet<Node>,
    /// Edges that only keep two containers from claiming one thing (a host port): dropped where they would close a
    /// circle, because then waiting cannot help.
    courteous: BTreeSet<Node>,
    /// Those of `after` that only make a downtime shorter: a stop that waits until its successor may start. They give
    /// way where they would close a circle.
    patient: BTreeSet<Node>,
}

/// Collects steps.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    drafts: Vec<Draft>,
}

// Three kinds of edges, by what they are worth. An order that is needed (a container before its start) always holds. A
// courtesy (a port is freed before another asks for it) is dropped where both want what the other has, since one of the
// two must go first anyway. Patience (the old one stops late) only shortens a downtime.
impl Drafts {
    /// Adds a step that waits for others.
    ///
    /// Whoever adds a step holds its node and hands it on: there is no search for "the step that starts web", which
    /// would find the wrong one as soon as there are two.
    pub(super) fn add(
        &mut self,
        action: Action,
        cause: &Cause,
        after: impl IntoIterator<Item = Node>,
    ) -> Node {
        self.drafts.push(Draft {
            action,
            cause: cause.clone(),
            after: after.into_iter().collect(),
            courteous: BTreeSet::new(),
            patient: BTreeSet::new(),
        });
        Node(self.drafts.len() - 1)
    }

    /// Makes a step wait for another one too.
    pub(super) fn wait(&mut self, node: Node, after: Node) {
        if node != after
            && let Some(draft) = self.drafts.get_mut(node.0)
        {
            draft.after.insert(after);
        }
    }

    /// Makes a step wait for another one unless that closes a circle.
    pub(super) fn wait_if_possible(&mut self, node: Node, after: Node) {
        if node != after
            && let Some(draft) = self.drafts.get_mut(node.0)
        {
            draft.courteous.insert(after);
        }
    }

    /// Makes steps for which nobody waits come after all others.
    ///
    /// Volumes go when all else is done. If any step before fails, what it blocks includes them, and no data is lost to
    /// a deployment that did not work out.
    pub(super) fn put_last(&mut self, last: &BTreeSet<Node>) {
        if last.is_empty() {
            return;
        }
        self.settle_courtesies();
        let awaited: BTreeSet<Node> =
            self.drafts.iter().flat_map(|draft| draft.after.iter().copied()).collect();
        let all = (0..self.drafts.len()).map(Node);
        let ends: Vec<Node> =
            all.filter(|node| !awaited.contains(node) && !last.contains(node)).collect();
        for node in last {
            for end in &ends {
                self.wait(*node, *end);
            }
        }
    }

    /// Says that a step waits for others only for the sake of a shorter downtime.
    pub(super) fn is_patient(&mut self, node: Node, after: &[Node]) {
        if let Some(draft) = self.drafts.get_mut(node.0) {
            draft.patient.extend(after.iter().copied().filter(|it| draft.after.contains(it)));
        }
    }

    /// Has a renaming done in two steps, the first of them under a passing name.
    ///
    /// Two containers that swap their names: the Engine refuses each rename as long as the other one has the name.
    pub(super) fn precede_by_rename(&mut self, node: Node, passing: String) {
        let Some(draft) = self.drafts.get(node.0) else { return };
        let Action::Rename { container, .. } = &draft.action else { return };
        let action = Action::Rename { container: container.clone(), name: passing };
        let cause = draft.cause.clone();
        let first = self.add(action, &cause, []);
        self.wait(node, first);
    }

    /// Why a step is there.
    pub(super) fn cause(&self, node: Node) -> Option<&Cause> {
        self.drafts.get(node.0).map(|draft| &draft.cause)
    }

    /// The action of a step.
    pub(super) fn actions(&self) -> impl Iterator<Item = (Node, &Action)> {
        self.drafts.iter().enumerate().map(|(index, draft)| (Node(index), &draft.action))
    }

    /// Numbers the steps: as they were added, except that a step comes after those that it waits for.
    ///
    /// Kahn's algorithm with a sorted set of what is ready: of several possible orders it always takes the one nearest
    /// to the order of thinking. The same input so gives the same numbers, and a plan that was approved can be compared
    /// with the one that is carried out.
    pub(super) fn number(mut self) -> Vec<Step> {
        self.settle_courtesies();
        let mut order = Vec::with_capacity(self.drafts.len());
        let mut numbers: BTreeMap<usize, StepId> = BTreeMap::new();
        let mut waiting: Vec<usize> = Vec::with_capacity(self.drafts.len());
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.drafts.len()];
        for (index, draft) in self.drafts.iter().enumerate() {
            waiting.push(draft.after.len());
            for before in &draft.after {
                if let Some(list) = followers.get_mut(before.0) {
                    list.push(index);
                }
            }
        }
        let mut ready: BTreeSet<usize> = waiting
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(at, _)| at)
            .collect();
        while let Some(index) = ready.pop_first() {
            numbers.insert(index, step_id(order.len()));
            order.push(index);
            for follower in followers.get(index).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(*follower) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(*follower);
                    }
                }
            }
        }
        let mut steps: Vec<Step> = self
            .drafts
            .into_iter()
            .enumerate()
            .filter_map(|(index, draft)| {
                let id = *numbers.get(&index)?;
                let after =
                    draft.after.iter().filter_map(|node| numbers.get(&node.0).copied()).collect();
                let Cause { replica, because, origin } = draft.cause;
                Some(Step { id, action: draft.action, replica, because, origin, after })
            })
            .collect();
        steps.sort_by_key(|step| step.id);
        steps
    }

    /// Turns courteous edges into real ones, one by one, where no circle comes of it.
    fn settle_courtesies(&mut self) {
        for index in 0..self.drafts.len() {
            let wishes =
                self.drafts.get_mut(index).map(|draft| std::mem::take(&mut draft.courteous));
            for wish in wishes.into_iter().flatten() {
                self.give_way(wish, Node(index));
                if !self.reaches(wish, Node(index)) {
                    self.wait(Node(index), wish);
                }
            }
        }
    }

    /// Lets go of what a step waits for only out of patience, where that waits for `to`.
    ///
    /// `blog` wants port 80, which `shop` has until its successor is ready, and that one wants what `blog` has:
    /// somebody must stop early, and it is whoever only stayed up to be kind.
    fn give_way(&mut self, from: Node, to: Node) {
        let patient = self.drafts.get(from.0).map(|draft| draft.patient.clone());
        for before in patient.into_iter().flatten() {
            if self.reaches(before, to)
                && let Some(draft) = self.drafts.get_mut(from.0)
            {
                draft.after.remove(&before);
                draft.patient.remove(&before);
            }
        }
    }

    /// Whether `from` waits, directly or not, for `to`.
    ///
    /// Plans have at most some thousand steps and edges are few, so that walking them anew each time is quick; kept
    /// tables would have to be right after each added edge.
    fn reaches(&self, from: Node, to: Node) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if node == to {
                return true;
            }
            if seen.insert(node)
                && let Some(draft) = self.drafts.get(node.0)
            {
                open.extend(draft.after.iter().copied());
            }
        }
        false
    }
}

/// Numbers begin with 1: people count them.
fn step_id(index: usize) -> StepId {
    StepId(u32::try_from(index + 1).unwrap_or(u32::MAX))
}

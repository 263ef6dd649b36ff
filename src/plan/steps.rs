//! A plan under construction: nodes in the order in which they were thought of, and edges between them. `numbering` makes
//! steps of them.

use std::collections::BTreeSet;

use crate::model::{Action, Location, Reason, Replica};

/// A step before it has its number.
/// An index and not a number: steps are thought of in the order of services and not in that in which they can be done,
/// and numbers that people read should ascend with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(pub(super) usize);

/// Why a step is there and whom it serves: what all steps of one affair share.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) replica: Option<Replica>,
    pub(super) because: Reason,
    pub(super) origin: Option<Location>,
}

/// A step under construction: edges are added to it as long as the plan is.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) action: Action,
    pub(super) cause: Cause,
    pub(super) after: BTreeSet<Node>,
    /// Edges that only keep two containers from claiming one thing (a host port): dropped where they would close a
    /// circle, because then waiting cannot help.
    pub(super) courteous: BTreeSet<Node>,
    /// Those of `after` that only make a downtime shorter: a stop that waits until its successor may start. They give
    /// way where they would close a circle.
    pub(super) patient: BTreeSet<Node>,
}

/// Collects steps.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    pub(super) drafts: Vec<Draft>,
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
}

//! One loop a target: waits until a turn is due, and has it done.
//!
//! *Guarantees:* rings during a turn lead to one more.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::commit::Commit;
use crate::fleet::Orders;
use crate::model::Timestamp;
use crate::reconcile::apply::Listener;
use crate::reconcile::context::Context;
use crate::reconcile::host::{Host, Link, Ring, TargetBell};
use crate::reconcile::{self, Around, Intent, Next, Request, TargetMemory, Turn};
use crate::report::Target;

/// One target's loop.
pub(crate) struct TargetLoop {
    /// Which stack on which host.
    pub(crate) target: Target,
    /// The newest commit of its repository.
    pub(crate) commits: watch::Receiver<Option<Arc<Commit>>>,
    /// The host.
    pub(crate) host: Arc<Host>,
    /// What was last read of the orders.
    pub(crate) orders: watch::Receiver<Arc<Orders>>,
    /// All the rest.
    pub(crate) context: Arc<Context>,
    /// Why its turns happen.
    pub(crate) intent: Intent,
    /// Windows and waves do not hold for it.
    pub(crate) passes_by: bool,
    /// Who is told of each step, besides the log.
    pub(crate) listener: Option<Listener>,
}

impl TargetLoop {
    /// Keeps the target until `stop`, or until nothing of it is left.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let keep = |turn: &Turn| match turn.next {
            Next::At(due) => Some(due),
            Next::Gone => None,
        };
        self.run_while(keep, stop).await;
    }

    /// Turns until `stop`, or until `next` knows of no next one. It says when that is due if nothing happens before.
    pub(crate) async fn run_while(
        mut self,
        mut next: impl FnMut(&Turn) -> Option<Timestamp> + Send,
        stop: CancellationToken,
    ) {
        let bell = Arc::new(TargetBell::default());
        self.host.attach(&self.target.stack, &bell);
        let mut link = self.host.link();
        let mut memory = TargetMemory::of(&self.context, &self.target);
        bell.ring(Ring::Full);
        let mut due = clock::now();
        loop {
            let pause = due.since(clock::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = bell.rung() => {}
                changed = self.commits.changed() => if changed.is_err() { break },
                changed = link.changed() => if changed.is_err() { break },
                changed = self.orders.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
            }
            let now_linked = link.borrow_and_update().clone();
            // Boxed, so that a loop that waits holds no more than what it waits for.
            let turn = Box::pin(self.turn(&mut memory, now_linked, &bell, &stop)).await;
            match turn.map_or(Some(self.quiet()), |turn| next(&turn)) {
                Some(next) => due = next,
                None => break,
            }
        }
        self.host.detach(&self.target.stack, &bell);
    }

    /// One turn; nothing while there is no commit.
    async fn turn(
        &mut self,
        memory: &mut TargetMemory,
        link: Link,
        bell: &TargetBell,
        stop: &CancellationToken,
    ) -> Option<Turn> {
        let commit = self.commits.borrow_and_update().clone()?;
        self.orders.mark_unchanged();
        let request = Request {
            target: &self.target,
            commit: &commit,
            intent: self.intent,
            passes_by: self.passes_by,
            full: matches!(link, Link::Up(_)) && bell.take_full(),
            link,
        };
        let around = Around { listener: self.listener.clone(), commits: &self.commits, stop };
        let turn = reconcile::target(&self.context, request, memory, around).await;
        let is_waiting = turn.report.as_ref().is_some_and(|report| report.waits_for_the_host());
        bell.listen_for(memory.pass.desired(), is_waiting);
        Some(turn)
    }

    fn quiet(&self) -> Timestamp {
        clock::now().plus(self.context.limits.full_look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Desired, ObservedContainer};
    use crate::report::Report;

    fn size_of_what_it_gives<F>(_loop: impl FnOnce(TargetLoop, CancellationToken) -> F) -> usize {
        size_of::<F>()
    }

    /// A fleet has tens of thousands of them: a thousand hosts with twenty stacks each are to fit into 300 MB.
    #[test]
    fn a_target_that_waits_holds_little() {
        let waiting = size_of_what_it_gives(TargetLoop::run);
        let sizes = [
            ("a loop that waits", waiting, 2_600),
            ("what it remembers", size_of::<TargetMemory>(), 1_000),
            ("its report", size_of::<Report>(), 600),
            ("what it asks for", size_of::<Desired>(), 500),
            ("a container that was seen", size_of::<ObservedContainer>(), 500),
        ];
        let too_much = sizes.iter().any(|(_, bytes, most)| most < bytes);
        assert!(!too_much, "bytes, and at most how many: {sizes:?}");
    }
}

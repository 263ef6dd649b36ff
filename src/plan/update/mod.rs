//! Updates: a service's replicas change batch by batch, are proven together, and go back together.
//!
//! `rollout` is how far an update has come in one plan, and when predecessors go for good; `succession` one replica's
//! change of hands; `failed` how a container shows that it did not come up; `setback` what becomes of the service then,
//! and `take_back` how its other replicas go back; `onward` what goes on all the same, and
//! `cut_off` what another commit found half-way.

mod cut_off;
mod failed;
mod inheritance;
mod onward;
pub(super) mod rollout;
mod setback;
mod succession;
mod take_back;

//! What passes of a target leave to the next process, and what they find of the one before.

use std::collections::BTreeSet;

use crate::data::folder::DataFolder;
use crate::data::learnt::Learnt;
use crate::docker::Engine;
use crate::report::Target;

use super::pass::Memory;

/// What a target's passes know after a start.
pub(super) fn remembered(data: &DataFolder, target: &Target) -> Memory {
    let record = data.recall(target);
    let state = record.state();
    Memory::since(&record).knowing(state).with(record.cures, record.taken)
}

/// Tells an Engine which of a target's containers are of our making. What is not kept yet was never made by us, whatever
/// its labels say.
pub(super) fn vouch(data: &DataFolder, engine: &Engine, target: &Target) {
    let record = data.recall(target);
    let none = BTreeSet::new();
    let made = record.made.as_ref().or_else(|| record.kept.is_none().then_some(&none));
    engine.vouch_for(&target.stack, made);
}

/// Remembers what a pass learnt.
pub(super) fn note(data: &DataFolder, engine: &Engine, target: &Target, memory: &Memory) {
    let (made, cures) = (engine.made(&target.stack), memory.cures.clone());
    let learnt = Learnt { made, cures, taken: memory.taken.clone() };
    let noted = data.keep_state(target, &memory.state).and_then(|()| data.note(target, learnt));
    if let Err(error) = noted {
        tracing::warn!(%error, "cannot remember what was made here, and where the stack's data lies");
    }
}

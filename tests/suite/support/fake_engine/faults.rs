//! What goes wrong, by seed or by number.

use std::collections::BTreeMap;
use std::time::Duration;

/// One thing that goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Status 500, and nothing was done.
    Fail,
    /// No answer, ever, and nothing was done.
    Hang,
    /// The connection breaks before anything was done.
    CutBefore,
    /// It is done, and the connection breaks before the answer.
    CutAfter,
    /// It is done, and no answer comes.
    HangAfter,
    /// The answer comes late.
    Late(Duration),
}

/// Probabilities from 0 to 1, and faults at given calls. The default is none.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Same seed, same faults (for the same calls).
    pub seed: u64,
    /// See [`Fault::Fail`].
    pub fail: f64,
    /// See [`Fault::Hang`].
    pub hang: f64,
    /// See [`Fault::CutBefore`].
    pub cut_before: f64,
    /// See [`Fault::CutAfter`].
    pub cut_after: f64,
    /// See [`Fault::HangAfter`].
    pub hang_after: f64,
    /// See [`Fault::Late`].
    pub late: f64,
    /// How late, at most.
    pub lateness: Duration,
    /// An event is not sent.
    pub event_lost: f64,
    /// An event is sent twice.
    pub event_doubled: f64,
    /// An event is sent after its successor.
    pub event_swapped: f64,
    /// The stream ends after an event.
    pub events_cut: f64,
    /// Only calls that change something go wrong.
    pub changes_only: bool,
    /// The Nth call from now on, from 1 (of those that change something, with `changes_only`).
    pub at: BTreeMap<usize, Fault>,
}

impl Faults {
    /// None yet, but with a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// One fault, at the Nth call that changes something, from 1.
    pub fn at_change(number: usize, fault: Fault) -> Self {
        Self { changes_only: true, at: BTreeMap::from([(number, fault)]), ..Self::default() }
    }
}

/// Faults in progress.
#[derive(Debug, Default)]
pub(super) struct Dice {
    faults: Faults,
    state: u64,
    counted: usize,
    changes_left: Option<usize>,
    dead: bool,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventFault {
    None,
    Lost,
    Doubled,
    Swapped,
    Cut,
}

impl Dice {
    pub(super) fn set(&mut self, faults: Faults) {
        self.state = faults.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        self.faults = faults;
        self.counted = 0;
    }

    pub(super) fn dies_after(&mut self, changes: usize) {
        self.changes_left = Some(changes);
        self.dead = changes == 0;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn revive(&mut self) {
        self.dead = false;
        self.changes_left = None;
    }

    /// A change was carried out; true when it was the last that this life sees.
    pub(super) fn count_change(&mut self) -> bool {
        if let Some(left) = &mut self.changes_left {
            *left = left.saturating_sub(1);
            self.dead |= *left == 0;
        }
        self.dead
    }

    /// What goes wrong with the next call.
    pub(super) fn roll(&mut self, changes: bool) -> Option<Fault> {
        if self.faults.changes_only && !changes {
            return None;
        }
        self.counted += 1;
        if let Some(fault) = self.faults.at.get(&self.counted) {
            return Some(*fault);
        }
        let late = Fault::Late(self.faults.lateness.mul_f64(self.chance()));
        let choices = [
            (self.faults.fail, Fault::Fail),
            (self.faults.hang, Fault::Hang),
            (self.faults.cut_before, Fault::CutBefore),
            (self.faults.cut_after, Fault::CutAfter),
            (self.faults.hang_after, Fault::HangAfter),
            (self.faults.late, late),
        ];
        self.pick(&choices)
    }

    pub(super) fn roll_event(&mut self) -> EventFault {
        let choices = [
            (self.faults.event_lost, EventFault::Lost),
            (self.faults.event_doubled, EventFault::Doubled),
            (self.faults.event_swapped, EventFault::Swapped),
            (self.faults.events_cut, EventFault::Cut),
        ];
        self.pick(&choices).unwrap_or(EventFault::None)
    }

    fn pick<T: Copy>(&mut self, choices: &[(f64, T)]) -> Option<T> {
        let mut rolled = self.chance();
        for (probability, what) in choices {
            if rolled < *probability {
                return Some(*what);
            }
            rolled -= probability;
        }
        None
    }

    /// xorshift64*: from 0 to 1.
    fn chance(&mut self) -> f64 {
        self.state |= 1;
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(1_u32 << 24)
    }
}

//! What one thing that came in may cost.

use std::cell::Cell;

/// Steps and bytes that are left for one thing that came in: a stack's manifests, the desired state of one host.
///
/// Single values have limits of their own; what they add up to, or multiply to, has this one. It is counted instead of
/// measured, so that the same commit is refused or taken on every machine. What is spent stays spent.
#[derive(Debug, Clone)]
pub struct Budget {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    granted: (u64, u64),
    /// Bytes of text that were read so far, where more text is granted more.
    read: Option<Cell<u64>>,
}

/// What there was not enough of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// Time, counted in small steps.
    #[error("more work than one stack may take")]
    Steps,
    /// Memory.
    #[error("more memory than one stack may take")]
    Bytes,
}

impl Budget {
    /// Small steps (a comparison, a node that is copied) that a stack may take: about a second's worth.
    pub const STEPS: u64 = 300_000_000;
    /// Bytes that a stack may take, by what each part costs on its whole way to a plan: far more than are held at a time.
    pub const BYTES: u64 = 224 * 1024 * 1024;

    /// What one stack may take.
    pub fn of_a_stack() -> Self {
        Self::new(Self::STEPS, Self::BYTES)
    }

    /// So many steps and bytes.
    pub fn new(steps: u64, bytes: u64) -> Self {
        let granted = (steps, bytes);
        Self { steps: Cell::new(steps), bytes: Cell::new(bytes), granted, read: None }
    }

    /// What somebody's own files may take, which nobody else wrote: as much as a stack, and more where there is more to
    /// read. What multiplies itself is refused all the same.
    pub fn by_hand() -> Self {
        Self { read: Some(Cell::new(0)), ..Self::of_a_stack() }
    }

    /// Text was read for the first time. Beyond what a stack's budget is made for, it brings what reading it takes.
    pub fn earn(&self, length: usize) {
        let Some(read) = &self.read else { return };
        let beyond = |read: u64| read.min(LONGEST_TEXT).saturating_sub(FREE_TEXT);
        let before = beyond(read.get());
        read.set(read.get().saturating_add(length as u64));
        let more = beyond(read.get()) - before;
        for (cell, each) in [(&self.steps, STEPS_OF_TEXT), (&self.bytes, BYTES_OF_TEXT)] {
            if cell.get() != SPENT {
                cell.set(cell.get().saturating_add(more * each));
            }
        }
    }

    /// What all stacks of one commit may take together: they are all in memory at once.
    pub fn of_a_commit() -> Self {
        Self::new(Self::STEPS + Self::STEPS / 2, Self::BYTES)
    }

    /// What one stack may take of this, which all share.
    pub fn share(&self) -> Self {
        let left = |cell: &Cell<u64>| if cell.get() == SPENT { 0 } else { cell.get() };
        Self::new(Self::STEPS.min(left(&self.steps)), Self::BYTES.min(left(&self.bytes)))
    }

    /// Takes what a share of this has spent.
    pub fn settle(&self, share: &Self) -> Result<(), OverBudget> {
        let spent = |cell: &Cell<u64>, granted: u64| match cell.get() {
            SPENT => granted,
            left => granted.saturating_sub(left),
        };
        self.steps(spent(&share.steps, share.granted.0))?;
        take(&self.bytes, spent(&share.bytes, share.granted.1)).ok_or(OverBudget::Bytes)
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.over().is_some() || self.steps.get() == 0 || self.bytes.get() == 0
    }

    /// Takes steps. Once there were not enough, there are none.
    pub fn steps(&self, count: u64) -> Result<(), OverBudget> {
        take(&self.steps, count).ok_or(OverBudget::Steps)
    }

    /// Takes memory, by the number of bytes. Once there were not enough, there are none.
    pub fn bytes(&self, count: usize) -> Result<(), OverBudget> {
        take(&self.bytes, count as u64).ok_or(OverBudget::Bytes)
    }

    /// What there was not enough of, if anything.
    pub fn over(&self) -> Option<OverBudget> {
        match (self.steps.get(), self.bytes.get()) {
            (SPENT, _) => Some(OverBudget::Steps),
            (_, SPENT) => Some(OverBudget::Bytes),
            (_, _) => None,
        }
    }
}

/// Text for which a stack's budget is made, in bytes; some three thousand services.
const FREE_TEXT: u64 = 2 << 20;
/// Text beyond this brings nothing more.
const LONGEST_TEXT: u64 = 12 << 20;
/// What a byte of text takes, where it is written as people write.
const STEPS_OF_TEXT: u64 = 150;
const BYTES_OF_TEXT: u64 = 128;

/// No budget is as large as this: it stands for one that was too small.
const SPENT: u64 = u64::MAX;

fn take(from: &Cell<u64>, count: u64) -> Option<()> {
    let left = Some(from.get()).filter(|left| *left != SPENT)?.checked_sub(count);
    from.set(left.unwrap_or(SPENT));
    left.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_exceeded_once_stays_exceeded() {
        let budget = Budget::new(10, 10);
        assert_eq!(budget.steps(10), Ok(()));
        assert_eq!(budget.over(), None);
        assert_eq!(budget.bytes(11), Err(OverBudget::Bytes));
        assert_eq!(budget.bytes(0), Err(OverBudget::Bytes));
        assert_eq!(budget.over(), Some(OverBudget::Bytes));
    }

    #[test]
    fn more_text_of_ones_own_is_granted_more_and_no_more_than_that() {
        let size = |bytes: u64| usize::try_from(bytes).unwrap();
        let (own, other) = (Budget::by_hand(), Budget::of_a_stack());
        for budget in [&own, &other] {
            budget.earn(size(FREE_TEXT));
            budget.earn(1 << 20);
        }
        let more = Budget::BYTES + (1 << 20) * BYTES_OF_TEXT;
        assert_eq!(other.bytes(size(Budget::BYTES + 1)), Err(OverBudget::Bytes));
        assert_eq!(own.bytes(size(more)), Ok(()));
        assert_eq!(own.bytes(1), Err(OverBudget::Bytes));
        own.earn(1 << 20);
        assert_eq!(own.over(), Some(OverBudget::Bytes));
    }

    #[test]
    fn what_a_stack_spends_is_missing_from_its_commit() {
        let commit = Budget::new(100, 50);
        let stack = commit.share();
        assert_eq!(stack.bytes(20), Ok(()));
        assert_eq!(commit.settle(&stack), Ok(()));
        let greedy = commit.share();
        assert_eq!(greedy.bytes(31), Err(OverBudget::Bytes));
        assert_eq!(commit.settle(&greedy), Ok(()));
        assert!(commit.is_empty());
    }
}

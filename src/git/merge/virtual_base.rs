//! What several nearest common commits stand for together, where two branches were merged into each other both ways: they
//! are merged with each other first, the oldest first, as Git's own strategy does it. Conflicts between them stay in the
//! files with marks, because what both sides made of them afterwards may well be the same.

use git2::{Oid, Repository};

use super::ancestry::{self, Ancestry};
use super::work::{Entries, Work};

/// Crossings within crossings.
const DEEPEST: usize = 8;

/// What stands for some common commits.
pub(super) enum VirtualBase {
    /// This tree.
    Tree(Oid),
    /// It cannot be told before what is missing is fetched.
    Missing,
    /// It cannot be told before more of history is fetched.
    Cut,
    /// Nothing does.
    Unclear,
}

/// The tree that stands for common commits, the oldest of which comes first.
pub(super) fn tree(
    work: &mut Work<'_>,
    repository: &Repository,
    common: &[Oid],
    depth: usize,
) -> Result<VirtualBase, git2::Error> {
    let [first, others @ ..] = common else { return Ok(VirtualBase::Unclear) };
    let mut stand_in = repository.find_commit(*first)?.tree_id();
    if !others.is_empty() && DEEPEST <= depth {
        return Ok(VirtualBase::Unclear);
    }
    for (done, next) in others.iter().enumerate() {
        let before = common.get(..=done).unwrap_or_default();
        let below = match ancestry::nearest(repository, before, *next)? {
            Ancestry::Common(below) => match tree(work, repository, &below, depth + 1)? {
                VirtualBase::Tree(below) => below,
                other => return Ok(other),
            },
            Ancestry::None => work.add_tree(Entries::new())?,
            Ancestry::Unknown => return Ok(VirtualBase::Cut),
        };
        let next = repository.find_commit(*next)?.tree_id();
        let merged = work.stand_in([below, stand_in, next])?;
        if !work.is_whole() {
            return Ok(VirtualBase::Missing);
        }
        match merged {
            Some(merged) => stand_in = merged,
            None => return Ok(VirtualBase::Unclear),
        }
    }
    Ok(VirtualBase::Tree(stand_in))
}

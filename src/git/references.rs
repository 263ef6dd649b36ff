//! Names of references, and what they lead to in a repository on this machine.

use super::error::GitError;
use super::local::LocalRepository;
use super::source::Source;
use super::wire::RemoteRef;
use crate::model::Revision;

/// Names that are offered when a branch does not exist.
const NEAR: usize = 5;

/// `refs/heads/<branch>`, or HEAD.
pub(super) fn branch_reference(source: &Source) -> String {
    source.branch.as_ref().map_or_else(|| "HEAD".to_owned(), |branch| full_name(branch))
}

/// A branch by the name that it has among references.
fn full_name(branch: &str) -> String {
    if branch.starts_with("refs/") { branch.to_owned() } else { format!("refs/heads/{branch}") }
}

/// The commit of a reference in a repository on this machine.
pub(super) fn local_reference(
    local: &LocalRepository,
    source: &Source,
    name: &str,
) -> Result<Revision, GitError> {
    let Some(id) = local.reference(name)? else {
        return Err(no_reference(source, name, &local.references()?));
    };
    revision(source, &local.peeled(id)?.to_string())
}

/// An id as the remote wrote it.
pub(super) fn revision(source: &Source, id: &str) -> Result<Revision, GitError> {
    Revision::parse(id).map_err(|_problem| GitError::NotGit {
        remote: source.remote.to_string(),
        got: format!("{id:?} as the id of a commit"),
    })
}

/// The error that says that a reference does not exist, and which ones do. `all` are the remote's branches at
/// least.
pub(super) fn no_reference(source: &Source, name: &str, all: &[RemoteRef]) -> GitError {
    let remote = source.remote.to_string();
    if all.is_empty() {
        return GitError::EmptyRepository { remote };
    }
    let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
    let branches = all.iter().filter_map(|found| found.name.strip_prefix("refs/heads/"));
    let mut near: Vec<(usize, String)> =
        branches.map(|found| (distance(branch, found), found.to_owned())).collect();
    near.sort();
    let near = near.into_iter().take(NEAR).map(|(_, found)| found).collect();
    GitError::NoBranch { remote, branch: branch.to_owned(), near }
}

/// Levenshtein's distance, in characters.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, wanted) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for (at, found) in other.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = get(&row, at) + usize::from(wanted != *found);
            next.push(replaced.min(get(&row, at + 1) + 1).min(get(&next, at) + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_far_apart_as_letters_must_change() {
        for (one, other, expected) in
            [("main", "main", 0), ("main", "mian", 2), ("", "abc", 3), ("master", "main", 4)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}

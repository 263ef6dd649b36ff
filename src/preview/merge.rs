//! Where a pull request's head is, and what merging it came to.

use std::path::Path;

use crate::forge::{FetchHead, Head, PullRequest};
use crate::git::{GitError, HeadAt, Merged, Remote, Source};
use crate::model::Revision;

/// Conflicts that are named.
const NAMED: usize = 5;

/// Where its head is fetched from.
pub(crate) fn head_at(source: &Source, request: &PullRequest) -> Result<HeadAt, GitError> {
    let commit = match &request.head {
        Head::Full(revision) => revision.to_string(),
        Head::Short(digits) => digits.clone(),
    };
    Ok(match &request.fetch {
        FetchHead::Refs { head, merge } => {
            HeadAt { fork: None, reference: head.clone(), commit, merged: merge.clone() }
        }
        FetchHead::Branch { fork: None, .. } if request.fork => {
            let remote = format!("the fork of pull request {}", request.number);
            return Err(GitError::NoRepository { remote });
        }
        FetchHead::Branch { fork: None, branch } => {
            let reference = format!("refs/heads/{branch}");
            HeadAt { fork: None, reference, commit, merged: None }
        }
        FetchHead::Branch { fork: Some(project), branch } => {
            let fork = Some(fork(source, project)?);
            HeadAt { fork, reference: format!("refs/heads/{branch}"), commit, merged: None }
        }
    })
}

/// The same server, another project.
fn fork(source: &Source, project: &str) -> Result<Source, GitError> {
    let address = source.remote.to_string();
    let parts = |text: &str| text.matches('/').count() + 1;
    let mut root = address.as_str();
    for _ in 0..parts(project) {
        root = root.rsplit_once(['/', ':']).map_or(root, |(before, _)| before);
    }
    let separator = address.get(root.len()..=root.len()).unwrap_or("/");
    let text = format!("{root}{separator}{project}.git");
    let remote = Remote::parse(&text, Path::new("/"));
    let remote = remote.map_err(|_problem| GitError::NoRepository { remote: text })?;
    Ok(Source { remote, branch: None, ..source.clone() })
}

/// Head and result; or the head, and why there is no result.
pub(crate) fn outcome(merged: Merged) -> Result<(Revision, Revision), (Revision, String)> {
    match merged {
        Merged::Clean { revision, head } => Ok((head, revision)),
        Merged::Conflict { head, paths } => {
            let named: Vec<&str> = paths.iter().take(NAMED).map(String::as_str).collect();
            let more = paths.len().saturating_sub(NAMED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let why = format!("conflicts with the target branch in {}{more}", named.join(", "));
            Err((head, why))
        }
        Merged::Unrelated { head } => {
            Err((head, "has no common history with the target branch".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_is_on_the_same_server() {
        for (address, expected) in [
            ("https://bitbucket.org/acme/fleet.git", "https://bitbucket.org/bob/fleet2.git"),
            ("git@bitbucket.org:acme/fleet.git", "git@bitbucket.org:bob/fleet2.git"),
            (
                "ssh://git@example.com:2222/x/acme/fleet",
                "ssh://git@example.com:2222/x/bob/fleet2.git",
            ),
        ] {
            let source = Source::new(Remote::parse(address, Path::new("/")).unwrap());
            assert_eq!(fork(&source, "bob/fleet2").unwrap().remote.to_string(), expected);
        }
    }
}

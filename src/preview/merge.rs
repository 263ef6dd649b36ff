//! Where a pull request's head is, and what merging it came to.

use std::path::Path;

use crate::forge::{FetchHead, ForkPath, Head, PullRequest};
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
        FetchHead::Branch { fork: Some(path), branch } => {
            let fork = Some(fork(source, path)?);
            HeadAt { fork, reference: format!("refs/heads/{branch}"), commit, merged: None }
        }
    })
}

/// The same server, another path: as many parts of it as the fork's has.
fn fork(source: &Source, fork: &ForkPath) -> Result<Source, GitError> {
    let address = source.remote.to_string();
    let is_web = address.starts_with("http");
    let path = if is_web { &fork.web } else { &fork.ssh };
    let parts = |text: &str| text.matches('/').count() + 1;
    let mut root = address.as_str();
    for _ in 0..parts(path) {
        root = root.rsplit_once(['/', ':']).map_or(root, |(before, _)| before);
    }
    let separator = address.get(root.len()..=root.len()).unwrap_or("/");
    let text = format!("{root}{separator}{path}");
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
        let bitbucket = ("bob/fleet2.git", "bob/fleet2.git");
        let azure = ("acme/infra/_git/fleet2", "v3/acme/infra/fleet2");
        for (address, (web, ssh), expected) in [
            (
                "https://bitbucket.org/acme/fleet.git",
                bitbucket,
                "https://bitbucket.org/bob/fleet2.git",
            ),
            ("git@bitbucket.org:acme/fleet.git", bitbucket, "git@bitbucket.org:bob/fleet2.git"),
            (
                "ssh://git@example.com:2222/x/acme/fleet",
                bitbucket,
                "ssh://git@example.com:2222/x/bob/fleet2.git",
            ),
            (
                "https://dev.azure.com/acme/infra/_git/fleet",
                azure,
                "https://dev.azure.com/acme/infra/_git/fleet2",
            ),
            (
                "git@ssh.dev.azure.com:v3/acme/infra/fleet",
                azure,
                "git@ssh.dev.azure.com:v3/acme/infra/fleet2",
            ),
        ] {
            let source = Source::new(Remote::parse(address, Path::new("/")).unwrap());
            let path = ForkPath { web: web.to_owned(), ssh: ssh.to_owned() };
            assert_eq!(fork(&source, &path).unwrap().remote.to_string(), expected);
        }
    }
}

//! The `git` room against real servers: `git daemon`, `sshd`, HTTPS in front of `git http-backend`, and folders.

mod access;
mod accidents;
mod contents;
mod crossing;
mod hostile;
mod merging;
mod publishing;
mod remotes;

use std::path::Path;
use std::time::Duration;

use moorline::git::{Git, GitError, Pulled, Remote, Source, TreeSelection, Wanted};
use moorline::model::TreePath;
use tokio_util::sync::CancellationToken;

use super::support::git_servers as servers;
use super::support::git_world as world;

/// A source with short limits, so that a test that hangs ends.
fn source(url: &str) -> Source {
    let mut source = Source::new(Remote::parse(url, Path::new("/")).unwrap());
    source.branch = Some("main".to_owned());
    source.access.limits.connect = Duration::from_secs(10);
    source.access.limits.progress = Duration::from_secs(15);
    source
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

async fn head(git: &Git, source: &Source) -> Result<String, GitError> {
    git.head(source, &never()).await.map(|revision| revision.to_string())
}

async fn pull_all(git: &Git, source: &Source) -> Result<Pulled, GitError> {
    git.pull(source, &Wanted::Head, &TreeSelection::all(), &never()).await
}

fn paths(pulled: &Pulled) -> Vec<String> {
    pulled.tree.files().map(|(path, _)| path.to_string()).collect()
}

fn text(pulled: &Pulled, at: &str) -> String {
    let file = pulled.tree.file(&path(at)).unwrap_or_else(|| panic!("{at}: {:?}", paths(pulled)));
    String::from_utf8(file.bytes.to_vec()).unwrap()
}

fn problems(pulled: &Pulled) -> Vec<String> {
    pulled
        .problems
        .0
        .iter()
        .map(|problem| format!("{}: {}", problem.location, problem.message))
        .collect()
}

/// The name of the variant, for tables of what goes wrong.
fn kind(error: &GitError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// Everything that an error says, down its chain of causes.
fn said(error: &GitError) -> String {
    let mut text = format!("{error}\n{}\n", error.help());
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!("{cause}\n"));
        next = cause.source();
    }
    text
}

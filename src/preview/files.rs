//! Files of the repository that containers see, and how a pull request changes them.

use std::collections::BTreeSet;

use crate::commit::LoadedStack;
use crate::compose::tree_path;
use crate::model::TreePath;
use crate::report::comment::FileChange;
use crate::report::diff;

/// Files that are shown of one stack.
const MOST_FILES: usize = 20;
/// Larger ones are not compared line by line, in bytes.
const LARGEST: usize = 256 * 1024;

/// What changes between two states of a stack, besides its manifests. Content that may be secret is not shown: files of
/// secrets, and env files.
pub(crate) fn changed(before: Option<&LoadedStack>, after: &LoadedStack) -> Vec<FileChange> {
    let Some(before) = before else { return Vec::new() };
    let manifests: BTreeSet<&str> = after
        .config_files
        .iter()
        .chain(&before.config_files)
        .map(|file| tree_path(file).unwrap_or(file))
        .collect();
    let secret = secret_files(after);
    // The tree is the whole commit's: what other stacks and the fleet file read is in it too.
    let seen = after.seen_files();
    let mut found = Vec::new();
    for (path, file) in after.tree.files() {
        let Some(old) = before.tree.file(path) else { continue };
        let is_seen = seen.iter().any(|place| is_at_or_below(path, place));
        if old.bytes == file.bytes || manifests.contains(path.as_str()) || !is_seen {
            continue;
        }
        let is_secret = secret.contains(path.as_str()) || is_env_file(path.file_name());
        let texts = (std::str::from_utf8(&old.bytes), std::str::from_utf8(&file.bytes));
        let small = old.bytes.len().max(file.bytes.len()) <= LARGEST;
        let shown = match texts {
            (Ok(old), Ok(new)) if !is_secret && small => diff::text(path.as_str(), old, new),
            (Ok(_), Ok(_)) if !is_secret => "too large to be shown".to_owned(),
            _ if is_secret => String::new(),
            _ => "binary".to_owned(),
        };
        found.push(FileChange { path: path.to_string(), diff: (!is_secret).then_some(shown) });
        if found.len() == MOST_FILES {
            break;
        }
    }
    found
}

fn is_at_or_below(path: &TreePath, place: &TreePath) -> bool {
    let rest = path.as_str().strip_prefix(place.as_str());
    place.as_str().is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn secret_files(stack: &LoadedStack) -> BTreeSet<&str> {
    let project = stack.project.iter();
    let secrets = project.flat_map(|project| project.secrets.values());
    secrets.filter_map(|secret| tree_path(&secret.file)).collect()
}

/// `.env`, `prod.env`, `.env.local`: values of variables.
fn is_env_file(name: &str) -> bool {
    let extension = std::path::Path::new(name).extension();
    name.starts_with(".env") || extension.is_some_and(|extension| extension == "env")
}

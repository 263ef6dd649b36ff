//! Without a fleet file: every folder that holds a Compose file is a stack.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fleet, Stack};
use crate::model::{Diagnostic, Diagnostics, Location, RepositoryName, StackName, TreePath};

/// The names that Compose looks for, in its order.
pub const COMPOSE_FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Every folder of a tree that holds a Compose file, as a stack named after the folder; the root folder is named after
/// the repository. Folders whose names begin with a dot are left out.
///
/// Names that Compose would not accept are changed as Compose changes them, with a warning; two folders of one name are
/// an error, and neither becomes a stack.
pub fn discover<'a>(
    paths: impl IntoIterator<Item = &'a TreePath>,
    repository: &RepositoryName,
) -> (Fleet, Diagnostics) {
    let mut problems = Diagnostics::default();
    let mut folders: BTreeMap<StackName, Vec<TreePath>> = BTreeMap::new();
    for folder in compose_folders(paths) {
        match name_of(&folder, repository, &mut problems) {
            Some(name) => folders.entry(name).or_default().push(folder),
            None => problems.push(
                Diagnostic::error(
                    Location::file(folder.to_string()),
                    "no stack name is left of this folder's name",
                )
                .help("rename the folder, or name the stack in fleet.yaml"),
            ),
        }
    }
    let mut fleet = Fleet::default();
    for (name, folders) in folders {
        match folders.as_slice() {
            [folder] => {
                let origin = Location::file(folder.to_string());
                fleet.stacks.insert(name.clone(), Stack::new(name, folder.clone(), origin));
            }
            _ => problems.push(ambiguous(&name, &folders)),
        }
    }
    (fleet, problems)
}

fn compose_folders<'a>(paths: impl IntoIterator<Item = &'a TreePath>) -> BTreeSet<TreePath> {
    paths
        .into_iter()
        .filter(|path| COMPOSE_FILES.contains(&path.file_name()))
        .filter(|path| !path.as_str().split('/').any(|part| part.starts_with('.')))
        .map(TreePath::parent)
        .collect()
}

fn name_of(
    folder: &TreePath,
    repository: &RepositoryName,
    problems: &mut Diagnostics,
) -> Option<StackName> {
    let is_root = folder.as_str().is_empty();
    let text = if is_root { repository.as_str() } else { folder.file_name() };
    let name = StackName::parse(&normalised(text)).ok()?;
    if name.as_str() != text && !is_root {
        let message = format!("is not a valid stack name: the stack is called {name}");
        problems.push(Diagnostic::warning(Location::file(folder.to_string()), message));
    }
    Some(name)
}

/// As Compose does with a folder's name: lower case, without what may not be in a name.
fn normalised(text: &str) -> String {
    let kept: String = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

fn ambiguous(name: &StackName, folders: &[TreePath]) -> Diagnostic {
    let all: Vec<String> = folders.iter().map(ToString::to_string).collect();
    let place = Location::file(all.last().cloned().unwrap_or_default());
    Diagnostic::error(
        place,
        format!("{} folders are stacks called {name}: {}", all.len(), all.join(", ")),
    )
    .help("rename one, or list the stacks in fleet.yaml")
}

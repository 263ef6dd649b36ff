//! Files from Git as a container sees them, against what they are in Git.

use crate::model::{
    Content, Cure, Desired, DesiredReplica, ObservedContainer, Ownership, Reason, SeenFiles,
    SeenIn, Value,
};

/// One difference of a container, with the attribute below its service that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) attribute: String,
    pub(super) reason: Reason,
    pub(super) cure: Cure,
}

/// Where differences of files are told: `files.PATH`, by the path in the container.
const ATTRIBUTE: &str = "files";

/// Whether a difference is one of files that are put back where they lie.
pub(crate) fn is_of_files(reason: &Reason) -> bool {
    let Reason::Changed { field, .. } = reason else { return false };
    field.strip_prefix(ATTRIBUTE).is_some_and(|rest| rest.starts_with('.'))
}

/// All differences of a container's files. Those that it mounts from where somebody else put them are looked at where
/// its mounts are.
pub(super) fn compare(
    desired: &Desired,
    replica: &DesiredReplica,
    container: &ObservedContainer,
) -> Vec<Difference> {
    let is_foreign = container.ownership == Ownership::Foreign;
    let is_copy = |files: &SeenFiles<'_>| matches!(files.files, SeenIn::Copy(_));
    let lost = |there: &Content| matches!(there, Content::Missing | Content::Misplaced);
    // While one of its mounts leads nowhere, the Engine shows nothing of a container: what was copied in is not known.
    let mut mounted = desired.files_of(replica).filter(|files| !is_copy(files));
    let hidden = mounted.any(|files| container.contents.get(files.target).is_some_and(lost));
    let mine = desired
        .files_of(replica)
        .filter(|files| if is_copy(files) { !hidden } else { !is_foreign });
    mine.flat_map(|files| of_path(&files, container)).collect()
}

/// Differences at one path; none where it is not known what is there.
pub(super) fn of_path(files: &SeenFiles<'_>, container: &ObservedContainer) -> Vec<Difference> {
    let Some(there) = container.contents.get(files.target) else { return Vec::new() };
    let difference = |below: &str, observed: &str| difference(files, below, observed);
    match (files.files.single(), there) {
        (Some(wanted), Content::File(is)) if wanted == *is || files.writable => Vec::new(),
        (Some(_), Content::File(_)) => vec![difference("", "differs")],
        (Some(_), Content::Folder(_)) => vec![difference("", "a folder")],
        (None, Content::File(_)) => vec![difference("", "a file")],
        (_, Content::Missing) => vec![difference("", "missing")],
        (_, Content::Misplaced) => vec![difference("", "cannot be mounted")],
        (None, Content::Folder(is)) => {
            let wrong =
                files.files.folder().into_iter().filter_map(|(path, wanted)| match is.get(path) {
                    None => Some(difference(path, "missing")),
                    Some(is) if *is != wanted && !files.writable => {
                        Some(difference(path, "differs"))
                    }
                    Some(_) => None,
                });
            wrong.collect()
        }
    }
}

fn difference(files: &SeenFiles<'_>, below: &str, observed: &str) -> Difference {
    let path = format!("{}/{below}", files.target);
    let attribute = format!("{ATTRIBUTE}.{}", path.trim_end_matches('/'));
    let value = |text: &str| Some(Value(text.to_owned()));
    Difference {
        cure: match files.files {
            SeenIn::Bundle(..) => Cure::Revive,
            SeenIn::Copy(_) => Cure::Replace,
        },
        reason: Reason::Changed {
            field: attribute.clone(),
            desired: value("as in Git"),
            observed: value(observed),
        },
        attribute,
    }
}

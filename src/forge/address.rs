//! Which part of a remote's path is the forge's, and which the project.

/// Where a remote's project is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Location {
    /// The forge's host, where it is not the remote's.
    pub(super) host: Option<String>,
    /// The forge's sub-path.
    pub(super) below: Vec<String>,
    /// The project: `owner/name` and the like.
    pub(super) project: String,
}

/// `owner/name`: the last two parts; what stands before is the forge's sub-path.
pub(super) fn owner_and_name(_host: &str, mut parts: Vec<String>) -> Location {
    let below = parts.drain(..parts.len().saturating_sub(2)).collect();
    Location { host: None, below, project: parts.join("/") }
}

/// Groups within groups: all parts.
pub(super) fn groups(_host: &str, parts: Vec<String>) -> Location {
    Location { host: None, below: Vec::new(), project: parts.join("/") }
}

//! Names, labels and digests.

use std::collections::BTreeMap;

use super::before;
use super::desk::Desk;
use crate::model::project::Service;
use crate::model::{ContainerSpec, FOLDER_LABEL, ServiceName, StackFolder};

/// Version that Compose's label tells: ours, so that nobody takes the containers for docker compose's.
///
/// `docker compose` reads it in `ls` and `ps`, and treats containers of any version as its own: so it can still stop
/// and show what we made, when Moorline is gone.
const COMPOSE_VERSION: &str = concat!("moorline-", env!("CARGO_PKG_VERSION"));

/// How a seal begins: the version of its rule, and the hash.
const SEAL: &str = "v1:sha256:";

/// Labels that vary from commit to commit or from replica to replica without changing what a container is.
const PASSING: [&str; 9] = [
    // The next five and the version tell how and by whom a container was made. A moved file or a newer program would
    // replace everything on the host, were they in it.
    "com.docker.compose.config-hash",
    "com.docker.compose.container-number",
    "com.docker.compose.depends_on",
    "com.docker.compose.project.config_files",
    "com.docker.compose.project.working_dir",
    "com.docker.compose.version",
    FOLDER_LABEL,
    // A commit that changes nothing of a service must not touch it: the label tells which one made the container, and
    // stays behind.
    "moorline.revision",
    "moorline.spec",
];

/// A container's name: the manifest's, else `PROJECT-SERVICE-NUMBER`.
///
/// With `-` between, as docker compose since version 2. Compose's own tools find containers by labels, people by this
/// name.
pub(super) fn container_name(
    desk: &Desk<'_>,
    name: &str,
    service: &Service,
    number: u32,
) -> String {
    if service.container_name.is_empty() {
        format!("{}-{name}-{number}", desk.input.project.name)
    } else {
        service.container_name.clone()
    }
}

/// Labels of a network or volume: the manifest's, Compose's, ours.
pub(super) fn resource_labels(
    desk: &Desk<'_>,
    kind: &str,
    key: &str,
    own: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let input = desk.input;
    let mut labels = own.clone();
    let ours = [
        ("com.docker.compose.project".to_owned(), input.project.name.to_string()),
        (format!("com.docker.compose.{kind}"), key.to_owned()),
        ("com.docker.compose.version".to_owned(), COMPOSE_VERSION.to_owned()),
        ("moorline.stack".to_owned(), input.stack.to_string()),
        ("moorline.repository".to_owned(), input.repository.to_string()),
    ];
    // Last, so that no manifest can pass its resources for another stack's: what is removed is decided by these labels.
    labels.extend(ours);
    labels
}

/// Labels of a container, but for those that are digests of the rest.
///
/// Three parts, `SERVICE:CONDITION:RESTART`, as the reference writes and reads it. Spelled as the reference spells it:
/// it filters by the very text.
pub(super) fn container_labels(
    desk: &Desk<'_>,
    (name, service): (&ServiceName, &Service),
    number: u32,
) -> BTreeMap<String, String> {
    let input = desk.input;
    // `docker compose start` waits for each service that the label names, and fails on one that it cannot find: services
    // that no profile enables, and jobs of ours, which it does not know.
    let is_known = |other: &ServiceName| {
        let other = input.project.services.get(other);
        other.is_some_and(|other| !before::is_job(other))
    };
    let waits: Vec<String> = service
        .depends_on
        .iter()
        .filter(|(other, _)| is_known(other))
        .map(|(other, link)| format!("{other}:{}:{}", link.condition, link.restart))
        .collect();
    let folder = StackFolder::of(input.stack, input.host_data, input.directory);
    let mut labels = service.labels.clone();
    labels.extend(folder.label(input.stack));
    let ours = [
        ("com.docker.compose.project", input.project.name.to_string()),
        ("com.docker.compose.service", name.to_string()),
        ("com.docker.compose.container-number", number.to_string()),
        ("com.docker.compose.oneoff", "False".to_owned()),
        ("com.docker.compose.depends_on", waits.join(",")),
        ("com.docker.compose.project.config_files", input.config_files.join(",")),
        ("com.docker.compose.project.working_dir", folder.path.clone()),
        ("com.docker.compose.version", COMPOSE_VERSION.to_owned()),
        ("moorline.stack", input.stack.to_string()),
        ("moorline.repository", input.repository.to_string()),
        ("moorline.revision", input.revision.to_string()),
    ];
    labels.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    labels
}

/// The digest of what a container is to be, without what passes.
pub(super) fn seal(desk: &Desk<'_>, spec: &ContainerSpec) -> String {
    let mut lasting = spec.clone();
    // What a person may change with `docker update` is in it as well: the seal is of what was asked for, never of what
    // is there now.
    lasting.config_mut().labels.retain(|key, _| !PASSING.contains(&key.as_str()));
    let bytes = serde_json::to_vec(&lasting).unwrap_or_default();
    format!("{SEAL}{}", desk.digest(&bytes))
}

/// What a container is to be, with the labels that carry its seal.
pub fn sealed(mut spec: ContainerSpec, seal: &str) -> ContainerSpec {
    let digest = seal.strip_prefix(SEAL).unwrap_or(seal);
    let labels = &mut spec.config_mut().labels;
    labels.insert("com.docker.compose.config-hash".to_owned(), digest.to_owned());
    labels.insert("moorline.spec".to_owned(), seal.to_owned());
    spec
}

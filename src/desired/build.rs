//! Builds: everything that goes into an image, from the repository's own files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desk::{Desk, at};
use super::limits;
use crate::model::pattern::Paths;
use crate::model::project::{Build, Service};
use crate::model::{
    BuildSpec, BundleFile, Digest, FileMode, ImageRef, OverBudget, ServiceName, TreeFile, TreePath,
};

/// Name of a Dockerfile that does not lie in the context.
const OUTSIDE_DOCKERFILE: &str = ".moorline.dockerfile";

/// What one character of an ignore file takes once it is read, and one file of a context beside its path and content.
/// A `.dockerignore` of a few megabytes is legal, and would otherwise cost a hundred times its size before anyone
/// counts it.
const PARSED_BYTES: usize = 48;
/// What an entry of a build context costs beside its content.
/// A context of a million empty files is a few megabytes in Git and a few hundred here: entries count, not only bytes.
const ENTRY_BYTES: usize = 320;

/// Compose's label of the service, which is not part of what an image is.
/// `docker compose build` puts it on the image too. Two services that build one image differ in nothing else, so it
/// must not decide whether the image is the same.
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// What a build needs; `None` after a problem.
pub(super) fn spec(
    desk: &mut Desk<'_>,
    (name, service): (&ServiceName, &Service),
    build: &Build,
    image: &ImageRef,
) -> Option<BuildSpec> {
    warn_of_what_is_left_out(desk, name, build);
    let folder = context_folder(desk, name, build)?;
    let mut context = match context(desk, name, &folder, build) {
        Ok(context) => context,
        Err(over) => {
            let message = format!("the build context and its ignore file are {over}");
            desk.refuse(at(name, "build.context"), message, "build from a smaller folder");
            return None;
        }
    };
    let dockerfile = dockerfile(desk, (name, build), &folder, &mut context)?;
    let args =
        build.args.iter().filter_map(|(arg, value)| Some((arg.clone(), value.clone()?))).collect();
    // The Compose Build Specification lets `build.platforms` name several; the Engine's own builder makes exactly one.
    // A single name is therefore the platform, and without one the service's own `platform` is what the image must run
    // on.
    let platform = match build.platforms.as_slice() {
        [only] => only.clone(),
        _ => service.platform.clone(),
    };
    let mut spec = BuildSpec {
        digest: Digest::of(&[]),
        context,
        dockerfile,
        args,
        target: build.target.clone(),
        labels: labels(desk, name, build),
        cache_from: build.cache_from.clone(),
        // The service's own name goes with the call anyway.
        tags: build.tags.iter().filter(|tag| tag.as_str() != image.as_str()).cloned().collect(),
        network: build.network.clone(),
        pull: build.pull,
        // The builder knows no single stages: all of them go without cache.
        no_cache: build.no_cache || !build.no_cache_filter.is_empty(),
        shm_size: build.shm_size.0,
        // The Build Specification writes `host=address`, and the Engine takes `host:address` alone.
        // Only the first sign is one: an IPv6 address is full of the other.
        extra_hosts: build.extra_hosts.iter().map(|host| host.replacen('=', ":", 1)).collect(),
        platform,
        isolation: build.isolation.clone(),
        ulimits: limits::ulimits(&build.ulimits),
    };
    spec.digest = digest(desk, &spec);
    Some(spec)
}

/// Labels of a built image: the manifest's, and Compose's own, by which `docker compose images` finds it.
/// Ours come last: a manifest that sets `com.docker.compose.service` on an image by hand would hide it from `docker
/// compose images`, and from our own search for images that nobody uses.
fn labels(desk: &Desk<'_>, name: &ServiceName, build: &Build) -> BTreeMap<String, String> {
    let mut labels = build.labels.clone();
    let project = desk.input.project.name.to_string();
    labels.insert("com.docker.compose.project".to_owned(), project);
    labels.insert(SERVICE_LABEL.to_owned(), name.to_string());
    labels
}

/// Whether the Engine's own builder can do what a build asks for. Where it cannot, each attribute is told: the image
/// has to come from elsewhere then.
///
/// Everything named here needs BuildKit, which speaks over a hijacked session (`POST /session`) and not through `POST
/// /build`. Without it a build that silently left out a secret or a second context would make another image under the
/// right name, and nobody would see it before it runs.
pub(super) fn is_possible(desk: &mut Desk<'_>, name: &ServiceName, build: &Build) -> bool {
    let impossible = [
        ("context", is_elsewhere(&build.context), "its context is not in the repository"),
        ("ssh", !build.ssh.is_empty(), "the Engine's own builder takes none"),
        ("secrets", !build.secrets.is_empty(), "the Engine's own builder takes none"),
        (
            "additional_contexts",
            !build.additional_contexts.is_empty(),
            "the Engine's own builder takes one context",
        ),
        ("entitlements", !build.entitlements.is_empty(), "the Engine's own builder has none"),
        ("privileged", build.privileged, "the Engine's own builder cannot do that"),
        ("platforms", build.platforms.len() > 1, "the Engine's own builder makes one at a time"),
    ];
    let mut is_possible = true;
    for (attribute, _, why) in impossible.into_iter().filter(|(_, asked, _)| *asked) {
        is_possible = false;
        let path = at(name, &format!("build.{attribute}"));
        let help = "have it built elsewhere and pulled, or put on the host";
        desk.warn(path, format!("the image cannot be built here: {why}"), help);
    }
    is_possible
}

/// Attributes of `build` that the classic build call of the Engine API does not have, and without which the image is the same:
/// told, and left out. Those without which it would be another image keep it from being built ([`is_possible`]).
fn warn_of_what_is_left_out(desk: &mut Desk<'_>, name: &ServiceName, build: &Build) {
    let left_out = [
        ("cache_to", !build.cache_to.is_empty(), "the Engine keeps its cache itself"),
        ("sbom", is_on(&build.sbom), "the Engine's own builder makes none"),
        ("provenance", is_on(&build.provenance), "the Engine's own builder makes none"),
    ];
    for (attribute, _, why) in left_out.into_iter().filter(|(_, asked, _)| *asked) {
        let path = at(name, &format!("build.{attribute}"));
        desk.warn(path, format!("ignored: {why}"), "");
    }
}

/// Whether a context is not in the repository: a URL, or a Git remote. What is there is in nobody's commit.
/// `docker build` fetches such contexts on the Engine's side. The commit would then not say what runs, and a rollback
/// to it would not bring back what ran.
fn is_elsewhere(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@") || context.starts_with("service:")
}

/// Compose's truth of a word: it was already checked to be one of those that it knows.
fn is_on(word: &str) -> bool {
    !matches!(word, "" | "false" | "0")
}

/// The context's folder in the tree.
fn context_folder(desk: &mut Desk<'_>, name: &ServiceName, build: &Build) -> Option<TreePath> {
    let path = at(name, "build.context");
    let context = if build.context.is_empty() { &desk.input.project.root } else { &build.context };
    let Some(folder) = super::files::tree_path(desk, context) else {
        desk.refuse(path, "the build context leaves the repository", "use a folder of it");
        return None;
    };
    let tree = desk.input.tree;
    // An inline Dockerfile (`dockerfile_inline`) may need no context at all; anything else without one is a slip of the
    // pen.
    let empty = !tree.is_folder(&folder) && build.dockerfile_inline.is_empty();
    if empty {
        let message = match tree.left_out_at(&folder) {
            Some(why) => format!("{folder} is left out of the commit: {why}"),
            None => format!("there is no folder {folder} in the repository"),
        };
        desk.refuse(path, message, "name a folder that holds the Dockerfile");
        return None;
    }
    Some(folder)
}

/// The context's files, without those that its ignore file names.
///
/// BuildKit looks for `NAME.dockerignore` beside the Dockerfile first, so that several Dockerfiles of one folder can
/// ignore different things. The classic builder sends what the client chooses, so the choice is ours to make alike. A
/// file that is too large, a submodule or an LFS pointer is in the commit and not here. `COPY . .` would go through
/// without it, and the image would lack it in silence; one that is ignored anyway hurts nobody.
fn context(
    desk: &mut Desk<'_>,
    name: &ServiceName,
    folder: &TreePath,
    build: &Build,
) -> Result<BTreeMap<String, BundleFile>, OverBudget> {
    let tree = desk.input.tree;
    let file = |name: &str| folder.join(name).ok().and_then(|path| tree.file(&path));
    let own = format!("{}.dockerignore", dockerfile_name(build));
    let ignore = file(&own).or_else(|| file(".dockerignore"));
    desk.budget.bytes(ignore.map_or(0, |file| file.bytes.len().saturating_mul(PARSED_BYTES)))?;
    let patterns = ignore.map(|file| Paths::parse(&String::from_utf8_lossy(&file.bytes)));
    let patterns = patterns.unwrap_or_default();
    let skip = if folder.as_str().is_empty() { 0 } else { folder.as_str().len() + 1 };
    for (path, why) in tree.left_out_below(folder) {
        let (is_ignored, moves) = patterns.name(path.as_str().get(skip..).unwrap_or_default());
        desk.budget.steps(2 * moves)?;
        if !is_ignored {
            let message = format!("{path} is left out of the commit: {why}");
            let help = "the image would be built without it: name it in `.dockerignore` if it is not needed";
            desk.refuse(at(name, "build.context"), message, help);
            break;
        }
    }
    let mut context = BTreeMap::new();
    for (path, file) in tree.below(folder) {
        let Some(path) = path.as_str().get(skip..) else { continue };
        let (is_ignored, moves) = patterns.name(path);
        desk.budget.steps(2 * moves + file.bytes.len() as u64 / 4)?;
        if !is_ignored {
            desk.budget.bytes(path.len() + ENTRY_BYTES)?;
            context.insert(path.to_owned(), bundled(file));
        }
    }
    Ok(context)
}

/// A file of the commit as a part of what is sent.
fn bundled(file: &TreeFile) -> BundleFile {
    BundleFile { mode: file.mode, bytes: Arc::clone(&file.bytes) }
}

/// The Dockerfile's path in the context; `Dockerfile` where nothing is said (Compose Build Specification, `dockerfile`).
fn dockerfile_name(build: &Build) -> &str {
    if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile }
}

/// The Dockerfile's path below the context; an inline one, or one from outside, is put there.
fn dockerfile(
    desk: &mut Desk<'_>,
    (name, build): (&ServiceName, &Build),
    folder: &TreePath,
    context: &mut BTreeMap<String, BundleFile>,
) -> Option<String> {
    if !build.dockerfile_inline.is_empty() {
        let bytes = build.dockerfile_inline.as_bytes().into();
        let file = BundleFile { mode: FileMode::Regular, bytes };
        context.insert(OUTSIDE_DOCKERFILE.to_owned(), file);
        return Some(OUTSIDE_DOCKERFILE.to_owned());
    }
    let asked = dockerfile_name(build);
    let path = match asked.strip_prefix('/') {
        Some(_) => super::files::tree_path(desk, asked),
        None => folder.join(asked).ok(),
    };
    let Some((path, file)) = path.and_then(|path| {
        let file = desk.input.tree.file(&path)?;
        Some((path, bundled(file)))
    }) else {
        let message = format!("there is no Dockerfile {asked} in the repository");
        desk.refuse(at(name, "build.dockerfile"), message, "add it, or name another");
        return None;
    };
    let prefix = if folder.as_str().is_empty() { String::new() } else { format!("{folder}/") };
    // Also when an ignore file names it: the builder needs it.
    let inside = path.as_str().strip_prefix(&prefix).map(str::to_owned);
    let below = inside.unwrap_or_else(|| OUTSIDE_DOCKERFILE.to_owned());
    context.insert(below.clone(), file);
    Some(below)
}

/// Over everything that changes what comes out. Arguments may be secrets: see [`Desk::digest`].
fn digest(desk: &Desk<'_>, spec: &BuildSpec) -> Digest {
    let BuildSpec {
        digest: _,
        context,
        dockerfile,
        args,
        target,
        labels,
        // Where layers come from does not change what they are; nor do further names.
        cache_from: _,
        tags: _,
        network,
        pull: _,
        no_cache: _,
        shm_size,
        extra_hosts,
        platform,
        isolation,
        ulimits,
    } = spec;
    // Services that share an image differ in this label, and must agree on what the image is.
    let mut labels = labels.clone();
    labels.remove(SERVICE_LABEL);
    let settings = (dockerfile, args, target, labels, network, shm_size, extra_hosts);
    let further = (platform, isolation, ulimits);
    let mut whole = serde_json::to_vec(&(settings, further)).unwrap_or_default();
    for (path, BundleFile { mode, bytes }) in context {
        whole.extend(format!("\0{path}\0{mode:?}\0{}\0", bytes.len()).into_bytes());
        whole.extend(bytes.iter());
    }
    desk.digest(&whole)
}

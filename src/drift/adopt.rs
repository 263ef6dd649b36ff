//! Stacks that docker compose made: what may differ in them without being drift, and where their data stays.
//!
//! A relative bind lies in the folder that the containers' `working_dir` label names. State must stay there, or the
//! service would start with an empty folder; files from Git are the same files under another path.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::contents;
use super::look::Look;
use super::sheet::Sheet;
use super::sheet::mounts::is_engine_name;
use super::table::Field;
use crate::model::{
    AdoptPolicy, ContainerSpec, Desired, DesiredReplica, DesiredService, FOLDER_LABEL, ImagePolicy,
    ImageSight, LastState, Observed, ObservedContainer, Ownership, Policy, ServiceState,
    StackFolder, image_repository, split_bind,
};

/// The label of an image that we built: a digest of what went in.
pub(super) const BUILD_LABEL: &str = "moorline.build";

/// Where docker compose ran: relative paths of the manifest were taken from there.
const WORKING_DIR_LABEL: &str = "com.docker.compose.project.working_dir";

/// Leaves a stack's state where it is. Binds of state, and files laid over it, point to the folder where they lay: as its
/// containers tell, adopted ones too; without any, as it is remembered. Each new container carries that folder on as the
/// label [`FOLDER_LABEL`]. What the fleet file says (`directory`) stands as it is. To be called before
/// [`super::detect`], and its result planned from.
///
/// A stack that was run from `/srv/shop` with `./data:/data` has its data in `/srv/shop/data`. The fleet file's
/// `directory` says so where somebody thought of it; where nobody did, the containers know, and taking them over must
/// not begin with an empty database.
pub fn settle(desired: Arc<Desired>, observed: &Observed, policy: &Policy) -> Arc<Desired> {
    if desired.folder.is_said {
        return desired;
    }
    let remembered = || {
        let before = desired
            .known
            .before
            .iter()
            .filter(|one| one.elsewhere.is_none() && one.project == desired.project);
        let own = std::iter::once(&desired.known.own);
        own.chain(before.map(|one| &one.state)).find_map(|state| state.folder.clone())
    };
    let Some(path) = folder_of(observed, policy).or_else(remembered) else { return desired };
    if path == desired.folder.path {
        return desired;
    }
    let mut desired = Arc::unwrap_or_clone(desired);
    let from = desired.folder.clone();
    let to = StackFolder { path, ..from.clone() };
    let label = to.label(&desired.stack);
    let settled = |path: &str| from.relative(path).map(|below| to.at(below));
    for service in desired.services.values_mut() {
        for replica in Arc::make_mut(service).replicas.values_mut() {
            let spec = Arc::make_mut(&mut Arc::make_mut(replica).spec);
            settle_spec(spec, &settled);
            let labels = &mut spec.config_mut().labels;
            labels.extend(label.clone());
            labels.insert(WORKING_DIR_LABEL.to_owned(), to.path.clone());
        }
    }
    for bundle in desired.bundles.values_mut().filter(|bundle| bundle.overlay) {
        if let Some(moved) = settled(&bundle.host_path) {
            Arc::make_mut(bundle).host_path = moved;
        }
    }
    for volume in desired.volumes.values_mut() {
        let device = volume.spec.driver_opts.get("device").and_then(|device| settled(device));
        if let Some(device) = device {
            let options = &mut Arc::make_mut(volume).spec.driver_opts;
            options.insert("device".to_owned(), device);
        }
    }
    desired.folder = to;
    Arc::new(desired)
}

/// Where a stack lives: what our own containers say, else where foreign ones of the project were made.
///
/// Several folders are possible, after a checkout was moved and only some services were restarted. The smallest name is
/// chosen so that two looks agree; what lies in the others is still found by `last_state`, and held.
fn folder_of(observed: &Observed, policy: &Policy) -> Option<String> {
    let label = |container: &ObservedContainer| {
        let labels = &container.spec.config.labels;
        let working = || labels.get(WORKING_DIR_LABEL).filter(|folder| folder.starts_with('/'));
        match container.ownership {
            Ownership::Ours => labels.get(FOLDER_LABEL).or_else(working).cloned(),
            Ownership::Foreign if policy.adopt == AdoptPolicy::Adopt => working().cloned(),
            Ownership::Foreign
            | Ownership::Neighbour(_)
            | Ownership::OtherRepository(_)
            | Ownership::Unrelated => None,
        }
    };
    let ours = observed.containers.iter().filter(|one| one.ownership == Ownership::Ours);
    ours.filter_map(label).min().or_else(|| observed.containers.iter().filter_map(label).min())
}

/// Tells of images that docker compose built what they are taken to be built from: what Git says when they are first
/// seen. From then on another build in Git is a change, though the image tells of none.
///
/// Otherwise taking a stack over would begin with building and replacing everything that runs, for nothing that anyone
/// could see. The first build of ours writes the label, and from then on files decide.
pub fn recall_builds(
    taken: &mut BTreeMap<String, String>,
    desired: &Desired,
    observed: &mut Observed,
    policy: &Policy,
) {
    if policy.adopt != AdoptPolicy::Adopt {
        return;
    }
    for service in desired.services.values() {
        let ImagePolicy::Build(build) = &service.image_policy else { continue };
        let Some(ImageSight::Present(image)) = observed.images.get_mut(&service.image) else {
            continue;
        };
        if !image.config.labels.contains_key(BUILD_LABEL) {
            let digest = taken.entry(image.id.clone());
            image.taken_as = Some(digest.or_insert_with(|| build.digest.to_string()).clone());
        }
    }
}

fn settle_spec(spec: &mut ContainerSpec, settled: &impl Fn(&str) -> Option<String>) {
    let host = spec.host_mut();
    for bind in &mut host.binds {
        if let Some((source, target, options)) = split_bind(bind)
            && let Some(moved) = settled(source)
        {
            let options = if options.is_empty() { "" } else { &format!(":{options}") };
            *bind = format!("{moved}:{target}{options}");
        }
    }
    for mount in &mut host.mounts {
        if let Some(moved) = settled(&mount.source) {
            mount.source = moved;
        }
    }
}

/// What is remembered of a stack's data after a look: what its containers have mounted now, and what was known of
/// services that have none. Files from Git, anonymous volumes and what is not the stack's own are left out.
///
/// `in_sync`: what Git does not ask for any more has left for good.
///
/// It is what `would_start_empty` of the planner asks later: a volume is known to have had data only by having been
/// seen mounted. A service that left is kept in it until the target was in sync without it, so that a rename which
/// happens in two commits is still seen as one.
pub fn last_state(
    desired: &Desired,
    observed: &Observed,
    policy: &Policy,
    in_sync: bool,
) -> LastState {
    let mut state = desired.known.own.clone();
    let own = || state.folder.clone().or_else(|| Some(desired.folder.path.clone()));
    state.folder = folder_of(observed, policy).or_else(own);
    let may_touch = |container: &&ObservedContainer| match container.ownership {
        Ownership::Ours => !container.one_off,
        Ownership::Foreign => !container.one_off && policy.adopt == AdoptPolicy::Adopt,
        Ownership::Neighbour(_) | Ownership::OtherRepository(_) | Ownership::Unrelated => false,
    };
    let mut seen: BTreeMap<_, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in observed.containers.iter().filter(may_touch) {
        if let Some(replica) = &container.replica {
            seen.entry(&replica.service).or_default().push(container);
        }
    }
    for (service, mut containers) in seen {
        // Of several, the newest tells: one that was just made is what the others are about to become.
        containers.sort_by_key(|container| container.created_at);
        let Some(newest) = containers.last() else { continue };
        let mounts = data_of(&newest.spec, &desired.bundles_folder);
        let image = newest.spec.config.image.clone();
        state.services.insert(service.clone(), ServiceState { image, mounts, left: false });
    }
    for (name, service) in &desired.services {
        if !state.services.contains_key(name)
            && let Some(before) = moved_here(desired, service)
        {
            state.services.insert(name.clone(), before);
        }
    }
    state
        .services
        .retain(|name, service| !service.mounts.is_empty() || desired.services.contains_key(name));
    for (name, service) in &mut state.services {
        service.left = !desired.services.contains_key(name) && (service.left || in_sync);
    }
    state
}

/// What a service that seems to have moved here from another stack had there. That stack may be in sync without it soon,
/// and know it no more: from then on it is this one's to know.
///
/// The mounts must meet at a target inside the container: two services of one image with different data are not each
/// other's past.
fn moved_here(desired: &Desired, service: &DesiredService) -> Option<ServiceState> {
    let wanted = service.replicas.values().next()?;
    let wanted = data_of(&wanted.spec, &desired.bundles_folder);
    let living = desired.known.before.iter().filter(|one| one.lives && one.elsewhere.is_none());
    living.flat_map(|one| one.state.services.values()).find_map(|old| {
        let alike = image_repository(&old.image) == image_repository(service.image.as_str());
        let shared = old.mounts.iter().filter(|(target, _)| wanted.contains_key(*target));
        let mounts: BTreeMap<String, String> =
            shared.map(|(target, source)| (target.clone(), source.clone())).collect();
        let moved = ServiceState { image: old.image.clone(), mounts, left: false };
        (alike && !moved.mounts.is_empty()).then_some(moved)
    })
}

/// Volumes by name, and folders of the host, that a container mounts: by target.
///
/// Without what is of the commit itself (bundles), and without anonymous volumes: nobody can name those again, so no
/// definition can be said to have lost them.
pub fn data_of(spec: &ContainerSpec, bundles: &str) -> BTreeMap<String, String> {
    let binds = spec.host.binds.iter().filter_map(|bind| {
        let (source, target, _) = split_bind(bind)?;
        Some((target.to_owned(), source.to_owned()))
    });
    let mounts = spec.host.mounts.iter().filter(|mount| matches!(&*mount.kind, "bind" | "volume"));
    let mounts = mounts.map(|mount| (mount.target.clone(), mount.source.clone()));
    let is_bundle = |source: &str| {
        !bundles.is_empty() && source.strip_prefix(bundles).is_some_and(|it| it.starts_with('/'))
    };
    binds
        .chain(mounts)
        .filter(|(_, source)| !source.is_empty() && !is_engine_name(source) && !is_bundle(source))
        .map(|(target, source)| (target.trim_end_matches('/').to_owned(), source))
        .collect()
}

/// Takes out of both sheets what only tells that docker compose made the container: our labels, and files from Git
/// under the path where docker compose found them. Their content is compared where the look told it.
pub(super) fn reconcile(
    (look, replica): (&Look<'_>, &DesiredReplica),
    asked: &mut Sheet,
    seen: &mut Sheet,
    container: &ObservedContainer,
) {
    let ours: Vec<String> = asked
        .0
        .keys()
        .filter(|(field, name)| *field == Field::Labels && name.starts_with("moorline."))
        .map(|(_, name)| name.clone())
        .collect();
    for name in ours {
        asked.remove(Field::Labels, &name);
    }
    let Some(folder) = container.spec.config.labels.get(WORKING_DIR_LABEL) else { return };
    let targets: Vec<String> = asked
        .0
        .keys()
        .filter(|(field, _)| *field == Field::Mounts)
        .map(|(_, target)| target.clone())
        .collect();
    for target in targets {
        let (Some(wanted), Some(there)) =
            (asked.text(Field::Mounts, &target), seen.text(Field::Mounts, &target))
        else {
            continue;
        };
        let mut files = look.desired.files_of(replica).filter(|files| files.target == target);
        let other_bytes = files.any(|files| !contents::of_path(&files, container).is_empty());
        if !other_bytes && is_same_file(look, wanted, there, folder) {
            asked.remove(Field::Mounts, &target);
            seen.remove(Field::Mounts, &target);
        }
    }
}

/// Whether a bundle's path (`bind DATA/files/STACK/DIGEST/PATH ro`) is the file that docker compose mounted from its
/// folder. Docker compose mounts a folder as it is told, so both may differ in "ro" only where the manifest says so.
///
/// docker compose mounts the working copy's file, Moorline the same bytes under their digest. Only where path below the
/// folder and mode agree, and the content was compared before, is it one file.
fn is_same_file(look: &Look<'_>, wanted: &str, there: &str, folder: &str) -> bool {
    let parts = |text: &str| -> Option<(String, String)> {
        let (path, mode) = text.strip_prefix("bind ")?.rsplit_once(' ')?;
        Some((path.to_owned(), mode.to_owned()))
    };
    let (Some((wanted, wanted_mode)), Some((there, mode))) = (parts(wanted), parts(there)) else {
        return false;
    };
    let marker = format!("/files/{}/", look.desired.stack);
    let Some((_, addressed)) = wanted.split_once(&marker) else { return false };
    let below = addressed.split_once('/').map_or("", |(_, below)| below);
    let original = StackFolder { path: folder.to_owned(), ..StackFolder::default() };
    wanted_mode == mode && original.at(below) == there
}

//! Nothing of value is replaced by something empty: a volume or folder is not made while what it is to hold lies in
//! another one, and a folder is never made where a file or somebody's disk is missing.

use crate::drift::data_of;
use crate::model::{
    ContainerSpec, DesiredReplica, DesiredService, HeldBecause, ObservedContainer, Ownership,
    PathSight, Predecessor, ServiceName, VolumeSpec, image_repository, split_bind,
};

use crate::plan::Planner;

/// The label under which Compose notes a volume's key in the manifest.
const VOLUME_KEY: &str = "com.docker.compose.volume";

/// Where the data of something that is missing seems to lie.
/// The two lead to different advice: data of this stack is found by naming it or its folder, that of a stack that left
/// by giving the stack its name back, or taking it over.
enum Elsewhere<'a> {
    /// In another volume or folder of this stack.
    Here(String),
    /// With a stack that left.
    Before(&'a Predecessor),
}

impl<'a> Planner<'a> {
    /// Why a volume that is missing is not made: a container of its service, or one that went with the same image, has
    /// another volume where this one would be, or had when it was last seen; or one that nobody names any more was made
    /// under the same key. That is how a renamed or moved project, volume, service or stack looks.
    ///
    /// The Engine makes an empty volume without a word, and the service starts, initialises it, and looks well: the
    /// first person to notice is a customer. `x-moorline: {start_empty: [KEY]}` says that it is meant so.
    pub(in crate::plan) fn would_start_empty(&self, name: &str) -> Option<HeldBecause> {
        let desired = self.input.desired;
        let (key, _) = desired.volumes.iter().find(|(_, volume)| volume.spec.name == name)?;
        if desired.start_empty.allows(&[key, name]) {
            return None;
        }
        let mut found = None;
        for (service, wanted) in &desired.services {
            for replica in wanted.replicas.values() {
                let target = target_of(&replica.spec, name);
                found = found.or_else(|| self.elsewhere((service, wanted), target?, name));
            }
        }
        match found.or_else(|| self.left_under(key).map(Elsewhere::Here))? {
            Elsewhere::Here(lies_in) => {
                Some(HeldBecause::WouldStartEmpty { key: key.clone(), lies_in })
            }
            Elsewhere::Before(one) => Some(self.seems_renamed(key, one)),
        }
    }

    /// Why a container cannot be made or started where it is: something that it mounts from the host is not there, and
    /// the Engine would make an empty folder in its place.
    ///
    /// `Binds` has the Engine make a missing source as a folder of root's (`HostConfig.Binds` in the API's reference).
    /// A service that wants the file `app.conf` then finds a folder of that name, and each later pass would find it
    /// there and be content.
    pub(in crate::plan) fn state_withheld(&self, replica: &DesiredReplica) -> Option<HeldBecause> {
        let name = &replica.replica.service;
        let wanted = self.service(name)?;
        let host = &replica.spec.host;
        let binds = host.binds.iter().filter_map(|bind| {
            let (source, target, _) = split_bind(bind)?;
            Some((source.to_owned(), target, true))
        });
        let mounts = host.mounts.iter().filter(|mount| mount.kind == "bind").map(|mount| {
            let options = mount.bind_options.as_ref();
            let makes = options.is_some_and(|options| options.create_mountpoint);
            (mount.source.clone(), mount.target.as_str(), makes)
        });
        let missing = binds.chain(mounts).filter(|(source, ..)| self.is_absent(source));
        let found = missing.into_iter().find_map(|(source, target, makes)| {
            self.folder_withheld((name, wanted), (&source, target, makes))
        });
        found.or_else(|| self.device_withheld(&replica.spec))
    }

    /// Only what a look said is absent counts. What it could not see is taken for there: the start then fails with the
    /// Engine's own words, which is better than holding a service for a wrong guess.
    fn is_absent(&self, path: &str) -> bool {
        let desired = self.input.desired;
        let is_bundle = path.strip_prefix(&desired.bundles_folder);
        let is_bundle = is_bundle.is_some_and(|rest| rest.starts_with('/'));
        !is_bundle && self.input.observed.paths.get(path) == Some(&PathSight::Absent)
    }

    /// The order of the questions is that of certainty. Something that looks like a file is never made as a folder.
    /// Then comes what is known of data elsewhere, and what is known to have lain here before; a folder that nobody has
    /// ever seen is made, if the manifest lets the Engine make it.
    fn folder_withheld(
        &self,
        service: (&ServiceName, &DesiredService),
        (source, target, makes): (&str, &str, bool),
    ) -> Option<HeldBecause> {
        let desired = self.input.desired;
        let path = source.to_owned();
        let is_laid = desired.bundles.values().any(|it| it.overlay && it.host_path == source);
        if !is_laid && (is_file_like(source) || is_file_like(target)) {
            return Some(HeldBecause::FileMissing { path });
        }
        let written = desired.folder.relative(source).map(|below| format!("./{below}"));
        if desired.start_empty.allows(&[source, written.as_deref().unwrap_or(source)]) {
            return None;
        }
        match self.elsewhere(service, target, source) {
            Some(Elsewhere::Before(one)) => return Some(self.seems_renamed(source, one)),
            Some(Elsewhere::Here(lies_in)) => {
                let below = desired.folder.relative(source);
                let directory = below.and_then(|below| folder_above(&lies_in, below));
                let stack = desired.stack.clone();
                return Some(HeldBecause::FolderElsewhere { path, lies_in, stack, directory });
            }
            None if self.held_data(source) => return Some(HeldBecause::FolderGone { path }),
            None => {}
        }
        (!makes).then_some(HeldBecause::PathMissing { path })
    }

    /// A volume that is bound to a folder or device of the host, which is not there: the start would fail.
    ///
    /// The `local` driver mounts when the first container starts, and fails with `no such file or directory`, after the
    /// predecessor was stopped. Seen before, the predecessor goes on.
    fn device_withheld(&self, spec: &ContainerSpec) -> Option<HeldBecause> {
        let volumes = &self.input.desired.volumes;
        let mut mounted = super::mounted_volumes(spec)
            .filter_map(|name| volumes.values().find(|volume| volume.spec.name == name));
        let device = mounted.find_map(|volume| {
            bound_device(&volume.spec).filter(|device| self.is_absent(device))
        })?;
        Some(HeldBecause::PathMissing { path: device.to_owned() })
    }

    /// Whether a folder of the host was mounted by this stack when it was last seen.
    ///
    /// A folder that is gone and had data is a disk that is not mounted after a reboot, more often than a folder that
    /// somebody removed. An empty folder under its mount point would fill the root disk and hide the real data once the
    /// disk is back.
    fn held_data(&self, path: &str) -> bool {
        let desired = self.input.desired;
        let remembered = desired.known.own.services.values();
        let mut remembered = remembered.flat_map(|service| service.mounts.values());
        let mut own = self.input.observed.containers.iter().filter(|one| self.may_touch(one));
        remembered.any(|known| known == path)
            || own.any(|one| {
                data_of(&one.spec, &desired.bundles_folder).values().any(|known| known == path)
            })
    }

    /// The message needs both names: what is asked for now, and the stack that had it.
    fn seems_renamed(&self, what: &str, one: &Predecessor) -> HeldBecause {
        HeldBecause::SeemsRenamed {
            what: what.to_owned(),
            stack: self.input.desired.stack.clone(),
            from: one.stack.clone(),
            project: one.project.clone(),
            host: one.elsewhere.clone(),
        }
    }

    /// Where the data lies that a service is to have at a place in its containers, when that is not what it asks for
    /// now: as its containers tell, as it is remembered, or as a stack that left had it.
    fn elsewhere(
        &self,
        (name, wanted): (&ServiceName, &DesiredService),
        target: &str,
        source: &str,
    ) -> Option<Elsewhere<'a>> {
        let desired = self.input.desired;
        let is_other = |known: &&String| known.as_str() != source && !self.is_asked(known);
        let mut own = self.input.observed.containers.iter().filter(|one| self.may_touch(one));
        let seen = own.find_map(|container| {
            let same = container.replica.as_ref().map(|it| &it.service);
            let is_gone = same.is_none_or(|it| !desired.services.contains_key(it));
            let image = container.spec.config.image.as_str();
            let fits = same == Some(name) || (is_gone && is_alike(image, wanted));
            let data = mounted_data(container, &desired.bundles_folder);
            data.get(target).filter(|_| fits).filter(is_other).cloned()
        });
        let remembered = || {
            desired.known.own.services.iter().find_map(|(other, state)| {
                let is_gone = !desired.services.contains_key(other) && !state.left;
                let fits = other == name || (is_gone && is_alike(&state.image, wanted));
                state.mounts.get(target).filter(|_| fits).filter(is_other).cloned()
            })
        };
        if let Some(here) = seen.or_else(remembered) {
            return Some(Elsewhere::Here(here));
        }
        self.with_who_was_before((name, wanted), target, is_other)
    }

    /// The same with a stack that left, or that gave a service to this one.
    fn with_who_was_before(
        &self,
        (name, wanted): (&ServiceName, &DesiredService),
        target: &str,
        is_other: impl Fn(&&String) -> bool,
    ) -> Option<Elsewhere<'a>> {
        self.input.desired.known.before.iter().find_map(|one| {
            let had = one.state.services.iter().find_map(|(other, state)| {
                let fits = (other == name && !one.lives) || is_alike(&state.image, wanted);
                let is_lost = |it: &&String| one.elsewhere.is_some() || is_other(it);
                state.mounts.get(target).filter(|_| fits).filter(is_lost)
            })?;
            Some(if one.lives { Elsewhere::Here(had.clone()) } else { Elsewhere::Before(one) })
        })
    }

    /// Whether the stack asks for a volume or a folder of the host somewhere.
    ///
    /// Two services that swapped their volumes on purpose are no loss of data: both volumes are still named.
    fn is_asked(&self, source: &str) -> bool {
        let desired = self.input.desired;
        let replicas = || desired.services.values().flat_map(|service| service.replicas.values());
        desired.volumes.values().any(|volume| volume.spec.name == source)
            || replicas().any(|replica| {
                data_of(&replica.spec, &desired.bundles_folder).values().any(|one| one == source)
            })
    }

    /// A volume of this stack that nobody names any more and that was made under the same key.
    ///
    /// Compose notes the key in the manifest as a label (`com.docker.compose.volume`). A project that changes its name
    /// keeps its keys, so the old volume of the same key is the one that was meant.
    fn left_under(&self, key: &str) -> Option<String> {
        let desired = self.input.desired;
        let mut left = self.input.observed.volumes.iter().filter(|(name, volume)| {
            volume.ownership == Ownership::Ours
                && volume.spec.labels.get(VOLUME_KEY).is_some_and(|made| made == key)
                && !desired.volumes.values().any(|asked| asked.spec.name == **name)
        });
        left.next().map(|(name, _)| name.clone())
    }

    /// Says where the stack's own folder is, and which line has that in Git.
    ///
    /// The folder is read off labels and survives on them alone. With every container of the stack gone, nothing on the
    /// host says it any more; the line in Git does.
    pub(in crate::plan) fn note_folder(&mut self) {
        let desired = self.input.desired;
        if desired.folder.is_said || desired.folder.label(&desired.stack).is_none() {
            return;
        }
        let is_in = |path: &String| desired.folder.relative(path).is_some();
        let mut replicas = desired.services.values().flat_map(|service| service.replicas.values());
        if replicas.any(|one| data_of(&one.spec, &desired.bundles_folder).values().any(is_in)) {
            self.warnings.insert(format!(
                "its own folder is {}, where its data was; to have that in Git write `directory: {}` under `stacks.{}` in fleet.yaml",
                desired.folder.path, desired.folder.path, desired.stack
            ));
        }
    }
}

/// The folder or device of the host that a volume is bound to (`driver_opts: {o: bind, device: …}`).
///
/// Flags are those of mount(8), with commas between: `o: "bind,ro"`. A relative device was made absolute before, and
/// anything else (`tmpfs`, an NFS export such as `:/exports/data`) is no path of this host.
pub(crate) fn bound_device(spec: &VolumeSpec) -> Option<&str> {
    let options = &spec.driver_opts;
    let bound = options.get("o").is_some_and(|flags| flags.split(',').any(|flag| flag == "bind"));
    let device = options.get("device").map(String::as_str);
    device.filter(|device| bound && device.starts_with('/'))
}

/// What a container has mounted, anonymous volumes that its image asked for aside; volumes by the names that the Engine
/// tells.
///
/// The container's own list of mounts is asked as well as its definition: an anonymous volume has its name only
/// there.
fn mounted_data(
    container: &ObservedContainer,
    bundles: &str,
) -> std::collections::BTreeMap<String, String> {
    let mut data = data_of(&container.spec, bundles);
    for (target, mount) in &container.mounts {
        if mount.kind == "volume" && !mount.name.is_empty() {
            data.insert(target.trim_end_matches('/').to_owned(), mount.name.clone());
        }
    }
    data
}

/// Where a specification mounts a volume.
fn target_of<'a>(spec: &'a ContainerSpec, name: &str) -> Option<&'a str> {
    let mut all = spec.host.mountings();
    all.find(|mounting| mounting.volume() == Some(name)).map(|mounting| mounting.target)
}

/// The folder in which a path lies, when the rest of it is this.
///
/// `/srv/shop/data` with `data` below is `/srv/shop`: the value of `directory` that would have led there.
fn folder_above(path: &str, below: &str) -> Option<String> {
    let folder = if below.is_empty() { Some(path) } else { path.strip_suffix(below) };
    let folder = folder?.trim_end_matches('/');
    (folder.starts_with('/')).then(|| folder.to_owned())
}

/// Whether an image is another version of what a service runs.
///
/// Without tag and digest: `postgres:15` and `postgres:16` hold the same data, and that is the usual rename. Two
/// databases of one image in a stack are told apart by their targets and names.
fn is_alike(image: &str, wanted: &DesiredService) -> bool {
    image_repository(image) == image_repository(wanted.image.as_str())
}

/// Endings of names that files have and folders do not.
/// From what public Compose files mount. Wrong in one direction only costs a word of the operator, who makes the
/// folder; wrong in the other makes a folder where a file was meant.
const FILE_ENDINGS: &str = "\
    acl asc bak bash cer cfg cnf conf config cred crt cron css csv db der dump env gpg gz hcl htm html \
    htpasswd ini j2 jar jks js json key ldif list lock log lua map md p12 pem pfx php pid pl plist \
    properties pub py rb rego repo rules secret service sh sock socket sql sqlite sqlite3 tar tf tgz \
    timer tmpl toml tpl ts txt types vcl war xml yaml yml zip";

/// Names of files without an ending that services get from a host or from a repository.
const FILE_NAMES: &str = "\
    .bashrc .dockerignore .env .gitconfig .htaccess .htpasswd .netrc .npmrc .pgpass .profile adjtime \
    crontab fstab fuse group gshadow hostname hosts localtime machine-id passwd shadow sudoers timezone";

/// Whether a path looks as if a file were meant: by its ending, or by a name that only files have. What is taken for a
/// file and is meant as a folder can be made on the host.
fn is_file_like(path: &str) -> bool {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let ending = lower.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, end)| end);
    // `Caddyfile`, `Corefile`, `Dockerfile`.
    let is_recipe = lower.len() > 4 && lower.ends_with("file") && name != lower;
    ending.is_some_and(|end| FILE_ENDINGS.split(' ').any(|known| known == end))
        || FILE_NAMES.split(' ').any(|known| known == lower)
        || is_recipe
        || path.starts_with("/dev/")
            && !matches!(name, "shm" | "dri" | "snd" | "input" | "bus" | "mapper" | "disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_folders_by_their_names() {
        for file in [
            "/a/nginx.conf",
            "/a/prometheus.yml",
            "/var/run/docker.sock",
            "/etc/localtime",
            "/a/Caddyfile",
            "/a/.env",
            "/a/init.SQL",
            "/dev/ttyUSB0",
            "/etc/timezone",
            "/a/acme.json",
        ] {
            assert!(is_file_like(file), "{file}");
        }
        for folder in [
            "/a/data",
            "/a/conf.d",
            "/a/example.com",
            "/a/.ssh",
            "/a/.config",
            "/a/v1.2",
            "/",
            "/dev/dri",
            "/a/profile",
            "/a/my-file",
            "/a/node_modules/.bin",
            "/a/rules.d",
            "/a/file",
            "/srv/nextcloud.example.org",
        ] {
            assert!(!is_file_like(folder), "{folder}");
        }
    }

    #[test]
    fn the_folder_of_a_stack_is_read_off_where_its_data_lies() {
        assert_eq!(folder_above("/opt/shop/data", "data").as_deref(), Some("/opt/shop"));
        assert_eq!(folder_above("/opt/shop", "").as_deref(), Some("/opt/shop"));
        assert_eq!(folder_above("/opt/shop/other", "data"), None);
        assert_eq!(folder_above("shop_data", "data"), None);
    }
}

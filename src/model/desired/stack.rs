//! What a stack asks of one host, in the Engine's words. Made by the `desired` room from a project.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::model::{
    ContainerSpec, Digest, FileMode, HostConfig, ImageRef, Known, Location, Neighbourhood,
    NetworkSpec, Replica, RepositoryName, Revision, ServiceName, StackFolder, StackName, Timestamp,
    Ulimit, VolumeSpec,
};

/// Everything that one stack asks of one host. Hosts that are asked the same share what they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The stack.
    pub stack: StackName,
    /// The Compose project's name: what containers, networks and volumes are called after. Mostly the stack's.
    pub project: StackName,
    /// The other stacks of the commit on this host, as far as they concern this one.
    pub neighbours: Neighbourhood,
    /// Where its data was when it was last seen.
    pub known: Arc<Known>,
    /// The stack's own folder on the host: relative binds that are not in Git lie below it.
    pub folder: StackFolder,
    /// What may start empty although its data seems to lie elsewhere.
    pub start_empty: StartEmpty,
    /// The repository that asks.
    pub repository: RepositoryName,
    /// The commit that asks.
    pub revision: Revision,
    /// Services by name: only those that are to be there (active profiles).
    pub services: BTreeMap<ServiceName, Arc<DesiredService>>,
    /// Networks to be there, by key in the manifest.
    pub networks: BTreeMap<String, Arc<DesiredNetwork>>,
    /// Volumes to be there, by key in the manifest.
    pub volumes: BTreeMap<String, Arc<DesiredVolume>>,
    /// Bundles of files from Git that must be on the host before containers that use them are made.
    pub bundles: BTreeMap<Digest, Arc<FileBundle>>,
    /// The folder on the host that holds this stack's bundles and nothing else, except those of [`FileBundle::overlay`].
    pub bundles_folder: String,
    /// What each container carries as `moorline.spec`: a digest of its specification without labels that change with
    /// every commit, keyed by the Engine. The same specification has another one on another host.
    pub seals: BTreeMap<Replica, String>,
}

/// What may start empty although its data seems to lie elsewhere: `x-moorline: {start_empty: …}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartEmpty {
    /// These: keys of volumes, and folders as the manifest or the plan writes them.
    Only(BTreeSet<String>),
    /// Everything.
    All,
}

impl Default for StartEmpty {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl StartEmpty {
    /// Whether one of these words for one thing is among it.
    pub fn allows(&self, words: &[&str]) -> bool {
        match self {
            Self::All => true,
            Self::Only(said) => words.iter().any(|word| said.contains(*word)),
        }
    }
}

impl Desired {
    /// Whether what becomes of a container of this name or id concerns the stack: it holds a name that a replica is to
    /// have, or a replica lives with it.
    pub fn needs_container(&self, name: &str, id: &str) -> bool {
        let mut replicas = self.services.values().flat_map(|service| service.replicas.values());
        replicas.any(|replica| {
            let mut stands_on = replica.spec.host.stands_on();
            replica.name == name || stands_on.any(|other| other == name || other == id)
        })
    }

    /// The files from Git that a replica is to see, by the path in its container. Those in folders where services write
    /// too are the services' own affair, and are left out.
    pub fn files_of<'a>(
        &'a self,
        replica: &'a DesiredReplica,
    ) -> impl Iterator<Item = SeenFiles<'a>> {
        let host = &replica.spec.host;
        let binds = host.binds.iter().filter_map(|bind| {
            let mut parts = bind.splitn(3, ':');
            let (source, target) = (parts.next()?, parts.next()?);
            let options = parts.next().unwrap_or_default();
            Some((source, target, options.split(',').all(|option| option != "ro")))
        });
        let mounts = host.mounts.iter().filter(|mount| mount.kind == "bind");
        let mounts =
            mounts.map(|mount| (mount.source.as_str(), mount.target.as_str(), !mount.read_only));
        let mounted = binds.chain(mounts).filter_map(move |(source, target, writable)| {
            let bundles = replica.bundles.iter().filter_map(|digest| self.bundles.get(digest));
            let mut own = bundles.filter(|bundle| !bundle.overlay);
            own.find_map(|bundle| {
                let below = source.strip_prefix(bundle.host_path.as_str())?;
                let below = if below.is_empty() { "" } else { below.strip_prefix('/')? };
                Some(SeenFiles { target, files: SeenIn::Bundle(bundle, below), writable })
            })
        });
        let copied = replica.uploads.iter().map(|file| SeenFiles {
            target: &file.target,
            files: SeenIn::Copy(file),
            writable: false,
        });
        mounted.chain(copied)
    }

    /// Whether a container's `moorline.spec` says that it was made from what is asked of this replica now.
    pub fn is_seal_of(&self, replica: &Replica, label: Option<&str>) -> bool {
        self.seals.get(replica).is_some_and(|seal| label == Some(seal))
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredService {
    /// Where the manifest declares it.
    pub origin: Option<Location>,
    /// The image that its containers run.
    pub image: ImageRef,
    /// Where the image comes from.
    pub image_policy: ImagePolicy,
    /// One entry a replica: number, name and specification.
    pub replicas: BTreeMap<u32, Arc<DesiredReplica>>,
    /// What must be so before its containers start.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// It runs to an end instead of staying up: `restart: "no"` or `on-failure`. Such a service may complete.
    pub may_complete: bool,
    /// Some other service waits for its completion, or the manifest says `x-moorline: {job: true}`.
    pub is_job: bool,
    /// Whether an unhealthy container is restarted. `x-moorline: {health: {restart: false}}` leaves it alone; default: yes.
    pub restarts_unhealthy: bool,
    /// How its containers are replaced.
    pub update: UpdatePolicy,
    /// How they go back when that fails (`rollback_config`); as they were replaced where the manifest does not say.
    pub rollback: Option<UpdatePolicy>,
    /// A stop's grace period.
    pub stop_grace: Duration,
    /// Commands to run inside a container right after its start.
    pub post_start: Vec<Hook>,
    /// Commands to run inside a container right before its stop.
    pub pre_stop: Vec<Hook>,
    /// Places in the manifest, by attribute below the service (`environment.LOG_LEVEL`).
    pub origins: BTreeMap<String, Location>,
}

/// One replica of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredReplica {
    /// Which.
    pub replica: Replica,
    /// The container's name, such as `shop-web-1` or the manifest's `container_name`.
    pub name: String,
    /// What the container is to be, but for the labels that seal it. References to other services' containers
    /// (`network_mode: service:db`, `volumes_from`, links) hold that container's name.
    pub spec: Arc<ContainerSpec>,
    /// Files that are copied into the container after it is made and before it starts.
    pub uploads: Vec<Upload>,
    /// Bundles that it mounts.
    pub bundles: BTreeSet<Digest>,
    /// Replicas whose namespaces or volumes it shares: replaced when they are.
    pub shares: BTreeSet<Replica>,
}

/// What a container needs of its host, read off its configuration.
impl HostConfig {
    /// Names or ids of the containers whose network, PID or IPC namespace it lives in.
    pub fn namespaces_of(&self) -> impl Iterator<Item = &str> {
        [&self.network_mode, &self.pid_mode, &self.ipc_mode]
            .into_iter()
            .filter_map(|mode| mode.strip_prefix("container:"))
    }

    /// Names or ids of the containers whose volumes it mounts.
    pub fn volumes_of(&self) -> impl Iterator<Item = &str> {
        self.volumes_from.iter().filter_map(|from| from.split(':').next())
    }

    /// Fixed host ports that it publishes: address, port, protocol. Those that the Engine chooses are left out.
    pub fn host_ports(&self) -> impl Iterator<Item = (&str, u16, &str)> {
        self.port_bindings.iter().flat_map(|(port, hosts)| {
            let protocol = port.split('/').nth(1).unwrap_or("tcp");
            hosts.iter().flatten().filter_map(move |host| {
                let number = host.host_port.parse::<u16>().ok().filter(|number| *number != 0)?;
                Some((host.host_ip.as_str(), number, protocol))
            })
        })
    }

    /// Names or ids of the containers that must be there before it can be.
    pub fn stands_on(&self) -> impl Iterator<Item = &str> {
        self.namespaces_of().chain(self.volumes_of())
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePolicy {
    /// Pulled when absent (`missing`, `if_not_present`).
    PullMissing,
    /// The registry is asked each time a full look is due, and pulled when the reference moved (`always`).
    PullAlways,
    /// Asked again when this much time has passed (`daily`, `weekly`, `every_…`).
    PullEvery(Duration),
    /// Never pulled: absent is an error.
    Never,
    /// Built from the repository.
    Build(Box<BuildSpec>),
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// Digest of everything that goes in: context files, Dockerfile, arguments, target. The image carries it as `moorline.build`.
    pub digest: Digest,
    /// Files of the context: path below it to content, `.dockerignore` applied.
    pub context: BTreeMap<String, BundleFile>,
    /// Path of the Dockerfile below the context (an inline or outside one is put there under a free name).
    pub dockerfile: String,
    /// Build arguments; `None` takes none.
    pub args: BTreeMap<String, String>,
    /// Stage.
    pub target: String,
    /// Image labels.
    pub labels: BTreeMap<String, String>,
    /// Images to take layers from.
    pub cache_from: Vec<String>,
    /// Further tags.
    pub tags: Vec<String>,
    /// Network of the build.
    pub network: String,
    /// Always pull base images.
    pub pull: bool,
    /// Without cache.
    pub no_cache: bool,
    /// Bytes of /dev/shm.
    pub shm_size: i64,
    /// `HOST:IP`.
    pub extra_hosts: Vec<String>,
    /// Platform.
    pub platform: String,
    /// Isolation (Windows).
    pub isolation: String,
    /// Process limits.
    pub ulimits: Vec<Ulimit>,
}

/// A condition on another service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What must be so.
    pub condition: Condition,
    /// Restart with it when it is replaced.
    pub restart: bool,
    /// Its absence or failure is an error, not a warning.
    pub required: bool,
}

/// What must be so of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It was started.
    ServiceStarted,
    /// Its health check says healthy.
    ServiceHealthy,
    /// It ended with code 0.
    ServiceCompletedSuccessfully,
}

/// How containers are replaced (`deploy.update_config`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// Replicas at a time; 0 all at once. Default 1.
    pub parallelism: u32,
    /// Which of old and new goes first.
    pub order: UpdateOrder,
    /// Pause between two batches.
    pub delay: Duration,
    /// How long a new one must stay up before it counts.
    pub monitor: Duration,
    /// What happens when the new one does not come up. `None`: not said.
    pub failure_action: Option<FailureAction>,
    /// How many of a thousand replicas may fail without that (`max_failure_ratio`). Default 0.
    pub failures_per_thousand: u16,
}

impl DesiredService {
    /// Whether an update goes on although so many replicas did not come up.
    pub fn tolerates(&self, failures: usize) -> bool {
        let allowed = self.replicas.len() * usize::from(self.update.failures_per_thousand);
        failures * 1000 <= allowed
    }
}

/// Which of old and new goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// The old one stops before the new one starts.
    StopFirst,
    /// The new one is up before the old one stops. Only where both can run: no fixed host port, address or container name clash.
    StartFirst,
}

/// What happens when a replacement does not come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    /// Stay there and report.
    Pause,
    /// Go on with the next.
    Continue,
    /// Bring the old one back.
    Rollback,
}

/// A command that runs inside a container at a point of its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Command and arguments.
    pub command: Vec<String>,
    /// User.
    pub user: String,
    /// With all privileges.
    pub privileged: bool,
    /// Working directory.
    pub working_dir: String,
    /// `NAME=value`.
    pub environment: Vec<String>,
}

/// A file that is copied into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Absolute path in the container.
    pub target: String,
    /// Content.
    pub bytes: Arc<[u8]>,
    /// Mode bits, such as 0o444.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

/// Files from Git as a container is to see them.
#[derive(Debug, Clone, Copy)]
pub struct SeenFiles<'a> {
    /// Where: an absolute path in the container.
    pub target: &'a str,
    /// What.
    pub files: SeenIn<'a>,
    /// Whether the service may write there: then what it wrote is its own.
    pub writable: bool,
}

/// Where the files that a container is to see come from.
#[derive(Debug, Clone, Copy)]
pub enum SeenIn<'a> {
    /// They are mounted: the bundle, and the path below it.
    Bundle(&'a FileBundle, &'a str),
    /// It was copied in.
    Copy(&'a Upload),
}

impl SeenIn<'_> {
    /// The SHA-256 of a single file; `None` for a folder.
    pub fn single(&self) -> Option<Digest> {
        match self {
            Self::Bundle(bundle, below) => {
                bundle.files.get(*below).map(|file| Digest::of(&file.bytes))
            }
            Self::Copy(file) => Some(Digest::of(&file.bytes)),
        }
    }

    /// The SHA-256 of each file of a folder, by its path below it.
    pub fn folder(&self) -> BTreeMap<&str, Digest> {
        let Self::Bundle(bundle, below) = self else { return BTreeMap::new() };
        let files = bundle.files.iter().filter_map(|(path, file)| {
            let rest = path.strip_prefix(below)?;
            let rest = if below.is_empty() { rest } else { rest.strip_prefix('/')? };
            Some((rest, Digest::of(&file.bytes)))
        });
        files.collect()
    }
}

/// A set of files from Git that containers mount, addressed by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBundle {
    /// Absolute folder on the host where it is put.
    pub host_path: String,
    /// Path below that folder to file.
    pub files: BTreeMap<String, BundleFile>,
    /// Whether containers may write there: then the files are laid over what is there, and what containers wrote is
    /// kept beside it where Git changes the same file.
    pub overlay: bool,
    /// The commit's time, which the files bear on the host: web servers tell by it that a file changed. It is no part
    /// of the digest.
    pub time: Option<Timestamp>,
}

impl FileBundle {
    /// What the files are on the host: path below the bundle's folder to mode and SHA-256. For whoever compares what is
    /// there with what was put there.
    pub fn fingerprints(&self) -> BTreeMap<&str, (FileMode, Digest)> {
        let files = self.files.iter();
        files.map(|(path, file)| (path.as_str(), (file.mode, Digest::of(&file.bytes)))).collect()
    }
}

/// One file of a bundle or of a build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Its mode.
    pub mode: FileMode,
    /// Content.
    pub bytes: Arc<[u8]>,
}

/// A network to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredNetwork {
    /// Where the manifest declares it.
    pub origin: Option<Location>,
    /// Not ours: it must exist already, and is never made, changed or removed.
    pub external: bool,
    /// What it is to be (only the name for an external one).
    pub spec: NetworkSpec,
}

/// A volume to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredVolume {
    /// Where the manifest declares it.
    pub origin: Option<Location>,
    /// Not ours: it must exist already, and is never made, changed or removed.
    pub external: bool,
    /// What it is to be (only the name for an external one).
    pub spec: VolumeSpec,
}

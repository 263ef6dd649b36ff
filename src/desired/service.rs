//! Services: what surrounds their containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, at};
use super::{build, container};
use crate::model::project::{Link, Ratio, Service, ServiceHook, ServicePort, Update, parse_period};
use crate::model::{
    Condition, Dependency, DesiredReplica, DesiredService, Digest, FailureAction, Hook,
    ImagePolicy, ImageRef, Location, ServiceName, UpdateOrder, UpdatePolicy,
};

/// Grace of a stop that asks for none: the Engine's.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Replicas of one service: far more than an Engine can run, and few enough to plan.
/// An Engine gives each container a network interface and a process of its own; a bridge alone ends at about a thousand ports (the
/// kernel's `BR_PORT_BITS`). A count beyond this is a slip of the pen, such as memory in the wrong field, and would
/// take minutes to plan.
const MAX_REPLICAS: u32 = 10_000;

/// What the place of one attribute takes beside its path.
const PLACE_BYTES: usize = 256;

/// The project's services.
pub(super) fn services(desk: &mut Desk<'_>) -> BTreeMap<ServiceName, Arc<DesiredService>> {
    let project = desk.input.project;
    let awaited: BTreeSet<&ServiceName> = project
        .services
        .values()
        .flat_map(|service| &service.depends_on)
        // Whoever is waited for until it has ended is a job, whatever it says of itself: were it brought back when it
        // ends, those that wait would wait for ever.
        .filter(|(_, link)| link.condition == "service_completed_successfully")
        .map(|(name, _)| name)
        .collect();
    let mut made = BTreeMap::new();
    for (name, service) in &project.services {
        if let Some(desired) = one(desk, (name, service), awaited.contains(name)) {
            made.insert(name.clone(), Arc::new(desired));
        }
    }
    unique_names(desk);
    one_build_an_image(desk, &made);
    made
}

/// One service. `None` where it cannot be made at all (no image to be had a name of, or more than the stack's budget): the
/// errors are noted, and the other services are still looked at, so that all problems are told at once.
///
/// It is a job where something waits for its end, where it says so itself (`x-moorline: {job: true}`), or where its mode is
/// `replicated-job` or `global-job` (Compose Deploy Specification, `mode`).
fn one(
    desk: &mut Desk<'_>,
    (name, service): (&ServiceName, &Service),
    awaited: bool,
) -> Option<DesiredService> {
    // What is over is said once, for the whole stack.
    if desk.budget.over().is_some() {
        return None;
    }
    refuse_unsupported(desk, name, service);
    // Without a name for its image there is nothing to make, and every further complaint would be about that.
    let image = image(desk, name, service)?;
    let count = replicas(desk, name, service);
    let image_policy = image_policy(desk, (name, service), &image);
    let replicas = all_replicas(desk, (name, service), &image, count)?;
    let deploy = service.deploy.as_ref();
    let mode = deploy.map_or("", |deploy| deploy.mode.as_str());
    let origins = origins(desk, name, service);
    // Places are kept for each attribute, so that drift can name its line. A service with a hundred thousand variables
    // keeps as many.
    let bytes = origins.keys().map(|path| path.len() + PLACE_BYTES).sum();
    desk.afford(name, bytes)?;
    Some(DesiredService {
        origin: desk.input.project.origins.nearest(&format!("services.{name}")),
        image,
        image_policy,
        replicas,
        depends_on: dependencies(desk, service),
        may_complete: may_complete(service),
        is_job: awaited || says_job(service) || mode.ends_with("-job"),
        restarts_unhealthy: restarts_unhealthy(service),
        // `deploy.update_config` was made for Swarm. Its words fit plain containers as well, and people know them, so
        // they are honoured here although docker compose ignores them.
        update: update(deploy.and_then(|deploy| deploy.update_config.as_ref())),
        rollback: deploy
            .and_then(|deploy| deploy.rollback_config.as_ref())
            // Without `rollback_config` an update is taken back as it was made.
            .map(|it| update(Some(it))),
        stop_grace: service
            .stop_grace_period
            .map_or(DEFAULT_GRACE, crate::model::project::Period::as_duration),
        post_start: service.post_start.iter().map(hook).collect(),
        pre_stop: service.pre_stop.iter().map(hook).collect(),
        origins,
    })
}

/// A service's replicas. They differ in little, and each is a whole payload: a large service many times is counted.
fn all_replicas(
    desk: &mut Desk<'_>,
    (name, service): (&ServiceName, &Service),
    image: &ImageRef,
    count: u32,
) -> Option<BTreeMap<u32, Arc<DesiredReplica>>> {
    let mut all = BTreeMap::new();
    let mut bytes = 0;
    for number in 1..=count {
        let replica = container::replica(desk, (name, service), image, number);
        // Replicas differ in their number alone. Four times the first one's payload is what it takes while it is
        // compared, sent and shown.
        if number == 1 {
            bytes = 4 * serde_json::to_vec(&*replica.spec).map_or(0, |payload| payload.len());
        }
        desk.afford(name, bytes)?;
        all.insert(number, Arc::new(replica));
    }
    Some(all)
}

/// The manifest's image, else `PROJECT-SERVICE`.
fn image(desk: &mut Desk<'_>, name: &ServiceName, service: &Service) -> Option<ImageRef> {
    let text = match service.image.as_str() {
        // As docker compose names what it builds since its version 2: with `-`, where version 1 wrote `_`.
        "" => format!("{}-{name}", desk.input.project.name),
        image => image.to_owned(),
    };
    match ImageRef::parse(&text) {
        Ok(image) => Some(image),
        Err(problem) => {
            desk.refuse(at(name, "image"), problem.to_string(), "");
            None
        }
    }
}

/// How many containers, and whether that many can be.
///
/// `global` is one a host (Compose Deploy Specification, `mode`), and this is one host: placement gives the others
/// theirs. Spread over hosts, each host may have one of them. What one host cannot hold twice is a limit of placement
/// then, and no error of the manifest. A range (`8000-8010:80`) is a choice that the Engine makes, and so is `0`.
fn replicas(desk: &mut Desk<'_>, name: &ServiceName, service: &Service) -> u32 {
    let mode = service.deploy.as_ref().map_or("", |deploy| deploy.mode.as_str());
    let count = if mode.starts_with("global") { 1 } else { service.replicas() };
    if count > MAX_REPLICAS {
        let attribute = if service.scale.is_some() { "scale" } else { "deploy.replicas" };
        let message = format!("{count} replicas are more than {MAX_REPLICAS}");
        desk.refuse(at(name, attribute), message, "ask for fewer");
        return 1;
    }
    if count <= 1 || desk.input.spreads {
        return count;
    }
    let help = "ask for one replica, or leave it to the Engine";
    if !service.container_name.is_empty() {
        let message = format!("{count} replicas cannot share the name {}", service.container_name);
        desk.refuse(at(name, "container_name"), message, help);
    }
    for (place, port) in service.ports.iter().enumerate() {
        let ServicePort { published, .. } = port;
        let fixed = !published.is_empty() && published != "0" && !published.contains('-');
        if fixed {
            // Whoever is first has it. The Engine says so of the others; the rest of the stack runs all the same.
            let message = format!(
                "{count} replicas cannot share the host port {published}: one of them will start"
            );
            desk.warn(at(name, &format!("ports.{place}")), message, help);
        }
    }
    count
}

/// Attributes that neither the Engine nor Moorline can honour.
fn refuse_unsupported(desk: &mut Desk<'_>, name: &ServiceName, service: &Service) {
    let unsupported = [
        ("provider", service.provider.is_some(), "run the provider outside of this stack"),
        ("models", !service.models.is_empty(), "run the model as a service of its own"),
        ("use_api_socket", service.use_api_socket, "mount the Engine's socket as a volume"),
        (
            "pre_start",
            !service.pre_start.is_empty(),
            "leave out per_replica and env_file, or make it a service that others wait for",
        ),
    ];
    for (attribute, _, help) in unsupported.into_iter().filter(|(_, asked, _)| *asked) {
        desk.refuse(at(name, attribute), format!("{attribute} is not supported"), help);
    }
    refuse_platform(desk, name, service);
    if !service.annotations.is_empty() && !desk.speaks(1, 43) {
        let help = "it needs API 1.43 (Engine 24)";
        desk.refuse(at(name, "annotations"), "this Engine takes no annotations", help);
    }
    let quick = service.healthcheck.as_ref().is_some_and(|check| check.start_interval.is_some());
    if quick && !desk.speaks(1, 44) {
        let path = at(name, "healthcheck.start_interval");
        desk.warn(path, "this Engine ignores start_interval", "it needs API 1.44 (Engine 25)");
    }
}

/// What an Engine of another system cannot run.
fn refuse_platform(desk: &mut Desk<'_>, name: &ServiceName, service: &Service) {
    let engine = desk.input.engine.platform.clone();
    let Some((system, processor)) = engine.split_once('/') else { return };
    let asked = service.isolation.as_str();
    // The Engine for Linux refuses any other word when the container is made, which would be in the middle of an
    // update.
    if system == "linux" && !matches!(asked, "" | "default") {
        let message = format!("isolation {asked} needs an Engine for Windows");
        desk.refuse(at(name, "isolation"), message, "leave it out");
    }
    let Some((wanted_system, wanted)) = service.platform.split_once('/') else { return };
    let wanted = wanted.split('/').next().unwrap_or_default();
    let is_known = |system: &str| matches!(system, "linux" | "windows" | "darwin" | "freebsd");
    if wanted_system != system && !is_known(wanted_system) {
        // Such as `wasi/wasm`: a matter of the runtime.
        return;
    }
    if wanted_system != system {
        let message = format!("{} cannot run on an Engine for {system}", service.platform);
        desk.refuse(at(name, "platform"), message, "ask for one of its own system");
    // Emulation by binfmt works or does not, and no call of the API tells which: so it is said, and tried. 386 runs on
    // amd64 without any.
    } else if !wanted.is_empty() && wanted != processor && (processor, wanted) != ("amd64", "386") {
        let message = format!("{} needs emulation on {engine}", service.platform);
        desk.warn(at(name, "platform"), message, "it fails to start where there is none");
    }
}

/// Two services must not ask for one container name.
///
/// The Engine takes a name once, across all projects. Without this check both would be planned, and which one comes up
/// would be chance, anew at each pass.
fn unique_names(desk: &mut Desk<'_>) {
    let mut names: BTreeMap<&str, &ServiceName> = BTreeMap::new();
    let project = desk.input.project;
    for (name, service) in &project.services {
        if service.container_name.is_empty() {
            continue;
        }
        if let Some(other) = names.insert(&service.container_name, name) {
            let message = format!("{other} asks for the name {} too", service.container_name);
            desk.refuse(at(name, "container_name"), message, "give each its own name");
        }
    }
}

/// Services may share an image that is built here, when they build it alike.
///
/// Otherwise each pass would find the image of the one built by the other, build it again, and replace the containers
/// of both, for ever.
fn one_build_an_image(desk: &mut Desk<'_>, services: &BTreeMap<ServiceName, Arc<DesiredService>>) {
    let mut builds: BTreeMap<&ImageRef, (&ServiceName, &Digest)> = BTreeMap::new();
    for (name, service) in services {
        let ImagePolicy::Build(build) = &service.image_policy else { continue };
        let (first, digest) = builds.entry(&service.image).or_insert((name, &build.digest));
        if **digest != build.digest {
            let message = format!("{first} builds {} from something else", service.image);
            desk.refuse(at(name, "build"), message, "give each image a name of its own");
        }
    }
}

/// Where a service's image comes from (Compose Specification, `build` and `pull_policy`).
///
/// With `build` and no word on pulling, it is built here. With `build`, `image` and `always` or `never`, the image comes from
/// the registry, or is there already: building is somebody else's, such as a pipeline's. Where building is refused (its context
/// is elsewhere), the image is pulled if it has a name.
///
/// `missing` is not among them: with `build` it means "build it where it is not there", which is what happens anyway.
/// An image without a name of its own can be in no registry: nobody could have pushed it as `PROJECT-SERVICE`. It may
/// still be on the host, put there by hand.
fn image_policy(
    desk: &mut Desk<'_>,
    (name, service): (&ServiceName, &Service),
    image: &ImageRef,
) -> ImagePolicy {
    let asked = pull_policy(&service.pull_policy);
    if let Some(build) = &service.build {
        // With a name and a word on pulling, the image comes from a registry; else it is built here.
        let pulled = !service.image.is_empty()
            && matches!(
                asked,
                Some(ImagePolicy::PullAlways | ImagePolicy::PullEvery(_) | ImagePolicy::Never)
            );
        if !pulled && !build::is_possible(desk, name, build) {
            let has_name = !service.image.is_empty();
            return if has_name { ImagePolicy::PullMissing } else { ImagePolicy::Never };
        }
        if !pulled && let Some(spec) = build::spec(desk, (name, service), build, image) {
            return ImagePolicy::Build(Box::new(spec));
        }
    }
    if let Some(policy) = asked {
        return policy;
    }
    if service.build.is_none() {
        let message =
            format!("{:?} is not a pull policy that can be honoured", service.pull_policy);
        desk.refuse(
            at(name, "pull_policy"),
            message,
            "always, missing, never, daily, weekly, every_2h",
        );
    }
    ImagePolicy::PullMissing
}

/// Compose's words for when to ask a registry: `always`, `missing` (the default), `never`, `daily`, `weekly` and `every_2h`.
/// `build` is none of them: it says where from, not when.
///
/// `if_not_present` is the older spelling of `missing`, and `refresh` of `always`; both are still accepted by the
/// reference.
fn pull_policy(word: &str) -> Option<ImagePolicy> {
    const DAY: Duration = Duration::from_hours(24);
    match word {
        "" | "missing" | "if_not_present" => Some(ImagePolicy::PullMissing),
        "always" | "refresh" => Some(ImagePolicy::PullAlways),
        "never" => Some(ImagePolicy::Never),
        "daily" => Some(ImagePolicy::PullEvery(DAY)),
        "weekly" => Some(ImagePolicy::PullEvery(DAY * 7)),
        other => {
            let period = parse_period(other.strip_prefix("every_")?)?;
            Some(ImagePolicy::PullEvery(period.as_duration()))
        }
    }
}

/// What a service waits for. One that it `depends_on` may be absent: no active profile enables it, and `required: false` lets
/// it be so (Compose Specification, `depends_on`, `required`).
fn dependencies(desk: &Desk<'_>, service: &Service) -> BTreeMap<ServiceName, Dependency> {
    let there = |name: &ServiceName| desk.input.project.services.contains_key(name);
    let known = service.depends_on.iter().filter(|(name, _)| there(name));
    known
        .map(|(name, link)| {
            let Link { condition, restart, required } = link;
            let condition = match condition.as_str() {
                "service_healthy" => Condition::ServiceHealthy,
                "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            (name.clone(), Dependency { condition, restart: *restart, required: *required })
        })
        .collect()
}

/// Whether a service may run to its end: `restart: "no"` or `on-failure`. One that says nothing about restarts and
/// publishes ports or has a health check is meant to stay up.
fn may_complete(service: &Service) -> bool {
    let policy = container::restart(service);
    match policy.name.as_str() {
        "no" | "on-failure" => true,
        // The reference waits for none of these. But an update has to know when a replacement counts as up, and a
        // service that says nothing may be a one-off (`migrate`) as well as a server. What listens or is checked cannot
        // be done by ending.
        "" => {
            let checked = service.healthcheck.as_ref().is_some_and(|check| !check.disable);
            service.ports.is_empty() && !checked
        }
        _ => false,
    }
}

/// `x-moorline: {job: true}`.
fn says_job(service: &Service) -> bool {
    service
        .extensions
        .get("x-moorline")
        .and_then(|ours| ours.get("job"))
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(false)
}

/// `x-moorline: {health: {restart: false}}` says that an unhealthy container is only told of.
fn restarts_unhealthy(service: &Service) -> bool {
    let ours = service.extensions.get("x-moorline");
    let said = ours.and_then(|ours| ours.get("health")).and_then(|health| health.get("restart"));
    said.and_then(serde_json::Value::as_bool).unwrap_or(true)
}

/// How containers are replaced (`deploy.update_config`). Defaults as in the Compose Deploy Specification: one at a time, the old
/// one first, no pause. `failure_action` stays open where the manifest does not say it: Compose's default is to pause, ours to
/// take the failed one back, and the planner tells which of the two was asked for.
fn update(config: Option<&Update>) -> UpdatePolicy {
    let none = Update::default();
    let config = config.unwrap_or(&none);
    UpdatePolicy {
        parallelism: config.parallelism.map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        order: match config.order.as_str() {
            "start-first" => UpdateOrder::StartFirst,
            _ => UpdateOrder::StopFirst,
        },
        delay: config.delay.as_duration(),
        monitor: config.monitor.as_duration(),
        failure_action: match config.failure_action.as_str() {
            "pause" => Some(FailureAction::Pause),
            "continue" => Some(FailureAction::Continue),
            "rollback" => Some(FailureAction::Rollback),
            _ => None,
        },
        failures_per_thousand: per_thousand(config.max_failure_ratio),
    }
}

/// A ratio in thousandths, since a policy is compared and an exact number can be.
fn per_thousand(ratio: Ratio) -> u16 {
    let thousandths = (f64::from(ratio.0) * 1000.0).round().clamp(0.0, 1000.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, and between 0 and 1000"
    )]
    let thousandths = thousandths as u16;
    thousandths
}

/// A lifecycle hook (`post_start`, `pre_stop`) as `POST /containers/{id}/exec` takes it. A variable without a value is passed on
/// by its name, which leaves the container's own.
fn hook(hook: &ServiceHook) -> Hook {
    let ServiceHook { command, user, privileged, working_dir, environment } = hook;
    Hook {
        command: command.clone().unwrap_or_default(),
        user: user.clone(),
        privileged: *privileged,
        working_dir: working_dir.clone(),
        environment: environment
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            })
            .collect(),
    }
}

/// Places of a service's attributes; mounts and ports also by what the drift of them is called.
fn origins(desk: &Desk<'_>, name: &ServiceName, service: &Service) -> BTreeMap<String, Location> {
    let all = &desk.input.project.origins;
    let mut places: BTreeMap<String, Location> = all
        .below(&format!("services.{name}"))
        .map(|(path, location)| (path.to_owned(), location))
        .collect();
    let volumes =
        service.volumes.iter().map(|volume| volume.target.trim_end_matches('/').to_owned());
    let named: Vec<(String, String)> = volumes
        .enumerate()
        .map(|(place, target)| (format!("volumes.{place}"), format!("volumes.{target}")))
        .chain(service.ports.iter().enumerate().map(|(place, port)| {
            (format!("ports.{place}"), format!("ports.{}/{}", port.target, port.protocol))
        }))
        .collect();
    for (from, to) in named {
        if let Some(location) = places.get(&from).cloned() {
            places.entry(to).or_insert(location);
        }
    }
    places
}

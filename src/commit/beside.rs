//! What a pass knows beside its stack: the other stacks of the host, and what is lost with what nobody asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Commit, LoadedStack};
use crate::config::settings::Labels;
use crate::fleet::whole::{self, Member};

use crate::docker::Engine;
use crate::drift::{Findings, data_of};
use crate::model::{
    Claims, Cure, Desired, Drift, HostName, ImagePolicy, ImageRef, Neighbourhood, Observed,
    Predecessor, Resource, StackName,
};
use crate::plan::bound_device;

/// What a pass must know beside its stack: what other stacks of the host ask for, and how far they are.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// What the stacks of the newest commit ask for, where the stack may be kept at another one.
    pub newest: Option<Arc<Claims>>,
    /// The first target of this host that is not in sync with the newest commit. While there is one, no volume is
    /// removed.
    pub unsettled: Option<StackName>,
    /// Stacks that left, and that this one seems to have been.
    pub before: Vec<Predecessor>,
}

impl Beside {
    /// The other stacks of a host: those of the stack's own commit, and of the newest one.
    pub(crate) fn neighbours(&self, own: &Arc<Claims>, host: &HostName) -> Neighbourhood {
        let newest = self.newest.iter().filter(|newest| !Arc::ptr_eq(newest, own));
        Neighbourhood {
            claims: std::iter::once(own).chain(newest).map(Arc::clone).collect(),
            host: Some(host.clone()),
        }
    }
}

/// Learns how much the volumes hold that may be removed: that is said before it is done.
pub(crate) async fn weigh(engine: &Engine, findings: &Findings, observed: &mut Observed) {
    let may_go = |drift: &Drift| match &drift.resource {
        Resource::Volume(name) if drift.cure == Cure::Remove => Some(name.clone()),
        _ => None,
    };
    let leaving: Vec<String> = findings.drifts.iter().filter_map(may_go).collect();
    if leaving.is_empty() {
        return;
    }
    let sizes = engine.volume_sizes().await;
    for name in leaving {
        if let (Some(volume), Some(size)) = (observed.volumes.get_mut(&name), sizes.get(&name)) {
            volume.size = Some(*size);
        }
    }
}

/// Learns what is at the paths of the host that containers to be made or started mount: an Engine makes a folder of what
/// it does not find.
pub(crate) async fn probe(
    engine: &Engine,
    desired: &Desired,
    findings: &Findings,
    observed: &mut Observed,
) {
    let mut paths = BTreeSet::new();
    let waits = |drift: &&Drift| matches!(drift.cure, Cure::Create | Cure::Replace | Cure::Revive);
    for drift in findings.drifts.iter().filter(waits) {
        let Resource::Replica { replica, .. } = &drift.resource else { continue };
        let service = desired.services.get(&replica.service);
        let Some(one) = service.and_then(|service| service.replicas.get(&replica.number)) else {
            continue;
        };
        let mounted = data_of(&one.spec, &desired.bundles_folder).into_values();
        for source in mounted {
            let volume = desired.volumes.values().find(|volume| volume.spec.name == source);
            let device = volume.and_then(|volume| bound_device(&volume.spec));
            paths.extend(device.map(str::to_owned));
            paths.extend(source.starts_with('/').then_some(source));
        }
    }
    if !paths.is_empty() {
        observed.paths = engine.sights(&paths).await;
    }
}

/// What holds across all stacks: what they share, what two of them want, and who comes first.
pub(super) fn see_whole(commit: &mut Commit, hosts: &BTreeMap<HostName, Labels>) {
    let members = members(commit.stacks.values().map(AsRef::as_ref), hosts);
    let claims = Arc::new(whole::claims(&members));
    let implied = whole::implied(&members);
    drop(members);
    for (name, stack) in &mut commit.stacks {
        let loaded = Arc::make_mut(stack);
        loaded.claims = Arc::clone(&claims);
        let Some(first) = implied.get(name) else { continue };
        loaded.stack.implied.clone_from(first);
        let told = commit.fleet.as_mut().and_then(|fleet| fleet.stacks.get_mut(name));
        if let Some(stack) = told {
            stack.implied.clone_from(first);
        }
    }
    commit.claims = claims;
}

/// Loaded stacks as members of their commit.
pub fn members<'a>(
    stacks: impl IntoIterator<Item = &'a LoadedStack>,
    hosts: &BTreeMap<HostName, Labels>,
) -> Vec<Member<'a>> {
    let member = |loaded: &'a LoadedStack| Member {
        stack: &loaded.stack,
        project: loaded.project.as_ref(),
        hosts: Arc::new(loaded.stack.hosts.select(hosts)),
        spreads: loaded.spreads,
    };
    stacks.into_iter().map(member).collect()
}

/// Images whose tag is followed at their registry, and how often it is to be asked.
pub(crate) fn followed_tags(desired: &Desired) -> BTreeMap<ImageRef, Duration> {
    let mut followed = BTreeMap::new();
    for service in desired.services.values() {
        let every = match service.image_policy {
            ImagePolicy::PullAlways => Duration::ZERO,
            ImagePolicy::PullEvery(every) => every,
            ImagePolicy::PullMissing | ImagePolicy::Never | ImagePolicy::Build(_) => continue,
        };
        let known = followed.entry(service.image.clone()).or_insert(every);
        *known = every.min(*known);
    }
    followed
}

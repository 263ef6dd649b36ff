//! What runs, and has not run for long enough to be called working.
//!
//! A health check proves a service; without one only time does. The watch time counts from the container's start, so a
//! service that has run for longer is done at once. One that crashed is watched for longer with each crash: a crash loop
//! is not well between two crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::drift::Findings;
use crate::model::{
    ContainerState, Desired, DesiredService, HealthCheckState, Observed, ObservedContainer,
    Replica, Timestamp,
};
use crate::report::Unproven;
use crate::schedule::{self, Recoveries};

/// Since when replicas are seen to run, by our clock: a host's own may be ahead of it.
pub type SeenUp = BTreeMap<Replica, (Timestamp, Timestamp)>;

/// What a look is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// What is asked for.
    pub desired: &'a Desired,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was made of it.
    pub findings: &'a Findings,
    /// What crashed lately.
    pub recoveries: &'a Recoveries,
    /// How long a service is watched that says nothing itself.
    pub limit: Duration,
    /// The time.
    pub now: Timestamp,
}

impl Watch<'_> {
    /// All replicas that have still to show that they work. `seen` is brought up to date.
    pub fn unproven(&self, seen: &mut SeenUp) -> Vec<Unproven> {
        let mut found = Vec::new();
        let mut young = SeenUp::new();
        for (replica, id) in &self.findings.keepers {
            let Some(service) = self.desired.services.get(&replica.service) else { continue };
            let container = self.observed.containers.iter().find(|one| one.id == *id);
            let Some(container) = container.filter(|_| !service.is_job) else { continue };
            let one = |until, crashed| Unproven {
                service: replica.service.clone(),
                number: replica.number,
                until,
                crashed,
            };
            match container.state {
                ContainerState::Restarting => found.push(one(None, true)),
                ContainerState::Running => {
                    let Some(started) = container.started_at else { continue };
                    let (watch, crashed) = self.watch(service, replica, container);
                    let known = seen.get(replica).filter(|(of, _)| *of == started);
                    let first = known.map_or(self.now, |(_, first)| *first);
                    let until = started.min(first).plus(watch);
                    if self.now < until {
                        young.insert(replica.clone(), (started, first));
                        found.push(one(Some(until), crashed));
                    }
                }
                ContainerState::Created
                | ContainerState::Exited(_)
                | ContainerState::Paused
                | ContainerState::Removing
                | ContainerState::Dead
                | ContainerState::Unknown => {}
            }
        }
        *seen = young;
        found
    }

    /// How long it must have run, and whether that is because it crashed.
    fn watch(
        &self,
        service: &DesiredService,
        replica: &Replica,
        container: &ObservedContainer,
    ) -> (Duration, bool) {
        let watch = match service.update.monitor {
            Duration::ZERO => self.limit,
            said => said,
        };
        let remembered = self.recoveries.of(replica).map_or(0, |known| known.crashes(self.now));
        // What restarted before we looked for the first time is told by the Engine's own count.
        let crashes = remembered.max(u32::from(container.restart_count > 0));
        match (crashes, container.health) {
            (0, HealthCheckState::Healthy) => (Duration::ZERO, false),
            (0, _) => (watch, false),
            (crashes, _) => (schedule::watch_after(watch, crashes), true),
        }
    }
}

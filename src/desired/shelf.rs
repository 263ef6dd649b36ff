//! What was made already, for hosts that are asked the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Desired, DesiredNetwork, DesiredService, DesiredVolume, Digest, FileBundle, ServiceName,
};

/// Variants that are kept of one thing. Hosts differ by their Engine's abilities, their folder and, where secrets are
/// used, their id: what is really different everywhere is not worth comparing with everybody.
const MOST_VARIANTS: usize = 8;

/// What one stack asks, by host at first, and in the end once for all hosts that are alike: a thousand hosts cost what
/// their differences cost.
#[derive(Debug, Default)]
pub struct Shelf {
    services: Variants<ServiceName, DesiredService>,
    networks: Variants<String, DesiredNetwork>,
    volumes: Variants<String, DesiredVolume>,
    bundles: Variants<Digest, FileBundle>,
}

/// What was made, by name, in the few variants that there are.
type Variants<K, V> = BTreeMap<K, Vec<Arc<V>>>;

impl Shelf {
    /// Makes of what was made, wherever it is the same, the very same as was made before.
    pub fn share(&mut self, made: &mut Desired) {
        share(&mut self.services, &mut made.services);
        share(&mut self.networks, &mut made.networks);
        share(&mut self.volumes, &mut made.volumes);
        share(&mut self.bundles, &mut made.bundles);
    }
}

/// Takes what is equal to something on the shelf from there, and puts there what is new.
fn share<K: Ord + Clone, V: PartialEq>(known: &mut Variants<K, V>, made: &mut BTreeMap<K, Arc<V>>) {
    for (key, one) in made {
        let known = known.entry(key.clone()).or_default();
        match known.iter().find(|known| known == &one) {
            Some(same) => *one = Arc::clone(same),
            None if known.len() < MOST_VARIANTS => known.push(Arc::clone(one)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{MOST_VARIANTS, Shelf};
    use crate::model::{
        Desired, DesiredService, FailureAction, ImagePolicy, ImageRef, RepositoryName, Revision,
        ServiceName, StackName, UpdateOrder, UpdatePolicy,
    };

    fn service(grace: u64) -> Arc<DesiredService> {
        Arc::new(DesiredService {
            origin: None,
            image: ImageRef::parse("app").unwrap(),
            image_policy: ImagePolicy::Never,
            replicas: [].into(),
            depends_on: [].into(),
            may_complete: false,
            is_job: false,
            restarts_unhealthy: true,
            update: UpdatePolicy {
                parallelism: 1,
                order: UpdateOrder::StopFirst,
                delay: Duration::ZERO,
                monitor: Duration::ZERO,
                failure_action: Some(FailureAction::Pause),
                failures_per_thousand: 0,
            },
            rollback: None,
            stop_grace: Duration::from_secs(grace),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            origins: [].into(),
        })
    }

    fn desired(graces: [u64; 2]) -> Desired {
        let [web, db] = graces;
        let name = |name: &str| ServiceName::parse(name).unwrap();
        Desired {
            stack: StackName::parse("shop").unwrap(),
            project: StackName::parse("shop").unwrap(),
            start_empty: crate::model::StartEmpty::default(),
            known: Arc::default(),
            folder: crate::model::StackFolder::default(),
            neighbours: crate::model::Neighbourhood::default(),
            repository: RepositoryName::parse("main").unwrap(),
            revision: Revision::parse(&"a".repeat(40)).unwrap(),
            services: [(name("web"), service(web)), (name("db"), service(db))].into(),
            networks: [].into(),
            volumes: [].into(),
            bundles: [].into(),
            bundles_folder: String::new(),
            seals: [].into(),
        }
    }

    fn on_the(shelf: &mut Shelf, mut made: Desired) -> Desired {
        let asked = made.clone();
        shelf.share(&mut made);
        assert_eq!(made, asked);
        made
    }

    #[test]
    fn hosts_share_what_is_the_same() {
        let mut shelf = Shelf::default();
        let first = on_the(&mut shelf, desired([1, 2]));
        let other = on_the(&mut shelf, desired([1, 3]));
        assert!(Arc::ptr_eq(&first.services["web"], &other.services["web"]));
        assert!(!Arc::ptr_eq(&first.services["db"], &other.services["db"]));
        let alike = on_the(&mut shelf, desired([1, 3]));
        assert!(Arc::ptr_eq(&alike.services["db"], &other.services["db"]));
    }

    #[test]
    fn what_differs_everywhere_is_not_collected() {
        let mut shelf = Shelf::default();
        for grace in 0..100 {
            on_the(&mut shelf, desired([1, grace]));
        }
        assert_eq!(shelf.services["db"].len(), MOST_VARIANTS);
        assert_eq!(shelf.services["web"].len(), 1);
    }
}

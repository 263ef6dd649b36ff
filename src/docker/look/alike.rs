//! What is the same on many hosts, once for all of them: a fleet runs the same containers with the same settings.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::model::{ContainerConfig, HostConfig};

/// Below this many, nobody looks which are still in use.
const FEW: usize = 64;

static CONFIGS: LazyLock<Mutex<Alike<ContainerConfig>>> = LazyLock::new(Mutex::default);
static HOST_CONFIGS: LazyLock<Mutex<Alike<HostConfig>>> = LazyLock::new(Mutex::default);

/// The same settings; the very same as before where any container has them already.
pub(super) fn config(config: ContainerConfig) -> Arc<ContainerConfig> {
    CONFIGS.lock().unwrap_or_else(PoisonError::into_inner).share(config)
}

/// [`config`] for the other half.
pub(super) fn host_config(config: HostConfig) -> Arc<HostConfig> {
    HOST_CONFIGS.lock().unwrap_or_else(PoisonError::into_inner).share(config)
}

struct Alike<T> {
    /// By their hash. Of two with one hash only the first is shared.
    known: BTreeMap<u64, Arc<T>>,
    /// How many there may be before those that nobody uses any more are let go.
    tidy_at: usize,
}

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), tidy_at: FEW }
    }
}

impl<T: Hash + Eq> Alike<T> {
    fn share(&mut self, one: T) -> Arc<T> {
        let mut hasher = DefaultHasher::new();
        one.hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(known) = self.known.get(&hash).filter(|known| ***known == one) {
            return Arc::clone(known);
        }
        if self.tidy_at <= self.known.len() {
            self.known.retain(|_, known| 1 < Arc::strong_count(known));
            self.tidy_at = FEW.max(2 * self.known.len());
        }
        let one = Arc::new(one);
        self.known.entry(hash).or_insert_with(|| Arc::clone(&one));
        one
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Alike, FEW};
    use crate::model::HostConfig;

    fn limited(memory: i64) -> HostConfig {
        HostConfig { memory, ..HostConfig::default() }
    }

    #[test]
    fn what_is_the_same_is_kept_once_and_what_nobody_uses_is_let_go() {
        let mut alike = Alike::default();
        let first = alike.share(limited(1));
        assert!(Arc::ptr_eq(&first, &alike.share(limited(1))));
        for memory in 2..1_000 {
            assert_eq!(alike.share(limited(memory)).memory, memory);
        }
        assert!(alike.known.len() <= FEW);
        assert!(Arc::ptr_eq(&first, &alike.share(limited(1))));
    }
}

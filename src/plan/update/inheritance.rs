//! What a successor takes over from its predecessor without anybody asking: anonymous volumes.

use crate::model::{ContainerSpec, Mount, ObservedContainer};

/// A successor mounts its predecessor's anonymous volumes where it would get fresh ones, so that no data is left behind.
///
/// `VOLUME /var/lib/mysql` in an image and nothing in the manifest: the database is in a volume with a name of 64
/// digits. `docker compose up` keeps it across a change of the definition, and people rely on that without knowing it.
pub(super) fn inherit_anonymous_volumes(spec: &mut ContainerSpec, old: &ObservedContainer) {
    for (target, mount) in &old.mounts {
        let anonymous = mount.kind == "volume" && is_anonymous(&mount.name);
        let wanted = spec.config.volumes.contains_key(target)
            || spec.host.mounts.iter().any(|mount| {
                mount.target == *target && mount.kind == "volume" && mount.source.is_empty()
            })
            || old.spec.config.volumes.contains_key(target);
        let mounted = |mounting: crate::model::Mounting<'_>| {
            mounting.target == target && !mounting.source.is_empty()
        };
        let taken = spec.host.mountings().any(mounted) || spec.host.tmpfs.contains_key(target);
        if !anonymous || !wanted || taken {
            continue;
        }
        let mounts = &mut spec.host_mut().mounts;
        match mounts.iter_mut().find(|m| m.target == *target && m.kind == "volume") {
            Some(existing) => existing.source.clone_from(&mount.name),
            None => mounts.push(Mount {
                kind: "volume".to_owned(),
                source: mount.name.clone(),
                target: target.clone(),
                read_only: !mount.writable,
                ..Mount::default()
            }),
        }
    }
}

/// The Engine names anonymous volumes with 64 hexadecimal digits.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

//! The key of a file: whole in each group's entries, or a share of it in each group.

use super::age::{self, Identities, NotOpened};
use super::metadata::{Group, Metadata};
use super::refusal::Refusal;
use super::shamir;

/// The file's key, where the identities open as much of it as it takes.
pub(super) fn find(metadata: &Metadata, identities: &Identities) -> Result<[u8; 32], Refusal> {
    let mut parts = Vec::new();
    let mut reasons = Vec::new();
    for group in &metadata.groups {
        if parts.len() == metadata.threshold {
            break;
        }
        match of_group(group, identities) {
            Ok(part) => parts.push(part),
            Err(refusal) => reasons.push(refusal),
        }
    }
    if parts.len() < metadata.threshold {
        let found = parts.len();
        let Some(mut first) = reasons.into_iter().next() else {
            return Err(Refusal::malformed("the SOPS file names nobody who may read it"));
        };
        if 1 < metadata.groups.len() {
            first.message = format!(
                "{} groups of keys are needed, and {found} could be opened: {}",
                metadata.threshold, first.message
            );
        }
        return Err(first);
    }
    let key = match parts.as_slice() {
        [whole] if metadata.groups.len() == 1 => Some(whole.clone()),
        shares => shamir::combine(shares),
    };
    key.and_then(|key| key.try_into().ok())
        .ok_or_else(|| Refusal::changed("what the keys of the SOPS file open is no data key"))
}

fn of_group(group: &Group, identities: &Identities) -> Result<Vec<u8>, Refusal> {
    let mut changed = None;
    for (recipient, sealed) in &group.age {
        match age::decrypt(sealed.as_bytes(), identities) {
            Ok(part) => return Ok(part),
            Err(NotOpened::NotOurs) => {}
            Err(NotOpened::Broken(why)) => {
                changed.get_or_insert_with(|| {
                    Refusal::changed(format!(
                        "the data key for {} cannot be read: {why}",
                        short(recipient)
                    ))
                });
            }
        }
    }
    Err(changed.unwrap_or_else(|| nobody(group)))
}

/// No identity opens a group's part.
fn nobody(group: &Group) -> Refusal {
    const SHOWN: usize = 3;
    let followed = |recipient: &&String| age::follows(recipient);
    if group.age.is_empty() {
        let message = format!("the SOPS file is encrypted for {} only", group.others.join(", "));
        return Refusal::unsupported(
            message,
            "age is what is read: add this daemon's recipient to `.sops.yaml`, and run `sops updatekeys` on the file",
        );
    }
    let recipients = || group.age.iter().map(|(recipient, _)| recipient);
    if let Some(plugin) = recipients().find(|recipient| !age::follows(recipient))
        && recipients().filter(followed).count() == 0
    {
        let message =
            format!("the SOPS file is encrypted for a plugin of age only ({})", short(plugin));
        return Refusal::unsupported(
            message,
            "plugins are programs that the repository would choose, and are not run: add a recipient `age1…` or `ssh-…`, and run `sops updatekeys` on the file",
        );
    }
    let mut named: Vec<String> = recipients().take(SHOWN).map(|one| short(one)).collect();
    if SHOWN < group.age.len() {
        named.push(format!("and {} more", group.age.len() - SHOWN));
    }
    Refusal::no_key(format!(
        "no key that was given opens the SOPS file, which is encrypted for {}",
        named.join(", ")
    ))
}

/// A recipient as people tell it from others: post-quantum ones have 1,900 characters.
fn short(recipient: &str) -> String {
    const LONGEST: usize = 70;
    let line = recipient.lines().next().unwrap_or_default().trim();
    let visible: String = line.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    match visible.get(..LONGEST) {
        Some(start) if LONGEST < visible.len() => format!("{start}…"),
        _ => visible,
    }
}

//! What a container sees at which place, whichever of the Engine's two spellings asks for it.

use super::HostConfig;

/// One thing that is mounted: an entry of `Binds` (`source:target[:options]`) or of `Mounts`, read once, here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mounting<'a> {
    /// Of which kind.
    pub kind: MountKind,
    /// A path of the host, or a volume's name; empty for an anonymous volume and for what has no source.
    pub source: &'a str,
    /// Where the container sees it.
    pub target: &'a str,
    /// The container may not write there.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume,
    /// Memory, an image, a pipe.
    Other,
}

impl<'a> Mounting<'a> {
    /// The path of the host, for a bind.
    pub fn host_path(&self) -> Option<&'a str> {
        (self.kind == MountKind::Bind).then_some(self.source)
    }

    /// The volume's name, for a volume that has one.
    pub fn volume(&self) -> Option<&'a str> {
        (self.kind == MountKind::Volume && !self.source.is_empty()).then_some(self.source)
    }

    fn of_bind(bind: &'a str) -> Option<Self> {
        let (source, target, options) = split_bind(bind)?;
        let is_path = source.starts_with(['/', '~', '.']) || source.contains(['/', '\\']);
        let kind = if is_path { MountKind::Bind } else { MountKind::Volume };
        let read_only = options.split(',').any(|option| option == "ro");
        Some(Self { kind, source, target, read_only })
    }
}

impl HostConfig {
    /// Everything that it mounts, but for tmpfs, other containers' volumes, and volumes that the image alone asks for.
    pub fn mountings(&self) -> impl Iterator<Item = Mounting<'_>> {
        let binds = self.binds.iter().filter_map(|bind| Mounting::of_bind(bind));
        let mounts = self.mounts.iter().map(|mount| Mounting {
            kind: match mount.kind.as_str() {
                "bind" => MountKind::Bind,
                "volume" => MountKind::Volume,
                _ => MountKind::Other,
            },
            source: &mount.source,
            target: &mount.target,
            read_only: mount.read_only,
        });
        binds.chain(mounts)
    }
}

/// Source, target and options of `source:target[:options]`; a drive letter belongs to its path. `None` for what names no
/// target.
pub fn split_bind(bind: &str) -> Option<(&str, &str, &str)> {
    let mut colon = bind.find(':')?;
    // A lone slash is the root of the host, not a drive.
    let is_drive = colon == 1 && bind.starts_with(|c: char| c.is_ascii_alphabetic());
    let (_, after) = bind.split_at(colon + 1);
    if is_drive && after.starts_with(['\\', '/']) {
        colon += 1 + after.find(':')?;
    }
    let (source, rest) = bind.split_at(colon);
    let rest = rest.strip_prefix(':')?;
    let (target, options) = rest.split_once(':').unwrap_or((rest, ""));
    Some((source, target, options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mount;

    #[test]
    fn every_spelling_of_a_bind_is_parted_at_its_target() {
        for (bind, source, target, options) in [
            ("/:/host:ro", "/", "/host", "ro"),
            ("/:/", "/", "/", ""),
            ("/:/host:rw,rslave", "/", "/host", "rw,rslave"),
            ("/srv:/data", "/srv", "/data", ""),
            ("/a:/b:ro,z", "/a", "/b", "ro,z"),
            (".:/app", ".", "/app", ""),
            ("data:/data:ro", "data", "/data", "ro"),
            ("d:/data", "d:/data", "", ""),
            ("C:\\srv:/data:ro", "C:\\srv", "/data", "ro"),
            ("c:/srv:/data", "c:/srv", "/data", ""),
        ] {
            let told = split_bind(bind);
            let expected = (!target.is_empty()).then_some((source, target, options));
            assert_eq!(told, expected, "{bind}");
        }
    }

    #[test]
    fn both_spellings_say_the_same() {
        let mount = |kind: &str, source: &str, target: &str, read_only| Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
            ..Mount::default()
        };
        for (bind, mount) in [
            ("/:/host:ro", mount("bind", "/", "/host", true)),
            ("/srv/x:/x:rw,z", mount("bind", "/srv/x", "/x", false)),
            ("shop_data:/data", mount("volume", "shop_data", "/data", false)),
            ("shop_data:/data:nocopy,ro", mount("volume", "shop_data", "/data", true)),
        ] {
            let short = HostConfig { binds: vec![bind.to_owned()], ..HostConfig::default() };
            let long = HostConfig { mounts: vec![mount], ..HostConfig::default() };
            let told: Vec<Mounting<'_>> = short.mountings().collect();
            assert_eq!(told, long.mountings().collect::<Vec<_>>(), "{bind}");
        }
    }
}

//! Binds and mounts as one thing: what is at which place in the container.

use std::collections::BTreeSet;

use crate::drift::sheet::{Sheet, trim_path};
use crate::drift::table::Field;
use crate::model::{
    BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeDriver, VolumeOptions, split_bind,
};

/// What stands for an anonymous volume: its name is the Engine's.
pub(in crate::drift) const ANONYMOUS: &str = "volume (anonymous)";

/// Writes both forms of mounts into a sheet, by target.
pub(in crate::drift) fn write(out: &mut Sheet, binds: &[String], mounts: &[Mount]) {
    for (target, text) in binds.iter().filter_map(|bind| from_bind(bind)) {
        out.named(Field::Mounts, &target, text);
    }
    for mount in mounts {
        out.named(Field::Mounts, &trim_path(&mount.target), from_mount(mount));
    }
}

/// A mount in the old words of `HostConfig.Binds`, `SOURCE:TARGET[:OPTIONS]`: target, and what is mounted there. A source that
/// is no absolute path names a volume.
fn from_bind(bind: &str) -> Option<(String, String)> {
    let (source, target, options) = split_bind(bind)?;
    let mut words: BTreeSet<String> = BTreeSet::new();
    for option in options.split(',') {
        match option {
            // Defaults, and words for other systems' file sharing.
            "" | "rw" | "rprivate" | "cached" | "delegated" | "consistent" | "default" => {}
            other => {
                words.insert(other.to_owned());
            }
        }
    }
    let is_path = source.starts_with(['/', '~', '.']) || source.contains(['/', '\\']);
    let kind = if is_path { "bind" } else { "volume" };
    Some((trim_path(target), describe(kind, source, words)))
}

/// A mount in the newer words of `HostConfig.Mounts`, brought to the same text as its equal among the binds.
fn from_mount(mount: &Mount) -> String {
    let Mount {
        kind,
        source,
        target: _,
        read_only,
        // For other systems' file sharing.
        consistency: _,
        bind_options,
        volume_options,
        tmpfs_options,
        image_options,
    } = mount;
    let mut words = BTreeSet::new();
    if *read_only {
        words.insert("ro".to_owned());
    }
    if let Some(options) = bind_options {
        bind_words(&mut words, options);
    }
    if let Some(options) = volume_options {
        volume_words(&mut words, options);
    }
    if let Some(TmpfsOptions { size_bytes, mode, options }) = tmpfs_options {
        words.extend((*size_bytes != 0).then(|| format!("size={size_bytes}")));
        words.extend((*mode != 0).then(|| format!("mode={mode:o}")));
        words.extend(options.iter().map(|option| option.join("=")));
    }
    if let Some(ImageOptions { subpath }) = image_options {
        words.extend((!subpath.is_empty()).then(|| format!("subpath={subpath}")));
    }
    describe(kind, source, words)
}

/// What differs from a plain bind. The Engine's defaults are left out: `rprivate` propagation, recursive, `rw`.
fn bind_words(words: &mut BTreeSet<String>, options: &BindOptions) {
    let BindOptions {
        propagation,
        non_recursive,
        // Only of effect while a container is made.
        create_mountpoint: _,
        read_only_non_recursive,
        read_only_force_recursive,
    } = options;
    if !matches!(propagation.as_str(), "" | "rprivate") {
        words.insert(propagation.clone());
    }
    words.extend(non_recursive.then(|| "non-recursive".to_owned()));
    words.extend(read_only_non_recursive.then(|| "ro-non-recursive".to_owned()));
    words.extend(read_only_force_recursive.then(|| "ro-force-recursive".to_owned()));
}

/// What differs from a plain volume: `nocopy`, a sub-path (API 1.45), labels and a driver of its own.
fn volume_words(words: &mut BTreeSet<String>, options: &VolumeOptions) {
    let VolumeOptions { no_copy, labels, driver_config, subpath } = options;
    words.extend(no_copy.then(|| "nocopy".to_owned()));
    // Of no effect on a volume that exists already; kept out of an anonymous volume's identity as well, because a
    // successor inherits the volume.
    let _: &std::collections::BTreeMap<String, String> = labels;
    if let Some(VolumeDriver { name, options }) = driver_config
        && !matches!(name.as_str(), "" | "local")
    {
        words.insert(format!("driver={name}"));
        words.extend(options.iter().map(|(key, value)| format!("{key}={value}")));
    }
    words.extend((!subpath.is_empty()).then(|| format!("subpath={subpath}")));
}

/// One mount as a line: its kind, its source, and its mode with whatever is special about it, in a fixed order.
fn describe(kind: &str, source: &str, words: BTreeSet<String>) -> String {
    let anonymous = kind == "volume" && (source.is_empty() || is_engine_name(source));
    let what = match (anonymous, source) {
        (true, _) => ANONYMOUS.to_owned(),
        (false, "") => kind.to_owned(),
        (false, source) if kind == "bind" => format!("bind {}", trim_path(source)),
        (false, source) => format!("{kind} {source}"),
    };
    let mode = if words.contains("ro") { "ro" } else { "rw" };
    let others: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "ro").collect();
    if others.is_empty() {
        format!("{what} {mode}")
    } else {
        format!("{what} {mode},{}", others.join(","))
    }
}

/// Whether the Engine made a volume's name up: 64 hexadecimal digits.
pub(in crate::drift) fn is_engine_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_host_is_no_drive() {
        let line = from_bind("/:/host:ro").unwrap();
        assert_eq!(line, ("/host".to_owned(), "bind / ro".to_owned()));
    }
}

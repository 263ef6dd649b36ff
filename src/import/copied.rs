//! Which of the files that a stack mounts or builds from belong into the repository.
//!
//! A file or folder belongs there when it is settings: containers only read it, or nobody wrote to it since the
//! container was made. What a service may write to is its state, and what looks like a secret is nobody's business: both
//! stay where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::nouns::{DraftFile, Outside};
use crate::compose::tree_path;
use crate::git;
use crate::model::{Project, Timestamp};

/// The largest file that is copied; a daemon reads none that is larger unless its settings say so.
const LARGEST: u64 = 10 << 20;
/// The largest file that containers may write to and that is taken for settings all the same.
const LARGEST_WRITABLE: u64 = 1 << 20;
/// Bytes and files of one folder.
const LARGEST_FOLDER: u64 = 64 << 20;
const MOST_FILES: usize = 5_000;

/// The folder of this machine that is the root of a part of the repository.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// The folder.
    pub(super) disk: String,
    /// Its path in the repository.
    pub(super) tree: String,
}

impl Root {
    /// A path of the repository, as a path of this machine.
    pub(super) fn on_disk(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.tree)?;
        let is_below = rest.is_empty() || rest.starts_with('/');
        is_below.then(|| format!("{}{rest}", self.disk.trim_end_matches('/')))
    }

    /// A path of this machine, as a path of the repository.
    pub(super) fn in_tree(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.disk.trim_end_matches('/'))?;
        let is_below = rest.is_empty() || rest.starts_with('/');
        is_below.then(|| format!("{}{rest}", self.tree))
    }
}

/// What comes along, and what does not.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Files by their path in the repository.
    pub(super) files: BTreeMap<String, DraftFile>,
    /// What stays where it is.
    pub(super) outside: Vec<Outside>,
    /// Files of secrets and configs that stay on the host: `secrets` or `configs`, name, absolute path.
    pub(super) by_path: Vec<(&'static str, String, String)>,
}

/// Chooses the files of a project that was loaded from the repository as it is to be. `made_at` is when the newest of its
/// containers was made, where there are any; `env_files` are never copied.
pub(super) fn choose(
    project: &Project,
    root: &Root,
    (made_at, env_files): (Option<Timestamp>, &BTreeSet<&String>),
) -> Copied {
    let mut copied = Copied::default();
    let of_root = |path: &str| Some((tree_path(path)?.to_owned(), root.on_disk(tree_path(path)?)?));
    let mut binds: BTreeMap<(String, String), bool> = BTreeMap::new();
    for service in project.services.values() {
        for volume in service.volumes.iter().filter(|volume| volume.kind == "bind") {
            if let Some(place) = of_root(&volume.source) {
                *binds.entry(place).or_default() |= !volume.read_only;
            }
        }
    }
    let mut kept: BTreeSet<PathBuf> = env_files.iter().map(PathBuf::from).collect();
    for ((tree, disk), is_writable) in &binds {
        let chosen = bind((tree, Path::new(disk)), *is_writable, made_at, &kept);
        match chosen {
            Ok(files) => copied.files.extend(files),
            Err(why) => {
                kept.insert(PathBuf::from(disk));
                copied.outside.push(Outside { path: disk.clone(), why });
            }
        }
    }
    for (kind, name, file) in file_objects(project) {
        let Some((tree, disk)) = of_root(&file) else { continue };
        let settings =
            match kind {
                "configs" => bind((&tree, Path::new(&disk)), false, made_at, &kept),
                _ => Err("a secret never goes into the repository: the host's own file is used"
                    .to_owned()),
            };
        match settings {
            Ok(files) => copied.files.extend(files),
            Err(why) => {
                kept.insert(PathBuf::from(&disk));
                copied.by_path.push((kind, name, disk.clone()));
                copied.outside.push(Outside { path: disk, why });
            }
        }
    }
    for file in profiles(project) {
        if let Some((tree, disk)) = of_root(&file)
            && let Ok(files) = bind((&tree, Path::new(&disk)), false, made_at, &kept)
        {
            copied.files.extend(files);
        }
    }
    for source in built_from(project) {
        if let Some((tree, disk)) = of_root(&source) {
            build((&tree, Path::new(&disk)), &kept, &mut copied);
        }
    }
    copied.outside.extend(devices(project).iter().filter_map(|path| of_root(path)).map(
        |(_, disk)| Outside {
            path: disk,
            why: "a volume is bound to it: it stays where it is".to_owned(),
        },
    ));
    copied
}

fn file_objects(project: &Project) -> Vec<(&'static str, String, String)> {
    let configs = project.configs.iter().map(|(name, one)| ("configs", name, &one.file));
    let secrets = project.secrets.iter().map(|(name, one)| ("secrets", name, &one.file));
    let all = configs.chain(secrets).filter(|(_, _, file)| !file.is_empty());
    all.map(|(kind, name, file)| (kind, name.clone(), file.clone())).collect()
}

fn profiles(project: &Project) -> Vec<String> {
    let options = project.services.values().flat_map(|service| &service.security_opt);
    let files = options.filter_map(|option| {
        let file = option.strip_prefix("seccomp")?.strip_prefix(['=', ':'])?;
        Some(format!("{}/{}", project.root, file.trim_start_matches("./")))
    });
    files.collect()
}

fn built_from(project: &Project) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for build in project.services.values().filter_map(|service| service.build.as_ref()) {
        found.insert(build.context.clone());
        found.extend(build.additional_contexts.values().cloned());
        match build.dockerfile.as_str() {
            "" => {}
            path if path.starts_with('/') => drop(found.insert(path.to_owned())),
            path => drop(found.insert(format!("{}/{path}", build.context))),
        }
    }
    found
}

fn devices(project: &Project) -> Vec<String> {
    let all = project.volumes.values().filter_map(|volume| volume.driver_opts.get("device"));
    all.cloned().collect()
}

type Files = BTreeMap<String, DraftFile>;

/// A mounted file or folder: the files that come along, or why it stays.
fn bind(
    (tree, disk): (&str, &Path),
    is_writable: bool,
    made_at: Option<Timestamp>,
    kept: &BTreeSet<PathBuf>,
) -> Result<Files, String> {
    let facts = std::fs::metadata(disk).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "it is not there today".to_owned(),
        _ => format!("it cannot be read: {error}"),
    })?;
    if facts.is_dir() {
        if is_writable {
            return Err("services may write there, so it is state: it stays where it is".to_owned());
        }
        let found = collect((tree, disk), kept)?;
        if let Some(secret) = found.secrets.first() {
            return Err(format!(
                "it holds {secret}, which looks like a secret: it stays where it is"
            ));
        }
        if found.files.is_empty() {
            return Err(
                "it is empty, and Git holds no empty folders: it stays where it is".to_owned()
            );
        }
        return Ok(found.files);
    }
    if !facts.is_file() {
        return Err("it is no file: it stays where it is".to_owned());
    }
    if kept.contains(disk) {
        return Err("it is an env file: it stays where it is".to_owned());
    }
    let file = read(disk, facts.len())?;
    if looks_secret(disk, &file.bytes) {
        return Err("it looks like a secret: it stays where it is".to_owned());
    }
    let written_at = Timestamp::from_millis(facts.mtime().saturating_mul(1000));
    let was_written = is_writable
        && (facts.len() > LARGEST_WRITABLE
            || !is_text(&file.bytes)
            || made_at.is_none_or(|made_at| made_at < written_at));
    if was_written {
        return Err("the service may write to it, and may have: it stays where it is".to_owned());
    }
    Ok(BTreeMap::from([(tree.to_owned(), file)]))
}

/// A build context or Dockerfile: all but what is state, a secret or an env file.
fn build((tree, disk): (&str, &Path), kept: &BTreeSet<PathBuf>, copied: &mut Copied) {
    let is_file = disk.is_file();
    let found = if is_file {
        let size = std::fs::metadata(disk).map_or(0, |facts| facts.len());
        let file = read(disk, size).map(|file| BTreeMap::from([(tree.to_owned(), file)]));
        file.map(|files| Found { files, secrets: Vec::new() })
    } else {
        collect((tree, disk), kept)
    };
    match found {
        Ok(found) => {
            copied.files.extend(found.files);
            copied.outside.extend(found.secrets.into_iter().map(|path| Outside {
                path,
                why: "it looks like a secret: it is not among what is built from".to_owned(),
            }));
        }
        // A Dockerfile inside its context came with it.
        Err(_) if is_file => {}
        Err(why) => {
            let why = format!("it is built from, and was not copied: {why}");
            copied.outside.push(Outside { path: disk.display().to_string(), why });
        }
    }
}

/// What a folder holds.
#[derive(Default)]
struct Found {
    files: Files,
    /// What looks like a secret.
    secrets: Vec<String>,
}

/// The files of a folder as Git would take them, without what is kept out.
fn collect((tree, disk): (&str, &Path), kept: &BTreeSet<PathBuf>) -> Result<Found, String> {
    let copy = git::working_copy(disk);
    let is_ignored = |path: &Path| {
        let Some(copy) = &copy else { return false };
        let below = path
            .canonicalize()
            .ok()
            .and_then(|path| path.strip_prefix(&copy.root).ok()?.to_str().map(str::to_owned));
        below.is_some_and(|below| !copy.files.iter().any(|file| file.as_str() == below))
    };
    let mut found = Found::default();
    let mut bytes = 0;
    let mut open = vec![(tree.to_owned(), disk.to_owned())];
    while let Some((tree, folder)) = open.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
        for entry in entries.filter_map(Result::ok) {
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str() else { continue };
            if is_left(name) || kept.contains(&path) {
                continue;
            }
            let facts = std::fs::metadata(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let below = format!("{tree}/{name}");
            if facts.is_dir() && !path.is_symlink() {
                open.push((below, path));
            } else if facts.is_file() && !is_ignored(&path) {
                let file = read(&path, facts.len())?;
                bytes += facts.len();
                if looks_secret(&path, &file.bytes) {
                    found.secrets.push(path.display().to_string());
                    continue;
                }
                found.files.insert(below.trim_start_matches('/').to_owned(), file);
            }
            if LARGEST_FOLDER < bytes || MOST_FILES < found.files.len() {
                return Err(format!(
                    "it holds more than {} MiB or {MOST_FILES} files: it stays where it is",
                    LARGEST_FOLDER >> 20
                ));
            }
        }
    }
    Ok(found)
}

/// What would keep Git from taking what was copied.
fn is_left(name: &str) -> bool {
    matches!(name, ".git" | ".gitignore" | ".gitattributes" | ".gitmodules")
}

fn read(path: &Path, size: u64) -> Result<DraftFile, String> {
    if LARGEST < size {
        return Err(format!("{} has more than {} MiB", path.display(), LARGEST >> 20));
    }
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    let bytes: Arc<[u8]> = std::fs::read(path).map_err(failed)?.into();
    Ok(DraftFile { bytes, executable: mode & 0o111 != 0 })
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

/// Words of names that files with secrets have.
const SECRET_WORDS: [&str; 6] =
    ["secret", "password", "passwd", "credential", "htpasswd", "api_key"];
/// Endings of files with keys and certificates with keys.
const SECRET_ENDS: [&str; 7] = ["key", "p12", "pfx", "jks", "kdbx", "keystore", "env"];

/// Whether a file looks like one that holds a secret: by its name, or by a key in it.
pub(super) fn looks_secret(path: &Path, bytes: &[u8]) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    let by_name = SECRET_WORDS.iter().any(|word| name.contains(word))
        || SECRET_ENDS.contains(&end)
        || name.starts_with(".env")
        || matches!(name.as_str(), "acme.json" | "token" | ".netrc" | ".pgpass")
        || name.starts_with("id_rsa")
        || name.starts_with("id_ed25519")
        || name.starts_with("id_ecdsa");
    // Examples are there to be shown.
    let is_example =
        ["example", "sample", "template", "dist"].iter().any(|word| name.contains(word));
    (by_name && !is_example) || contains(bytes, b"PRIVATE KEY-----")
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_settings() {
        for secret in [
            ".env",
            "prod.env",
            ".env.local",
            "tls.key",
            "db_password.txt",
            "acme.json",
            "id_ed25519",
        ] {
            assert!(looks_secret(Path::new(secret), b"x"), "{secret}");
        }
        for settings in
            ["nginx.conf", "env.conf", "keys.md", ".env.example", "tls.crt", "index.html"]
        {
            assert!(!looks_secret(Path::new(settings), b"x"), "{settings}");
        }
        assert!(looks_secret(Path::new("x.pem"), b"-----BEGIN EC PRIVATE KEY-----\n"));
    }

    #[test]
    fn a_writable_file_comes_along_only_when_nobody_wrote_to_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("app.conf");
        std::fs::write(&file, "a = 1\n").unwrap();
        let written = Timestamp::from_millis(std::fs::metadata(&file).unwrap().mtime() * 1000);
        let hour = std::time::Duration::from_hours(1);
        let chosen = |writable: bool, made_at: Option<Timestamp>| {
            bind(("x/app.conf", &file), writable, made_at, &BTreeSet::new()).is_ok()
        };
        assert!(chosen(true, Some(written.plus(hour))), "untouched since");
        assert!(!chosen(true, Some(written.minus(hour))), "written afterwards");
        assert!(!chosen(true, None), "nobody knows");
        assert!(chosen(false, None), "read-only");
    }

    #[test]
    fn a_folder_that_services_write_to_or_that_holds_a_secret_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("index.html"), "x").unwrap();
        let chosen = |writable: bool| bind(("x", folder.path()), writable, None, &BTreeSet::new());
        assert!(chosen(true).is_err());
        assert_eq!(chosen(false).unwrap().into_keys().collect::<Vec<_>>(), ["x/index.html"]);
        std::fs::write(folder.path().join("tls.key"), "x").unwrap();
        assert!(chosen(false).is_err());
    }
}

//! Sees that what names a file with a secret is not the secret itself: errors about the file would show it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::settings::{HostSettings, RepositorySettings, Settings};
use crate::report::mask::{SecretSet, mask};

use super::output::advised;

/// Shorter words are no secrets worth the name.
const SHORTEST: usize = 8;

/// Refuses settings in which a token, or another secret, stands where its file should be named. What was given is not
/// shown. `folders` are those that relative names are below.
pub(super) fn check(settings: &Settings, folders: &[&Path]) -> anyhow::Result<()> {
    for (name, repository) in &settings.repositories {
        for (what, file) in files(repository) {
            if file.is_some_and(|file| is_a_secret(file, folders)) {
                let problem = anyhow::anyhow!(
                    "repository {name}: {what} names no file; what stands there looks like the secret itself, and is not shown"
                );
                return Err(advised(
                    problem,
                    "write it into a file that only Moorline can read, and name the file",
                ));
            }
        }
    }
    Ok(())
}

/// What others of this machine may read of the files that hold secrets: a sentence for each.
///
/// It is a warning, not a refusal: where container runtimes mount secrets, they are readable to all by default, and
/// nobody else is there.
pub(super) fn readable_by_others(settings: &Settings) -> Vec<String> {
    let of_repositories = settings.repositories.iter().flat_map(|(name, repository)| {
        files(repository).map(|(what, file)| (format!("repository {name}: {what}"), file))
    });
    let of_hosts = settings.hosts.iter().flat_map(|(name, host)| {
        host_files(host).map(|(what, file)| (format!("host {name}: {what}"), file))
    });
    of_repositories
        .chain(of_hosts)
        .filter_map(|(what, file)| Some((what, file.filter(|file| is_open(file))?)))
        .map(|(what, file)| {
            let file = file.display();
            format!("{what} names {file}, which every user of this machine can read; say `chmod 600 {file}`")
        })
        .collect()
}

fn host_files(host: &HostSettings) -> [(&'static str, Option<&Path>); 3] {
    [
        ("`tls.key_file`", host.tls.key_file.as_deref()),
        ("`ssh.key_file`", host.ssh.key_file.as_deref()),
        ("`ssh.passphrase_file`", host.ssh.passphrase_file.as_deref()),
    ]
}

/// Whether every user can read a file: it, and enter every folder on the way.
fn is_open(file: &Path) -> bool {
    let allows = |path: &Path, bit: u32| {
        path.metadata().is_ok_and(|facts| facts.permissions().mode() & bit != 0)
    };
    let Ok(file) = file.canonicalize() else { return false };
    allows(&file, 0o004) && file.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

fn files(repository: &RepositorySettings) -> [(&'static str, Option<&Path>); 6] {
    let (own, forge) = (&repository.credentials, &repository.forge);
    [
        ("`credentials.token_file` (`--token-file`)", own.token_file.as_deref()),
        ("`forge.token_file` (`--token-file`)", forge.token_file.as_deref()),
        ("`forge.webhook_secret_file`", forge.webhook_secret_file.as_deref()),
        ("`credentials.ssh_key_file` (`--ssh-key-file`)", own.ssh_key_file.as_deref()),
        ("`credentials.ssh_passphrase_file`", own.ssh_passphrase_file.as_deref()),
        ("`forge.app.key_file`", forge.app.as_ref().map(|app| app.key_file.as_path())),
    ]
}

/// Whether a path leads nowhere and ends in what could be a secret: the shape of a known kind of token, or a long word
/// of letters and digits without an ending.
fn is_a_secret(path: &Path, folders: &[&Path]) -> bool {
    if path.exists() {
        return false;
    }
    // A token of base64 may hold slashes, and may even begin with one.
    let below = path.ancestors().skip(1).find(|folder| folder.is_dir());
    let rest = below.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
    let text = rest.to_string_lossy();
    if mask(&text, &SecretSet::none()) != text || text.contains("-----BEGIN") {
        return true;
    }
    let has = |of: fn(&char) -> bool| text.chars().any(|c| of(&c));
    let mixed = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
    let is_relative = below.is_some_and(|below| folders.contains(&below));
    (is_relative || mixed)
        && SHORTEST <= text.len()
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic)
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_+/=".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_only_where_all_folders_on_the_way_are() {
        let folder = tempfile::TempDir::new().unwrap();
        let set = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let file = folder.path().join("token");
        std::fs::write(&file, "x").unwrap();
        for (of_folder, of_file, open) in
            [(0o755, 0o644, true), (0o755, 0o640, false), (0o700, 0o644, false)]
        {
            set(folder.path(), of_folder);
            set(&file, of_file);
            assert_eq!(is_open(&file), open, "{of_folder:o} {of_file:o}");
        }
    }

    #[test]
    fn a_token_is_told_from_a_file_that_is_not_there_yet() {
        let here = Path::new("/tmp");
        for token in [
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "glpat-abcdefghij0123456789",
            "0123456789abcdef0123456789abcdef01234567",
            "aGVsbG8gd29ybGQ/K2hlbGxv+d29ybGQ0Nzc=",
            "/aGVsbG8gd29ybGQ/K2hlbGxv+d29ybGQ0Nzc=",
        ] {
            assert!(is_a_secret(&here.join(token), &[here]), "{token}");
        }
        for path in [
            "/run/secrets/forge-token",
            "/secrets-2/of-the-forge/token",
            "token",
            "my-token-of-2026.txt",
            "forge/token",
        ] {
            assert!(!is_a_secret(&here.join(path), &[here]), "{path}");
        }
    }
}

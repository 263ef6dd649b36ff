//! Where a repository is: `dev.azure.com/ORGANISATION/PROJECT/_git/REPOSITORY`, and its other spellings.
//!
//! In the settings and here a project is `ORGANISATION/PROJECT/REPOSITORY`.

use url::Url;

use super::super::address::Location;
use super::super::rules::escaped;
use crate::model::Revision;

/// Services, whose hosts have several names.
const SERVICES: &str = "dev.azure.com";

/// The remote's place, in any of these spellings:
/// `https://dev.azure.com/ORGANISATION/PROJECT/_git/REPOSITORY`, `git@ssh.dev.azure.com:v3/ORGANISATION/PROJECT/REPOSITORY`,
/// `https://ORGANISATION.visualstudio.com/PROJECT/_git/REPOSITORY`, `https://SERVER/tfs/COLLECTION/PROJECT/_git/REPOSITORY`.
/// A repository that is called as its project may be written without the project.
pub(super) fn locate(host: &str, parts: Vec<String>) -> Location {
    let mut parts: Vec<String> = parts.iter().map(|part| unescaped(part)).collect();
    let old = host.strip_suffix(".visualstudio.com");
    let is_ssh = host == "ssh.dev.azure.com" || old == Some("vs-ssh");
    if is_ssh && parts.first().is_some_and(|part| part == "v3") {
        parts.remove(0);
    }
    if let Some(organisation) = old.filter(|_| !is_ssh) {
        parts.retain(|part| part != "DefaultCollection");
        parts.insert(0, organisation.to_owned());
    }
    if let Some(at) = parts.iter().position(|part| part == "_git") {
        parts.remove(at);
        if parts.len() < 3
            && let Some(name) = parts.get(at).cloned()
        {
            parts.insert(at, name);
        }
    }
    let below = parts.drain(..parts.len().saturating_sub(3)).collect();
    let host = (is_ssh || old.is_some()).then(|| SERVICES.to_owned());
    Location { host, below, project: parts.join("/") }
}

/// The organisation is part of the project: where the settings' address ends with it (and names nothing else), it is left
/// out.
pub(super) fn api(address: &Url) -> Url {
    let mut base = address.clone();
    if base.host_str() == Some(SERVICES) {
        base.set_path("");
    }
    base
}

/// Where the repository is below the server's address.
pub(super) fn root(project: &str) -> Vec<String> {
    let (folder, name) = apart(project);
    let below = ["_apis", "git", "repositories", name].map(str::to_owned);
    folder.split('/').map(str::to_owned).chain(below).collect()
}

/// `ORGANISATION/PROJECT`, and the repository.
fn apart(project: &str) -> (&str, &str) {
    let (folder, name) = project.rsplit_once('/').unwrap_or((project, project));
    (folder.strip_suffix("/_git").unwrap_or(folder), name)
}

/// The organisation alone.
pub(super) fn organisation(project: &str) -> &str {
    project.split('/').next().unwrap_or_default()
}

/// The server's address: its API is everywhere below it.
pub(super) fn web(api: &str) -> String {
    api.to_owned()
}

/// A file's line.
pub(super) fn file_link(
    (web, project): (&str, &str),
    at: &Revision,
    path: &str,
    line: usize,
) -> String {
    let (folder, name) = apart(project);
    let (folder, name, path) = (escaped(folder), escaped(name), escaped(path));
    let next = line + 1;
    format!(
        "{web}/{folder}/_git/{name}?path=/{path}&version=GC{at}&line={line}&lineEnd={next}&lineStartColumn=1&lineEndColumn=1"
    )
}

/// A pull request's page.
pub(super) fn pull_link((web, project): (&str, &str), number: u64) -> String {
    let (folder, name) = apart(project);
    format!("{web}/{}/_git/{}/pullrequest/{number}", escaped(folder), escaped(name))
}

/// A part of an address as people write it: projects' names have spaces.
fn unescaped(part: &str) -> String {
    let form = format!("it={}", part.replace('+', "%2B").replace('&', "%26"));
    let told = url::form_urlencoded::parse(form.as_bytes()).next();
    told.map_or_else(|| part.to_owned(), |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::ForgeSettings;
    use crate::model::{ForgeKind, Timestamp};

    fn clock() -> Timestamp {
        Timestamp::from_millis(0)
    }

    #[test]
    fn every_spelling_of_a_remote_is_the_same_repository() {
        for remote in [
            "https://dev.azure.com/acme/infra/_git/fleet",
            "https://acme@dev.azure.com/acme/infra/_git/fleet",
            "git@ssh.dev.azure.com:v3/acme/infra/fleet",
            "ssh://git@ssh.dev.azure.com/v3/acme/infra/fleet",
            "https://acme.visualstudio.com/infra/_git/fleet",
            "https://acme.visualstudio.com/DefaultCollection/infra/_git/fleet",
            "acme@vs-ssh.visualstudio.com:v3/acme/infra/fleet",
        ] {
            let told =
                ForgeSettings::for_remote(remote, Some(ForgeKind::Azure), None, clock).unwrap();
            assert_eq!(told.project, "acme/infra/fleet", "{remote}");
            assert_eq!(api(&told.api).as_str(), "https://dev.azure.com/", "{remote}");
        }
        let told = |remote: &str, given: Option<&str>| {
            let given = given.map(|text| Url::parse(text).unwrap());
            let kind = Some(ForgeKind::Azure);
            let told = ForgeSettings::for_remote(remote, kind, given, clock).unwrap();
            (told.project, api(&told.api).to_string())
        };
        assert_eq!(
            told("https://dev.azure.com/acme/_git/fleet", None),
            ("acme/fleet/fleet".to_owned(), "https://dev.azure.com/".to_owned())
        );
        assert_eq!(
            told("https://dev.azure.com/acme/Our%20Infra/_git/fleet", None).0,
            "acme/Our Infra/fleet"
        );
        assert_eq!(
            told("https://tfs.example.com:8443/tfs/Main/infra/_git/fleet", None),
            ("Main/infra/fleet".to_owned(), "https://tfs.example.com:8443/tfs".to_owned())
        );
        assert_eq!(
            told(
                "ssh://tfs.example.com:22/tfs/Main/infra/_git/fleet",
                Some("https://tfs.example.com/tfs")
            ),
            ("Main/infra/fleet".to_owned(), "https://tfs.example.com/tfs".to_owned())
        );
    }

    #[test]
    fn names_with_spaces_are_escaped_in_addresses_and_written_once() {
        assert_eq!(
            root("acme/Our Infra/fleet"),
            ["acme", "Our Infra", "_apis", "git", "repositories", "fleet"]
        );
        assert_eq!(
            pull_link(("https://dev.azure.com", "acme/Our Infra/fleet"), 7),
            "https://dev.azure.com/acme/Our%20Infra/_git/fleet/pullrequest/7"
        );
    }
}

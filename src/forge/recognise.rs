//! Which kind of forge answers at an address. Asked, not guessed; nothing is said of who we are.

use serde::Deserialize;

use super::wire::{Answer, Ask, Wire};
use super::{ForgeError, ForgeSettings, Kind, settings};

#[derive(Deserialize)]
struct VersionTold {
    version: String,
}

#[derive(Deserialize)]
struct RefusalTold {
    message: Option<String>,
}

#[derive(Deserialize)]
struct MetaTold {
    installed_version: Option<String>,
}

/// Hosts whose kind is public knowledge.
const WELL_KNOWN: [(&str, Kind); 5] = [
    ("github.com", Kind::GitHub),
    ("gitlab.com", Kind::GitLab),
    ("bitbucket.org", Kind::Bitbucket),
    ("codeberg.org", Kind::Forgejo),
    ("gitea.com", Kind::Gitea),
];

/// The settings with the kind of the forge at their address; where there is none and nobody said where the API is, with
/// an address further down the remote's path.
///
/// # Errors
/// `UnknownForge` when a server answers that is none of ours; `Unreachable` when none does.
pub(super) async fn settled(settings: &ForgeSettings) -> Result<ForgeSettings, ForgeError> {
    let host = settings.api.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").or(host.strip_prefix("api.")).unwrap_or(host);
    if let Some((_, kind)) = WELL_KNOWN.iter().find(|(known, _)| *known == host) {
        return Ok(ForgeSettings { kind: Some(*kind), ..settings.clone() });
    }
    let mut next = Some(settings.clone());
    while let Some(asked) = next {
        if let Some(kind) = kind(&asked).await? {
            return Ok(ForgeSettings { kind: Some(kind), ..asked });
        }
        next = asked.one_below();
    }
    Err(ForgeError::UnknownForge { host: settings.host() })
}

async fn kind(settings: &ForgeSettings) -> Result<Option<Kind>, ForgeError> {
    if let Some(kind) = gitea(settings).await? {
        return Ok(Some(kind));
    }
    if gitlab(settings).await? {
        return Ok(Some(Kind::GitLab));
    }
    Ok(github(settings).await?.then_some(Kind::GitHub))
}

/// Both tell a version without a token; Forgejo's names the Gitea that it is compatible with.
async fn gitea(settings: &ForgeSettings) -> Result<Option<Kind>, ForgeError> {
    let answer = ask(settings, Kind::Gitea, "version").await?;
    let told = answer.read::<VersionTold>("a version").ok().filter(|_| answer.code == 200);
    Ok(told.map(|told| {
        let forgejo = told.version.contains("+gitea-") && !told.version.starts_with("1.");
        if forgejo { Kind::Forgejo } else { Kind::Gitea }
    }))
}

/// GitLab does not tell its version without a token, and says so in its own words.
async fn gitlab(settings: &ForgeSettings) -> Result<bool, ForgeError> {
    let answer = ask(settings, Kind::GitLab, "version").await?;
    let told = answer.read::<RefusalTold>("a refusal").ok().and_then(|told| told.message);
    Ok(answer.code == 401 && told.as_deref() == Some("401 Unauthorized"))
}

/// GitHub Enterprise Server names itself in a header.
async fn github(settings: &ForgeSettings) -> Result<bool, ForgeError> {
    let answer = ask(settings, Kind::GitHub, "meta").await?;
    let meta = answer.read::<MetaTold>("meta").ok();
    let named = answer.header("x-github-enterprise-version").is_some();
    Ok(named || meta.is_some_and(|meta| meta.installed_version.is_some()))
}

async fn ask(settings: &ForgeSettings, kind: Kind, path: &str) -> Result<Answer, ForgeError> {
    let wire = Wire::new(settings, None, settings::api_base(kind, &settings.api))?;
    let answer = wire.peek(&Ask::get([path], "version")).await?;
    wire.is_up(answer)
}

//! Which kind of forge answers at an address. Asked, not guessed; nothing is said of who we are.

use serde::Deserialize;

use super::wire::{Ask, Wire};
use super::{ForgeError, ForgeSettings, Kind, settings};

#[derive(Deserialize)]
struct VersionTold {
    version: String,
}

/// Hosts whose kind is public knowledge.
const WELL_KNOWN: [(&str, Kind); 5] = [
    ("github.com", Kind::GitHub),
    ("gitlab.com", Kind::GitLab),
    ("bitbucket.org", Kind::Bitbucket),
    ("codeberg.org", Kind::Forgejo),
    ("gitea.com", Kind::Gitea),
];

/// The kind of the forge at the settings' address.
///
/// # Errors
/// `UnknownForge` when a server answers that is none of ours; `Unreachable` when none does.
pub(super) async fn kind(settings: &ForgeSettings) -> Result<Kind, ForgeError> {
    let host = settings.api.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").or(host.strip_prefix("api.")).unwrap_or(host);
    if let Some((_, kind)) = WELL_KNOWN.iter().find(|(known, _)| *known == host) {
        return Ok(*kind);
    }
    if let Some(kind) = gitea(settings).await? {
        return Ok(kind);
    }
    if gitlab(settings).await? {
        return Ok(Kind::GitLab);
    }
    if github(settings).await? {
        return Ok(Kind::GitHub);
    }
    Err(ForgeError::UnknownForge { host: settings.host() })
}

/// Both tell a version without a token; Forgejo's names the Gitea that it is compatible with.
async fn gitea(settings: &ForgeSettings) -> Result<Option<Kind>, ForgeError> {
    let answer = ask(settings, Kind::Gitea, "version").await?;
    let Some(told) = answer.ok().and_then(|answer| answer.read::<VersionTold>("a version").ok())
    else {
        return Ok(None);
    };
    let forgejo = told.version.contains("+gitea-") && !told.version.starts_with("1.");
    Ok(Some(if forgejo { Kind::Forgejo } else { Kind::Gitea }))
}

/// GitLab does not tell its version without a token, and says so in its own words.
async fn gitlab(settings: &ForgeSettings) -> Result<bool, ForgeError> {
    Ok(match ask(settings, Kind::GitLab, "version").await? {
        Ok(answer) => answer.read::<VersionTold>("a version").is_ok(),
        Err(ForgeError::Unauthorised { .. }) => true,
        Err(_) => false,
    })
}

/// GitHub Enterprise Server names itself in a header.
async fn github(settings: &ForgeSettings) -> Result<bool, ForgeError> {
    let answer = ask(settings, Kind::GitHub, "meta").await?;
    Ok(answer.is_ok_and(|answer| {
        answer.header("x-github-enterprise-version").is_some()
            || answer
                .read::<serde_json::Value>("meta")
                .is_ok_and(|meta| meta.get("verifiable_password_authentication").is_some())
    }))
}

/// The outer error is a server that cannot be asked at all.
async fn ask(
    settings: &ForgeSettings,
    kind: Kind,
    path: &str,
) -> Result<Result<super::wire::Answer, ForgeError>, ForgeError> {
    let wire = Wire::new(settings, None, settings::api_base(kind, &settings.api))?;
    match wire.ask(&Ask::get([path], "version")).await {
        Err(
            problem @ (ForgeError::Unreachable { .. }
            | ForgeError::NoAnswer { .. }
            | ForgeError::RateLimited { .. }
            | ForgeError::Server { .. }),
        ) => Err(problem),
        other => Ok(other),
    }
}

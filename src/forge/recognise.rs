//! Which kind of forge answers at an address. Asked, not guessed; nothing is said of who we are.

use super::http::{Answer, Ask, Http};
use super::rules::Rules;
use super::{ForgeError, ForgeSettings, RULES};
use crate::model::ForgeKind;

/// The settings with the kind of the forge at their address; where there is none and nobody said where the API is, with
/// an address further down the remote's path.
///
/// # Errors
/// `UnknownForge` when a server answers that is none of ours; `Unreachable` when none does.
pub(super) async fn settled(settings: &ForgeSettings) -> Result<ForgeSettings, ForgeError> {
    let host = settings.api.host_str().unwrap_or_default();
    if let Some(kind) = ForgeKind::of_host(host) {
        return Ok(ForgeSettings { kind: Some(kind), ..settings.clone() });
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

async fn kind(settings: &ForgeSettings) -> Result<Option<ForgeKind>, ForgeError> {
    for rules in RULES {
        let Some(probe) = rules.probe else { continue };
        let answer = ask(settings, rules, probe.path).await?;
        if let Some(kind) = (probe.kind)(&answer) {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

async fn ask(
    settings: &ForgeSettings,
    rules: &'static Rules,
    path: &str,
) -> Result<Answer, ForgeError> {
    let http = Http::new(settings, None, (rules.api)(&settings.api))?;
    let answer = http.peek(&Ask::get([path], "version")).await?;
    http.is_up(answer)
}

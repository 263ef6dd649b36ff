//! GitHub and GitHub Enterprise Server, REST API of 2022-11-28.

mod auth;
mod client;
mod webhook;
mod words;

use std::sync::Arc;

use url::Url;

use super::address::owner_and_name;
use super::http::{Answer, Pages, Wire, by_headers};
use super::rules::Probe;
use super::rules::{Links, Rules, is_at, with_suffix};
use crate::model::ForgeKind;
use client::GitHub;

/// How GitHub differs from others.
pub(super) const RULES: Rules = Rules {
    kind: ForgeKind::GitHub,
    client: |project| Arc::new(GitHub { project }),
    locate: owner_and_name,
    api,
    root: |project| ["repos"].into_iter().chain(project.split('/')).map(str::to_owned).collect(),
    probe: Some(Probe { path: "meta", kind: probe }),
    wire: Wire {
        header: auth::header,
        app: Some(auth::APP),
        headers,
        query: &[],
        pages: Pages { items: None, next: by_headers },
        asks_to_wait: words::asks_to_wait,
        unauthorised: &[],
        needs: words::needs,
        missing: Some("x-accepted-github-permissions"),
    },
    limits: words::LIMITS,
    links: Links { web: words::web, file: words::file_link, pull: words::pull_link },
    webhook: webhook::WEBHOOK,
};

#[cfg(test)]
pub(super) use words::asks_to_wait as ASKS_TO_WAIT;

/// `api.github.com`; elsewhere below the server's own address.
fn api(address: &Url) -> Url {
    match Url::parse("https://api.github.com") {
        Ok(base) if is_at(address, "github.com") => base,
        _ => with_suffix(address, "api/v3"),
    }
}

fn headers(base: &Url) -> &'static [(&'static str, &'static str)] {
    const ACCEPT: (&str, &str) = ("accept", "application/vnd.github+json");
    // GitHub Enterprise Server refuses versions that it does not know.
    if base.host_str() == Some("api.github.com") {
        &[ACCEPT, ("x-github-api-version", "2022-11-28")]
    } else {
        &[ACCEPT]
    }
}

/// GitHub Enterprise Server names itself in a header, and tells which version is installed.
fn probe(answer: &Answer) -> Option<ForgeKind> {
    #[derive(serde::Deserialize)]
    struct MetaTold {
        installed_version: Option<String>,
    }
    let named = answer.header("x-github-enterprise-version").is_some();
    let meta = answer.read::<MetaTold>("meta").ok();
    let told = meta.is_some_and(|meta| meta.installed_version.is_some());
    (named || told).then_some(ForgeKind::GitHub)
}

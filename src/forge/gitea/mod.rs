//! Gitea and Forgejo, API v1. They differ in nothing that is used here.

mod client;
mod webhook;
mod words;

use std::sync::Arc;

use http::header::AUTHORIZATION;

use super::address::owner_and_name;
use super::http::accept_json;
use super::http::{Answer, Pages, Wire, by_headers};
use super::rules::Probe;
use super::rules::{Links, Rules, with_suffix};
use crate::model::ForgeKind;
use client::Gitea;

/// How Gitea differs from others.
pub(super) const RULES: Rules = Rules {
    kind: ForgeKind::Gitea,
    client: |project| Arc::new(Gitea { project }),
    locate: owner_and_name,
    api: |address| with_suffix(address, "api/v1"),
    root: |project| ["repos"].into_iter().chain(project.split('/')).map(str::to_owned).collect(),
    probe: Some(Probe { path: "version", kind: probe }),
    wire: Wire {
        header: |_user, token| (AUTHORIZATION, format!("token {token}")),
        app: None,
        headers: accept_json,
        query: &[],
        pages: Pages { items: None, next: by_headers },
        asks_to_wait: |_code, _body| false,
        unauthorised: &[],
        needs: words::needs,
        missing: None,
    },
    limits: words::LIMITS,
    links: Links { web: words::web, file: words::file_link, pull: words::pull_link },
    webhook: webhook::WEBHOOK,
};

/// How Forgejo does: in its name. Gitea's question finds out which of the two it is.
pub(super) const FORGEJO: Rules = Rules { kind: ForgeKind::Forgejo, probe: None, ..RULES };

/// Both tell a version without a token; Forgejo's names the Gitea that it is compatible with.
fn probe(answer: &Answer) -> Option<ForgeKind> {
    #[derive(serde::Deserialize)]
    struct VersionTold {
        version: String,
    }
    let told = answer.read::<VersionTold>("a version").ok().filter(|_| answer.code == 200)?;
    let forgejo = told.version.contains("+gitea-") && !told.version.starts_with("1.");
    Some(if forgejo { ForgeKind::Forgejo } else { ForgeKind::Gitea })
}

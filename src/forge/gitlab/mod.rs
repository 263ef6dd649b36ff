//! GitLab, API v4.

mod client;
mod webhook;
mod words;

use std::sync::Arc;

use http::HeaderName;

use super::address::groups;
use super::http::accept_json;
use super::http::{Answer, Pages, Wire, by_headers};
use super::rules::Probe;
use super::rules::{Links, Rules, with_suffix};
use crate::model::ForgeKind;
use client::GitLab;

/// How GitLab differs from others.
pub(super) const RULES: Rules = Rules {
    kind: ForgeKind::GitLab,
    client: |project| Arc::new(GitLab { project }),
    locate: groups,
    api: |address| with_suffix(address, "api/v4"),
    // The whole path is one part, escaped.
    root: |project| vec!["projects".to_owned(), project.to_owned()],
    probe: Some(Probe { path: "version", kind: probe }),
    wire: Wire {
        header: |_user, token| (HeaderName::from_static("private-token"), token.to_owned()),
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

/// GitLab does not tell its version without a token, and says so in its own words.
fn probe(answer: &Answer) -> Option<ForgeKind> {
    #[derive(serde::Deserialize)]
    struct RefusalTold {
        message: Option<String>,
    }
    let told = answer.read::<RefusalTold>("a refusal").ok().and_then(|told| told.message);
    let is = answer.code == 401 && told.as_deref() == Some("401 Unauthorized");
    is.then_some(ForgeKind::GitLab)
}

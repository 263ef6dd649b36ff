//! Azure DevOps Services and Server, REST API 7.1.
//!
//! Source of its rules: Microsoft's published description of the Git API, version 7.1.

mod address;
mod client;
mod shapes;
mod webhook;
mod words;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;

use super::http::accept_json;
use super::http::{Page, Pages, Wire};
use super::rules::{Links, Rules};
use crate::model::ForgeKind;
use client::Azure;

/// How Azure DevOps differs from others.
pub(super) const RULES: Rules = Rules {
    kind: ForgeKind::Azure,
    client: |project| Arc::new(Azure { project }),
    locate: address::locate,
    api: address::api,
    root: address::root,
    // A server of one's own tells nothing without a token: its kind is written in the settings.
    probe: None,
    wire: Wire {
        header,
        app: None,
        headers: accept_json,
        query: &[("api-version", "7.1")],
        pages: Pages { items: Some("value"), next: next_page },
        asks_to_wait: words::asks_to_wait,
        // A token that it does not know gets a page to sign in: as the answer, or behind a redirect.
        unauthorised: &[203, 302],
        needs: words::needs,
        missing: None,
    },
    limits: words::LIMITS,
    links: Links { web: address::web, file: address::file_link, pull: address::pull_link },
    webhook: webhook::WEBHOOK,
};

/// A personal access token is a password without a user. Entra's tokens, which have three parts, go as they are.
fn header(_user: Option<&str>, token: &str) -> (HeaderName, String) {
    let value = if token.starts_with("eyJ") && token.split('.').count() == 3 {
        format!("Bearer {token}")
    } else {
        format!("Basic {}", STANDARD.encode(format!(":{token}")))
    };
    (AUTHORIZATION, value)
}

/// Lists that have pages are asked for from the n-th item on; a page that is not full is the last.
fn next_page(page: &Page<'_>) -> Option<(&'static str, String)> {
    let (name, size) = page.ask.number(&["$top", "top"])?;
    let skip = if name == "top" { "skip" } else { "$skip" };
    (size == page.count).then(|| (skip, (page.number * size).to_string()))
}

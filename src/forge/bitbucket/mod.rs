//! Bitbucket Cloud, API 2.0.

mod client;
mod webhook;
mod words;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use url::Url;

use super::address::owner_and_name;
use super::http::accept_json;
use super::http::{Page, Pages, Wire, page_of};
use super::rules::{Links, Rules, is_at, with_suffix};
use crate::model::ForgeKind;
use client::Bitbucket;

/// How Bitbucket differs from others.
pub(super) const RULES: Rules = Rules {
    kind: ForgeKind::Bitbucket,
    client: |project| Arc::new(Bitbucket { project }),
    locate: owner_and_name,
    api,
    root: |project| {
        ["repositories"].into_iter().chain(project.split('/')).map(str::to_owned).collect()
    },
    probe: None,
    wire: Wire {
        header,
        app: None,
        headers: accept_json,
        query: &[],
        pages: Pages { items: Some("values"), next: next_page },
        asks_to_wait: |_code, _body| false,
        unauthorised: &[],
        needs: words::needs,
        missing: None,
    },
    limits: words::LIMITS,
    links: Links { web: words::web, file: words::file_link, pull: words::pull_link },
    webhook: webhook::WEBHOOK,
};

fn api(address: &Url) -> Url {
    match Url::parse("https://api.bitbucket.org/2.0") {
        Ok(base) if is_at(address, "bitbucket.org") => base,
        _ => with_suffix(address, "2.0"),
    }
}

/// An account's API token goes with its e-mail address; a repository's goes alone.
fn header(user: Option<&str>, token: &str) -> (HeaderName, String) {
    let value = match user {
        Some(user) => format!("Basic {}", STANDARD.encode(format!("{user}:{token}"))),
        None => format!("Bearer {token}"),
    };
    (AUTHORIZATION, value)
}

/// The answer names the next page.
fn next_page(page: &Page<'_>) -> Option<(&'static str, String)> {
    let next = page.around.get("next").and_then(serde_json::Value::as_str)?;
    page_of(next).map(|number| ("page", number))
}

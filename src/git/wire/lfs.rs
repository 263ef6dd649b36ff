//! Objects of Git LFS over https (`docs/api/batch.md` and `docs/api/basic-transfers.md` of git-lfs).
//!
//! The server answers with an address for each object. Only one on the server itself is asked: another one would be shown
//! what nobody decided to show it.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::super::error::GitError;
use super::super::source::Access;
use super::http;

const CONTENT: &str = "application/vnd.git-lfs+json";
/// Objects that are asked about at a time; servers take a hundred.
const AT_A_TIME: usize = 100;
/// Bytes of an answer about them.
const ANSWER_BYTES: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Actions {
    #[serde(default)]
    download: Option<Download>,
}

#[derive(Debug, Deserialize)]
struct Download {
    href: String,
    #[serde(default)]
    header: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

/// Whether bytes are the object of this id.
pub(in crate::git) fn is_object(oid: &str, bytes: &[u8]) -> bool {
    crate::model::Digest::of(bytes).as_str() == oid
}

/// Objects by id, of these sizes: the bytes of each, or why there are none.
pub(in crate::git) async fn fetch(
    url: &Url,
    access: &Access,
    objects: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, Result<Bytes, String>>, GitError> {
    let authorization = http::authorization(url, access).await?;
    let own = access.clone();
    let client = super::super::blocking(move || {
        let extra = http::extra_certificates(&own)?;
        http::client(&own, extra)
    })
    .await?;
    let asking = Asking { url, access, client, authorization };
    let mut found = BTreeMap::new();
    let all: Vec<(&String, &u64)> = objects.iter().collect();
    for some in all.chunks(AT_A_TIME) {
        match asking.batch(some).await {
            Ok(answer) => {
                for object in answer.objects {
                    let Some(size) = objects.get(&object.oid) else { continue };
                    let got = asking.object(&object, *size).await;
                    found.insert(object.oid, got);
                }
            }
            Err(why) => {
                found.extend(some.iter().map(|(oid, _)| ((*oid).clone(), Err(why.clone()))));
            }
        }
    }
    Ok(found)
}

/// One conversation.
struct Asking<'a> {
    url: &'a Url,
    access: &'a Access,
    client: Client,
    authorization: Option<HeaderValue>,
}

impl Asking<'_> {
    async fn batch(&self, objects: &[(&String, &u64)]) -> Result<Answer, String> {
        let base = self.url.as_str().trim_end_matches('/');
        let suffix = if base.strip_suffix(".git").is_some() { "" } else { ".git" };
        let objects: Vec<_> = objects
            .iter()
            .map(|(oid, size)| serde_json::json!({"oid": oid, "size": size}))
            .collect();
        let body = serde_json::json!({
            "operation": "download", "transfers": ["basic"], "objects": objects,
        });
        let mut request = self
            .client
            .post(format!("{base}{suffix}/info/lfs/objects/batch"))
            .header(header::ACCEPT, CONTENT)
            .header(header::CONTENT_TYPE, CONTENT)
            .body(body.to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let response = self.send(request).await?;
        let bytes = self.read(response, ANSWER_BYTES).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("the server's answer is not understood: {error}"))
    }

    async fn object(&self, object: &Object, size: u64) -> Result<Bytes, String> {
        if let Some(refusal) = &object.error {
            return Err(super::shortened(&refusal.message));
        }
        let download = object.actions.as_ref().and_then(|actions| actions.download.as_ref());
        let download = download.ok_or("the server does not say where it is")?;
        let target = Url::parse(&download.href).map_err(|_why| "its address makes no sense")?;
        if target.origin() != self.url.origin() {
            let host = target.host_str().unwrap_or("another place");
            return Err(format!("it is kept on {host}, which is not the server of the repository"));
        }
        let mut headers = HeaderMap::new();
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        for (name, value) in download.header.iter().flatten() {
            let name = HeaderName::try_from(name.as_str());
            let value = HeaderValue::try_from(value.as_str());
            if let (Ok(name), Ok(mut value)) = (name, value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let response = self.send(self.client.get(target).headers(headers)).await?;
        let bytes = self.read(response, size).await?;
        if is_object(&object.oid, &bytes) {
            Ok(bytes)
        } else {
            Err("its bytes are not those of its id".to_owned())
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, String> {
        let limit = self.access.limits.progress;
        let sent = tokio::time::timeout(limit, request.send()).await;
        let response = sent.map_err(|_late| "the server does not answer".to_owned())?;
        let response = response.map_err(|error| error.without_url().to_string())?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(format!("the server answers {status}")),
        }
    }

    /// The body, which must not be longer than that.
    async fn read(&self, mut response: Response, most: u64) -> Result<Bytes, String> {
        let limit = self.access.limits.progress;
        let mut all = bytes::BytesMut::new();
        loop {
            let chunk = tokio::time::timeout(limit, response.chunk()).await;
            let chunk = chunk.map_err(|_late| "the server does not go on".to_owned())?;
            match chunk.map_err(|error| error.without_url().to_string())? {
                None => return Ok(all.freeze()),
                Some(chunk) if most < (all.len() + chunk.len()) as u64 => {
                    return Err("the server sends more than that".to_owned());
                }
                Some(chunk) => all.extend_from_slice(&chunk),
            }
        }
    }
}

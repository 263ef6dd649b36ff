//! Registries of images, asked directly: which tags there are, and which manifest a tag names.
//!
//! The protocol is that of the OCI Distribution Specification 1.1: `GET /v2/NAME/tags/list`, `HEAD /v2/NAME/manifests/TAG`,
//! and tokens as a `WWW-Authenticate: Bearer` challenge asks for them. *Caveats:* registries on this machine are spoken to
//! without TLS, as Engines do (`127.0.0.0/8`, `localhost`); all others with it.

use std::time::Duration;

use reqwest::header::{ACCEPT, LINK, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::connect::RegistryAccess;
use super::registry::RegistryAuth;
use super::{Cause, EngineError};
use crate::model::{ImageRef, Secret};
use crate::trust::{self, Trusted};

/// For one answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tags of one page.
const PAGE: &str = "1000";
/// Pages of one list: a repository of more tags is cut short.
const MOST_PAGES: usize = 50;
/// Bytes of one answer.
const LARGEST: usize = 8 << 20;
/// Kinds of manifests whose digest is the one that Engines know an image by.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why a registry does not say it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached.
    #[error("cannot reach {registry}")]
    Unreachable {
        /// Which.
        registry: String,
        /// Why.
        source: Cause,
    },
    /// It refuses.
    #[error("{registry} answers {status} about {name}")]
    Refused {
        /// Which.
        registry: String,
        /// What was asked about.
        name: String,
        /// The HTTP status.
        status: u16,
    },
    /// Its answer makes no sense.
    #[error("{registry} answers something that is no answer about {name}")]
    Garbled {
        /// Which.
        registry: String,
        /// What was asked about.
        name: String,
    },
    /// Credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] EngineError),
}

/// All registries, with the credentials that there are.
#[derive(Debug, Clone)]
pub struct Registries {
    client: Client,
    auth: RegistryAuth,
}

/// One repository of a registry.
#[derive(Debug)]
pub struct Registry<'a> {
    all: &'a Registries,
    image: ImageRef,
    base: Url,
    host: String,
    name: String,
    tag: String,
    token: Option<Secret<String>>,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registries {
    /// With these credentials, and the system's certificate authorities.
    ///
    /// # Errors
    /// When there is no TLS.
    pub fn new(access: RegistryAccess) -> Result<Self, RegistryError> {
        let failed = |source: Cause| RegistryError::Unreachable {
            registry: "any registry".to_owned(),
            source,
        };
        let system = rustls_native_certs::load_native_certs().certs;
        let tls = trust::client(Trusted { system, ..Trusted::default() })
            .map_err(|problem| failed(problem.into()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .build()
            .map_err(|problem| failed(problem.into()))?;
        Ok(Self { client, auth: RegistryAuth::new(access) })
    }

    /// The repository that an image is in; `None` for one that names no tag, because a digest stands for itself.
    pub fn of(&self, image: &ImageRef) -> Option<Registry<'_>> {
        let (host, name, tag) = parts(image.as_str())?;
        let is_here =
            matches!(host.split(':').next(), Some("localhost")) || host.starts_with("127.");
        let scheme = if is_here { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{name}/")).ok()?;
        Some(Registry { all: self, image: image.clone(), base, host, name, tag, token: None })
    }
}

impl Registry<'_> {
    /// The tag that the image names.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// Whatever keeps it from saying so.
    pub async fn tags(&mut self) -> Result<Vec<String>, RegistryError> {
        let mut all = Vec::new();
        let mut next = self.url("tags/list")?;
        next.query_pairs_mut().append_pair("n", PAGE);
        for _ in 0..MOST_PAGES {
            let answer = self.ask(Method::GET, next.clone()).await?;
            let link = answer.headers().get(LINK).and_then(|link| link.to_str().ok());
            let following = link.and_then(next_page).and_then(|path| self.base.join(&path).ok());
            let tags: Tags = self.body(answer).await?;
            all.extend(tags.tags.unwrap_or_default());
            // A page elsewhere is none of this registry's.
            match following.filter(|url| url.host() == self.base.host()) {
                Some(url) => next = url,
                None => break,
            }
        }
        Ok(all)
    }

    /// The digest of the manifest that a tag names now; `None` where the registry has no such tag.
    ///
    /// # Errors
    /// Whatever keeps it from saying so.
    pub async fn digest(&mut self, tag: &str) -> Result<Option<String>, RegistryError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        match self.ask(Method::HEAD, url).await {
            Ok(answer) => {
                let digest = answer.headers().get("docker-content-digest");
                Ok(digest.and_then(|digest| digest.to_str().ok()).map(str::to_owned))
            }
            Err(RegistryError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|_not_a_path| self.garbled())
    }

    async fn ask(&mut self, method: Method, url: Url) -> Result<Response, RegistryError> {
        let answer = self.send(method.clone(), url.clone()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.checked(answer);
        }
        let challenges: Vec<String> = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        self.token = self.answer_to(&challenges).await?;
        let answer = self.send(method, url).await?;
        self.checked(answer)
    }

    async fn send(&self, method: Method, url: Url) -> Result<Response, RegistryError> {
        let mut request = self.all.client.request(method, url).header(ACCEPT, MANIFESTS);
        if let Some(token) = &self.token {
            request = request.header("authorization", token.reveal());
        }
        request.send().await.map_err(|error| self.unreachable(error))
    }

    /// What is said of who we are, as the registry wants it: a token, or name and password.
    async fn answer_to(
        &self,
        challenges: &[String],
    ) -> Result<Option<Secret<String>>, RegistryError> {
        let known = self.all.auth.basic_for(&self.image).await?;
        let bearer =
            challenges.iter().find(|text| text.to_ascii_lowercase().starts_with("bearer "));
        let Some(bearer) = bearer else {
            return Ok(known.map(|basic| Secret::new(format!("Basic {}", basic.reveal()))));
        };
        let Some(realm) = parameter(bearer, "realm").and_then(|realm| Url::parse(&realm).ok())
        else {
            return Err(self.garbled());
        };
        // A token travels in clear on this machine only.
        if realm.scheme() != "https" && self.base.scheme() == "https" {
            return Err(self.garbled());
        }
        let scope =
            parameter(bearer, "scope").unwrap_or_else(|| format!("repository:{}:pull", self.name));
        let mut url = realm;
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = parameter(bearer, "service") {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.all.client.get(url);
        if let Some(basic) = &known {
            request = request.header("authorization", format!("Basic {}", basic.reveal()));
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let token: Token = self.body(self.checked(answer)?).await?;
        let token = token.token.or(token.access_token);
        Ok(token.map(|token| Secret::new(format!("Bearer {token}"))))
    }

    fn checked(&self, answer: Response) -> Result<Response, RegistryError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(RegistryError::Refused {
            registry: self.host.clone(),
            name: self.name.clone(),
            status: status.as_u16(),
        })
    }

    async fn body<T: serde::de::DeserializeOwned>(
        &self,
        mut answer: Response,
    ) -> Result<T, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST {
                return Err(self.garbled());
            }
        }
        serde_json::from_slice(&bytes).map_err(|_not_json| self.garbled())
    }

    fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable {
            registry: self.host.clone(),
            source: error.without_url().into(),
        }
    }

    fn garbled(&self) -> RegistryError {
        RegistryError::Garbled { registry: self.host.clone(), name: self.name.clone() }
    }
}

/// Host, repository and tag of a reference, with what is left out put in; `None` with a digest.
fn parts(image: &str) -> Option<(String, String, String)> {
    if image.contains('@') {
        return None;
    }
    let (host, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", image),
    };
    let (name, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    let is_hub = matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    let name =
        if is_hub && !name.contains('/') { format!("library/{name}") } else { name.to_owned() };
    let host = if is_hub { "registry-1.docker.io" } else { host };
    Some((host.to_owned(), name, tag.to_owned()))
}

/// The value of a parameter of a challenge: `Bearer realm="…",service="…"`.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let (_, after) = challenge.split_once(&format!("{name}=\""))?;
    after.split('"').next().map(str::to_owned)
}

/// The next page that a `Link` header names: `</v2/…?last=…>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let (target, rest) = link.trim_start().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_taken_apart() {
        let own =
            |image: &str| parts(image).map(|(host, name, tag)| format!("{host} {name} {tag}"));
        assert_eq!(own("nginx").as_deref(), Some("registry-1.docker.io library/nginx latest"));
        assert_eq!(own("acme/app:1.2").as_deref(), Some("registry-1.docker.io acme/app 1.2"));
        assert_eq!(own("localhost:5000/a/b").as_deref(), Some("localhost:5000 a/b latest"));
        assert_eq!(own("ghcr.io/a/b@sha256:00"), None);
    }

    #[test]
    fn challenges_and_links_are_read() {
        let challenge = "Bearer realm=\"https://auth.example.com/token\",service=\"r\",scope=\"repository:a:pull\"";
        assert_eq!(
            parameter(challenge, "realm").as_deref(),
            Some("https://auth.example.com/token")
        );
        assert_eq!(parameter(challenge, "scope").as_deref(), Some("repository:a:pull"));
        assert_eq!(
            next_page("</v2/a/tags/list?n=2&last=b>; rel=\"next\"").as_deref(),
            Some("/v2/a/tags/list?n=2&last=b")
        );
    }
}

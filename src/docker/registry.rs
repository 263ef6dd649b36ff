//! Credentials for registries, in the form in which the Engine passes them on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::EngineError;
use super::connect::RegistryAccess;
use crate::model::{ImageRef, Secret};

/// The name under which Docker Hub's credentials are kept.
const HUB: &str = "https://index.docker.io/v1/";
const HELPER_LIMIT: Duration = Duration::from_secs(20);

/// Finds credentials when they are needed: files are read and helpers are run each time, so that renewed ones count.
#[derive(Debug, Clone)]
pub(in crate::docker) struct RegistryAuth(RegistryAccess);

/// `X-Registry-Auth`, before it is encoded.
#[derive(Clone, Default, Serialize)]
struct AuthHeader {
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    identitytoken: String,
    serveraddress: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigFile {
    auths: BTreeMap<String, ConfigEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl RegistryAuth {
    pub(in crate::docker) fn new(access: RegistryAccess) -> Self {
        Self(access)
    }

    /// The header for an image's registry; `None` asks anonymously.
    pub(in crate::docker) async fn header_for(
        &self,
        image: &ImageRef,
    ) -> Result<Option<Secret<String>>, EngineError> {
        let registry = registry_of(image.as_str());
        let Some(found) = self.credentials(registry).await? else { return Ok(None) };
        Ok(encode(&found))
    }

    /// Name and password for an image's registry, as HTTP Basic authentication has them; `None` asks anonymously.
    pub(in crate::docker) async fn basic_for(
        &self,
        image: &ImageRef,
    ) -> Result<Option<Secret<String>>, EngineError> {
        let found = self.credentials(registry_of(image.as_str())).await?;
        let named = found.filter(|found| !found.username.is_empty());
        Ok(named.map(|found| {
            Secret::new(STANDARD.encode(format!("{}:{}", found.username, found.password)))
        }))
    }

    /// The header with all credentials, for builds whose base images are unknown beforehand.
    pub(in crate::docker) async fn header_for_all(
        &self,
    ) -> Result<Option<Secret<String>>, EngineError> {
        let mut all = BTreeMap::new();
        for (server, entry) in self.config_file().await?.auths {
            if let Some(header) = entry.into_header(&server) {
                all.insert(server, header);
            }
        }
        for registry in self.0.helpers.keys() {
            if let Some(header) = self.credentials(registry).await? {
                all.insert(registry.clone(), header);
            }
        }
        Ok(if all.is_empty() { None } else { encode(&all) })
    }

    async fn credentials(&self, registry: &str) -> Result<Option<AuthHeader>, EngineError> {
        let wanted = bare(registry);
        if let Some((server, helper)) = self.0.helpers.iter().find(|(name, _)| bare(name) == wanted)
        {
            return ask_helper(server, helper).await.map(Some);
        }
        let auths = self.config_file().await?.auths;
        Ok(auths
            .into_iter()
            .find(|(server, _)| bare(server) == wanted)
            .and_then(|(server, entry)| entry.into_header(&server)))
    }

    async fn config_file(&self) -> Result<ConfigFile, EngineError> {
        let Some(path) = &self.0.config_file else { return Ok(ConfigFile::default()) };
        let broken = |source| EngineError::BadFile { path: path.clone(), source };
        let bytes = match tokio::fs::read(path).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(broken(error.into())),
        };
        // The cause would quote the file, and the file holds passwords.
        serde_json::from_slice(&bytes).map_err(|error| {
            broken(format!("not a docker config.json (line {})", error.line()).into())
        })
    }
}

impl ConfigEntry {
    fn into_header(self, server: &str) -> Option<AuthHeader> {
        let (mut username, mut password) = (self.username, self.password);
        let decoded =
            STANDARD.decode(self.auth.trim()).ok().and_then(|b| String::from_utf8(b).ok());
        if let Some((name, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            (username, password) = (name.to_owned(), secret.trim_end_matches('\0').to_owned());
        }
        let header = AuthHeader {
            username,
            password,
            identitytoken: self.identitytoken,
            serveraddress: server.to_owned(),
        };
        (!header.username.is_empty() || !header.identitytoken.is_empty()).then_some(header)
    }
}

fn encode(value: &impl Serialize) -> Option<Secret<String>> {
    let json = serde_json::to_vec(value).ok()?;
    Some(Secret::new(URL_SAFE.encode(json)))
}

/// Runs `docker-credential-…  get`: the registry on standard input, JSON on standard output.
async fn ask_helper(registry: &str, helper: &Path) -> Result<AuthHeader, EngineError> {
    let failed = |why: String| EngineError::CredentialHelper { registry: registry.to_owned(), why };
    let mut child = tokio::process::Command::new(helper)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(registry.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    }
    let output = tokio::time::timeout(HELPER_LIMIT, child.wait_with_output())
        .await
        .unwrap_or_else(|late| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, late)))
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout).map_err(|error| {
        failed(format!("its answer makes no sense (column {})", error.column()))
    })?;
    let serveraddress = registry.to_owned();
    Ok(if answer.username == "<token>" {
        AuthHeader { identitytoken: answer.secret, serveraddress, ..AuthHeader::default() }
    } else {
        AuthHeader {
            username: answer.username,
            password: answer.secret,
            serveraddress,
            ..AuthHeader::default()
        }
    })
}

/// The registry of a reference: its first part, when that looks like a host.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => HUB,
    }
}

/// A registry's name without scheme and path: config files write it in several ways.
fn bare(registry: &str) -> &str {
    let name = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let name = name.split('/').next().unwrap_or(name);
    if matches!(name, "docker.io" | "registry-1.docker.io") { "index.docker.io" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_a_reference_is_its_first_part_if_that_is_a_host() {
        for (image, registry) in [
            ("nginx", HUB),
            ("library/nginx:1.27", HUB),
            ("ghcr.io/acme/app:1", "ghcr.io"),
            ("localhost/app", "localhost"),
            ("registry:5000/app@sha256:00", "registry:5000"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[tokio::test]
    async fn credentials_of_a_config_file_reach_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let auth = STANDARD.encode("ci:s3cret");
        let text = format!(
            r#"{{"auths": {{"https://ghcr.io": {{"auth": "{auth}"}}}}, "credsStore": "x"}}"#
        );
        std::fs::write(&path, text).unwrap();
        let access = RegistryAccess { config_file: Some(path), ..RegistryAccess::default() };
        let auth = RegistryAuth::new(access);
        let image = ImageRef::parse("ghcr.io/acme/app:1").unwrap();
        let header = auth.header_for(&image).await.unwrap().unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&URL_SAFE.decode(header.reveal()).unwrap()).unwrap();
        assert_eq!(json["username"], "ci");
        assert_eq!(json["password"], "s3cret");
        let other = ImageRef::parse("nginx").unwrap();
        assert!(auth.header_for(&other).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_helper_of_the_settings_is_asked() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let helper = folder.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread host\necho \"{\\\"Username\\\":\\\"u-$host\\\",\\\"Secret\\\":\\\"p\\\"}\"\n";
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let helpers = BTreeMap::from([("ghcr.io".to_owned(), helper)]);
        let auth = RegistryAuth::new(RegistryAccess { helpers, ..RegistryAccess::default() });
        let found = auth.credentials("ghcr.io").await.unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("u-ghcr.io", "p"));
    }
}

//! Images: pulled from registries, or built from the repository's files.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use super::super::connect::{Ask, Lines, segment};
use super::super::look::{BUILD, ImageInspection};
use super::super::{Engine, EngineError};
use super::{CallOptions, Progress, files};
use crate::model::{BuildSpec, ImageRef};

/// Lines of a build's log that are kept for its error.
const TAIL: usize = 20;

/// One line of a pull or a build.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    status: String,
    stream: String,
    id: String,
    error: String,
    #[serde(rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
    #[serde(rename = "progressDetail")]
    progress: Option<Amount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Amount {
    current: u64,
    total: u64,
}

impl Message {
    fn failure(&self) -> Option<&str> {
        let detail = self.error_detail.as_ref().map(|detail| detail.message.as_str());
        detail.or_else(|| (!self.error.is_empty()).then_some(self.error.as_str()))
    }
}

impl Engine {
    /// Pulls an image, and looks whether it is there: the stream's last word may be lost.
    pub(super) async fn pull(
        &self,
        image: &ImageRef,
        platform: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("pull {image}");
        let (name, tag) = name_and_tag(image.as_str());
        let mut ask = Ask::post("/images/create", what.clone())
            .query("fromImage", name)
            .query("tag", tag)
            .query_unless_empty("platform", platform);
        if let Some(credentials) = self.registries().header_for(image).await? {
            ask = ask.header("x-registry-auth", credentials.reveal());
        }
        let failed = |message: String| EngineError::Pull { image: image.to_string(), message };
        let body = tokio::select! {
            () = terms.stop.cancelled() => return Err(EngineError::Cancelled),
            answer = self.wire().begin(ask, terms.progress) => answer.map_err(|error| match error {
                EngineError::Refused { message, .. } => failed(message),
                other => other,
            })?,
        };
        let mut layers = Layers::default();
        let mut lines = Lines::new(what, body);
        while let Some(message) = next_message(&mut lines, terms).await? {
            if let Some(words) = message.failure() {
                return Err(failed(words.to_owned()));
            }
            if let Some(progress) = layers.note(&message) {
                (terms.tell)(progress);
            }
        }
        match self.image(image).await {
            Err(error) if error.status() == Some(404) => {
                Err(failed("the Engine said that it was pulled, and does not have it".to_owned()))
            }
            other => other.map(drop),
        }
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageInspection, EngineError> {
        let path = format!("/images/{}/json", segment(image.as_str()));
        self.wire().read(Ask::get(path, format!("inspect image {image}"))).await
    }

    /// Builds an image with the Engine's classic builder, and looks whether what carries the tag came from this
    /// context.
    pub(super) async fn build(
        &self,
        image: &ImageRef,
        build: &BuildSpec,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("build {image}");
        let mut ask = build_question(&what, image, build).tar(files::context(&build.context)?);
        if let Some(credentials) = self.registries().header_for_all().await? {
            ask = ask.header("x-registry-config", credentials.reveal());
        }
        let mut log = Log::default();
        let outcome = self.follow_build(ask, &what, &mut log, terms).await;
        let failed = |message: String, log: Log| EngineError::Build {
            image: image.to_string(),
            message,
            tail: log.tail.into(),
        };
        if let Some(message) = outcome? {
            return Err(failed(message, log));
        }
        let built = match self.image(image).await {
            Err(error) if error.status() == Some(404) => None,
            other => Some(other?),
        };
        let label = built.and_then(|image| image.config?.labels.get(BUILD).cloned());
        if label.as_deref() == Some(build.digest.as_str()) {
            Ok(())
        } else {
            Err(failed("the Engine said that it was built, and does not have it".to_owned(), log))
        }
    }

    /// Reads a build's log to its end; what comes back is the Engine's error text, if there is one.
    async fn follow_build(
        &self,
        ask: Ask,
        what: &str,
        log: &mut Log,
        terms: &CallOptions<'_>,
    ) -> Result<Option<String>, EngineError> {
        let body = tokio::select! {
            () = terms.stop.cancelled() => return Err(EngineError::Cancelled),
            answer = self.wire().begin(ask, terms.progress) => match answer {
                Err(EngineError::Refused { message, .. }) => return Ok(Some(message)),
                other => other?,
            },
        };
        let mut lines = Lines::new(what, body);
        while let Some(message) = next_message(&mut lines, terms).await? {
            if let Some(words) = message.failure() {
                return Ok(Some(words.to_owned()));
            }
            for text in log.note(&message) {
                (terms.tell)(Progress { text, ..Progress::default() });
            }
        }
        Ok(None)
    }
}

fn build_question(what: &str, image: &ImageRef, build: &BuildSpec) -> Ask {
    let json = |value: &serde_json::Value| value.to_string();
    let mut labels = build.labels.clone();
    labels.insert(BUILD.to_owned(), build.digest.to_string());
    let mut ask = Ask::post("/build", what)
        .query("t", image.as_str())
        .query("dockerfile", &build.dockerfile)
        .query("labels", &json(&serde_json::json!(labels)))
        .query("rm", "1")
        .query("forcerm", "1")
        .query_unless_empty("target", &build.target)
        .query_unless_empty("networkmode", &build.network)
        .query_unless_empty("platform", &build.platform)
        .query_unless_empty("isolation", &build.isolation)
        .query_unless_empty("extrahosts", &build.extra_hosts.join(","));
    for tag in &build.tags {
        ask = ask.query("t", tag);
    }
    if !build.args.is_empty() {
        ask = ask.query("buildargs", &json(&serde_json::json!(build.args)));
    }
    if !build.cache_from.is_empty() {
        ask = ask.query("cachefrom", &json(&serde_json::json!(build.cache_from)));
    }
    if !build.ulimits.is_empty() {
        ask = ask.query("ulimits", &json(&serde_json::json!(build.ulimits)));
    }
    for (name, wanted) in [("pull", build.pull), ("nocache", build.no_cache)] {
        if wanted {
            ask = ask.query(name, "1");
        }
    }
    if build.shm_size > 0 { ask.query("shmsize", &build.shm_size.to_string()) } else { ask }
}

/// The next line of a stream; its absence for the progress limit is an error.
async fn next_message(
    lines: &mut Lines,
    terms: &CallOptions<'_>,
) -> Result<Option<Message>, EngineError> {
    let limit = terms.progress;
    let line = tokio::select! {
        () = terms.stop.cancelled() => return Err(EngineError::Cancelled),
        line = tokio::time::timeout(limit, lines.next()) => line,
    };
    let line = line
        .unwrap_or_else(|_| Err(EngineError::TimedOut { what: lines.what().to_owned(), limit }))?;
    // A line that is not understood is progress all the same.
    Ok(line.map(|line| serde_json::from_slice(&line).unwrap_or_default()))
}

/// A pull's layers, added up.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    fn note(&mut self, message: &Message) -> Option<Progress> {
        if message.status.is_empty() {
            return None;
        }
        let downloading = message.status == "Downloading";
        if let Some(amount) = message.progress.as_ref().filter(|_| downloading) {
            self.0.insert(message.id.clone(), (amount.current, amount.total));
        }
        let done = self.0.values().map(|(done, _)| done).sum();
        let total: u64 = self.0.values().map(|(_, total)| total).sum();
        Some(Progress { text: message.status.clone(), done, total: (total > 0).then_some(total) })
    }
}

/// A build's log: whole lines out of pieces, and the last of them.
#[derive(Default)]
struct Log {
    tail: VecDeque<String>,
    rest: String,
}

impl Log {
    fn note(&mut self, message: &Message) -> Vec<String> {
        let text = if message.stream.is_empty() && !message.status.is_empty() {
            format!("{}\n", message.status)
        } else {
            message.stream.clone()
        };
        self.rest.push_str(&text);
        let mut whole = Vec::new();
        while let Some((line, rest)) = self.rest.split_once('\n') {
            let line = line.trim_end().to_owned();
            self.rest = rest.to_owned();
            if !line.is_empty() {
                self.tail.push_back(line.clone());
                whole.push(line);
            }
        }
        while self.tail.len() > TAIL {
            self.tail.pop_front();
        }
        whole
    }
}

/// What the Engine wants apart: without a tag it would pull all of them. A digest takes the tag's place.
fn name_and_tag(image: &str) -> (&str, &str) {
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    };
    (name, digest.or(tag).unwrap_or("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_split_as_the_engine_wants_it() {
        for (image, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.27", "nginx", "1.27"),
            ("registry:5000/app", "registry:5000/app", "latest"),
            ("registry:5000/app:2", "registry:5000/app", "2"),
            ("app:2@sha256:00", "app", "sha256:00"),
        ] {
            assert_eq!(name_and_tag(image), (name, tag), "{image}");
        }
    }

    #[test]
    fn a_log_keeps_its_last_lines() {
        let mut log = Log::default();
        for number in 0..30 {
            let stream = format!("line {number}\nhalf ");
            log.note(&Message { stream, ..Message::default() });
        }
        assert_eq!(log.tail.len(), TAIL);
        assert_eq!(log.tail.back().map(String::as_str), Some("half line 29"));
    }

    #[test]
    fn layers_add_up() {
        let mut layers = Layers::default();
        let message = |id: &str, current, total| Message {
            status: "Downloading".to_owned(),
            id: id.to_owned(),
            progress: Some(Amount { current, total }),
            ..Message::default()
        };
        layers.note(&message("a", 10, 100));
        let progress = layers.note(&message("b", 5, 50)).unwrap();
        assert_eq!((progress.done, progress.total), (15, Some(150)));
    }
}

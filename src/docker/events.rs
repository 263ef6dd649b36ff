//! What happens on a host, as it happens.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use serde::Deserialize;

use super::connect::{Ask, Lines};
use super::look::{Doubt, Memory};
use super::{Engine, EngineError};
use crate::model::Timestamp;

/// Clocks differ, and what happened while a connection was lost must not be lost with it: this much is told again.
const SKEW_SECONDS: i64 = 3;

/// Words that matter. Health checks alone would flood the stream with `exec_…` otherwise.
const ACTIONS: [&str; 22] = [
    "create",
    "start",
    "restart",
    "die",
    "stop",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "remove",
    "health_status",
    "connect",
    "disconnect",
    "pull",
    "tag",
    "untag",
    "delete",
    "import",
    "load",
    // Somebody copied a file into a container.
    "extract-to-dir",
];

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An image.
    Image,
}

/// Something that happened on a host. The Engine may repeat, reorder and lose these: they are a reason to look, never
/// a fact to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// About what.
    pub kind: EventKind,
    /// The Engine's word: `die`, `start`, `health_status`, `destroy`, `update`, `rename`, `connect`, …
    pub action: String,
    /// What follows the word, such as `unhealthy` after `health_status`; often empty.
    pub detail: String,
    /// Id of the container, network or image; name of the volume.
    pub id: String,
    /// Labels of a container, and `name`, `image`, `exitCode`, `container` (for networks) and the like.
    pub attributes: BTreeMap<String, String>,
}

impl EngineEvent {
    /// The Compose project that it is about, if that is known: containers carry their labels, and one that joined or
    /// left a network was seen before.
    pub fn project(&self) -> Option<&str> {
        ["moorline.stack", "com.docker.compose.project"]
            .iter()
            .find_map(|label| self.attributes.get(*label))
            .map(String::as_str)
    }

    /// Whether by it something became there or free: a name, a port, a network, a volume.
    pub fn comes_or_goes(&self) -> bool {
        let words = ["create", "start", "restart", "die", "stop", "rename", "destroy", "remove"];
        words.contains(&self.action.as_str())
    }

    /// The name of what it is about.
    pub fn name(&self) -> &str {
        self.attributes.get("name").map_or(&self.id, String::as_str)
    }

    /// The id of the container that it concerns: its own, or the one that was connected to a network.
    pub fn container(&self) -> Option<&str> {
        match self.kind {
            EventKind::Container => Some(&self.id),
            EventKind::Network => self.attributes.get("container").map(String::as_str),
            EventKind::Volume | EventKind::Image => None,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Raw {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Option<BTreeMap<String, String>>,
}

/// One line of the stream; `None` for what does not matter or is not understood.
fn parse_line(line: &[u8]) -> Option<EngineEvent> {
    let raw: Raw = serde_json::from_slice(line).ok()?;
    let kind = match raw.kind.as_str() {
        "container" => EventKind::Container,
        "network" => EventKind::Network,
        "volume" => EventKind::Volume,
        "image" => EventKind::Image,
        _ => return None,
    };
    let (action, detail) = raw.action.split_once(':').unwrap_or((&raw.action, ""));
    if !ACTIONS.contains(&action) {
        return None;
    }
    let millis =
        if raw.time_nano == 0 { raw.time.saturating_mul(1000) } else { raw.time_nano / 1_000_000 };
    Some(EngineEvent {
        at: Timestamp::from_millis(millis),
        kind,
        action: action.to_owned(),
        detail: detail.trim().to_owned(),
        id: raw.actor.id,
        attributes: raw.actor.attributes.unwrap_or_default(),
    })
}

/// Says to the memory of a host what an event calls into question.
fn doubt(memory: &Memory, event: &EngineEvent) {
    if let Some(container) = event.container() {
        memory.doubt(Doubt::Container(container));
    }
    match event.kind {
        EventKind::Container => {}
        EventKind::Network => memory.doubt(Doubt::Networks),
        EventKind::Volume => memory.doubt(Doubt::Volumes),
        EventKind::Image => memory.doubt(Doubt::Images),
    }
}

impl Engine {
    /// What happens on the host from `since` on (from now on when `None`). While the stream is read, looks with
    /// [`super::Depth::Changed`] are cheap. Its end is an item; pass the time of the last event to go on: the overlap
    /// that clocks and lost connections need is added here, so that events may come twice.
    ///
    /// # Errors
    /// Whatever keeps the stream from beginning.
    pub async fn events(&self, since: Option<Timestamp>) -> Result<EventStream, EngineError> {
        let what = "listen to events";
        let filters = serde_json::json!({
            "type": ["container", "network", "volume", "image"],
            "event": ACTIONS,
        });
        let mut ask = Ask::get("/events", what).query("filters", &filters.to_string());
        if let Some(since) = since {
            let seconds = (since.as_millis() / 1000).saturating_sub(SKEW_SECONDS);
            ask = ask.query("since", &seconds.to_string());
        }
        let body = self.wire().begin(ask, self.wire().limits().read).await?;
        let reader = Reader {
            lines: Some(Lines::new(what, body)),
            watch: Watch::begin(self.memory().clone()),
            engine: self.clone(),
        };
        let items = stream::unfold(reader, |mut reader| async move {
            let item = reader.next().await?;
            Some((item, reader))
        });
        Ok(EventStream::new(items.boxed()))
    }
}

/// Counts a stream that is being read: as long as there is one, what was learnt of the host is kept.
struct Watch(Memory);

impl Watch {
    fn begin(memory: Memory) -> Self {
        memory.stream_began();
        Self(memory)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.stream_ended();
    }
}

struct Reader {
    /// Gone after the end.
    lines: Option<Lines>,
    watch: Watch,
    engine: Engine,
}

impl Reader {
    /// A container that joined or left a network is told by its id alone; whose it is, is known from the last look.
    fn name_project(&self, event: &mut EngineEvent) {
        if event.kind == EventKind::Network
            && let Some(container) = event.container()
            && let Some((label, stack)) = self.watch.0.stack_of(container)
        {
            event.attributes.insert(label.to_owned(), stack);
        }
    }

    async fn next(&mut self) -> Option<Result<EngineEvent, EngineError>> {
        loop {
            let line = self.lines.as_mut()?.next().await;
            let ended = match line {
                Ok(Some(line)) => match parse_line(&line) {
                    Some(mut event) => {
                        self.name_project(&mut event);
                        doubt(&self.watch.0, &event);
                        self.engine.touch(&event);
                        return Some(Ok(event));
                    }
                    None => continue,
                },
                Ok(None) => EngineError::EventsEnded,
                Err(error) => error,
            };
            self.lines = None;
            return Some(Err(ended));
        }
    }
}

/// A host's events. Ends with [`EngineError::EventsEnded`] or another error as its last item.
pub struct EventStream {
    items: BoxStream<'static, Result<EngineEvent, EngineError>>,
}

impl EventStream {
    pub(super) fn new(items: BoxStream<'static, Result<EngineEvent, EngineError>>) -> Self {
        Self { items }
    }

    /// The next event, or why there are no more; `None` after that.
    pub async fn next(&mut self) -> Option<Result<EngineEvent, EngineError>> {
        self.items.next().await
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("EventStream")
    }
}

impl Stream for EventStream {
    type Item = Result<EngineEvent, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.as_mut().poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_event_is_a_word_and_its_detail() {
        let line = br#"{"status":"health_status: unhealthy","id":"abc","Type":"container","Action":"health_status: unhealthy",
            "Actor":{"ID":"abc","Attributes":{"name":"shop-web-1","com.docker.compose.project":"shop"}},
            "scope":"local","time":1700000000,"timeNano":1700000000123456789}"#;
        let event = parse_line(line).unwrap();
        assert_eq!((event.action.as_str(), event.detail.as_str()), ("health_status", "unhealthy"));
        assert_eq!(event.at.as_millis(), 1_700_000_000_123);
        assert_eq!((event.project(), event.name()), (Some("shop"), "shop-web-1"));
    }

    #[test]
    fn what_is_not_known_or_does_not_matter_is_passed_over() {
        for line in [
            r#"{"Type":"quantum","Action":"create"}"#,
            r#"{"Type":"container","Action":"exec_create: sh","Actor":{"ID":"a","Attributes":{}}}"#,
            r#"{"Type":"container","Action":"#,
            "7",
        ] {
            assert_eq!(parse_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_network_event_concerns_the_container_that_it_names() {
        let line = br#"{"Type":"network","Action":"disconnect","Actor":{"ID":"n","Attributes":{"container":"abc"}}}"#;
        assert_eq!(parse_line(line).unwrap().container(), Some("abc"));
    }
}

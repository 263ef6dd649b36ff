//! What happens on a host, as it happens.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt};

use super::EngineError;
use crate::model::Timestamp;

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
    /// The Compose project that it is about, if the Engine tells: containers carry their labels.
    pub fn project(&self) -> Option<&str> {
        ["moorline.stack", "com.docker.compose.project"]
            .iter()
            .find_map(|label| self.attributes.get(*label))
            .map(String::as_str)
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

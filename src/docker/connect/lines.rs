//! Streams of JSON lines: pulls, builds, events.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::super::EngineError;

/// A line beyond this is not one.
const LONGEST_LINE: usize = 4 << 20;

/// Reads a body line by line. An Engine may break lines and chunks as it likes.
pub(in crate::docker) struct Lines {
    what: String,
    body: Incoming,
    rest: BytesMut,
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(in crate::docker) fn new(what: impl Into<String>, body: Incoming) -> Self {
        Self { what: what.into(), body, rest: BytesMut::new(), searched: 0, ended: false }
    }

    /// The next line that is not empty; `None` at the end.
    pub(in crate::docker) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        loop {
            while let Some(line) = self.complete_line() {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    fn complete_line(&mut self) -> Option<Bytes> {
        let unsearched = self.rest.get(self.searched..).unwrap_or_default();
        match unsearched.iter().position(|byte| *byte == b'\n') {
            Some(offset) => {
                let line = self.rest.split_to(self.searched + offset).freeze();
                self.rest.advance(1);
                self.searched = 0;
                Some(line)
            }
            None if self.ended && !self.rest.is_empty() => {
                self.searched = 0;
                Some(self.rest.split().freeze())
            }
            None => {
                self.searched = self.rest.len();
                None
            }
        }
    }

    async fn fill(&mut self) -> Result<(), EngineError> {
        match self.body.frame().await {
            None => self.ended = true,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.rest.extend_from_slice(data);
                }
            }
            Some(Err(error)) => return Err(self.broken(error.into())),
        }
        if self.rest.len() > LONGEST_LINE {
            return Err(self.broken("a line without end".into()));
        }
        Ok(())
    }

    pub(in crate::docker) fn what(&self) -> &str {
        &self.what
    }

    fn broken(&self, source: super::super::Cause) -> EngineError {
        EngineError::Broken { what: self.what.clone(), source }
    }
}

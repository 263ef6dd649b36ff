//! One request, and one answer.

use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::limits::text;
use crate::forge::{ForgeError, Right};

/// One request.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Ask {
    pub(super) method: Method,
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) right: Right,
    pub(super) what: String,
}

impl Ask {
    /// Reads `what`; each segment of the path is escaped as a whole.
    pub(in crate::forge) fn get<S: AsRef<str>>(
        segments: impl IntoIterator<Item = S>,
        what: &str,
    ) -> Self {
        Self::new(Method::GET, segments, Right::Read, what)
    }

    /// Writes `what` and needs this right.
    pub(in crate::forge) fn new<S: AsRef<str>>(
        method: Method,
        segments: impl IntoIterator<Item = S>,
        right: Right,
        what: &str,
    ) -> Self {
        let segments = segments.into_iter().map(|part| part.as_ref().to_owned()).collect();
        Self { method, segments, query: Vec::new(), body: None, right, what: what.to_owned() }
    }

    /// Adds to the query.
    pub(in crate::forge) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Gives it a body.
    pub(in crate::forge) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Which right a refusal is about.
    pub(in crate::forge) fn right(mut self, right: Right) -> Self {
        self.right = right;
        self
    }

    /// A number of the query, by the first of these names that is there; with the name.
    pub(in crate::forge) fn number(&self, names: &[&str]) -> Option<(&'static str, usize)> {
        let found = self.query.iter().find(|(name, _)| names.contains(name));
        found.and_then(|(name, value)| value.parse().ok().map(|value| (*name, value)))
    }

    /// The same list from another place on.
    pub(super) fn from(mut self, (name, value): (&'static str, String)) -> Self {
        self.query.retain(|(known, _)| *known != name);
        self.query(name, value)
    }
}

/// One answer, of the 2xx kind unless it was only peeked at.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Answer {
    /// The status.
    pub(in crate::forge) code: u16,
    /// The headers.
    pub(in crate::forge) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) host: String,
}

impl Answer {
    /// The body as data.
    pub(in crate::forge) fn read<T: DeserializeOwned>(
        &self,
        what: &'static str,
    ) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body).map_err(|source| self.unreadable(what, source))
    }

    pub(super) fn unreadable(&self, what: &'static str, source: serde_json::Error) -> ForgeError {
        ForgeError::Unreadable { host: self.host.clone(), what, source }
    }

    /// A header's text.
    pub(in crate::forge) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

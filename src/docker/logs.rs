//! What containers wrote.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::stream::{BoxStream, StreamExt as _};

use super::{Engine, EngineError};
use crate::model::Timestamp;

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWish {
    /// The last so many lines; `None` for all.
    pub last: Option<usize>,
    /// Nothing that is older.
    pub since: Option<Timestamp>,
    /// Goes on with what is written from now on, until the container ends.
    pub follow: bool,
    /// The Engine's time before each line.
    pub times: bool,
}

/// A piece of a log: a line, or the beginning of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What was written, as text; bytes that are none are shown as such.
    pub text: String,
    /// Whether it went to standard error.
    pub is_error: bool,
}

impl Engine {
    /// A container's log, the oldest line first.
    pub fn logs(
        &self,
        container: &str,
        wish: LogWish,
    ) -> BoxStream<'_, Result<LogLine, EngineError>> {
        let since = wish.since.map_or(0, |since| since.as_millis() / 1000);
        let last = wish.last.map_or_else(|| "all".to_owned(), |last| last.to_string());
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(wish.follow)
            .timestamps(wish.times)
            .since(i32::try_from(since).unwrap_or(i32::MAX))
            .tail(&last)
            .build();
        let told = self.verbs().logs(container, Some(options));
        let what = format!("read the log of {container}");
        told.map(move |piece| match piece {
            Ok(piece) => Ok(line(piece)),
            Err(error) => Err(self.verb_failed(&what, error)),
        })
        .boxed()
    }
}

fn line(piece: LogOutput) -> LogLine {
    let is_error = matches!(piece, LogOutput::StdErr { .. });
    let bytes = piece.into_bytes();
    let text = String::from_utf8_lossy(&bytes);
    LogLine { text: text.trim_end_matches(['\n', '\r']).to_owned(), is_error }
}

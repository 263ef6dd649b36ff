//! What a container writes: commands inside it, and the last lines of its log.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::super::connect::{Ask, segment};
use super::super::{Engine, EngineError};
use super::CallOptions;
use crate::model::{ContainerHandle, Hook};

/// Lines of a hook's output that are kept for its error.
const TAIL: usize = 20;
/// Lines of a container's log that are told when it did not come up, the longest of them, and the time to read them.
const LAST_WORDS: usize = 3;
const LAST_WORDS_CHARS: usize = 200;
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(3);
/// Bytes of an output that are kept at most: it may go on without end.
const MOST_KEPT: usize = 64 << 10;
/// What stands before each piece of output: which stream it is of, and how long it is.
const HEADER: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBody<'a> {
    attach_stdout: bool,
    attach_stderr: bool,
    cmd: &'a [String],
    env: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    privileged: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StartBody {
    detach: bool,
    tty: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ended {
    exit_code: Option<i64>,
}

impl Engine {
    pub(super) async fn run_hook(
        &self,
        container: &ContainerHandle,
        hook: &Hook,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let what = format!("run a hook in {}", container.name());
        let limit = terms.step;
        let call = self.exec(container.address(), hook, &what, terms);
        let (code, tail) = tokio::time::timeout(limit, call)
            .await
            .unwrap_or(Err(EngineError::TimedOut { what, limit }))?;
        if code == 0 {
            return Ok(());
        }
        let command = hook.command.first().cloned().unwrap_or_default();
        Err(EngineError::Hook { container: container.name().to_owned(), command, code, tail })
    }

    /// Runs a command to its end: exit code and last lines.
    async fn exec(
        &self,
        address: &str,
        hook: &Hook,
        what: &str,
        terms: &CallOptions<'_>,
    ) -> Result<(i64, Vec<String>), EngineError> {
        let body = CreateBody {
            attach_stdout: true,
            attach_stderr: true,
            cmd: &hook.command,
            env: &hook.environment,
            user: &hook.user,
            working_dir: &hook.working_dir,
            privileged: hook.privileged,
        };
        let path = format!("/containers/{}/exec", segment(address));
        let made = self.wire().write(Ask::post(path, what).json(&body)?, terms.step).await?;
        let made: Made = super::super::connect::parse(what, &made)?;
        let path = format!("/exec/{}", segment(&made.id));
        let start = Ask::post(format!("{path}/start"), what)
            .json(&StartBody { detach: false, tty: false })?;
        let output = self.wire().begin(start, terms.step).await?;
        let mut pieces = Pieces::default();
        pieces.take_all(output).await;
        let output = pieces.kept;
        let ended: Ended = self.wire().read(Ask::get(format!("{path}/json"), what)).await?;
        Ok((ended.exit_code.unwrap_or(-1), last_lines(&String::from_utf8_lossy(&output))))
    }
}

impl Engine {
    /// The last lines that a container wrote; none where its log driver keeps nothing that can be read, or the Engine does
    /// not answer soon.
    pub(super) async fn last_words(&self, address: &str) -> Vec<String> {
        let what = "read the last lines of a log";
        let path = format!("/containers/{}/logs", segment(address));
        let ask = Ask::get(path, what)
            .query("stdout", "true")
            .query("stderr", "true")
            .query("tail", &LAST_WORDS.to_string());
        let mut pieces = Pieces::default();
        let read = async {
            let output = self.wire().begin(ask, LAST_WORDS_LIMIT).await;
            if let Ok(output) = output {
                pieces.take_all(output).await;
            }
        };
        // What came until then is better than nothing.
        drop(tokio::time::timeout(LAST_WORDS_LIMIT, read).await);
        let text = String::from_utf8_lossy(&pieces.kept).into_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<String> =
            lines.map(|line| line.chars().take(LAST_WORDS_CHARS).collect()).collect();
        lines.iter().skip(lines.len().saturating_sub(LAST_WORDS)).cloned().collect()
    }
}

/// Standard output and error as the Engine sends them, in one: pieces, each behind a header.
#[derive(Default)]
struct Pieces {
    header: Vec<u8>,
    /// Bytes of the current piece that have not come yet. A piece may claim four gigabytes.
    left: usize,
    /// Whether it comes without headers: a container with a terminal has one stream.
    is_plain: Option<bool>,
    kept: Vec<u8>,
}

impl Pieces {
    /// Reads to the end. A stream that breaks is at its end: how it ended is asked for elsewhere.
    async fn take_all(&mut self, mut body: Incoming) {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                self.take(data);
            }
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.kept.extend_from_slice(data);
        if self.kept.len() > MOST_KEPT {
            self.kept.drain(..self.kept.len() - MOST_KEPT / 2);
        }
    }

    fn take(&mut self, mut data: &[u8]) {
        // A header begins with the number of its stream, which no text begins with.
        let is_plain = *self.is_plain.get_or_insert(data.first().is_some_and(|first| *first > 2));
        if is_plain {
            return self.keep(data);
        }
        while !data.is_empty() {
            if self.left == 0 {
                let missing = HEADER.saturating_sub(self.header.len()).min(data.len());
                let (header, rest) = data.split_at(missing);
                self.header.extend_from_slice(header);
                data = rest;
                if let &[_, _, _, _, a, b, c, d] = self.header.as_slice() {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.header.clear();
                }
                continue;
            }
            let (piece, rest) = data.split_at(self.left.min(data.len()));
            self.left -= piece.len();
            self.keep(piece);
            data = rest;
        }
    }
}

fn last_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(TAIL)).map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_put_together_however_it_is_cut_and_only_its_end_is_kept() {
        let mut sent = Vec::new();
        for (stream, text) in [(1, "one\n"), (2, ""), (2, "two\n"), (1, "three")] {
            sent.extend([stream, 0, 0, 0]);
            sent.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            sent.extend(text.as_bytes());
        }
        for cut in 1..=sent.len() {
            let mut pieces = Pieces::default();
            sent.chunks(cut).for_each(|chunk| pieces.take(chunk));
            assert_eq!(pieces.kept, b"one\ntwo\nthree", "cut each {cut}");
        }
        let mut plain = Pieces::default();
        plain.take(b"from a terminal\n");
        plain.take(b"\x01 and on");
        assert_eq!(plain.kept, b"from a terminal\n\x01 and on");
        let mut pieces = Pieces::default();
        pieces.take(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        for _ in 0..100 {
            pieces.take(&[b'x'; 10_000]);
            assert!(pieces.kept.len() <= MOST_KEPT);
        }
    }
}

//! Packet lines: four hexadecimal digits of length, then that much (Git's `protocol-common`).

use bytes::{Buf as _, Bytes, BytesMut};

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::git) enum Packet {
    /// Content, with its line feed where it has one.
    Data(Bytes),
    /// `0000`: the end of a list or message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of a response over a connection without messages.
    ResponseEnd,
}

impl Packet {
    /// Bytes that it took on the wire.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Data(bytes) => bytes.len() as u64 + 4,
            Self::Flush | Self::Delimiter | Self::ResponseEnd => 4,
        }
    }
}

/// Bytes that are no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no packet length")]
pub(in crate::git) struct BadPacket(String);

/// A request under construction.
#[derive(Debug, Default)]
pub(in crate::git) struct Request(Vec<u8>);

impl Request {
    /// Adds a line; the line feed is added here.
    pub(in crate::git) fn line(&mut self, text: &str) -> &mut Self {
        self.data(format!("{text}\n").as_bytes())
    }

    /// Adds a packet of bytes (at most 65,516).
    pub(in crate::git) fn data(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(format!("{:04x}", bytes.len() + 4).as_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds the end of a section.
    pub(in crate::git) fn delimiter(&mut self) -> &mut Self {
        self.0.extend_from_slice(b"0001");
        self
    }

    /// Adds the end of a list.
    pub(in crate::git) fn flush(&mut self) -> &mut Self {
        self.0.extend_from_slice(b"0000");
        self
    }

    /// Adds bytes outside packets: a pack.
    pub(in crate::git) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes to send; the request is empty afterwards.
    pub(in crate::git) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

/// Takes the next packet off a buffer; `None` when it is not complete yet.
pub(in crate::git) fn take(buffer: &mut BytesMut) -> Result<Option<Packet>, BadPacket> {
    let Some(digits) = buffer.get(..4) else { return Ok(None) };
    let bad = || BadPacket(String::from_utf8_lossy(digits).into_owned());
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
    let length = text.and_then(|text| usize::from_str_radix(text, 16).ok()).ok_or_else(bad)?;
    let short = match length {
        0 => Packet::Flush,
        1 => Packet::Delimiter,
        2 => Packet::ResponseEnd,
        3 => return Err(bad()),
        _ if buffer.len() < length => return Ok(None),
        _ => {
            let mut whole = buffer.split_to(length);
            whole.advance(4);
            return Ok(Some(Packet::Data(whole.freeze())));
        }
    };
    buffer.advance(4);
    Ok(Some(short))
}

/// A packet's content as text, without its line feed.
pub(in crate::git) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_off_as_they_were_put_in() {
        let mut request = Request::default();
        request.line("command=ls-refs").delimiter().data(b"x").flush();
        let mut buffer = BytesMut::from(&request.take()[..]);
        let line = Bytes::from_static(b"command=ls-refs\n");
        assert_eq!(take(&mut buffer), Ok(Some(Packet::Data(line))));
        assert_eq!(take(&mut buffer), Ok(Some(Packet::Delimiter)));
        assert_eq!(take(&mut buffer), Ok(Some(Packet::Data(Bytes::from_static(b"x")))));
        assert_eq!(take(&mut buffer), Ok(Some(Packet::Flush)));
        assert_eq!(take(&mut buffer), Ok(None));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for text in ["<!DO", "0003", "+00a", "zzzz"] {
            assert!(take(&mut BytesMut::from(text)).is_err(), "{text}");
        }
        assert_eq!(take(&mut BytesMut::from("0009ab")), Ok(None));
    }
}

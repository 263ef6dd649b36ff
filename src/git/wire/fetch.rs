//! Asking for objects, and taking the pack that holds them.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::greeting::{Greeting, begin_v2};
use super::packet::{self, Packet, Request};
use super::{Connection, GitError};

/// What the server may leave out of the pack. Objects that are asked for by name always come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::git) enum Filter {
    /// Nothing.
    Everything,
    /// Trees and blobs: `tree:0`.
    NoTrees,
    /// Blobs: `blob:none`.
    NoBlobs,
    /// Blobs of this many bytes and more: `blob:limit=n`.
    BlobsBelow(u64),
}

impl Filter {
    fn specification(self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::NoTrees => Some("tree:0".to_owned()),
            Self::NoBlobs => Some("blob:none".to_owned()),
            Self::BlobsBelow(bytes) => Some(format!("blob:limit={bytes}")),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(in crate::git) struct Question {
    /// Ids of objects.
    pub(in crate::git) wants: Vec<String>,
    /// A commit that we have completely, but without its parents.
    pub(in crate::git) have: Option<String>,
    /// How many commits of history; `None` where no commit is asked for.
    pub(in crate::git) depth: Option<u32>,
    /// What may be left out.
    pub(in crate::git) filter: Filter,
    /// The most bytes of pack that are taken, below what the limits allow; more is `TooLarge`.
    pub(in crate::git) most_bytes: u64,
}

/// Asks, and passes the pack on piece by piece. Ends when the pack is complete or nobody takes it any more.
pub(in crate::git) async fn fetch(
    connection: &mut Connection,
    greeting: &Greeting,
    question: &Question,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), GitError> {
    match greeting {
        Greeting::V2(_) => {
            connection.ask(request_v2(greeting, question).take()).await?;
            skip_to_pack(connection).await?;
        }
        Greeting::V0 { .. } => {
            connection.ask(request_v0(greeting, question).take()).await?;
            skip_acknowledgements(connection, question).await?;
        }
    }
    take_pack(connection, question.most_bytes, sink).await
}

fn request_v2(greeting: &Greeting, question: &Question) -> Request {
    let mut request = begin_v2(greeting, "fetch");
    request.delimiter().line("thin-pack").line("no-progress").line("ofs-delta");
    for want in &question.wants {
        request.line(&format!("want {want}"));
    }
    if let Some(have) = &question.have {
        request.line(&format!("shallow {have}"));
    }
    if let Some(depth) = question.depth {
        request.line(&format!("deepen {depth}"));
    }
    if let Some(filter) = question.filter.specification() {
        request.line(&format!("filter {filter}"));
    }
    if let Some(have) = &question.have {
        request.line(&format!("have {have}"));
    }
    request.line("done").flush();
    request
}

/// What a server of version 0 may make use of. Some refuse a client that cannot take thin packs.
const ABILITIES: [&str; 6] =
    ["multi_ack_detailed", "side-band-64k", "thin-pack", "ofs-delta", "no-progress", "shallow"];

/// Version 0 in one message: wants and depth, then what we have, then `done`.
fn request_v0(greeting: &Greeting, question: &Question) -> Request {
    let words = greeting.words(&ABILITIES);
    let mut request = Request::default();
    for (index, want) in question.wants.iter().enumerate() {
        let words = if index == 0 { words.as_str() } else { "" };
        request.line(&format!("want {want}{words}"));
    }
    if let Some(have) = &question.have {
        request.line(&format!("shallow {have}"));
    }
    if let Some(depth) = question.depth.filter(|_| greeting.has("shallow")) {
        request.line(&format!("deepen {depth}"));
    }
    request.flush();
    if let Some(have) = &question.have {
        request.line(&format!("have {have}"));
    }
    request.line("done");
    request
}

/// Version 2: sections, of which the last is the pack.
async fn skip_to_pack(connection: &mut Connection) -> Result<(), GitError> {
    loop {
        match connection.packet().await? {
            Packet::Data(bytes) if packet::text(&bytes) == "packfile" => return Ok(()),
            Packet::Data(_) | Packet::Delimiter => {}
            Packet::Flush | Packet::ResponseEnd => {
                return Err(connection.not_git("an answer without a pack"));
            }
        }
    }
}

/// Version 0: the new boundary where a depth was asked for, then one last ACK or NAK.
async fn skip_acknowledgements(
    connection: &mut Connection,
    question: &Question,
) -> Result<(), GitError> {
    let mut boundary = question.depth.is_some();
    loop {
        match connection.packet().await? {
            Packet::Flush if boundary => boundary = false,
            Packet::Data(bytes) => {
                let line = packet::text(&bytes);
                let last =
                    line == "NAK" || line.starts_with("ACK ") && line.split(' ').count() == 2;
                if last {
                    return Ok(());
                }
            }
            Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => {
                return Err(connection.not_git("an answer without an acknowledgement"));
            }
        }
    }
}

/// The pack in its side band: 1 is the pack, 2 is progress, 3 is the server's last words.
async fn take_pack(
    connection: &mut Connection,
    most_bytes: u64,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), GitError> {
    let most = most_bytes.min(connection.limits.pack_bytes);
    let mut left = most;
    loop {
        let packet = connection.piece().await?;
        let length = packet.length();
        let mut bytes = match packet {
            Packet::Data(bytes) => bytes,
            Packet::Flush | Packet::ResponseEnd => return Ok(()),
            Packet::Delimiter => return Err(connection.not_git("a pack in sections")),
        };
        let band = if bytes.is_empty() { None } else { bytes.split_to(1).first().copied() };
        match band {
            // An empty piece keeps the connection alive.
            Some(1) if bytes.is_empty() => connection.count_talk(length)?,
            Some(1) => {
                connection.count_pack(bytes.len());
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or_else(|| connection.too_large("bytes of objects", most))?;
                if sink.send(bytes).await.is_err() {
                    // Whoever writes the pack has failed, and says why.
                    return Ok(());
                }
            }
            Some(2) => connection.count_talk(length)?,
            Some(3) => return Err(super::refusal(connection.remote(), &packet::text(&bytes))),
            Some(_) | None => return Err(connection.not_git("a pack outside its band")),
        }
    }
}

//! Pushing one reference, if it still is what we think it is.

use super::greeting::Greeting;
use super::packet::{self, Packet, Request};
use super::{Connection, GitError};

/// The id that means "there is none".
const NONE: &str = "0000000000000000000000000000000000000000";

/// What the server says to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::git) enum PushAnswer {
    /// The reference is what we asked for.
    Done,
    /// It is not, for this reason.
    Refused(String),
}

/// Sets `reference` from `old` (`None`: it must not exist) to `new`, and sends the pack that this needs. The
/// server compares `old` with what it has: this is the lease.
pub(in crate::git) async fn push(
    connection: &mut Connection,
    greeting: &Greeting,
    (reference, old, new): (&str, Option<&str>, &str),
    pack: &[u8],
) -> Result<PushAnswer, GitError> {
    let words = greeting.words(&["report-status", "side-band-64k", "ofs-delta"]);
    let mut request = Request::default();
    request.data(format!("{} {new} {reference}\0{words}", old.unwrap_or(NONE)).as_bytes());
    request.flush().raw(pack);
    connection.ask(request.take()).await?;
    let lines = report(connection, greeting.has("side-band-64k")).await?;
    Ok(verdict(&lines, reference))
}

/// The lines of the server's report, out of the side band where there is one.
async fn report(connection: &mut Connection, banded: bool) -> Result<Vec<String>, GitError> {
    let mut lines = Vec::new();
    let mut inner = bytes::BytesMut::new();
    while let Packet::Data(mut bytes) = connection.packet().await? {
        if !banded {
            lines.push(packet::text(&bytes));
            continue;
        }
        let band = if bytes.is_empty() { None } else { bytes.split_to(1).first().copied() };
        match band {
            Some(1) => inner.extend_from_slice(&bytes),
            Some(3) => return Err(super::refusal(connection.remote(), &packet::text(&bytes))),
            Some(_) | None => {}
        }
    }
    while let Some(Packet::Data(bytes)) =
        packet::take(&mut inner).map_err(|bad| connection.not_git(bad))?
    {
        lines.push(packet::text(&bytes));
    }
    Ok(lines)
}

fn verdict(lines: &[String], reference: &str) -> PushAnswer {
    for line in lines {
        if let Some(problem) = line.strip_prefix("unpack ").filter(|state| *state != "ok") {
            return PushAnswer::Refused(super::shortened(problem));
        }
        if let Some(reason) = line.strip_prefix(&format!("ng {reference} ")) {
            return PushAnswer::Refused(super::shortened(reason));
        }
        if line == &format!("ok {reference}") {
            return PushAnswer::Done;
        }
    }
    PushAnswer::Refused("the server did not report on it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_to_its_verdict() {
        let reads = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            verdict(&lines, "refs/notes/x")
        };
        assert_eq!(reads(&["unpack ok", "ok refs/notes/x"]), PushAnswer::Done);
        let stale = PushAnswer::Refused("failed to update ref".to_owned());
        assert_eq!(reads(&["unpack ok", "ng refs/notes/x failed to update ref"]), stale);
        assert!(matches!(reads(&["unpack index-pack failed"]), PushAnswer::Refused(_)));
        assert!(matches!(reads(&[]), PushAnswer::Refused(_)));
    }
}

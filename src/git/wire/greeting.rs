//! What a server says first, and its references.

use std::collections::BTreeMap;

use super::packet::{self, Packet, Request};
use super::{Connection, GitError};

/// Who we say we are.
const AGENT: &str = concat!("agent=moorline/", env!("CARGO_PKG_VERSION"));

/// What a server says first.
#[derive(Debug, Clone)]
pub(in crate::git) enum Greeting {
    /// Protocol version 2: capabilities; references are asked for.
    V2(BTreeMap<String, String>),
    /// Protocol version 0 or 1: all references, with capabilities.
    V0 { refs: Vec<RemoteRef>, capabilities: BTreeMap<String, String> },
}

/// One reference of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::git) struct RemoteRef {
    /// Its full name, such as `refs/heads/main` or `HEAD`.
    pub(in crate::git) name: String,
    /// The commit, where the reference is a tag the one that it names.
    pub(in crate::git) commit: String,
    /// What a symbolic reference points at.
    pub(in crate::git) target: Option<String>,
}

impl Greeting {
    fn capabilities(&self) -> &BTreeMap<String, String> {
        match self {
            Self::V2(capabilities) | Self::V0 { capabilities, .. } => capabilities,
        }
    }

    /// Whether the server named this capability.
    pub(super) fn has(&self, name: &str) -> bool {
        self.capabilities().contains_key(name)
    }

    /// Those of these abilities that the server knows too, and who we are: what follows the first line of a request
    /// of version 0.
    pub(super) fn words(&self, abilities: &[&str]) -> String {
        let shared = abilities.iter().copied().filter(|name| self.has(name));
        let agent = self.has("agent").then_some(AGENT);
        shared.chain(agent).flat_map(|word| [" ", word]).collect()
    }

    /// Whether the server can leave out objects that we do not ask for by name.
    pub(in crate::git) fn filters(&self) -> bool {
        match self {
            Self::V2(capabilities) => {
                let fetch = capabilities.get("fetch").map(String::as_str).unwrap_or_default();
                fetch.split(' ').any(|feature| feature == "filter")
            }
            // Version 0 hands out only what a reference names, so objects cannot be asked for one by one.
            Self::V0 { .. } => false,
        }
    }
}

/// Reads the greeting, over HTTP with or without its line of service.
pub(super) async fn hear(connection: &mut Connection) -> Result<Greeting, GitError> {
    let mut first = connection.packet().await?;
    if matches!(&first, Packet::Data(bytes) if bytes.starts_with(b"# service=")) {
        if connection.packet().await? != Packet::Flush {
            return Err(connection.not_git("a greeting without an end"));
        }
        first = connection.packet().await?;
    }
    let greeting = match first {
        Packet::Data(bytes) if bytes.starts_with(b"version 2") => hear_v2(connection).await?,
        Packet::Data(bytes) if bytes.starts_with(b"version 1") => {
            let first = connection.packet().await?;
            hear_v0(connection, first).await?
        }
        other => hear_v0(connection, other).await?,
    };
    match greeting.capabilities().get("object-format").map(String::as_str) {
        None | Some("sha1") => Ok(greeting),
        Some(_) => Err(GitError::Unsupported {
            remote: connection.remote().to_owned(),
            feature: "SHA-256 object names",
        }),
    }
}

async fn hear_v2(connection: &mut Connection) -> Result<Greeting, GitError> {
    let mut capabilities = BTreeMap::new();
    while let Packet::Data(bytes) = connection.packet().await? {
        add_capability(&mut capabilities, &packet::text(&bytes));
    }
    Ok(Greeting::V2(capabilities))
}

async fn hear_v0(connection: &mut Connection, first: Packet) -> Result<Greeting, GitError> {
    let mut capabilities = BTreeMap::new();
    let mut refs: Vec<RemoteRef> = Vec::new();
    let mut symbolic = BTreeMap::new();
    let mut next = first;
    while let Packet::Data(bytes) = next {
        let line = packet::text(&bytes);
        let (reference, words) = line.split_once('\0').unwrap_or((&line, ""));
        for word in words.split(' ') {
            if let Some((name, target)) =
                word.strip_prefix("symref=").and_then(|s| s.split_once(':'))
            {
                symbolic.insert(name.to_owned(), target.to_owned());
            }
            add_capability(&mut capabilities, word);
        }
        add_v0_reference(connection, &mut refs, reference)?;
        next = connection.packet().await?;
    }
    for reference in &mut refs {
        reference.target = symbolic.get(&reference.name).cloned();
    }
    Ok(Greeting::V0 { refs, capabilities })
}

fn add_v0_reference(
    connection: &Connection,
    refs: &mut Vec<RemoteRef>,
    line: &str,
) -> Result<(), GitError> {
    let Some((id, name)) = line.split_once(' ').filter(|(id, _)| is_id(id)) else {
        // A shallow repository lists its boundary after the references.
        return if line.starts_with("shallow ") { Ok(()) } else { Err(connection.not_git(line)) };
    };
    if let Some(tag) = name.strip_suffix("^{}") {
        if let Some(last) = refs.last_mut().filter(|last| last.name == tag) {
            last.commit = id.to_owned();
        } else if tag != "capabilities" {
            return Err(connection.not_git(line));
        }
        return Ok(());
    }
    refs.push(RemoteRef { name: name.to_owned(), commit: id.to_owned(), target: None });
    Ok(())
}

fn add_capability(capabilities: &mut BTreeMap<String, String>, word: &str) {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    capabilities.insert(name.to_owned(), value.to_owned());
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The references whose names begin with one of these prefixes: one round trip, or none where the server said
/// them all already.
pub(in crate::git) async fn list(
    connection: &mut Connection,
    greeting: &Greeting,
    prefixes: &[String],
) -> Result<Vec<RemoteRef>, GitError> {
    if let Greeting::V0 { refs, .. } = greeting {
        let wanted = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        return Ok(refs.iter().filter(|reference| wanted(&reference.name)).cloned().collect());
    }
    let mut request = begin_v2(greeting, "ls-refs");
    request.delimiter().line("peel").line("symrefs");
    for prefix in prefixes {
        request.line(&format!("ref-prefix {prefix}"));
    }
    connection.ask(request.flush().take()).await?;
    let mut refs = Vec::new();
    while let Packet::Data(bytes) = connection.packet().await? {
        let line = packet::text(&bytes);
        let reference = v2_reference(&line).ok_or_else(|| connection.not_git(&line))?;
        // Prefixes are a wish: a server may tell more.
        if prefixes.iter().any(|prefix| reference.name.starts_with(prefix.as_str())) {
            refs.push(reference);
        }
    }
    Ok(refs)
}

/// The beginning of a command of version 2, up to its arguments.
pub(super) fn begin_v2(greeting: &Greeting, command: &str) -> Request {
    let mut request = Request::default();
    request.line(&format!("command={command}"));
    if greeting.has("agent") {
        request.line(AGENT);
    }
    if greeting.has("object-format") {
        request.line("object-format=sha1");
    }
    request
}

/// `<id> <name>[ symref-target:<name>][ peeled:<id>]`
fn v2_reference(line: &str) -> Option<RemoteRef> {
    let mut words = line.split(' ');
    let id = words.next().filter(|id| is_id(id) || *id == "unborn")?;
    let name = words.next()?.to_owned();
    let mut reference = RemoteRef { name, commit: id.to_owned(), target: None };
    for word in words {
        if let Some(peeled) = word.strip_prefix("peeled:") {
            reference.commit = peeled.to_owned();
        } else if let Some(target) = word.strip_prefix("symref-target:") {
            reference.target = Some(target.to_owned());
        }
    }
    Some(reference)
}

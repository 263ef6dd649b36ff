//! New objects and the pack that carries them to a server. Small and few: blobs, trees and commits of notes.

use std::collections::BTreeSet;
use std::io;

use git2::{ObjectType, Oid};

/// Bytes of a stored block of DEFLATE at most (RFC 1951, 3.2.4).
const BLOCK: usize = 65_535;

/// Objects that do not exist anywhere yet.
#[derive(Debug, Default)]
pub(super) struct NewObjects(Vec<(ObjectType, Vec<u8>)>, BTreeSet<Oid>);

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeEntry {
    pub(super) name: String,
    pub(super) id: Oid,
    pub(super) is_folder: bool,
}

impl NewObjects {
    /// Adds an object, unless it was added before, and says its id.
    pub(super) fn add(&mut self, kind: ObjectType, bytes: Vec<u8>) -> Result<Oid, git2::Error> {
        let id = Oid::hash_object(kind, &bytes)?;
        if self.1.insert(id) {
            self.0.push((kind, bytes));
        }
        Ok(id)
    }

    /// Adds a tree of these entries, in Git's order: a folder's name counts as if it ended in `/`.
    pub(super) fn add_tree(&mut self, mut entries: Vec<TreeEntry>) -> Result<Oid, git2::Error> {
        let key =
            |entry: &TreeEntry| format!("{}{}", entry.name, if entry.is_folder { "/" } else { "" });
        entries.sort_by_key(key);
        let mut bytes = Vec::new();
        for entry in entries {
            let mode = if entry.is_folder { "40000" } else { "100644" };
            bytes.extend_from_slice(format!("{mode} {}\0", entry.name).as_bytes());
            bytes.extend_from_slice(entry.id.as_bytes());
        }
        self.add(ObjectType::Tree, bytes)
    }

    /// The pack of them (Git's `gitformat-pack`), without compression: it would save less than it costs in code.
    pub(super) fn pack(&self) -> io::Result<Vec<u8>> {
        let count = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        let mut pack = b"PACK\x00\x00\x00\x02".to_vec();
        pack.extend_from_slice(&count.to_be_bytes());
        for (kind, bytes) in &self.0 {
            let kind = match kind {
                ObjectType::Commit => 1,
                ObjectType::Tree => 2,
                ObjectType::Blob => 3,
                ObjectType::Tag => 4,
                ObjectType::Any => return Err(io::Error::other("an object without a kind")),
            };
            add_header(&mut pack, kind, bytes.len());
            add_stored(&mut pack, bytes)?;
        }
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &pack);
        pack.extend_from_slice(digest.as_ref());
        Ok(pack)
    }
}

/// Kind and size: four bits of the size in the first byte, then seven in each, as long as the top bit says so.
fn add_header(pack: &mut Vec<u8>, kind: u8, size: usize) {
    let low = |bits: usize, mask: usize| u8::try_from(bits & mask).unwrap_or_default();
    let mut rest = size >> 4;
    let mut byte = (kind << 4) | low(size, 0x0f);
    while rest > 0 {
        pack.push(byte | 0x80);
        byte = low(rest, 0x7f);
        rest >>= 7;
    }
    pack.push(byte);
}

/// Bytes in the zlib format (RFC 1950) as stored blocks.
fn add_stored(pack: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    pack.extend_from_slice(&[0x78, 0x01]);
    let mut blocks = bytes.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        pack.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).map_err(io::Error::other)?;
        pack.push(u8::from(blocks.peek().is_none()));
        pack.extend_from_slice(&length.to_le_bytes());
        pack.extend_from_slice(&(!length).to_le_bytes());
        pack.extend_from_slice(block);
    }
    pack.extend_from_slice(&adler32(bytes).to_be_bytes());
    Ok(())
}

/// RFC 1950, 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    (high << 16) | low
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_pack_is_one_that_libgit2_reads() {
        let mut objects = NewObjects::default();
        let small = objects.add(ObjectType::Blob, b"hello\n".to_vec()).unwrap();
        let empty = objects.add(ObjectType::Blob, Vec::new()).unwrap();
        let large = objects.add(ObjectType::Blob, vec![7; 200_000]).unwrap();
        let entry = |name: &str, id, is_folder| TreeEntry { name: name.to_owned(), id, is_folder };
        let inner = objects.add_tree(vec![entry("x", empty, false)]).unwrap();
        let tree = objects
            .add_tree(vec![
                entry("a", inner, true),
                entry("a.b", small, false),
                entry("z", large, false),
            ])
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init_bare(folder.path()).unwrap();
        let odb = repository.odb().unwrap();
        let mut writer = odb.packwriter().unwrap();
        writer.write_all(&objects.pack().unwrap()).unwrap();
        writer.commit().unwrap();
        assert_eq!(repository.find_blob(large).unwrap().size(), 200_000);
        let names: Vec<String> = repository
            .find_tree(tree)
            .unwrap()
            .iter()
            .map(|e| e.name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a.b", "a", "z"]);
        assert!(repository.find_tree(tree).unwrap().get_path("a/x".as_ref()).is_ok());
    }
}

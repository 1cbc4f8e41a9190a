//! What is read below, as messages.

use bytes::Bytes;
use hakata_git::read::{Commit as GitCommit, Person, TreeEntry as GitEntry};
use hakata_git::refs::Ref as GitRef;
use hakata_names::Oid;
use hakata_rpc::v1::{Commit, Ref, Signature, TreeEntry};

pub(super) fn oid_bytes(oid: &Oid) -> Bytes {
    Bytes::copy_from_slice(oid.as_bytes())
}

pub(super) fn optional(oid: Option<&Oid>) -> Bytes {
    oid.map(oid_bytes).unwrap_or_default()
}

pub(super) fn signature(person: Person) -> Signature {
    Signature {
        name: person.name.into(),
        email: person.email.into(),
        time_s: person.time.unwrap_or(0),
        offset_minutes: person.offset_minutes,
    }
}

pub(super) fn commit(commit: GitCommit) -> Commit {
    let signed = commit.headers.iter().find(|(name, _)| name.starts_with(b"gpgsig"));
    Commit {
        oid: oid_bytes(&commit.oid),
        tree_oid: oid_bytes(&commit.tree),
        parent_oids: commit.parents.iter().map(oid_bytes).collect(),
        signature: signed.map(|(_, value)| Bytes::copy_from_slice(value)).unwrap_or_default(),
        encoding: commit.encoding.map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default(),
        author: Some(signature(commit.author)),
        committer: Some(signature(commit.committer)),
        message: commit.message.into(),
    }
}

pub(super) fn reference(found: &GitRef) -> Ref {
    Ref {
        name: Bytes::copy_from_slice(found.name.as_bytes()),
        target_oid: oid_bytes(&found.oid),
        peeled_oid: optional(found.peeled.as_ref()),
    }
}

/// Makes an entry whose path begins at the root of the tree.
pub(super) fn entry(directory: &[u8], entry: &GitEntry) -> TreeEntry {
    let path =
        if directory.is_empty() { entry.path.clone() } else { [directory, b"/", &entry.path].concat() };
    TreeEntry {
        path: path.into(),
        oid: oid_bytes(&entry.oid),
        mode: entry.mode,
        size_bytes: entry.size_bytes.unwrap_or(0),
    }
}

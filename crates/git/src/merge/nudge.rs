//! A merge whose answer is longer than git's output buffer: it pushes out the answer before it.
//!
//! Until version 2.49 git leaves answers in a buffer of 4096 bytes until that is full. One file with a very long name that
//! one side changes and the other removes is named five times in the answer. Nothing but three small commits is read for
//! it, which are written to the scratch when a process starts.

use std::path::Path;

use hakata_names::{ObjectFormat, Oid};

use super::write_loose;
use crate::objects::{Kind, ReadError};

/// Length of the name, which stands in an answer five times: enough for a buffer of 16 KiB.
const NAME_BYTES: usize = 3_600;

/// Writes the commits; returns the line that asks for the merge. Blocks.
pub(super) fn write(objects: &Path, format: ObjectFormat) -> Result<Vec<u8>, ReadError> {
    let put = |kind, content: &[u8]| write_loose(objects, format, kind, content);
    let (old, new) = (put(Kind::Blob, b"old\n")?, put(Kind::Blob, b"new\n")?);
    let tree = |blob: Option<Oid>| {
        let mut content = Vec::new();
        if let Some(blob) = blob {
            content.extend_from_slice(b"100644 ");
            content.extend(std::iter::repeat_n(b'n', NAME_BYTES));
            content.push(0);
            content.extend_from_slice(blob.as_bytes());
        }
        put(Kind::Tree, &content)
    };
    let commit = |blob: Option<Oid>| {
        let who = "nudge <> 0 +0000";
        let content = format!("tree {}\nauthor {who}\ncommitter {who}\n\nnudge\n", tree(blob)?);
        put(Kind::Commit, content.as_bytes())
    };
    let (base, ours, theirs) = (commit(Some(old))?, commit(Some(new))?, commit(None)?);
    Ok(format!("{base} -- {ours} {theirs}\n").into_bytes())
}

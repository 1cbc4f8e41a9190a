//! Refs rendered as pkt-lines.

use std::ops::Range;

use bytes::Bytes;
use hakata_pkt_line::encode_parts;

use super::{Peel, Ref, RefSnapshot};

/// One buffer with the lines of all refs, and where each ref's lines begin.
#[derive(Debug)]
pub(crate) struct Lines {
    bytes: Bytes,
    starts: Box<[usize]>,
}

impl Lines {
    /// Renders `<oid> <name>[ peeled:<oid>]`, as `ls-refs` answers. Source: gitprotocol-v2(5).
    pub(super) fn v2(snapshot: &RefSnapshot, peel: Peel) -> Self {
        Self::render(snapshot, |at, out| {
            let oid = at.oid.to_string();
            match at.peeled.filter(|_| peel == Peel::Yes) {
                Some(peeled) => {
                    let peeled = peeled.to_string();
                    let name = at.name.as_bytes();
                    encode_parts(&[oid.as_bytes(), b" ", name, b" peeled:", peeled.as_bytes(), b"\n"], out);
                }
                None => encode_parts(&[oid.as_bytes(), b" ", at.name.as_bytes(), b"\n"], out),
            }
        })
    }

    /// Renders `<oid> <name>` and, behind a tag, `<oid> <name>^{}`. Source: gitprotocol-pack(5).
    pub(super) fn v0(snapshot: &RefSnapshot, peel: Peel) -> Self {
        Self::render(snapshot, |at, out| {
            encode_parts(&[at.oid.to_string().as_bytes(), b" ", at.name.as_bytes(), b"\n"], out);
            if peel == Peel::Yes {
                encode_peeled(at, out);
            }
        })
    }

    fn render(snapshot: &RefSnapshot, line: impl Fn(&Ref, &mut Vec<u8>)) -> Self {
        let mut out = Vec::with_capacity(snapshot.len() * 80);
        let mut starts = Vec::with_capacity(snapshot.len() + 1);
        for at in snapshot.iter() {
            starts.push(out.len());
            line(at, &mut out);
        }
        starts.push(out.len());
        out.shrink_to_fit();
        Self { bytes: out.into(), starts: starts.into() }
    }

    /// Slices out the lines of a range of refs.
    pub(crate) fn slice(&self, refs: Range<usize>) -> Bytes {
        self.bytes.slice(self.starts[refs.start]..self.starts[refs.end])
    }

    /// Slices out the lines of all refs from one on.
    pub(crate) fn from(&self, first: usize) -> Bytes {
        self.slice(first..self.starts.len() - 1)
    }
}

/// Appends the `^{}` line of a ref that points to a tag object.
pub(crate) fn encode_peeled(at: &Ref, out: &mut Vec<u8>) {
    if let Some(peeled) = at.peeled {
        encode_parts(&[peeled.to_string().as_bytes(), b" ", at.name.as_bytes(), b"^{}\n"], out);
    }
}

//! The command `ls-refs`: which refs there are. Source: gitprotocol-v2(5).

use bytes::Bytes;
use hakata_pkt_line::{FLUSH, encode_parts};
use tokio::io::AsyncRead;

use super::ServeError;
use super::request::{RequestError, chomp};
use super::v2::next_argument;
use crate::packets::Packets;
use crate::refs::{Head, Peel, Prefixes, RefSnapshot};

/// The arguments of `ls-refs`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LsRefs {
    peel: bool,
    symrefs: bool,
    unborn: bool,
    prefixes: Prefixes,
}

impl LsRefs {
    pub(super) async fn read<R: AsyncRead + Unpin>(
        packets: &mut Packets<'_, R>,
        has_arguments: bool,
    ) -> Result<Self, ServeError> {
        let mut request = Self::default();
        while let Some(line) = next_argument(packets, has_arguments).await? {
            match chomp(&line) {
                b"peel" => request.peel = true,
                b"symrefs" => request.symrefs = true,
                b"unborn" => request.unborn = true,
                line => match line.strip_prefix(b"ref-prefix ") {
                    Some(prefix) => request.prefixes.push(prefix),
                    None => return Err(RequestError::unexpected(line).into()),
                },
            }
        }
        Ok(request)
    }

    /// Renders the reply: a line for `HEAD`, then slices of the snapshot.
    pub(super) fn answer(&self, snapshot: &RefSnapshot) -> Vec<Bytes> {
        let peel = if self.peel { Peel::Yes } else { Peel::No };
        let mut pieces = Vec::from_iter(self.head(snapshot));
        pieces.extend(snapshot.v2_slices(peel, &self.prefixes));
        pieces.push(Bytes::from_static(FLUSH));
        pieces
    }

    fn head(&self, snapshot: &RefSnapshot) -> Option<Bytes> {
        if !self.prefixes.matches(b"HEAD") {
            return None;
        }
        let target = snapshot.head_target();
        let symref = match snapshot.head() {
            Head::Symbolic(name) if self.symrefs => Some(name),
            _ => None,
        };
        if target.is_none() && !(self.unborn && symref.is_some()) {
            return None;
        }
        let oid = target.map_or_else(|| "unborn".to_owned(), |oid| oid.to_string());
        let mut line = [oid.as_bytes(), b" HEAD"].concat();
        if let Some(name) = symref {
            line.extend_from_slice(b" symref-target:");
            line.extend_from_slice(name.as_bytes());
        }
        if let (true, Some(peeled)) = (self.peel, head_peeled(snapshot)) {
            line.extend_from_slice(format!(" peeled:{peeled}").as_bytes());
        }
        let mut out = Vec::with_capacity(line.len() + 5);
        encode_parts(&[&line, b"\n"], &mut out);
        Some(out.into())
    }
}

/// Finds what is behind `HEAD` if its branch points to a tag object, as odd repositories do.
fn head_peeled(snapshot: &RefSnapshot) -> Option<hakata_names::Oid> {
    match snapshot.head() {
        Head::Symbolic(name) => snapshot.find(name)?.peeled,
        Head::Detached(_) => None,
    }
}

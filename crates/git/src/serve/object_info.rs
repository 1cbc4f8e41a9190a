//! The command `object-info`: sizes of objects without the objects. Source: gitprotocol-v2(5).

use bytes::Bytes;
use hakata_names::Oid;
use hakata_pkt_line::{FLUSH, encode, encode_parts};
use tokio::io::AsyncRead;

use super::request::{Bounds, RequestError, chomp, parse_oid, push};
use super::v2::next_argument;
use super::wants::Asked;
use super::{ServeError, UploadPack};
use crate::packets::Packets;
use crate::refs::RefSnapshot;

/// The arguments of `object-info`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectInfo {
    size: bool,
    oids: Vec<Oid>,
}

impl ObjectInfo {
    pub(super) async fn read<R: AsyncRead + Unpin>(
        packets: &mut Packets<'_, R>,
        has_arguments: bool,
        refs: &RefSnapshot,
        bounds: Bounds,
    ) -> Result<Self, ServeError> {
        let mut request = Self::default();
        while let Some(line) = next_argument(packets, has_arguments).await? {
            let line = chomp(&line);
            match line.strip_prefix(b"oid ") {
                Some(hex) => {
                    push(&mut request.oids, parse_oid(hex, refs.format(), line)?, "objects", bounds.n_wants)?;
                }
                None if line == b"size" => request.size = true,
                None => return Err(RequestError::unexpected(line).into()),
            }
        }
        Ok(request)
    }

    /// Renders the reply. An object that this client may not have looks like one that does not exist. A
    /// request without objects is answered by nothing but its end, as git does.
    pub(super) async fn answer(self, conversation: &UploadPack<'_>) -> Result<Bytes, ServeError> {
        if self.oids.is_empty() {
            return Ok(Bytes::from_static(FLUSH));
        }
        let sizes = if self.size { self.sizes(conversation).await? } else { vec![None; self.oids.len()] };
        let mut out = Vec::with_capacity(self.oids.len() * 80);
        if self.size {
            encode(b"size", &mut out);
        }
        for (oid, size) in self.oids.iter().zip(sizes) {
            let oid = oid.to_string();
            let size = size.map_or_else(String::new, |size: u64| size.to_string());
            let space: &[u8] = if self.size { b" " } else { b"" };
            encode_parts(&[oid.as_bytes(), space, size.as_bytes()], &mut out);
        }
        out.extend_from_slice(FLUSH);
        Ok(out.into())
    }

    async fn sizes(&self, conversation: &UploadPack<'_>) -> Result<Vec<Option<u64>>, ServeError> {
        let UploadPack { git, snapshot, source, .. } = *conversation;
        let dir = source.directory().await.map_err(ServeError::Directory)?;
        let dir = (*dir).as_ref();
        let hidden = Asked { git, dir, snapshot, source, oids: &self.oids }.hidden().await?;
        let oids = self.oids.clone();
        let objects = git.objects(dir, 0).await.map_err(ServeError::Read)?;
        let sizes = objects.read(move |view| {
            let size = |oid: &Oid| match hidden.contains(oid) {
                true => Ok(None),
                false => Ok(view.header(oid)?.map(|header| header.size_bytes)),
            };
            oids.iter().map(size).collect()
        });
        sizes.await.map_err(ServeError::Read)
    }
}

//! Contents of files.

use std::sync::Arc;

use bytes::Bytes;
use hakata_git::objects::View;
use hakata_git::read::{BlobRange, BlobStream, FoundBlob, ShortBlob};
use hakata_names::Oid;
use hakata_rpc::v1::{
    BlobService, GetBlobRequest, GetBlobResponse, GetManyBlobsRequest, GetManyBlobsResponse, LfsPointer,
    LfsPointersRequest, LfsPointersResponse, ObjectSize, SizesRequest, SizesResponse,
};
use hakata_rpc::{Answers, Call, Code, Pending, Status};

use super::messages::oid_bytes;
use super::revisions::{Named, kind};
use super::{Local, Opened, oid, status, tree_path};
use crate::metrics::Limit;
use crate::parts::{Parts, parts};
use crate::settings::at_most;

/// Bytes of content in one part, at most.
pub(super) const PART_BYTES: usize = 128 << 10;

/// Bytes of content that are read in one visit to the objects, and a blob more, at most.
const VISIT_BYTES: u64 = 1 << 20;

/// Pointers of one part.
const PART_POINTERS: usize = 500;

impl BlobService for Local {
    fn get(&self, call: Call, request: GetBlobRequest) -> Answers<GetBlobResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let begun = cursor(&request.cursor, &opened)?;
            let from = begun.map_or(request.offset_bytes, |(_, from)| from);
            let end = match request.limit_bytes {
                0 => None,
                limit => Some(request.offset_bytes.saturating_add(limit)),
            };
            let range = BlobRange { offset: from, length: end.map(|end| end.saturating_sub(from)) };
            let blob = opened.blob(&request, begun.map(|(oid, _)| oid), range).await?;
            give_blob(blob, from, request.cursor.is_empty(), parts).await
        })
    }

    fn get_many(&self, call: Call, request: GetManyBlobsRequest) -> Answers<GetManyBlobsResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let oids: Arc<[Oid]> = local.oids(&request.oids, &opened)?.into();
            let (mut index, offset) = many_cursor(&request.cursor)?;
            if offset > 0 && index < oids.len() {
                let place = Place { index, n: oids.len() };
                opened.give_long(oids[index], place, offset, request.limit_bytes, &parts).await?;
                index += 1;
            }
            while index < oids.len() {
                index = opened.give_some(&oids, index, request.limit_bytes, &parts).await?;
            }
            Ok(())
        })
    }

    fn sizes(&self, call: Call, request: SizesRequest) -> Pending<SizesResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let oids = local.oids(&request.oids, &opened)?;
            let headers = opened
                .read(move |view| oids.iter().map(|oid| view.header(oid)).collect::<Result<Vec<_>, _>>());
            let sizes = headers.await?.into_iter().map(|header| match header {
                Some(header) => ObjectSize { kind: kind(header.kind).into(), size_bytes: header.size_bytes },
                None => ObjectSize::default(),
            });
            Ok(SizesResponse { sizes: sizes.collect() })
        })
    }

    fn lfs_pointers(&self, call: Call, request: LfsPointersRequest) -> Answers<LfsPointersResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let root = opened.resolve(request.revision.as_ref()).await?;
            let found = opened.read(move |view| {
                let mut found = Vec::new();
                view.lfs_pointers(&root, &mut |pointer| found.push(pointer))?;
                Ok(found)
            });
            for pointers in found.await?.chunks(PART_POINTERS) {
                let pointers = pointers.iter().map(|pointer| LfsPointer {
                    path: pointer.path.clone().into(),
                    oid: oid_bytes(&pointer.blob),
                    lfs_oid: pointer.object.clone(),
                    lfs_size_bytes: pointer.size_bytes,
                });
                parts.give(LfsPointersResponse { pointers: pointers.collect() }).await?;
            }
            Ok(())
        })
    }
}

/// Which one of many a blob is.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    n: usize,
}

impl Place {
    /// Writes the cursor of the byte behind a part of this blob.
    fn cursor(self, offset: u64) -> Bytes {
        [&self.number().to_be_bytes()[..], &offset.to_be_bytes()].concat().into()
    }

    /// Writes the cursor of the next blob; empty behind the last one.
    fn behind(self) -> Bytes {
        let next = Self { index: self.index + 1, ..self };
        if next.index == self.n { Bytes::new() } else { next.cursor(0) }
    }

    fn number(self) -> u32 {
        u32::try_from(self.index).unwrap_or(u32::MAX)
    }
}

impl Opened {
    /// Opens the blob that a request names, by itself or by a path; or the one that a stream of it goes on with.
    async fn blob(
        &self,
        request: &GetBlobRequest,
        begun: Option<Oid>,
        range: BlobRange,
    ) -> Result<BlobStream, Status> {
        let named =
            begun.map_or_else(|| self.named(request.revision.as_ref()), |oid| Ok(Named::Object(oid)))?;
        let path = if begun.is_some() { None } else { tree_path(&request.path)? };
        let find = move |view: &View| {
            let root = named.object(view)?;
            match path {
                Some(path) => Ok(view.find_entry(&root, &path)?.map(|entry| entry.oid)),
                None => Ok(Some(root)),
            }
        };
        let found = self.objects().find_blob(find, range, &self.allowance()).await;
        match found.map_err(|error| status(&error))? {
            FoundBlob::File(blob) => Ok(blob),
            FoundBlob::Other => Err(Status::new(Code::FailedPrecondition, "that is no file")),
            FoundBlob::Absent => Err(Status::not_found("there is no such file")),
        }
    }

    /// Gives as many blobs as one visit to the objects reads, from one on; returns which one is next.
    async fn give_some(
        &self,
        oids: &Arc<[Oid]>,
        first: usize,
        limit: u64,
        parts: &Parts<GetManyBlobsResponse>,
    ) -> Result<usize, Status> {
        let asked = oids.clone();
        let read = self.read(move |view| view.short_blobs(&asked[first..], PART_BYTES as u64, VISIT_BYTES));
        let mut place = Place { index: first, n: oids.len() };
        for found in read.await? {
            let (content, missing) = match found {
                ShortBlob::Content(content) => (content, false),
                ShortBlob::Absent => (Bytes::new(), true),
                ShortBlob::Long => {
                    self.give_long(oids[place.index], place, 0, limit, parts).await?;
                    place.index += 1;
                    continue;
                }
            };
            let size_bytes = content.len() as u64;
            let wanted = if limit == 0 { size_bytes } else { limit.min(size_bytes) };
            let content = content.slice(..usize::try_from(wanted).unwrap_or(content.len()));
            let (index, cursor) = (place.number(), place.behind());
            parts.give(GetManyBlobsResponse { index, size_bytes, missing, content, cursor }).await?;
            place.index += 1;
        }
        Ok(place.index)
    }

    /// Gives one of many blobs in parts, from a byte on.
    async fn give_long(
        &self,
        oid: Oid,
        place: Place,
        offset: u64,
        limit: u64,
        parts: &Parts<GetManyBlobsResponse>,
    ) -> Result<(), Status> {
        let length = Some(limit).filter(|limit| *limit > 0).map(|limit| limit.saturating_sub(offset));
        let opened = self.objects().open_blob(oid, BlobRange { offset, length }, &self.allowance()).await;
        let mut blob = opened.map_err(|error| status(&error))?;
        let mut at = offset;
        loop {
            let content = blob.next().await.map_err(|error| status(&error))?.unwrap_or_default();
            let size_bytes = if at == 0 { blob.size_bytes() } else { 0 };
            at += content.len() as u64;
            let is_end = blob.left_bytes() == 0;
            let cursor = if is_end { place.behind() } else { place.cursor(at) };
            let index = place.number();
            parts.give(GetManyBlobsResponse { index, size_bytes, missing: false, content, cursor }).await?;
            if is_end {
                return blob.next().await.map(|_| ()).map_err(|error| status(&error));
            }
        }
    }
}

/// Gives a blob in parts, from a byte on.
async fn give_blob(
    mut blob: BlobStream,
    mut at: u64,
    mut is_first: bool,
    parts: Parts<GetBlobResponse>,
) -> Result<(), Status> {
    let oid = blob.oid();
    loop {
        let piece = blob.next().await.map_err(|error| status(&error))?;
        let is_end = blob.left_bytes() == 0;
        if piece.is_none() && !is_first {
            return Ok(());
        }
        let content = piece.unwrap_or_default();
        at += content.len() as u64;
        let mut part = GetBlobResponse { content, ..GetBlobResponse::default() };
        if std::mem::take(&mut is_first) {
            part.oid = oid_bytes(&oid);
            part.size_bytes = blob.size_bytes();
        }
        if !is_end {
            part.cursor = [&at.to_be_bytes(), oid.as_bytes()].concat().into();
        }
        parts.give(part).await?;
        if is_end {
            // git's exit status is looked at behind the last byte.
            return blob.next().await.map(|_| ()).map_err(|error| status(&error));
        }
    }
}

impl Local {
    fn oids(&self, raw: &[Bytes], opened: &Opened) -> Result<Vec<Oid>, Status> {
        at_most(Limit::Objects, raw.len(), self.0.settings.limits.objects)?;
        raw.iter().map(|raw| oid(raw, opened.repository.format())).collect()
    }
}

/// Reads the blob that a stream is of, and the byte it goes on with.
fn cursor(cursor: &[u8], opened: &Opened) -> Result<Option<(Oid, u64)>, Status> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let (offset, raw) = cursor.split_first_chunk().ok_or_else(malformed)?;
    Ok(Some((oid(raw, opened.repository.format())?, u64::from_be_bytes(*offset))))
}

/// Reads which blob of many a stream goes on with, and its byte.
fn many_cursor(cursor: &[u8]) -> Result<(usize, u64), Status> {
    if cursor.is_empty() {
        return Ok((0, 0));
    }
    let (index, offset) = cursor.split_first_chunk().ok_or_else(malformed)?;
    let offset = offset.try_into().map_err(|_| malformed())?;
    Ok((u32::from_be_bytes(*index).try_into().unwrap_or(usize::MAX), u64::from_be_bytes(offset)))
}

fn malformed() -> Status {
    Status::invalid("the cursor is malformed")
}

//! Contents of files.

use bytes::Bytes;
use hakata_git::objects::Kind;
use hakata_git::read::BlobRange;
use hakata_names::Oid;
use hakata_rpc::v1::{
    BlobService, GetBlobRequest, GetBlobResponse, GetManyBlobsRequest, GetManyBlobsResponse, LfsPointer,
    LfsPointersRequest, LfsPointersResponse, ObjectSize, SizesRequest, SizesResponse,
};
use hakata_rpc::{Answers, Call, Code, Pending, Status};

use super::messages::oid_bytes;
use super::revisions::kind;
use super::{Local, Opened, oid, status, tree_path};
use crate::metrics::Limit;
use crate::parts::{Parts, parts};
use crate::settings::at_most;

/// Bytes of content in one part, at most.
pub(super) const PART_BYTES: usize = 128 << 10;

/// Pointers of one part.
const PART_POINTERS: usize = 500;

impl BlobService for Local {
    fn get(&self, call: Call, request: GetBlobRequest) -> Answers<GetBlobResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let (oid, from) = match cursor(&request.cursor, &opened)? {
                Some(begun) => begun,
                None => (opened.blob(&request).await?, request.offset_bytes),
            };
            let end = match request.limit_bytes {
                0 => None,
                limit => Some(request.offset_bytes.saturating_add(limit)),
            };
            let range = BlobRange { offset: from, length: end.map(|end| end.saturating_sub(from)) };
            opened.give_blob(oid, range, request.cursor.is_empty(), parts).await
        })
    }

    fn get_many(&self, call: Call, request: GetManyBlobsRequest) -> Answers<GetManyBlobsResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let oids = local.oids(&request.oids, &opened)?;
            let (first, mut offset) = many_cursor(&request.cursor)?;
            for (index, oid) in oids.iter().enumerate().skip(first) {
                let is_last = index + 1 == oids.len();
                let begun = std::mem::take(&mut offset);
                opened.give_one_of_many(*oid, (index, is_last), begun, request.limit_bytes, &parts).await?;
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

impl Opened {
    /// Finds the blob that a request names, by itself or by a path.
    async fn blob(&self, request: &GetBlobRequest) -> Result<Oid, Status> {
        let named = self.named(request.revision.as_ref())?;
        let path = tree_path(&request.path)?;
        let found = self.read(move |view| {
            let root = named.object(view)?;
            let found = match path {
                Some(path) => view.find_entry(&root, &path)?.map(|entry| entry.oid),
                None => Some(root),
            };
            let header = found.map(|oid| view.header(&oid)).transpose()?.flatten();
            Ok(found.zip(header))
        });
        match found.await? {
            Some((oid, header)) if header.kind == Kind::Blob => Ok(oid),
            Some(_) => Err(Status::new(Code::FailedPrecondition, "that is no file")),
            None => Err(Status::not_found("there is no such file")),
        }
    }

    async fn give_blob(
        &self,
        oid: Oid,
        range: BlobRange,
        mut is_first: bool,
        parts: Parts<GetBlobResponse>,
    ) -> Result<(), Status> {
        let opened = self.objects().open_blob(oid, range, &self.allowance()).await;
        let mut blob = opened.map_err(|error| status(&error))?;
        let mut at = range.offset;
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

    async fn give_one_of_many(
        &self,
        oid: Oid,
        (index, is_last): (usize, bool),
        offset: u64,
        limit: u64,
        parts: &Parts<GetManyBlobsResponse>,
    ) -> Result<(), Status> {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let cursor =
            |index: u32, offset: u64| Bytes::from([&index.to_be_bytes()[..], &offset.to_be_bytes()].concat());
        let next = if is_last { Bytes::new() } else { cursor(number + 1, 0) };
        let header = self.read(move |view| view.header(&oid)).await?;
        if header.is_none_or(|header| header.kind != Kind::Blob) {
            let part = GetManyBlobsResponse {
                index: number,
                missing: true,
                cursor: next,
                ..GetManyBlobsResponse::default()
            };
            return parts.give(part).await;
        }
        let length = Some(limit).filter(|limit| *limit > 0).map(|limit| limit.saturating_sub(offset));
        let opened = self.objects().open_blob(oid, BlobRange { offset, length }, &self.allowance()).await;
        let mut blob = opened.map_err(|error| status(&error))?;
        let mut at = offset;
        loop {
            let content = blob.next().await.map_err(|error| status(&error))?.unwrap_or_default();
            let size_bytes = if at == 0 { blob.size_bytes() } else { 0 };
            at += content.len() as u64;
            let is_end = blob.left_bytes() == 0;
            let cursor = if is_end { next.clone() } else { cursor(number, at) };
            parts
                .give(GetManyBlobsResponse { index: number, size_bytes, missing: false, content, cursor })
                .await?;
            if is_end {
                return blob.next().await.map(|_| ()).map_err(|error| status(&error));
            }
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

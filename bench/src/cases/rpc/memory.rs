//! A file that is in memory already, as an answer: what a transport alone can move.

use std::any::Any;

use bytes::Bytes;
use futures_util::stream;
use hakata_rpc::v1::{GetBlobRequest, GetBlobResponse};
use hakata_rpc::{Answers, Call, Code, Pending, Requests, Status, StreamRpc, Transport, UnaryRpc, UploadRpc};

/// Bytes of one part, as the service has them.
pub(super) const PART_BYTES: usize = 128 << 10;

/// Answers every request for a file with so many bytes; all other streams are empty, and all other answers are.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    part: Bytes,
}

impl Memory {
    pub(super) fn new() -> Self {
        let part: Vec<u8> = (0..PART_BYTES).map(|at| (at * 7).to_le_bytes()[0]).collect();
        Self { part: part.into() }
    }

    /// Gives the parts from a place on, each with the cursor behind it.
    pub(super) fn parts(&self, request: &GetBlobRequest) -> impl Iterator<Item = GetBlobResponse> + use<> {
        let begun = request.cursor.first_chunk().map_or(0, |at| u64::from_be_bytes(*at));
        let (part, end) = (self.part.clone(), request.limit_bytes);
        (begun..end).step_by(PART_BYTES).map(move |at| {
            let behind = at + PART_BYTES as u64;
            let cursor = if behind < end { behind.to_be_bytes().to_vec().into() } else { Bytes::new() };
            GetBlobResponse { content: part.clone(), cursor, ..GetBlobResponse::default() }
        })
    }
}

impl Transport for Memory {
    fn unary<R: UnaryRpc>(&self, _call: Call, _request: R::Request) -> Pending<R::Response> {
        Box::pin(async { Ok(R::Response::default()) })
    }

    fn stream<R: StreamRpc>(&self, _call: Call, request: R::Request) -> Answers<R::Response> {
        let request: Box<dyn Any> = Box::new(request);
        let Ok(request) = request.downcast::<GetBlobRequest>() else { return Box::pin(stream::empty()) };
        let parts = self.parts(&request).map(|part| {
            let part: Box<dyn Any> = Box::new(part);
            let wrong = |_| Status::new(Code::Internal, "files are answered with parts of files");
            part.downcast::<R::Response>().map(|part| *part).map_err(wrong)
        });
        Box::pin(stream::iter(parts))
    }

    fn upload<R: UploadRpc>(&self, _call: Call, _requests: Requests<R::Request>) -> Pending<R::Response> {
        Box::pin(async { Ok(R::Response::default()) })
    }
}

//! Requests that come in parts, each in a call of its own.
//!
//! The operation runs while a part is being taken, and is dropped with the request: when its caller takes it back, waits
//! too long with the next part, or when the connection ends.

use futures_util::future::BoxFuture;
use hakata_rpc::msgpack::envelope::Params;
use hakata_rpc::{Operation, Status};
use tokio::sync::mpsc;

use super::answer::{Answer, Left};

/// A map without fields. Source: the MessagePack specification, "Formats".
const EMPTY_MAP: u8 = 0x80;

/// A request of which there is more to come, and the operation that takes it.
pub(super) struct Upload {
    pub(super) operation: Operation,
    pub(super) parts: mpsc::Sender<Vec<u8>>,
    pub(super) answering: BoxFuture<'static, Result<Vec<u8>, Status>>,
}

impl Upload {
    /// Hands on the next part; waits until the operation has taken it, and with the last until it answers.
    pub(super) fn go_on(mut self, params: Params) -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            let Params { request, extras } = params;
            // An empty map behind other parts is their end and nothing else.
            let is_end = extras.upload.is_some() && !extras.more && request == [EMPTY_MAP];
            let parts = &self.parts;
            // There is room behind a part again once it was taken.
            let handing =
                async move { is_end || parts.send(request).await.is_ok() && parts.reserve().await.is_ok() };
            let is_taken = tokio::select! {
                biased;
                answer = &mut self.answering => return Answer::whole(result(answer, extras.more)),
                is_taken = handing => is_taken,
            };
            if extras.more && is_taken {
                return Answer { result: Ok(open("upload")), left: Some(Left::Upload(self)) };
            }
            drop(self.parts);
            Answer::whole(result(self.answering.await, extras.more))
        })
    }
}

/// Encodes the result: `{result: …}` for who has more to say and must tell it from a handle.
fn result(answer: Result<Vec<u8>, Status>, more: bool) -> Result<Vec<u8>, Status> {
    let answer = answer?;
    Ok(if more { [open("result"), answer].concat() } else { answer })
}

/// Encodes a map up to its only value.
fn open(name: &str) -> Vec<u8> {
    let mut out = vec![0x81];
    // Writing into memory does not fail.
    let _ = rmp::encode::write_str(&mut out, name);
    out
}

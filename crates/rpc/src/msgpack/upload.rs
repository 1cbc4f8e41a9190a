//! Requests in parts: one call after another, the first without and further ones with the handle that they go to.

use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Msgpack;
use super::connection::Connection;
use super::envelope::Extras;
use crate::call::{Call, Requests};
use crate::operation::UploadRpc;
use crate::status::{Code, Status};

/// A request on its way.
pub(super) struct Upload {
    client: Msgpack,
    call: Call,
    /// What was sent waits on the connection that took it.
    on: Option<Arc<Connection>>,
    handle: Option<String>,
}

/// What a part is answered that is not the last: where the next one goes, or the result if that is known already.
#[derive(serde::Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Taken<T> {
    #[serde(default)]
    upload: Option<String>,
    #[serde(default)]
    result: Option<T>,
}

/// The end of a request whose parts were all sent.
#[derive(Serialize)]
struct Nothing {}

/// Whether further parts follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

impl Upload {
    pub(super) fn new(client: Msgpack, call: Call) -> Self {
        Self { client, call, on: None, handle: None }
    }

    /// Sends all parts, each once the one before was taken. A request of one part is one call; the end of another is said
    /// behind its last part, so that no part waits for the next to learn what came of it.
    pub(super) async fn send<R: UploadRpc>(
        mut self,
        mut request: Requests<R::Request>,
    ) -> Result<R::Response, Status> {
        let first = request.next().await.transpose()?.unwrap_or_default();
        let Some(second) = request.next().await.transpose()? else {
            return self.ask::<R, _, _>(&first, More::No).await;
        };
        if let Some(result) = self.part::<R>(&first).await? {
            return Ok(result);
        }
        let mut next = Some(second);
        while let Some(part) = next {
            if let Some(result) = self.part::<R>(&part).await? {
                return Ok(result);
            }
            next = request.next().await.transpose()?;
        }
        self.ask::<R, _, _>(&Nothing {}, More::No).await
    }

    /// Sends a part that is not the last; returns the result if that is known already.
    async fn part<R: UploadRpc>(&mut self, part: &R::Request) -> Result<Option<R::Response>, Status> {
        match self.ask::<R, _, Taken<R::Response>>(part, More::Yes).await? {
            Taken { result: Some(result), .. } => Ok(Some(result)),
            Taken { upload: Some(handle), .. } => {
                self.handle = Some(handle);
                Ok(None)
            }
            Taken { .. } => {
                Err(Status::new(Code::Unknown, "the server does not say where the next part goes"))
            }
        }
    }

    async fn ask<R: UploadRpc, P: Serialize + Sync, T: DeserializeOwned>(
        &mut self,
        part: &P,
        more: More,
    ) -> Result<T, Status> {
        let mut extras = Extras::from(&self.call);
        extras.upload = self.handle.take();
        extras.more = more == More::Yes;
        let asked = (&extras, self.call.deadline);
        let (answer, _) = self.client.ask(R::OPERATION.key(), part, asked, &mut self.on).await?;
        Ok(answer)
    }
}

/// Whoever sends no further part wants nothing of the request any more.
impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(connection), Some(handle)) = (&self.on, &self.handle) {
            connection.forget(handle);
        }
    }
}

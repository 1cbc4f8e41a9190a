//! The side of the caller: many requests in flight on few connections, answers in any order.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};
use hakata_runtime::tasks::Tasks;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use tokio::time::Instant;

use super::connection::{Connection, Reply};
use super::envelope::Extras;
use super::upload::Upload;
use crate::call::{Answers, Call, Pending, Requests};
use crate::endpoint::Endpoint;
use crate::operation::{StreamRpc, Transport, UnaryRpc, UploadRpc};
use crate::status::{Code, Status};

/// Carries operations to a server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Msgpack(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    endpoint: Endpoint,
    tasks: Tasks,
    places: Vec<tokio::sync::Mutex<Option<Arc<Connection>>>>,
    next: Mutex<usize>,
}

/// A page of an answer in parts.
#[derive(serde::Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    parts: Vec<T>,
    #[serde(default)]
    cursor: Option<Raw>,
    #[serde(default)]
    handle: Option<String>,
}

/// Bytes, whichever way they came.
struct Raw(bytes::Bytes);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::wire::text::deserialize(deserializer).map(Self)
    }
}

impl Msgpack {
    /// Returns it as the contract; all operations are compiled here, not where it is called.
    pub fn operations(&self) -> Arc<dyn crate::Operations> {
        Arc::new(self.clone())
    }

    /// Makes a client. It connects when it is first used, and again whenever a connection breaks; what reads and writes
    /// connections runs in `tasks`.
    pub fn lazy(endpoint: Endpoint, tasks: Tasks) -> Self {
        let places = (0..endpoint.n_connections.max(1)).map(|_| tokio::sync::Mutex::default()).collect();
        Self(Arc::new(Pool { endpoint, tasks, places, next: Mutex::default() }))
    }

    /// Asks one question and reads its answer, on a connection that was used before or on any; tells its number too.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        request: &(impl serde::Serialize + Sync),
        (extras, deadline): (&Extras, Option<Instant>),
        on: &mut Option<Arc<Connection>>,
    ) -> Result<(T, u32), Status> {
        let asked = async {
            if on.is_none() {
                *on = Some(self.0.connection().await?);
            }
            match on {
                Some(connection) => connection.ask(method, request, extras).await,
                None => Err(Status::unreached("there is no connection")),
            }
        };
        let Reply { msgid, result } = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, asked).await.map_err(|_| late())?,
            None => asked.await,
        }?;
        let read = rmp_serde::from_slice(&result);
        let wrong = |error| Status::new(Code::Unknown, format!("reading the server's answer: {error}"));
        Ok((read.map_err(wrong)?, msgid))
    }
}

fn late() -> Status {
    Status::new(Code::DeadlineExceeded, "the server did not answer in time")
}

impl Pool {
    /// Finds a connection that stands, the next in turn, or makes it.
    async fn connection(&self) -> Result<Arc<Connection>, Status> {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (*next + 1) % self.places.len();
            *next
        };
        let mut place = self.places[turn].lock().await;
        if let Some(connection) = place.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        let opening = Connection::open(&self.endpoint, &self.tasks);
        let opened = tokio::time::timeout(self.endpoint.connect_timeout, opening).await;
        let connection = Arc::new(opened.unwrap_or_else(|_| {
            Err(Status::unreached(format!("{} did not answer in time", self.endpoint.address)))
        })?);
        *place = Some(connection.clone());
        Ok(connection)
    }
}

impl Transport for Msgpack {
    fn unary<R: UnaryRpc>(&self, call: Call, request: R::Request) -> Pending<R::Response> {
        let client = self.clone();
        Box::pin(async move {
            let extras = Extras::from(&call);
            let asked = (&extras, call.deadline);
            client.ask(R::OPERATION.key(), &request, asked, &mut None).await.map(|(answer, _)| answer)
        })
    }

    fn stream<R: StreamRpc>(&self, call: Call, request: R::Request) -> Answers<R::Response> {
        let next = Next { client: self.clone(), call, request, on: None, handle: None, answered: None };
        let pages = stream::unfold(Some(next), |next| async move {
            let mut next = next?;
            let page = next.page::<R>().await;
            Some(match page {
                Ok((parts, more)) => (Ok(parts), more.then_some(next)),
                Err(status) => (Err(status), None),
            })
        });
        Box::pin(pages.flat_map(|page| match page {
            Ok(parts) => stream::iter(parts.into_iter().map(Ok)).left_stream(),
            Err(status) => stream::iter([Err(status)]).right_stream(),
        }))
    }

    fn upload<R: UploadRpc>(&self, call: Call, request: Requests<R::Request>) -> Pending<R::Response> {
        let upload = Upload::new(self.clone(), call);
        Box::pin(async move { upload.send::<R>(request).await })
    }
}

/// The page that is to be asked for.
struct Next<Q> {
    client: Msgpack,
    call: Call,
    request: Q,
    /// What waits under a handle waits on the connection that it was answered on.
    on: Option<Arc<Connection>>,
    handle: Option<String>,
    /// The number of the request behind whose page the answer stands.
    answered: Option<u32>,
}

/// Whoever asks for no further page lets the server go on with something else.
impl<Q> Drop for Next<Q> {
    fn drop(&mut self) {
        let Some(connection) = &self.on else { return };
        match (&self.handle, self.answered) {
            (Some(handle), _) => connection.forget(handle),
            (None, Some(msgid)) => connection.take_back(msgid),
            (None, None) => {}
        }
    }
}

impl<Q: serde::Serialize + Sync> Next<Q> {
    /// Asks for it; says whether there is another one behind it.
    async fn page<R: StreamRpc<Request = Q>>(&mut self) -> Result<(Vec<R::Response>, bool), Status> {
        let mut extras = Extras::from(&self.call);
        extras.handle = self.handle.take();
        self.answered = None;
        let asked = (&extras, self.call.deadline);
        // Where the last page came from its answer stands; another connection would have it begin anew.
        if extras.handle.is_none() && !self.on.as_ref().is_some_and(|on| on.is_open()) {
            self.on = None;
        }
        let (page, msgid): (Page<R::Response>, u32) =
            self.client.ask(R::OPERATION.key(), &self.request, asked, &mut self.on).await?;
        let mut more = false;
        if let Some(Raw(cursor)) = page.cursor.filter(|cursor| !cursor.0.is_empty()) {
            R::resume(&mut self.request, cursor);
            self.answered = Some(msgid);
            more = true;
        }
        if page.handle.is_some() {
            self.handle = page.handle;
            more = true;
        }
        Ok((page.parts, more))
    }
}

//! One connection to a server.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use hakata_runtime::tasks::{Task, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::envelope::{self, Answered, Extras};
use super::frame::Scanner;
use crate::endpoint::Endpoint;
use crate::route::Route;
use crate::status::Status;
use crate::stream::{Broken, Stream};

/// Requests that wait to be written; a caller waits for its place.
const MAX_QUEUED: usize = 256;

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 64 << 10;

/// A connection that was let in. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    waiting: Arc<Waiting>,
    requests: mpsc::Sender<Vec<u8>>,
    _reader: Task<()>,
    _writer: Task<()>,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u32,
    /// Why the connection is of no use any more.
    broken: Option<Status>,
    callers: HashMap<u32, oneshot::Sender<Result<Bytes, Status>>>,
}

/// An answer, and the number of its request.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) msgid: u32,
    pub(super) result: Bytes,
}

/// A caller's place among those that wait; dropping it takes the request back.
struct Place<'a> {
    connection: &'a Connection,
    msgid: u32,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.connection.waiting.lock().callers.remove(&self.msgid).is_some() {
            self.connection.take_back(self.msgid);
        }
    }
}

impl Connection {
    /// Connects and shows the token.
    pub(super) async fn open(endpoint: &Endpoint, tasks: &Tasks) -> Result<Self, Status> {
        let failed = |error| Status::unreached(format!("connecting to {}: {error}", endpoint.address));
        let stream =
            Stream::connect(endpoint, Route::Msgpack, None, Broken::default()).await.map_err(failed)?;
        let (from, to) = tokio::io::split(stream);
        let waiting = Arc::new(Waiting::default());
        let (requests, queue) = mpsc::channel(MAX_QUEUED);
        let reader = tasks.spawn("rpc.client", read(from, endpoint.max_answer_bytes, waiting.clone()));
        let writer = tasks.spawn("rpc.client", write(to, queue, waiting.clone()));
        let connection =
            Self { waiting, requests, _reader: reader.cut_on_drop(), _writer: writer.cut_on_drop() };
        if let Some(token) = &endpoint.token {
            connection.send("auth", |msgid| envelope::auth(msgid, token.expose())).await?;
        }
        Ok(connection)
    }

    /// Tells the server that it works for nobody: on a request, or on what its answer left waiting. If it cannot be told
    /// now, it finds out when it answers, or by its clock.
    pub(super) fn take_back(&self, msgid: u32) {
        let _ = self.requests.try_send(envelope::cancel(msgid));
    }

    /// Tells the server that nobody asks for a handle any more.
    pub(super) fn forget(&self, handle: &str) {
        let _ = self.requests.try_send(envelope::forget(handle));
    }

    pub(super) fn is_open(&self) -> bool {
        self.waiting.lock().broken.is_none()
    }

    /// Asks one question.
    pub(super) async fn ask(
        &self,
        method: &'static str,
        request: &(impl serde::Serialize + Sync),
        extras: &Extras,
    ) -> Result<Reply, Status> {
        let body = envelope::params_of(request, extras)?;
        self.send(method, |msgid| envelope::request(msgid, method, &body)).await
    }

    async fn send(&self, method: &'static str, encode: impl FnOnce(u32) -> Vec<u8>) -> Result<Reply, Status> {
        let (place, answer) = self.place()?;
        let lost = || Status::unreached(format!("the connection broke before {method} was answered"));
        self.requests.send(encode(place.msgid)).await.map_err(|_| lost())?;
        let result = answer.await.unwrap_or_else(|_| Err(lost()))?;
        Ok(Reply { msgid: place.msgid, result })
    }

    fn place(&self) -> Result<(Place<'_>, oneshot::Receiver<Result<Bytes, Status>>), Status> {
        let (to_caller, answer) = oneshot::channel();
        let mut state = self.waiting.lock();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        loop {
            state.last = state.last.wrapping_add(1);
            let msgid = state.last;
            if let Entry::Vacant(place) = state.callers.entry(msgid) {
                place.insert(to_caller);
                return Ok((Place { connection: self, msgid }, answer));
            }
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an answer to who waits for it; somebody who left needs none.
    fn answer(&self, answered: Answered) {
        if let Some(caller) = self.lock().callers.remove(&answered.msgid) {
            let answer = match answered.error {
                Some(error) => Err(envelope::status(&error)),
                None => Ok(answered.result),
            };
            let _ = caller.send(answer);
        }
    }

    /// Tells everybody that no answer will come.
    fn give_up(&self, why: &Status) {
        let mut state = self.lock();
        state.broken.get_or_insert_with(|| why.clone());
        for (_, caller) in state.callers.drain() {
            let _ = caller.send(Err(why.clone()));
        }
    }
}

/// Writes requests, as many at once as there are.
async fn write(mut to: WriteHalf<Stream>, mut queue: mpsc::Receiver<Vec<u8>>, waiting: Arc<Waiting>) {
    while let Some(mut bytes) = queue.recv().await {
        while bytes.len() < WRITE_BYTES
            && let Ok(mut more) = queue.try_recv()
        {
            bytes.append(&mut more);
        }
        let written = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            return waiting.give_up(&Status::unreached(format!("writing to the server: {error}")));
        }
    }
}

/// Reads answers until the server closes or says nonsense.
async fn read(mut from: ReadHalf<Stream>, max_bytes: usize, waiting: Arc<Waiting>) {
    let mut buffer = BytesMut::new();
    let mut scanner = Scanner::new(max_bytes);
    let why = loop {
        match scanner.scan(&buffer) {
            Ok(Some(length)) => {
                let message = buffer.split_to(length).freeze();
                let Ok(answered) = envelope::answered(&message) else {
                    break "the server does not speak MessagePack-RPC".to_owned();
                };
                waiting.answer(answered);
                continue;
            }
            Ok(None) => {}
            Err(error) => break error.to_string(),
        }
        buffer.reserve(16 << 10);
        match from.read_buf(&mut buffer).await {
            Ok(0) => break "the server closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => break format!("reading from the server: {error}"),
        }
    };
    waiting.give_up(&Status::unreached(why));
}

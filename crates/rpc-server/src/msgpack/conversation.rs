//! One connection: frames in, answers out in the order in which they are ready.

use std::collections::HashMap;
use std::fmt;

use bytes::{Bytes, BytesMut};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hakata_rpc::msgpack::envelope::{self, AUTH, Incoming, Params};
use hakata_rpc::msgpack::frame::{FrameError, Scanner};
use hakata_rpc::msgpack::raw;
use hakata_rpc::{Code, Operation, Status};
use hakata_service::listener::Slot;
use hakata_service::stream::{Deadlines, Guarded, Patience};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until};

use super::Msgpack;
use super::answer::{Answer, Ask, Left, Owned, page_of};
use super::kept::{Kept, Rest};
use super::standing::Standing;
use super::upload::Upload;
use crate::metrics::{Protocol, REFUSED, Refusal};
use crate::spool::Spool;
use crate::tokens::Owner;

/// The largest message before the token was shown.
const MAX_STRANGER_BYTES: usize = 4 << 10;

/// Answers are collected up to here before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// The method that asks for answers without the types that readers from before 2013 do not know.
const RAW_COMPAT: &str = "raw_compat";

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer closed it.
    Closed,
    /// The server stops.
    Drained,
    /// The peer sent no MessagePack-RPC.
    Malformed,
    /// The bytes are no message that we read.
    Frame(FrameError),
    /// No token, or a wrong one.
    Stranger,
    /// The connection broke, or one side was too slow.
    Io(std::io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the peer"),
            Self::Drained => f.write_str("the server stops"),
            Self::Malformed => f.write_str("no message of MessagePack-RPC"),
            Self::Frame(error) => error.fmt(f),
            Self::Stranger => f.write_str("no token, or a wrong one"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// A call that is over: whose it was, and what came of it; `None` if it was taken back.
type Ended = (u32, Option<Answer>);

/// The state of a connection.
pub(super) struct Conversation<S> {
    server: Msgpack,
    slot: Slot,
    from: ReadHalf<Guarded<S>>,
    to: WriteHalf<Guarded<S>>,
    input: BytesMut,
    scanner: Scanner,
    running: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// How to end what is asked, and the long answer that it asks for a page of.
    aborts: HashMap<u32, (AbortHandle, Option<String>)>,
    kept: Kept<Rest>,
    uploads: Kept<Upload>,
    standing: Standing,
    owner: Owner,
    output: Vec<u8>,
    is_known: bool,
    raw_compat: bool,
    login_until: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Begins one; the peer needs to show no token if it is known.
    pub(super) fn new(server: Msgpack, (stream, slot): (S, Slot), known: Option<Owner>) -> Self {
        let is_known = known.is_some();
        let settings = &server.settings;
        let deadlines = Deadlines { idle: Some(settings.idle), patience: Some(Patience::default()) };
        let (from, to) = split(Guarded::new(stream, deadlines));
        if is_known {
            slot.authenticated();
        }
        let max_bytes = if is_known { settings.max_request_bytes } else { MAX_STRANGER_BYTES };
        Self {
            scanner: Scanner::new(max_bytes),
            kept: Kept::new(settings.max_kept, settings.kept_life),
            uploads: Kept::new(settings.max_kept, settings.kept_life),
            standing: Standing::new(settings.max_kept, settings.kept_life),
            owner: known.unwrap_or(Owner::Anybody),
            login_until: Instant::now() + settings.login,
            slot,
            from,
            to,
            input: BytesMut::new(),
            running: FuturesUnordered::new(),
            aborts: HashMap::new(),
            output: Vec::new(),
            is_known,
            raw_compat: false,
            server,
        }
    }

    /// Serves until one side has enough.
    pub(super) async fn run(mut self) -> End {
        let end = self.turns().await;
        if let End::Drained = end {
            while let Some(ended) = self.running.next().await {
                self.finish(ended);
            }
        }
        // What was answered is still told, if the peer takes it.
        let _ = self.flush().await;
        let _ = self.to.shutdown().await;
        end
    }

    async fn turns(&mut self) -> End {
        loop {
            while self.running.len() < self.server.settings.max_in_flight {
                match self.scanner.scan(&self.input) {
                    Ok(Some(length)) => {
                        let message = self.input.split_to(length).freeze();
                        if let Err(end) = self.message(&message) {
                            return end;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        REFUSED.get((Protocol::Msgpack, Refusal::Malformed)).inc();
                        self.output
                            .extend(self.encoded(envelope::error(0, &Status::invalid(error.to_string()))));
                        return End::Frame(error);
                    }
                }
            }
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<(), End> {
        // Answers that are ready at once go out together; behind them there is room for requests that are here already.
        let before = self.running.len();
        while self.output.len() < WRITE_BYTES
            && let Some(Some(ended)) = futures_util::FutureExt::now_or_never(self.running.next())
        {
            self.finish(ended);
        }
        self.flush().await.map_err(End::Io)?;
        if self.running.len() < before {
            return Ok(());
        }
        let reads = self.running.len() < self.server.settings.max_in_flight;
        let expiries = [self.kept.next_expiry(), self.uploads.next_expiry(), self.standing.next_expiry()];
        let expiry = expiries.into_iter().flatten().min();
        self.input.reserve(16 << 10);
        tokio::select! {
            Some(ended) = self.running.next() => self.finish(ended),
            read = self.from.read_buf(&mut self.input), if reads => match read {
                Ok(0) => return self.half_closed().await,
                Ok(_) => {}
                Err(error) => return Err(End::Io(error)),
            },
            () = self.server.drain.cancelled() => return Err(End::Drained),
            () = sleep_until(self.login_until), if !self.is_known => {
                REFUSED.get((Protocol::Msgpack, Refusal::TooSlow)).inc();
                return Err(End::Stranger);
            }
            () = sleep_until(expiry.unwrap_or(self.login_until)), if expiry.is_some() => {
                self.kept.expire();
                self.uploads.expire();
                self.standing.expire();
            }
        }
        Ok(())
    }

    /// The peer asks no more; what it asked is answered.
    async fn half_closed(&mut self) -> Result<(), End> {
        while let Some(ended) = self.running.next().await {
            self.finish(ended);
            self.flush().await.map_err(End::Io)?;
        }
        Err(End::Closed)
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        if !self.output.is_empty() {
            self.to.write_all(&self.output).await?;
            self.to.flush().await?;
            self.output.clear();
            self.output.shrink_to(WRITE_BYTES);
        }
        Ok(())
    }

    fn encoded(&self, message: Vec<u8>) -> Vec<u8> {
        if self.raw_compat { raw::compatible(&message) } else { message }
    }

    fn say(&mut self, message: Vec<u8>) {
        let message = self.encoded(message);
        self.output.extend(message);
    }

    fn refuse(&mut self, msgid: u32, status: &Status) {
        self.say(envelope::error(msgid, status));
    }

    fn message(&mut self, message: &Bytes) -> Result<(), End> {
        let Ok(incoming) = envelope::incoming(message) else {
            REFUSED.get((Protocol::Msgpack, Refusal::Malformed)).inc();
            self.refuse(0, &Status::invalid("the message is no request of MessagePack-RPC"));
            return Err(End::Malformed);
        };
        match incoming {
            Incoming::Request { msgid, method, params } if method == AUTH => self.login(msgid, &params),
            Incoming::Request { msgid, method, params } if self.is_known => {
                self.request(msgid, &method, &params);
                Ok(())
            }
            Incoming::Request { msgid, .. } => Err(self.stranger(msgid, self.server.tokens.check(None))),
            Incoming::Cancel { msgid } => {
                self.standing.forget(msgid);
                self.kept.forget_left_by(msgid);
                self.uploads.forget_left_by(msgid);
                if let Some((abort, handle)) = self.aborts.remove(&msgid) {
                    abort.abort();
                    // Who takes the question for a page back wants no more of the answer.
                    handle.iter().for_each(|handle| self.server.spool.forget(&self.owner, handle));
                }
                Ok(())
            }
            Incoming::Forget { handle } if self.is_known => {
                self.kept.forget(&handle);
                self.uploads.forget(&handle);
                self.server.spool.forget(&self.owner, &handle);
                Ok(())
            }
            Incoming::Forget { .. } | Incoming::Notification => Ok(()),
        }
    }

    /// The first parameter is the token.
    fn login(&mut self, msgid: u32, params: &[u8]) -> Result<(), End> {
        let token = envelope::first_text(params);
        let checked = self.server.tokens.check(token.as_deref());
        if checked.is_err() {
            return Err(self.stranger(msgid, checked));
        }
        self.is_known = true;
        self.owner = self.server.tokens.owner(token.as_deref());
        self.slot.authenticated();
        self.scanner = Scanner::new(self.server.settings.max_request_bytes);
        self.say(envelope::result(msgid, &[0xc3]));
        Ok(())
    }

    fn stranger(&mut self, msgid: u32, checked: Result<(), Status>) -> End {
        REFUSED.get((Protocol::Msgpack, Refusal::Unauthenticated)).inc();
        let status =
            checked.err().unwrap_or_else(|| Status::new(Code::Unauthenticated, "the service wants a token"));
        self.refuse(msgid, &status);
        End::Stranger
    }

    fn request(&mut self, msgid: u32, method: &str, params: &[u8]) {
        if method == RAW_COMPAT {
            self.raw_compat = true;
            return self.say(envelope::result(msgid, &[0xc3]));
        }
        let Some(operation) = Operation::find(method) else {
            REFUSED.get((Protocol::Msgpack, Refusal::Unknown)).inc();
            return self.refuse(
                msgid,
                &Status::new(Code::Unimplemented, format!("there is no operation {method:?}")),
            );
        };
        if self.aborts.contains_key(&msgid) {
            return self
                .refuse(msgid, &Status::invalid("another request of this connection has this number"));
        }
        let params = envelope::params(params);
        let handle = params.as_ref().ok().and_then(|params| params.extras.handle.clone());
        match params.and_then(|params| self.answer(msgid, operation, params)) {
            Ok(answer) => {
                let (answer, abort) = futures_util::future::abortable(answer);
                self.aborts.insert(msgid, (abort, handle));
                self.running.push(Box::pin(ended(msgid, answer)));
            }
            Err(status) => self.refuse(msgid, &status),
        }
    }

    /// Begins to answer, or to go on with an answer.
    fn answer(
        &mut self,
        msgid: u32,
        operation: Operation,
        params: Params,
    ) -> Result<BoxFuture<'static, Answer>, Status> {
        let extras = &params.extras;
        if (extras.more || extras.upload.is_some()) && !operation.uploads() {
            return Err(Status::invalid(format!("{} is not asked in parts", operation.key())));
        }
        if let Some(handle) = &extras.upload {
            return Ok(self.uploads.take(handle, operation)?.go_on(params));
        }
        let owned = Owned { spool: self.server.spool.clone(), owner: self.owner.clone() };
        if let Some(handle) = params.extras.handle.as_deref().filter(|handle| Spool::is_handle(handle)) {
            return Ok(owned.page(operation, handle.to_owned()));
        }
        if let Some(handle) = &params.extras.handle {
            let rest = self.kept.take(handle, operation)?;
            return Ok(Box::pin(page_of(operation, Some(rest.first), rest.parts)));
        }
        let (operations, settings) = (self.server.operations.clone(), self.server.settings.clone());
        let standing = self.standing.clone();
        Ok(operation.visit(Ask { msgid, operations, settings, params, standing, owned }))
    }

    fn finish(&mut self, (msgid, answer): Ended) {
        self.aborts.remove(&msgid);
        let Some(Answer { result, left }) = answer else { return };
        let whole = result.and_then(|mut result| {
            let handle = match left {
                None => return Ok(result),
                Some(Left::Rest(rest)) => self.kept.keep(msgid, rest)?,
                Some(Left::Upload(upload)) => self.uploads.keep(msgid, upload)?,
            };
            envelope::encode(&handle, &mut result)?;
            Ok(result)
        });
        let max_bytes = self.server.settings.max_answer_bytes;
        match whole {
            Ok(result) if result.len() > max_bytes => {
                let message = format!("the answer is longer than {max_bytes} bytes; ask for less");
                self.refuse(msgid, &Status::new(Code::ResourceExhausted, message));
            }
            Ok(result) => self.say(envelope::result(msgid, &result)),
            Err(status) => self.refuse(msgid, &status),
        }
    }
}

async fn ended(msgid: u32, answer: Abortable<BoxFuture<'static, Answer>>) -> Ended {
    (msgid, answer.await.ok())
}

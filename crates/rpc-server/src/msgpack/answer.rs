//! One call: from encoded parameters to the encoded answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use hakata_rpc::msgpack::envelope::{self, Params};
use hakata_rpc::{Answers, Operation, Operations, Requests, Status, StreamRpc, UnaryRpc, UploadRpc, Visitor};
use std::task::Poll;
use tokio::sync::mpsc;

use super::kept::Rest;
use super::standing::{Expected, Standing};
use super::upload::Upload;
use crate::metrics::Protocol;
use crate::serving::{Counted, answered, streamed, uploaded};
use crate::settings::Settings;
use crate::spool::{EncodedParts, Spool};
use crate::tokens::Owner;

/// Bytes of parts after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

/// Time after which the first page of a long answer ends, however little is on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What comes of a call.
pub(super) struct Answer {
    /// The result, encoded, but for the end of a page that has one.
    pub(super) result: Result<Vec<u8>, Status>,
    /// What waits for the next question.
    pub(super) left: Option<Left>,
}

/// What a question leaves over, under a handle that the result ends with.
pub(super) enum Left {
    /// The rest of an answer, if the operation cannot go on by a cursor.
    Rest(Rest),
    /// A request that is not whole yet.
    Upload(Upload),
}

impl Answer {
    /// Nothing is left over.
    pub(super) fn whole(result: Result<Vec<u8>, Status>) -> Self {
        Self { result, left: None }
    }
}

/// Answers parameters with whatever operation they are for.
pub(super) struct Ask {
    /// The caller's number for the request.
    pub(super) msgid: u32,
    pub(super) operations: Arc<dyn Operations>,
    pub(super) settings: Arc<Settings>,
    pub(super) params: Params,
    pub(super) standing: Standing,
    pub(super) owned: Owned,
}

/// Where long answers wait, and for whom.
pub(super) struct Owned {
    pub(super) spool: Spool,
    pub(super) owner: Owner,
}

/// Says whether an answer is long, or long in coming: it is written to a file and waits for whoever shows the same token.
/// Other answers without cursors are bounded by their limits and wait on the connection.
const fn is_long(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::RepositoryArchive
            | Operation::RepositoryCreateBundle
            | Operation::RepositoryFsck
            | Operation::RepositoryImport
    )
}

impl Visitor for Ask {
    type Output = BoxFuture<'static, Answer>;

    fn unary<R: UnaryRpc>(self) -> Self::Output {
        Box::pin(async move {
            let mut counted = Counted::new(R::OPERATION, Protocol::Msgpack);
            let answer = self.one::<R>().await;
            counted.ended(answer.as_ref().err());
            Answer::whole(answer)
        })
    }

    fn stream<R: StreamRpc>(self) -> Self::Output {
        Box::pin(async move {
            let request = match envelope::decode::<R::Request>(&self.params.request) {
                Ok(request) => request,
                Err(status) => {
                    Counted::new(R::OPERATION, Protocol::Msgpack).ended(Some(&status));
                    return Answer::whole(Err(status));
                }
            };
            match R::OPERATION {
                operation if operation.pages() => self.by_cursor::<R>(request).await,
                operation if is_long(operation) => {
                    let answers = self.begin::<R>(request);
                    self.owned.long::<R>(answers).await
                }
                _ => self.whole::<R>(request).await,
            }
        })
    }

    fn upload<R: UploadRpc>(self) -> Self::Output {
        let Self { operations, settings, params, .. } = self;
        let call = params.extras.call(settings.call_time(R::OPERATION));
        let (parts, given) = mpsc::channel(1);
        let answering = async move {
            let mut counted = Counted::new(R::OPERATION, Protocol::Msgpack);
            let taken = stream::unfold(given, |mut given| async move { Some((given.recv().await?, given)) });
            let request = Requests::new(taken.map(|part: Vec<u8>| envelope::decode(&part)));
            let answer = uploaded::<R>(&*operations, call, request).await;
            counted.ended(answer.as_ref().err());
            encoded(&answer?)
        };
        let upload = Upload { operation: R::OPERATION, parts, answering: Box::pin(answering) };
        upload.go_on(params)
    }
}

impl Ask {
    async fn one<R: UnaryRpc>(&self) -> Result<Vec<u8>, Status> {
        let request = envelope::decode(&self.params.request)?;
        let call = self.params.extras.call(self.settings.call_time(R::OPERATION));
        encoded(&answered::<R>(&*self.operations, call, request).await?)
    }

    fn begin<R: StreamRpc>(&self, request: R::Request) -> Answers<R::Response> {
        let counted = Counted::new(R::OPERATION, Protocol::Msgpack);
        let call = self.params.extras.call(self.settings.call_time(R::OPERATION));
        watched(streamed::<R>(&*self.operations, call, request), counted)
    }

    /// Takes parts until a page is full. The next one begins behind the cursor of the last, and its answer stands there.
    async fn by_cursor<R: StreamRpc>(self, request: R::Request) -> Answer {
        let mut standing = match expected::<R>(&request) {
            Ok(expected) => self.standing.take::<R::Response>(&expected),
            Err(status) => return Answer::whole(Err(status)),
        };
        let mut answers = match standing.take() {
            Some(mut answers) => match answers.next().await {
                // It may have stood for longer than one call may take.
                Some(Err(_)) => self.begin::<R>(request.clone()),
                first => Box::pin(stream::iter(first).chain(answers)),
            },
            None => self.begin::<R>(request.clone()),
        };
        let mut page = Page::default();
        let mut cursor = None;
        while page.bytes.len() < PAGE_BYTES {
            let part = match answers.next().await {
                None => {
                    cursor = None;
                    break;
                }
                Some(Ok(part)) => part,
                Some(Err(status)) => return Answer::whole(Err(status)),
            };
            cursor = R::cursor(&part).filter(|cursor| !cursor.is_empty()).cloned();
            if let Err(status) = page.add(&part) {
                return Answer::whole(Err(status));
            }
            if cursor.is_none() {
                // Only now does an answer know that it has ended well.
                if let Some(Err(status)) = answers.next().await {
                    return Answer::whole(Err(status));
                }
                break;
            }
        }
        if let Some(cursor) = &cursor {
            let mut next = request;
            R::resume(&mut next, cursor.clone());
            if let Ok(expected) = expected::<R>(&next) {
                self.standing.keep(self.msgid, expected, answers);
            }
        }
        Answer::whole(Ok(page.end(cursor.as_deref())))
    }

    /// Takes parts until a page is full; what follows is left over.
    async fn whole<R: StreamRpc>(self, request: R::Request) -> Answer {
        let parts: EncodedParts = Box::pin(self.begin::<R>(request).map(|part| encoded(&part?)));
        page_of(R::OPERATION, None, parts).await
    }
}

/// Writes a request so that the same one is always written the same.
fn expected<R: StreamRpc>(request: &R::Request) -> Result<Expected, Status> {
    Ok((R::OPERATION, encoded(request)?))
}

impl Owned {
    /// Takes parts until a page is full or a while has passed; what follows is written to a file.
    async fn long<R: StreamRpc>(self, answers: Answers<R::Response>) -> Answer {
        let mut parts: EncodedParts = Box::pin(answers.map(|part| encoded(&part?)));
        let mut page = Page::default();
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        while page.bytes.len() < PAGE_BYTES {
            let part = tokio::select! {
                biased;
                part = parts.next() => part,
                () = &mut patience => break,
            };
            match part {
                None => return Answer::whole(Ok(page.end(None))),
                Some(Err(status)) if page.n_parts == 0 => return Answer::whole(Err(status)),
                // The parts before it are told first.
                Some(Err(status)) => {
                    parts = Box::pin(stream::iter([Err(status)]));
                    break;
                }
                Some(Ok(part)) => page.add_encoded(part),
            }
        }
        let handle = self.spool.begin(self.owner, R::OPERATION, parts).await;
        Answer::whole(handle.and_then(|handle| page.with_handle(&handle)))
    }

    /// Reads a page from a file.
    pub(super) fn page(self, operation: Operation, handle: String) -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            let read = self.spool.page(&self.owner, operation, &handle, PAGE_BYTES).await;
            let result = read.and_then(|read| {
                let mut page = Page::default();
                read.parts.into_iter().for_each(|part| page.add_encoded(part));
                match read.handle {
                    Some(handle) => page.with_handle(&handle),
                    None => Ok(page.end(None)),
                }
            });
            Answer::whole(result)
        })
    }
}

/// Lets a call be counted when its last part was taken.
fn watched<T: Send + 'static>(mut answers: Answers<T>, mut counted: Counted) -> Answers<T> {
    Box::pin(stream::poll_fn(move |context| {
        let part = std::task::ready!(answers.poll_next_unpin(context));
        counted.saw(part.as_ref());
        Poll::Ready(part)
    }))
}

/// Makes a page of what was left over.
pub(super) async fn page_of(operation: Operation, first: Option<Vec<u8>>, mut parts: EncodedParts) -> Answer {
    let mut page = Page::default();
    if let Some(first) = first {
        page.add_encoded(first);
    }
    loop {
        match parts.next().await {
            None => return Answer::whole(Ok(page.end(None))),
            Some(Err(status)) => return Answer::whole(Err(status)),
            Some(Ok(part)) if page.bytes.len() >= PAGE_BYTES => {
                let left = Left::Rest(Rest { operation, first: part, parts });
                return Answer { result: Ok(page.open()), left: Some(left) };
            }
            Some(Ok(part)) => page.add_encoded(part),
        }
    }
}

/// Parts that are encoded, behind each other.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    n_parts: u32,
}

impl Page {
    fn add<T: serde::Serialize>(&mut self, part: &T) -> Result<(), Status> {
        self.n_parts += 1;
        envelope::encode(part, &mut self.bytes)
    }

    fn add_encoded(&mut self, mut part: Vec<u8>) {
        self.n_parts += 1;
        self.bytes.append(&mut part);
    }

    /// Encodes `{parts: […], cursor: …}`.
    fn end(self, cursor: Option<&[u8]>) -> Vec<u8> {
        let mut out = vec![if cursor.is_some() { 0x82 } else { 0x81 }];
        self.write(&mut out);
        if let Some(cursor) = cursor {
            // Writing into memory does not fail.
            let _ = rmp::encode::write_str(&mut out, "cursor");
            let _ = rmp::encode::write_bin(&mut out, cursor);
        }
        out
    }

    /// Encodes `{parts: […], handle:`, behind which the handle belongs.
    fn open(self) -> Vec<u8> {
        let mut out = vec![0x82];
        self.write(&mut out);
        let _ = rmp::encode::write_str(&mut out, "handle");
        out
    }

    /// Encodes `{parts: […], handle: …}`.
    fn with_handle(self, handle: &str) -> Result<Vec<u8>, Status> {
        let mut out = self.open();
        envelope::encode(&handle, &mut out)?;
        Ok(out)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.reserve(self.bytes.len() + 64);
        let _ = rmp::encode::write_str(out, "parts");
        let _ = rmp::encode::write_array_len(out, self.n_parts);
        out.extend_from_slice(&self.bytes);
    }
}

fn encoded<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Status> {
    let mut out = Vec::new();
    envelope::encode(value, &mut out)?;
    Ok(out)
}

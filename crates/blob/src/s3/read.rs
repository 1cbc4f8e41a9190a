//! Reading a blob as a stream that goes on where its connection breaks.
//!
//! Nothing is read ahead beyond what the connection buffers: some hundred kilobytes here and the kernel's share. Whoever
//! reads slowly holds a connection meanwhile; LFS objects, which go out at the pace of clients, have connections of their
//! own.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{Method, header};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::error::S3Error;
use super::http::{Body, Lane};
use super::metrics::{Operation, RECEIVED, RETRIES};
use super::request::{Answer, Ask, FIRST_PAUSE, LONGEST_PAUSE, spread};
use super::{S3, failed};
use crate::blobs::BlobError;
use crate::key::{BlobKey, Family};

/// Bytes after which an engine that broke off is taken for well again.
const RECOVERED: u64 = 1 << 20;

/// The bytes of a blob or of a range of them.
pub(crate) struct S3Reader {
    s3: S3,
    object: String,
    /// Where the next byte comes from.
    at: u64,
    /// Where the last one ended.
    end: u64,
    /// What the blob is known by, so that no other is gone on with.
    tag: Option<String>,
    state: State,
    chunk: Bytes,
    lane: Lane,
    /// Since when it breaks off again and again, and how long to pause before the next attempt.
    broken: Option<(Instant, Duration)>,
    /// Where it broke off last.
    broken_at: u64,
    silence: Pin<Box<Sleep>>,
    is_waiting: bool,
}

type Opening = Pin<Box<dyn Future<Output = Result<Answer, S3Error>> + Send>>;

enum State {
    Open(Body),
    Opening(Opening),
    Over,
}

impl S3 {
    pub(crate) async fn get(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<S3Reader, BlobError> {
        let object = self.object(key);
        let failed = failed("reading", key);
        let (from, to) = range.map_or((0, None), |range| (range.start, Some(range.end)));
        if to.is_some_and(|to| to <= from) {
            let found = self.size_of(&object).await.map_err(failed)?;
            return found.map(|_| S3Reader::empty(self.clone())).ok_or(BlobError::Absent(key));
        }
        let range = (from > 0 || to.is_some()).then_some((from, to));
        let lane = match key.family() {
            Family::Packs => Lane::Requests,
            Family::Lfs => Lane::Downloads,
        };
        let answer = match open(self, &object, lane, range, None).await {
            Ok(answer) => answer,
            Err(error) if error.is_absent() => return Err(BlobError::Absent(key)),
            // The range begins where the blob has ended.
            Err(error) if error.status() == Some(416) => return Ok(S3Reader::empty(self.clone())),
            Err(error) => return Err(failed(error)),
        };
        let text = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let length = length.ok_or_else(|| failed(S3Error::Odd("no length")))?;
        // An engine without ranges would give the wrong bytes.
        if range.is_some() && !text(header::CONTENT_RANGE).is_some_and(|range| begins_at(range, from)) {
            return Err(failed(S3Error::Odd("not the range that was asked for")));
        }
        let tag = text(header::ETAG).map(str::to_owned);
        let state = State::Open(answer.body);
        let end = from + length;
        Ok(S3Reader { object, lane, at: from, end, tag, state, ..S3Reader::empty(self.clone()) })
    }
}

/// Tells whether `bytes 5-9/20` begins at 5.
fn begins_at(range: &str, from: u64) -> bool {
    let first = range.strip_prefix("bytes ").and_then(|rest| rest.split('-').next());
    first.and_then(|first| first.parse().ok()) == Some(from)
}

async fn open(
    s3: &S3,
    object: &str,
    lane: Lane,
    range: Option<(u64, Option<u64>)>,
    tag: Option<String>,
) -> Result<Answer, S3Error> {
    let mut ask = Ask::new(Operation::Get, Method::GET, object).lane(lane);
    if let Some(tag) = tag {
        ask = ask.header("if-match", tag);
    }
    if let Some((from, to)) = range {
        let to = to.map_or(String::new(), |to| (to - 1).to_string());
        ask = ask.header("range", format!("bytes={from}-{to}"));
    }
    s3.0.client.ask(&ask).await
}

impl S3Reader {
    fn empty(s3: S3) -> Self {
        let silence = Box::pin(tokio::time::sleep(s3.settings().timeout));
        Self {
            s3,
            object: String::new(),
            at: 0,
            end: 0,
            tag: None,
            state: State::Over,
            chunk: Bytes::new(),
            lane: Lane::default(),
            broken: None,
            broken_at: 0,
            silence,
            is_waiting: false,
        }
    }

    /// Polls for bytes; `false` at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(Ok(false)),
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(answer) => {
                        // An engine, or what stands before it, that gives all of it again would give wrong bytes.
                        let range = answer.headers.get(header::CONTENT_RANGE);
                        let range = range.and_then(|range| range.to_str().ok());
                        if !range.is_some_and(|range| begins_at(range, self.at)) {
                            self.state = State::Over;
                            let odd = S3Error::Odd("not the range that was asked for");
                            return Poll::Ready(Err(odd.into_io()));
                        }
                        self.state = State::Open(answer.body);
                    }
                    Err(error) => {
                        self.state = State::Over;
                        return Poll::Ready(Err(error.into_io()));
                    }
                },
                State::Open(body) => match body.poll_chunk(cx) {
                    Poll::Ready(Some(Ok(chunk))) => {
                        self.is_waiting = false;
                        if !chunk.is_empty() {
                            self.take(chunk);
                            return Poll::Ready(Ok(true));
                        }
                    }
                    Poll::Ready(None) if self.at >= self.end => self.state = State::Over,
                    Poll::Ready(None) => self.go_on(S3Error::Odd("an early end"))?,
                    Poll::Ready(Some(Err(error))) => self.go_on(S3Error::Broken(error))?,
                    Poll::Pending => {
                        ready!(self.poll_silence(cx));
                        let timeout = self.s3.settings().timeout;
                        self.go_on(S3Error::TimedOut(timeout))?;
                    }
                },
            }
        }
    }

    fn take(&mut self, chunk: Bytes) {
        RECEIVED.add(chunk.len() as u64);
        self.at += chunk.len() as u64;
        if self.at - self.broken_at >= RECOVERED {
            self.broken = None;
        }
        self.chunk = chunk;
    }

    /// Waits as long as the engine may be silent; time in which nobody reads does not count.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_waiting {
            self.is_waiting = true;
            let until = Instant::now() + self.s3.settings().timeout;
            self.silence.as_mut().reset(until);
        }
        ready!(self.silence.as_mut().poll(cx));
        self.is_waiting = false;
        Poll::Ready(())
    }

    /// Opens the rest of the blob, unless that was tried in vain for long.
    fn go_on(&mut self, error: S3Error) -> io::Result<()> {
        let (since, pause) = *self.broken.get_or_insert_with(|| (Instant::now(), FIRST_PAUSE));
        self.state = State::Over;
        if since.elapsed() > self.s3.settings().retry_for {
            return Err(error.into_io());
        }
        if self.at >= self.end {
            return Ok(());
        }
        self.broken = Some((since, (pause * 2).min(LONGEST_PAUSE)));
        self.broken_at = self.at;
        tracing::debug!(%error, object = %self.object, at = self.at, "going on with a blob");
        RETRIES.get(Operation::Get).inc();
        let (s3, object, tag) = (self.s3.clone(), self.object.clone(), self.tag.clone());
        let (lane, range) = (self.lane, Some((self.at, Some(self.end))));
        self.state = State::Opening(Box::pin(async move {
            tokio::time::sleep(spread(pause)).await;
            open(&s3, &object, lane, range, tag).await
        }));
        Ok(())
    }
}

impl AsyncRead for S3Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() && !ready!(self.poll_fill(cx))? {
            return Poll::Ready(Ok(()));
        }
        let n = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for S3Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, at, end, .. } = self;
        f.debug_struct("S3Reader")
            .field("object", object)
            .field("at", at)
            .field("end", end)
            .finish_non_exhaustive()
    }
}

//! Objects in basic transfers. Source: git-lfs, docs/api/basic-transfers.md.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hakata_forge::lfs::{self, Content, Operation, Transfer};
use hakata_forge::{Error, Read, Write};
use hakata_names::LfsOid;
use hakata_service::http::{Body, BodyReader};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    EXPECT, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body as _;
use serde::Deserialize;
use tokio::io::{AsyncRead, ReadBuf};

use crate::face::Call;
use crate::range::{self, Part};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// What an upload says about itself when it asks whether it arrived.
#[derive(Debug, Deserialize)]
struct Uploaded {
    oid: String,
    size: u64,
}

/// Bytes on their way out, which hold their turn until their end.
struct Sending {
    content: Content,
    _turn: Transfer,
}

/// Bytes on their way in, and whether they stopped coming.
pub(crate) struct Upload {
    pub(crate) reader: BodyReader,
    pub(crate) is_slow: bool,
}

/// Sends an object or a range of it; `HEAD` sends what stands before it.
pub(crate) async fn send(call: &Call<'_>, oid: LfsOid) -> Result<Response<Body>, Refusal> {
    let forge = &call.face.forge;
    let grant = call.grant::<Read>(Operation::Download, Some(&oid)).await?;
    let stored = lfs::find(forge, &grant, &oid).await.map_err(|error| call.refuse(&error))?;
    let (size, etag) = (stored.size_bytes, format!("\"{oid}\""));
    let headers = &call.head.headers;
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &etag);
    if range::is_known(headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let is_head = call.head.method == Method::HEAD;
    let part = if is_head { Part::Whole } else { range::wanted(headers, &etag, size) };
    let range = match part {
        Part::Whole => None,
        Part::Range(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let shown = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            response.headers_mut().insert(CONTENT_RANGE, value(shown));
            Some(range)
        }
        Part::Unsatisfiable => {
            let words = format!("the range begins behind the {size} bytes of the object");
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, words);
            return Err(refusal.with(CONTENT_RANGE, value(format!("bytes */{size}"))));
        }
    };
    let n_bytes = range.as_ref().map_or(size, |range| range.end - range.start);
    response.headers_mut().insert(CONTENT_LENGTH, n_bytes.into());
    if is_head {
        return Ok(response);
    }
    let turn = forge.lfs_transfer(grant.actor(), call.facts.client).await;
    let turn = turn.map_err(|error| call.refuse(&error))?;
    let content = lfs::read(forge, &grant, stored, range).await.map_err(|error| call.refuse(&error))?;
    *response.body_mut() = Body::from_reader(Sending { content, _turn: turn });
    Ok(response)
}

/// Receives an object. When this answers 200, it is durable.
pub(crate) async fn receive(
    call: &Call<'_>,
    oid: LfsOid,
    body: &mut Body,
) -> Result<Response<Body>, Refusal> {
    let forge = &call.face.forge;
    let grant = call.grant::<Write>(Operation::Upload, Some(&oid)).await?;
    let size = length(body.size_hint().exact(), call.authority.size_bytes())?;
    let turn = forge.lfs_transfer(grant.actor(), call.facts.client).await;
    let _turn = turn.map_err(|error| call.refuse(&error))?;
    let mut upload = Upload { reader: std::mem::take(body).reader(), is_slow: false };
    let received = lfs::receive(forge, &grant, oid, size, &mut upload).await;
    *body = upload.reader.into_rest();
    received.map_err(|error| upload_refusal(call, &error, upload.is_slow))?;
    Ok(Response::new(Body::empty()))
}

/// Refuses an upload: who is too slow is told so, and not that the server is away.
pub(crate) fn upload_refusal(call: &Call<'_>, error: &Error, is_slow: bool) -> Refusal {
    let refusal = call.refuse(error);
    match is_slow {
        true => Refusal::new(StatusCode::REQUEST_TIMEOUT, "the upload arrives too slowly"),
        false => refusal,
    }
}

/// Says whether an upload arrived.
pub(crate) async fn verify(call: &Call<'_>, oid: LfsOid, body: &mut Body) -> Result<Response<Body>, Refusal> {
    let uploaded: Uploaded = call.json(body).await?;
    if LfsOid::parse(uploaded.oid.as_bytes()) != Ok(oid) {
        let words = "the oid of the request is not that of its URL";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, words));
    }
    let grant = call.grant::<Write>(Operation::Upload, Some(&oid)).await?;
    let verified = lfs::verify(&call.face.forge, &grant, &oid, uploaded.size).await;
    verified.map_err(|error| call.refuse(&error))?;
    Ok(Response::new(Body::empty()))
}

/// Reads what is left of a refused upload, within bounds, so that a client that sends all before it reads gets to the
/// answer. Who waits to be told to send is not told.
pub(crate) async fn discard(head: &Parts, mut body: Body, settings: &Settings) {
    if head.headers.contains_key(EXPECT) || body.is_end_stream() {
        return;
    }
    let most = settings.max_discard.bytes();
    if body.size_hint().lower() > most {
        return;
    }
    let rest = async {
        let mut n_read = 0;
        while let Ok(Some(piece)) = body.data().await {
            n_read += piece.len() as u64;
            if n_read > most {
                return;
            }
        }
    };
    // Who is slower than that is cut by the connection's own rules.
    let _ = tokio::time::timeout(settings.discard_time, rest).await;
}

/// How long an upload will be: as its action was made for, and as it says itself.
fn length(said: Option<u64>, agreed: Option<u64>) -> Result<u64, Refusal> {
    match (said, agreed) {
        (Some(said), Some(agreed)) if said != agreed => {
            let words = format!("the content has {said} bytes, and {agreed} were announced");
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, words))
        }
        (_, Some(size)) | (Some(size), None) => Ok(size),
        (None, None) => {
            let words = "the request does not say how long its content is";
            Err(Refusal::new(StatusCode::LENGTH_REQUIRED, words))
        }
    }
}

/// What is said of an object: it never changes, and no browser is to run it.
fn describe(headers: &mut HeaderMap, etag: &str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ETAG, value(etag.to_owned()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("numbers, digits and quotes may stand in a field")
}

impl AsyncRead for Sending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.content).poll_read(cx, buf)
    }
}

impl AsyncRead for Upload {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.reader).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            self.is_slow |= error.kind() == io::ErrorKind::TimedOut;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn t1_the_length_is_known_before_the_first_byte() {
        assert_eq!(length(Some(5), None), Ok(5));
        assert_eq!(length(None, Some(5)), Ok(5));
        assert_eq!(length(Some(5), Some(5)), Ok(5));
        assert_eq!(length(Some(5), Some(6)).unwrap_err().status.as_u16(), 422);
        assert_eq!(length(None, None).unwrap_err().status.as_u16(), 411);
    }
}

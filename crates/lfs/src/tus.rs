//! Uploads that go on where they were cut. Source: tus.io, resumable upload protocol 1.0.0; git-lfs, tq/tus_upload.go.
//!
//! Of the protocol's extensions there are none: a batch says where to go, and an end that was not come to is swept.

use hakata_forge::lfs::{self, Operation, Progress};
use hakata_forge::{Grant, Write};
use hakata_names::LfsOid;
use hakata_service::http::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as _;

use crate::face::Call;
use crate::object::{Upload, upload_refusal};
use crate::refusal::Refusal;

/// The one version there is.
static VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// What the bytes of a request are called.
const CONTENT: &[u8] = b"application/offset+octet-stream";

static RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
static VERSIONS: HeaderName = HeaderName::from_static("tus-version");
static OFFSET: HeaderName = HeaderName::from_static("upload-offset");
static LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// Answers a request about an upload.
pub(crate) async fn answer(call: &Call<'_>, oid: LfsOid, body: &mut Body) -> Result<Response<Body>, Refusal> {
    let answered = match call.head.method {
        Method::OPTIONS => Ok(empty(StatusCode::NO_CONTENT)),
        Method::HEAD => offset(call, oid).await,
        _ => append(call, oid, body).await,
    };
    let mut response = answered.map_err(|refusal| refusal.with(RESUMABLE.clone(), VERSION.clone()))?;
    response.headers_mut().insert(RESUMABLE.clone(), VERSION.clone());
    if call.head.method == Method::OPTIONS {
        response.headers_mut().insert(VERSIONS.clone(), VERSION.clone());
    }
    Ok(response)
}

async fn offset(call: &Call<'_>, oid: LfsOid) -> Result<Response<Body>, Refusal> {
    check_version(call)?;
    let grant = grant(call, &oid).await?;
    let progress = lfs::offset(&call.face.forge, &grant, oid, call.authority.size_bytes()).await;
    let progress = progress.map_err(|error| call.refuse(&error))?;
    Ok(told(StatusCode::OK, progress))
}

async fn append(call: &Call<'_>, oid: LfsOid, body: &mut Body) -> Result<Response<Body>, Refusal> {
    check_version(call)?;
    if call.head.headers.get(CONTENT_TYPE).is_none_or(|found| found.as_bytes() != CONTENT) {
        let words = "the bytes of an upload are application/offset+octet-stream";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let offset = number(call, &OFFSET)?;
    let size = call.authority.size_bytes();
    let end = body.size_hint().exact().map(|length| length.saturating_add(offset));
    if let (Some(end), Some(size)) = (end, size)
        && end > size
    {
        let words = format!("the upload is of {size} bytes, and these would be {end}");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words));
    }
    let grant = grant(call, &oid).await?;
    let forge = &call.face.forge;
    let turn = forge.lfs_transfer(grant.actor(), call.facts.client).await;
    let _turn = turn.map_err(|error| call.refuse(&error))?;
    let mut upload = Upload { reader: std::mem::take(body).reader(), is_slow: false };
    let taken = lfs::append(forge, &grant, oid, (offset, size), &mut upload).await;
    *body = upload.reader.into_rest();
    let progress = taken.map_err(|error| upload_refusal(call, &error, upload.is_slow))?;
    Ok(told(StatusCode::NO_CONTENT, progress))
}

async fn grant(call: &Call<'_>, oid: &LfsOid) -> Result<Grant<Write>, Refusal> {
    call.grant::<Write>(Operation::Upload, Some(oid)).await
}

fn check_version(call: &Call<'_>) -> Result<(), Refusal> {
    if call.head.headers.get(&RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let refusal = Refusal::new(StatusCode::PRECONDITION_FAILED, "this server speaks tus 1.0.0");
    Err(refusal.with(VERSIONS.clone(), VERSION.clone()))
}

fn number(call: &Call<'_>, name: &HeaderName) -> Result<u64, Refusal> {
    let value = call.head.headers.get(name).and_then(|value| value.to_str().ok());
    let digits = value.filter(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()));
    let words = || Refusal::new(StatusCode::BAD_REQUEST, format!("the request has no {name}"));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(words)
}

fn told(status: StatusCode, progress: Progress) -> Response<Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(OFFSET.clone(), progress.offset_bytes.into());
    headers.insert(LENGTH.clone(), progress.size_bytes.into());
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

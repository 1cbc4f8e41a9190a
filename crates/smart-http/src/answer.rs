//! Responses, with their fields in the order that git writes them.

use bytes::Bytes;
use hakata_forge::hosting::Service;
use hakata_service::http::Body;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, PRAGMA,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};

use crate::archive::ArchiveFormat;
use crate::refusal::Refusal;

/// Every answer is of this moment and of no other, and some are for one person only. Source: git-http-backend(1).
pub(crate) const NO_CACHE: [(HeaderName, HeaderValue); 3] = [
    (EXPIRES, HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT")),
    (PRAGMA, HeaderValue::from_static("no-cache")),
    (CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate")),
];

/// Answers `info/refs`.
pub(crate) fn advertisement(service: Service, slices: Vec<Bytes>) -> Response<Body> {
    let media_type = match service {
        Service::UploadPack => "application/x-git-upload-pack-advertisement",
        Service::ReceivePack => "application/x-git-receive-pack-advertisement",
    };
    answer(StatusCode::OK, None, HeaderValue::from_static(media_type), Body::slices(slices))
}

/// Answers a round of a conversation.
pub(crate) fn result(service: Service, body: Body) -> Response<Body> {
    let media_type = match service {
        Service::UploadPack => "application/x-git-upload-pack-result",
        Service::ReceivePack => "application/x-git-receive-pack-result",
    };
    answer(StatusCode::OK, None, HeaderValue::from_static(media_type), body)
}

/// Answers with an archive, to be kept as a file of that name.
pub(crate) fn archive(format: ArchiveFormat, file: &str, body: Body) -> Response<Body> {
    let mut response = answer(StatusCode::OK, None, HeaderValue::from_static(format.media_type()), body);
    let disposition = format!("attachment; filename=\"{file}\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        response.headers_mut().append(CONTENT_DISPOSITION, disposition);
    }
    response.headers_mut().append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Answers a refused request. Git's client shows the text of a refused `info/refs` to its user.
pub(crate) fn refusal(refusal: Refusal) -> Response<Body> {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut response = answer(refusal.status, refusal.field, text, Body::full(refusal.text));
    response.headers_mut().append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn answer(
    status: StatusCode,
    field: Option<(HeaderName, HeaderValue)>,
    media_type: HeaderValue,
    body: Body,
) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in field.into_iter().chain(NO_CACHE) {
        headers.append(name, value);
    }
    headers.append(CONTENT_TYPE, media_type);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

//! Responses with git's own fields in git's order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hakata_forge::folder::{Sent, protocol_version};
use hakata_forge::hosting::ProtocolVersion;
use hakata_service::http::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, LAST_MODIFIED,
};
use http::{HeaderMap, Response, StatusCode};
use tokio::io::AsyncReadExt;

use super::service::Service;
use crate::answer::NO_CACHE;

/// How long a file that never changes may be kept. Source: `hdr_cache_forever` in http-backend.c.
const FOREVER: Duration = Duration::from_secs(31_536_000);

/// What a file below `objects/` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A list of other places for objects.
    Text,
    /// One object.
    Loose,
    /// A pack.
    Pack,
    /// The index of a pack.
    Index,
}

/// Makes responses.
pub(super) struct Reply;

impl Reply {
    /// A status and nothing to read, as git refuses.
    pub(super) fn status(status: StatusCode) -> Response<Body> {
        Self::with(status, NO_CACHE.into(), Body::empty())
    }

    /// The wrong method.
    pub(super) fn method(allow: &'static str) -> Response<Body> {
        let fields = [(ALLOW, HeaderValue::from_static(allow))].into_iter().chain(NO_CACHE).collect();
        Self::with(StatusCode::METHOD_NOT_ALLOWED, fields, Body::empty())
    }

    /// The wrong media type, in git's words.
    pub(super) fn unsupported(service: Service, received: Vec<u8>) -> Response<Body> {
        let expected = service.media_type("request");
        let mut text = format!("Expected POST with Content-Type '{expected}', but received '").into_bytes();
        text.extend_from_slice(&received);
        text.extend_from_slice(b"' instead.\n");
        Self::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, NO_CACHE.into(), Body::full(text))
    }

    /// An advertisement, behind its service's line unless it is of version 2.
    pub(super) fn advertisement(service: Service, protocol: Option<&str>, said: Bytes) -> Response<Body> {
        let line = format!("# service=git-{}\n", service.0.name());
        let line = format!("{:04x}{line}0000", line.len() + 4);
        let slices = match protocol_version(protocol) {
            ProtocolVersion::V2 => vec![said],
            ProtocolVersion::V0 | ProtocolVersion::V1 => vec![line.into(), said],
        };
        Self::typed(service.media_value("advertisement"), Body::slices(slices))
    }

    /// git's side of a conversation.
    pub(super) fn result(service: Service, body: Body) -> Response<Body> {
        Self::typed(service.media_value("result"), body)
    }

    /// What git's own server made.
    pub(super) fn made(status: u16, fields: &[(String, Vec<u8>)], body: Bytes) -> Response<Body> {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let fields = fields.iter().filter_map(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
        });
        Self::with(status, fields.collect(), Body::full(body))
    }

    /// A file as it is.
    pub(super) fn file(kind: FileKind, sent: Sent) -> Response<Body> {
        let mut fields: Vec<(HeaderName, HeaderValue)> = match kind {
            FileKind::Text => NO_CACHE.into(),
            FileKind::Loose | FileKind::Pack | FileKind::Index => {
                let until = (SystemTime::now() + FOREVER).duration_since(UNIX_EPOCH).unwrap_or_default();
                let until = i64::try_from(until.as_secs()).unwrap_or(i64::MAX);
                let forever = HeaderValue::from_static("public, max-age=31536000");
                vec![(EXPIRES, date(until)), (CACHE_CONTROL, forever)]
            }
        };
        let media_type = match kind {
            FileKind::Text => "text/plain",
            FileKind::Loose => "application/x-git-loose-object",
            FileKind::Pack => "application/x-git-packed-objects",
            FileKind::Index => "application/x-git-packed-objects-toc",
        };
        fields.push((CONTENT_LENGTH, HeaderValue::from(sent.size_bytes)));
        fields.push((CONTENT_TYPE, HeaderValue::from_static(media_type)));
        fields.push((LAST_MODIFIED, date(sent.modified_s)));
        Self::with(StatusCode::OK, fields, Body::from_reader(sent.file.take(sent.size_bytes)))
    }

    fn typed(media_type: HeaderValue, body: Body) -> Response<Body> {
        let fields = NO_CACHE.into_iter().chain([(CONTENT_TYPE, media_type)]).collect();
        Self::with(StatusCode::OK, fields, body)
    }

    fn with(status: StatusCode, fields: Vec<(HeaderName, HeaderValue)>, body: Body) -> Response<Body> {
        let mut headers = HeaderMap::with_capacity(fields.len());
        for (name, value) in fields {
            headers.append(name, value);
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// Writes a date as git writes it into a header: RFC 2822, in numbers of zone. Source: `show_date` in date.c.
fn date(seconds: i64) -> HeaderValue {
    let date = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let text = date.strftime("%a, %-d %b %Y %H:%M:%S +0000").to_string();
    HeaderValue::from_str(&text).expect("a date is visible ASCII")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_written_as_git_writes_them() {
        for (seconds, expected) in
            [(0, "Thu, 1 Jan 1970 00:00:00 +0000"), (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 +0000")]
        {
            assert_eq!(super::date(seconds), expected);
        }
    }
}

//! The one table from what went wrong to a status.

use std::borrow::Cow;
use std::fmt::Write;

use hakata_forge::Kind;
use hakata_service::http::{CredentialsError, RequestId};
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::request_body::BodyError;
use crate::request_head::UnsupportedBody;
use crate::route::RouteError;

/// A request that is not served, and what its client is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header field that the status asks for.
    pub(crate) field: Option<(HeaderName, HeaderValue)>,
    /// The text for a person: lines with a line feed at each end.
    pub(crate) text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl std::fmt::Display) -> Self {
        Self { status, field: None, text: format!("{text}\n") }
    }

    /// Refuses a method; `allow` lists those that are right.
    pub(crate) fn method(allow: &'static str) -> Self {
        Self::from(&RouteError::Method { allow })
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.field = Some((name, value));
        self
    }

    fn challenge(self) -> Self {
        self.with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Hakata\""))
    }

    /// Answers an error of the forge, and writes its cause to the log: this is the only place that does.
    pub(crate) fn of_forge(error: &hakata_forge::Error, request_id: RequestId) -> Self {
        error.log(request_id.as_str());
        let mut text = Cow::Borrowed(error.public());
        if error.kind() == Kind::Internal {
            let _ = write!(text.to_mut(), ", request {request_id}");
        }
        if let Some(hint) = error.hint() {
            let _ = write!(text.to_mut(), "\nhint: {hint}");
        }
        let refusal = Self::new(status_of(error.kind()), text);
        match (error.kind(), error.retry_after()) {
            (Kind::Unauthenticated, _) => refusal.challenge(),
            (Kind::Limited | Kind::Unavailable, Some(after)) => {
                refusal.with(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
            }
            _ => refusal,
        }
    }
}

fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<&RouteError> for Refusal {
    fn from(error: &RouteError) -> Self {
        let status = match error {
            RouteError::Escape | RouteError::Services => StatusCode::BAD_REQUEST,
            RouteError::Name | RouteError::Revision => StatusCode::NOT_FOUND,
            RouteError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            RouteError::Dumb | RouteError::Service => StatusCode::FORBIDDEN,
        };
        match error {
            RouteError::Method { allow } => {
                Self::new(status, error).with(ALLOW, HeaderValue::from_static(allow))
            }
            _ => Self::new(status, error),
        }
    }
}

impl From<CredentialsError> for Refusal {
    fn from(error: CredentialsError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error).challenge()
    }
}

impl From<UnsupportedBody> for Refusal {
    fn from(error: UnsupportedBody) -> Self {
        let refusal = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
        match error {
            UnsupportedBody::Type { .. } => refusal,
            UnsupportedBody::Encoding => refusal.with(ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        }
    }
}

impl From<&BodyError> for Refusal {
    fn from(error: &BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge { .. } | BodyError::Ratio { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Empty
            | BodyError::Truncated
            | BodyError::NotGzip
            | BodyError::NotPktLine
            | BodyError::Trailing
            | BodyError::Broken => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hakata_forge::{Error, Kind};

    use super::{Refusal, RequestId};

    /// The house's table of errors, HTTP column.
    #[test]
    fn every_kind_has_its_status_and_field() {
        for (kind, status, field) in [
            (Kind::NotFound, 404, None),
            (Kind::Unauthenticated, 401, Some("Basic realm=\"Hakata\"")),
            (Kind::Forbidden, 403, None),
            (Kind::Invalid, 400, None),
            (Kind::Conflict, 409, None),
            (Kind::TooLarge, 413, None),
            (Kind::Limited, 429, Some("7")),
            (Kind::Unavailable, 503, Some("7")),
            (Kind::Internal, 500, None),
        ] {
            let id = RequestId::parse(b"abc").unwrap();
            let error = Error::new(kind, "no").with_retry_after(Duration::from_secs(7)).with_hint("try");
            let refusal = Refusal::of_forge(&error, id);
            assert_eq!(refusal.status.as_u16(), status, "{kind:?}");
            assert_eq!(refusal.field.as_ref().map(|(_, value)| value.to_str().unwrap()), field, "{kind:?}");
            let text =
                if kind == Kind::Internal { "no, request abc\nhint: try\n" } else { "no\nhint: try\n" };
            assert_eq!(refusal.text, text, "{kind:?}");
        }
    }
}

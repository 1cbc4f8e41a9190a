//! The one table from what went wrong to a status, and the body that says it.

use hakata_forge::{Error, Kind};
use hakata_service::http::{Body, CredentialsError, RequestId};
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::json;
use crate::route::RouteError;

/// What clients look at before `WWW-Authenticate`. Source: git-lfs, docs/api/authentication.md.
static LFS_AUTHENTICATE: HeaderName = HeaderName::from_static("lfs-authenticate");

/// A request that is not served, and what its client is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// What a person reads.
    pub(crate) message: String,
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// The body of a refusal.
#[derive(Serialize)]
struct Words<'a> {
    message: &'a str,
    request_id: &'a str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl ToString) -> Self {
        Self { status, message: message.to_string(), fields: Vec::new() }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    fn challenge(self) -> Self {
        let value = HeaderValue::from_static("Basic realm=\"Hakata\"");
        self.with(LFS_AUTHENTICATE.clone(), value.clone()).with(WWW_AUTHENTICATE, value)
    }

    /// Answers an error of the forge, and has its cause written to the log.
    pub(crate) fn of_forge(error: &Error, request_id: RequestId) -> Self {
        error.log(request_id.as_str());
        let mut message = error.public().to_owned();
        if let Some(hint) = error.hint() {
            message.push_str("\nhint: ");
            message.push_str(hint);
        }
        let refusal = Self::new(status_of(error), message);
        match (error.kind(), error.retry_after()) {
            (Kind::Unauthenticated, _) => refusal.challenge(),
            (Kind::Limited | Kind::Unavailable, Some(after)) => {
                refusal.with(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
            }
            _ => refusal,
        }
    }

    /// Makes the response.
    pub(crate) fn respond(self, request_id: RequestId) -> Response<Body> {
        let words = Words { message: &self.message, request_id: request_id.as_str() };
        let mut response = json::answer(self.status, &words);
        response.headers_mut().extend(self.fields);
        response
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::NotFound if error.is_removed() => StatusCode::GONE,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        // Not sent again by clients, which 400 is.
        Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Conflict => StatusCode::CONFLICT,
        // Everything that is too large here is so for the room that is left.
        Kind::TooLarge => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable if error.is_disk_full() => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        let status = match error {
            RouteError::Escape => StatusCode::BAD_REQUEST,
            RouteError::Name | RouteError::Unknown | RouteError::Lock => StatusCode::NOT_FOUND,
            RouteError::Oid => StatusCode::UNPROCESSABLE_ENTITY,
            RouteError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        };
        let refusal = Self::new(status, &error);
        match error {
            RouteError::Method { allow } => refusal.with(ALLOW, HeaderValue::from_static(allow)),
            _ => refusal,
        }
    }
}

impl From<CredentialsError> for Refusal {
    fn from(error: CredentialsError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error).challenge()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hakata_forge::{Error, Kind};
    use hakata_service::http::RequestId;

    use super::Refusal;

    #[tokio::test]
    async fn c3_c4_c6_every_kind_has_its_status_fields_and_words() {
        for (kind, status, fields) in [
            (Kind::NotFound, 404, vec![]),
            (Kind::Unauthenticated, 401, vec!["lfs-authenticate", "www-authenticate"]),
            (Kind::Forbidden, 403, vec![]),
            (Kind::Invalid, 422, vec![]),
            (Kind::Conflict, 409, vec![]),
            (Kind::TooLarge, 507, vec![]),
            (Kind::Limited, 429, vec!["retry-after"]),
            (Kind::Unavailable, 503, vec!["retry-after"]),
            (Kind::Internal, 500, vec![]),
        ] {
            let id = RequestId::parse(b"abc").unwrap();
            let error = Error::new(kind, "no").with_retry_after(Duration::from_secs(7)).with_hint("try");
            let response = Refusal::of_forge(&error, id).respond(id);
            assert_eq!(response.status().as_u16(), status, "{kind:?}");
            for field in ["lfs-authenticate", "www-authenticate", "retry-after"] {
                assert_eq!(
                    response.headers().contains_key(field),
                    fields.contains(&field),
                    "{kind:?} {field}"
                );
            }
            assert_eq!(response.headers()["content-type"], "application/vnd.git-lfs+json", "c2");
            let body = response.into_body().collect(1_000).await.unwrap();
            assert_eq!(body, r#"{"message":"no\nhint: try","request_id":"abc"}"#, "{kind:?}");
        }
    }
}

//! The protocol's media type: what is understood of it, and answers in it.

use bytes::Bytes;
use hakata_service::http::{Body, BodyError};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// What requests and answers are written in.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// Other names under which it is taken.
const ALSO_TAKEN: [&str; 1] = ["application/json"];

/// Refuses a client that wants its answer in something else.
pub(crate) fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut wishes = headers.get_all(ACCEPT).iter().peekable();
    if wishes.peek().is_none() {
        return Ok(());
    }
    let is_ours = |wish: &str| matches!(essence(wish), "*/*" | "application/*") || is_json(wish);
    let takes = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.split(',').any(is_ours));
    match wishes.any(takes) {
        true => Ok(()),
        false => {
            let words = format!("answers are in {MEDIA_TYPE}, which the request does not accept");
            Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, words))
        }
    }
}

/// Reads a request in JSON. Fields that are not known are passed over.
pub(crate) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    max_bytes: u64,
) -> Result<T, Refusal> {
    let types: Vec<_> = headers.get_all(CONTENT_TYPE).iter().collect();
    let is_right = match types[..] {
        [] => false,
        [one] => one.to_str().is_ok_and(is_json),
        _ => false,
    };
    if !is_right {
        let words = format!("the request is not in {MEDIA_TYPE}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let bytes = body.collect(max_bytes).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => {
            let words = format!("the request is larger than {limit} bytes; ask for fewer objects at once");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words)
        }
        BodyError::TooSlow => Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request arrives too slowly"),
        _ => Refusal::new(StatusCode::BAD_REQUEST, "the request ended early"),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let status = match error.classify() {
            serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, format!("the request is not understood: {error}"))
    })
}

/// Answers in JSON.
pub(crate) fn answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Our values have words for keys and no foreign types, so that nothing in them fails.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::full(Bytes::from(bytes)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Writes a time in ms as the protocol does: in UTC, by the second.
pub(crate) fn time(at_ms: i64) -> String {
    let at = Timestamp::from_second(at_ms.div_euclid(1_000)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_string()
}

fn is_json(value: &str) -> bool {
    let mut parameters = value.split(';').skip(1).map(str::trim);
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    let essence = essence(value);
    let ours = std::iter::once(MEDIA_TYPE).chain(ALSO_TAKEN).any(|name| essence.eq_ignore_ascii_case(name));
    ours && parameters.all(is_utf8)
}

/// The media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use http::{HeaderMap, HeaderValue};

    use super::{check_accept, is_json, time};

    #[test]
    fn c2_the_media_type_may_have_a_charset() {
        for (value, is) in [
            ("application/vnd.git-lfs+json", true),
            ("application/vnd.git-lfs+json; charset=utf-8", true),
            ("application/vnd.git-lfs+json;charset=\"UTF-8\"", true),
            ("Application/JSON", true),
            ("application/vnd.git-lfs+json; charset=latin1", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(value), is, "{value}");
        }
    }

    #[test]
    fn c2_only_a_client_that_wants_something_else_is_refused() {
        let accepts = |value: Option<&'static str>| {
            let fields = value.map(|value| (ACCEPT, HeaderValue::from_static(value)));
            check_accept(&fields.into_iter().collect::<HeaderMap>()).is_ok()
        };
        for value in [
            "application/vnd.git-lfs+json; charset=utf-8",
            "*/*",
            "text/html, application/*;q=0.1",
            "application/json",
        ] {
            assert!(accepts(Some(value)), "{value}");
        }
        assert!(accepts(None));
        assert!(!accepts(Some("text/html")) && !accepts(Some("")));
    }

    #[test]
    fn times_are_in_utc_by_the_second() {
        assert_eq!(time(1_463_500_186_999), "2016-05-17T15:49:46Z");
    }
}

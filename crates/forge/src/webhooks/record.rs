//! What is written down of an attempt.

use std::time::Duration;

use hakata_egress::{Sent, Timings};
use hakata_names::DeliveryId;
use hakata_store::webhooks::deliveries::Attempt;
use http::HeaderMap;
use serde_json::json;

use super::headers::{Try, recorded};
use super::outcome::complaint;

/// The longest text of headers that is kept, in bytes.
const MAX_HEADERS: usize = 32 * 1024;

/// Makes the row of an attempt.
pub(super) fn attempt(
    delivery: DeliveryId,
    tried: Try,
    url: &str,
    request: &HeaderMap,
    sent: &Sent,
) -> Attempt {
    let answer = sent.outcome.as_ref().ok();
    Attempt {
        delivery,
        number: tried.number,
        at: tried.at,
        url: url.to_owned(),
        request_headers: recorded(request),
        status: answer.map(|answer| i64::from(answer.status.as_u16())),
        response_headers: answer.map(|answer| lines(&answer.headers)),
        response_body: answer.map(|answer| answer.body.to_vec()),
        error: complaint(sent),
        timings: timings(&sent.timings),
    }
}

/// Makes the row of an attempt that was not made.
pub(super) fn refused(delivery: DeliveryId, tried: Try, url: &str, why: &str) -> Attempt {
    Attempt {
        delivery,
        number: tried.number,
        at: tried.at,
        url: url.to_owned(),
        request_headers: String::new(),
        status: None,
        response_headers: None,
        response_body: None,
        error: Some(why.to_owned()),
        timings: timings(&Timings::default()),
    }
}

/// Writes the headers of an answer as lines; its bytes are a stranger's, so what no line can hold is escaped. NUL would
/// be refused by a database.
fn lines(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let line = format!("{name}: {}\n", hakata_names::escape_controls(value.as_bytes()));
        if text.len() + line.len() > MAX_HEADERS {
            break;
        }
        text.push_str(&line);
    }
    text
}

fn timings(timings: &Timings) -> String {
    let ms = |part: Option<Duration>| part.map(|part| u64::try_from(part.as_millis()).unwrap_or(u64::MAX));
    json!({
        "resolve_ms": ms(timings.resolve),
        "connect_ms": ms(timings.connect),
        "tls_ms": ms(timings.tls),
        "first_byte_ms": ms(timings.first_byte),
        "total_ms": ms(Some(timings.total)),
    })
    .to_string()
}

//! The headers of a request: who it is from, which delivery, and the proof that the sender knows the secret.
//!
//! Signatures are over the body as it is sent. Receivers of Gitea, Gogs and GitHub find the headers that they know on a
//! webhook of the format `gitea`; every format has our own.

use hakata_store::webhooks::Webhook;
use hakata_store::webhooks::deliveries::Delivery;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha1::Sha1;
use sha2::Sha256;

use super::news::hex;
use super::{ContentType, Format};

/// The sender, as receivers see it.
const USER_AGENT: &str = concat!("Hakata/", env!("CARGO_PKG_VERSION"));

/// What differs from attempt to attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    /// From 1.
    pub(super) number: i64,
    /// Now, in ms.
    pub(super) at: i64,
}

/// Makes the headers of an attempt, signed if there is a secret.
pub(super) fn headers(
    webhook: &Webhook,
    delivery: &Delivery,
    attempt: Try,
    body: &[u8],
    secret: Option<&[u8]>,
) -> HeaderMap {
    let format = Format::parse(&webhook.format).unwrap_or(Format::Gitea);
    let content = ContentType::parse(&webhook.content_type).unwrap_or(ContentType::Json);
    let signatures = secret.map(|secret| Signatures::over(body, secret));
    let mut lines = vec![
        ("content-type", content.media_type().to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("accept", "*/*".to_owned()),
        ("x-hakata-event", delivery.kind.clone()),
        ("x-hakata-delivery", delivery.guid.clone()),
        ("x-hakata-sequence", delivery.sequence.to_string()),
        ("x-hakata-attempt", attempt.number.to_string()),
        ("x-hakata-timestamp", (attempt.at / 1000).to_string()),
    ];
    if format == Format::Gitea {
        for names in [
            ["x-gitea-delivery", "x-gitea-event", "x-gitea-event-type"],
            ["x-gogs-delivery", "x-gogs-event", "x-gogs-event-type"],
        ] {
            lines.extend(
                names.into_iter().zip([&delivery.guid, &delivery.kind, &delivery.kind].map(Clone::clone)),
            );
        }
        if let Some(signatures) = &signatures {
            lines.push(("x-gitea-signature", signatures.sha256.clone()));
            lines.push(("x-gogs-signature", signatures.sha256.clone()));
        }
    }
    if matches!(format, Format::Gitea | Format::Github) {
        lines.push(("x-github-delivery", delivery.guid.clone()));
        lines.push(("x-github-event", delivery.kind.clone()));
        lines.push(("x-github-hook-id", webhook.id.to_string()));
        if format == Format::Gitea {
            lines.push(("x-github-event-type", delivery.kind.clone()));
        }
        if let Some(signatures) = &signatures {
            lines.push(("x-hub-signature", format!("sha1={}", signatures.sha1)));
            lines.push(("x-hub-signature-256", format!("sha256={}", signatures.sha256)));
        }
    }
    if let Some(signatures) = &signatures {
        lines.push(("x-signature", format!("sha256={}", signatures.sha256)));
    }
    let lines = lines.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    });
    lines.collect()
}

/// Writes headers as lines for the record. What is derived from the secret is left out: a weak one could be guessed
/// from it.
pub(super) fn recorded(headers: &HeaderMap) -> String {
    let is_signature = |name: &HeaderName| name.as_str().contains("signature");
    let lines = headers.iter().map(|(name, value)| {
        let value = match is_signature(name) {
            true => "(hidden)".into(),
            false => String::from_utf8_lossy(value.as_bytes()),
        };
        format!("{name}: {value}\n")
    });
    lines.collect()
}

/// Reads when a receiver wants to be asked again: seconds, or a date.
pub(super) fn retry_after_s(headers: &HeaderMap, now_ms: i64) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    u64::try_from((date - now_ms).max(0) / 1000).ok()
}

/// Digests of a body with a secret.
struct Signatures {
    sha1: String,
    sha256: String,
}

impl Signatures {
    fn over(body: &[u8], secret: &[u8]) -> Self {
        let mut sha1 = Hmac::<Sha1>::new_from_slice(secret).expect("a key may have any length");
        let mut sha256 = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
        sha1.update(body);
        sha256.update(body);
        Self { sha1: hex(&sha1.finalize().into_bytes()), sha256: hex(&sha256.finalize().into_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{Signatures, recorded, retry_after_s};

    /// Source: docs.github.com, "Validating webhook deliveries", testing the validation.
    #[test]
    fn a_signature_is_what_github_documents() {
        let signatures = Signatures::over(b"Hello, World!", b"It's a Secret to Everybody");
        assert_eq!(signatures.sha256, "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static(value))]);
            retry_after_s(&headers, 1_700_000_000_000)
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Tue, 14 Nov 2023 22:14:20 GMT"), Some(60));
        assert_eq!(read("Tue, 14 Nov 2000 22:14:20 GMT"), Some(0));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }

    #[test]
    fn a_record_hides_what_the_secret_made() {
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature-256", HeaderValue::from_static("sha256=abc"));
        headers.insert("x-gitea-event", HeaderValue::from_static("push"));
        assert_eq!(recorded(&headers), "x-hub-signature-256: (hidden)\nx-gitea-event: push\n");
    }
}

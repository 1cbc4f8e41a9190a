//! What an answer means.

use std::time::Duration;

use hakata_egress::{Cut, SendError, Sent};

use super::headers::retry_after_s;

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The receiver took it.
    Taken,
    /// It may take it another time: not before so long, if it said so.
    Later(Option<Duration>),
    /// It never will take this one.
    Never,
    /// It takes nothing any more.
    Gone,
}

/// Judges an attempt.
pub(super) fn meaning(sent: &Sent, now_ms: i64) -> Meaning {
    let answer = match &sent.outcome {
        Ok(answer) => answer,
        Err(error) if error.is_temporary() => return Meaning::Later(None),
        Err(_) => return Meaning::Never,
    };
    // One that says "at once" each time would be asked without a pause: that is no time.
    let after =
        || retry_after_s(&answer.headers, now_ms).filter(|after_s| *after_s > 0).map(Duration::from_secs);
    match answer.status.as_u16() {
        200..=299 => Meaning::Taken,
        408 | 500..=599 => Meaning::Later(after()),
        429 => Meaning::Later(after()),
        410 => Meaning::Gone,
        _ => Meaning::Never,
    }
}

/// Says in a sentence what went wrong, if anything did.
pub(super) fn complaint(sent: &Sent) -> Option<String> {
    match &sent.outcome {
        Err(error) => Some(chain(error)),
        Ok(answer) => match (answer.status.as_u16(), answer.cut) {
            (300..=399, _) => Some("the answer is a redirect, which is not followed".to_owned()),
            (_, Some(Cut::Size)) => Some("the rest of the answer is not kept".to_owned()),
            (_, Some(Cut::Time)) => Some("the rest of the answer came too slowly".to_owned()),
            (_, Some(Cut::Broken)) => Some("the answer broke off".to_owned()),
            (_, None) => None,
        },
    }
}

fn chain(error: &SendError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    hakata_names::escape_controls(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hakata_egress::{Answer, PinError, SendError, Sent, Timings};
    use http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::{Meaning, complaint, meaning};

    fn sent(status: u16, retry_after: Option<&'static str>) -> Sent {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: bytes::Bytes::new(), cut: None };
        Sent { address: None, timings: Timings::default(), outcome: Ok(answer) }
    }

    #[test]
    fn each_status_means_what_the_page_says() {
        for (status, expected) in [
            (200, Meaning::Taken),
            (204, Meaning::Taken),
            (301, Meaning::Never),
            (302, Meaning::Never),
            (400, Meaning::Never),
            (401, Meaning::Never),
            (404, Meaning::Never),
            (408, Meaning::Later(None)),
            (410, Meaning::Gone),
            (429, Meaning::Later(None)),
            (500, Meaning::Later(None)),
            (503, Meaning::Later(None)),
            (599, Meaning::Later(None)),
            (600, Meaning::Never),
        ] {
            assert_eq!(meaning(&sent(status, None), 0), expected, "{status}");
        }
        assert_eq!(meaning(&sent(503, Some("0")), 0), Meaning::Later(None), "the pauses of the rules hold");
        let minute = Some(Duration::from_secs(60));
        assert_eq!(meaning(&sent(429, Some("60")), 0), Meaning::Later(minute));
        assert!(complaint(&sent(302, None)).unwrap().contains("redirect"));
    }

    #[test]
    fn a_refused_address_is_not_tried_again_and_a_lost_name_is() {
        let failed =
            |error| Sent { address: None, timings: Timings::default(), outcome: Err(SendError::Pin(error)) };
        let refused = failed(PinError::Port { port: 22 });
        assert_eq!(meaning(&refused, 0), Meaning::Never);
        let lost = failed(PinError::NoAddress { host: "x".to_owned(), source: None });
        assert_eq!(meaning(&lost, 0), Meaning::Later(None));
        assert_eq!(complaint(&lost).unwrap(), "x has no address");
    }
}

//! What the header fields of a git request say about its body and its protocol.

use hakata_forge::hosting::{Mode, Protocol, ProtocolVersion, Service};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

static GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Plain,
    /// In gzip, once.
    Gzip,
}

/// The body of a request is of a kind that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsupportedBody {
    /// The media type is not the one of the service.
    #[error("expected the content type {expected}")]
    Type {
        /// What it must be.
        expected: &'static str,
    },
    /// The encoding is neither gzip nor none.
    #[error("content encoding is not supported\nhint: send gzip or none")]
    Encoding,
}

/// Checks the media type of a conversation's body, compared byte by byte as git does, and finds its
/// encoding.
pub(crate) fn body_encoding(headers: &HeaderMap, service: Service) -> Result<Encoding, UnsupportedBody> {
    let expected = match service {
        Service::UploadPack => "application/x-git-upload-pack-request",
        Service::ReceivePack => "application/x-git-receive-pack-request",
    };
    if single(headers, &CONTENT_TYPE) != Some(Some(expected)) {
        return Err(UnsupportedBody::Type { expected });
    }
    match single(headers, &CONTENT_ENCODING) {
        None => Ok(Encoding::Plain),
        Some(Some(name)) if name.eq_ignore_ascii_case("identity") => Ok(Encoding::Plain),
        Some(Some(name)) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
            Ok(Encoding::Gzip)
        }
        Some(_) => Err(UnsupportedBody::Encoding),
    }
}

/// Finds the version that a client asks for. A field that is repeated or not well formed asks for nothing,
/// which is version 0, as git has it. Source: gitprotocol-http(5).
pub(crate) fn protocol(headers: &HeaderMap) -> Protocol {
    let version = match single(headers, &GIT_PROTOCOL) {
        Some(Some(value)) => ProtocolVersion::parse(value.as_bytes()),
        Some(None) | None => ProtocolVersion::V0,
    };
    Protocol { version, mode: Mode::Stateless }
}

/// Finds a field: `None` if absent, `Some(None)` if it is repeated or not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { None } else { first.to_str().ok() })
}

#[cfg(test)]
mod tests {
    use hakata_forge::hosting::Service;
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Encoding, UnsupportedBody, body_encoding, protocol};

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn the_media_type_is_the_one_of_the_service() {
        const UPLOAD: &str = "application/x-git-upload-pack-request";
        const RECEIVE: &str = "application/x-git-receive-pack-request";
        for (service, right, wrong) in
            [(Service::UploadPack, UPLOAD, RECEIVE), (Service::ReceivePack, RECEIVE, UPLOAD)]
        {
            let check = |fields: &[(&'static str, &str)]| body_encoding(&headers(fields), service);
            assert_eq!(check(&[("content-type", right)]), Ok(Encoding::Plain));
            let parameter = format!("{right}; charset=utf-8");
            for bad in [wrong, "text/plain", "", &parameter, &right.to_uppercase()] {
                let refused = check(&[("content-type", bad)]);
                assert!(matches!(refused, Err(UnsupportedBody::Type { .. })), "{bad}");
            }
            assert!(matches!(check(&[]), Err(UnsupportedBody::Type { .. })));
            assert!(matches!(
                check(&[("content-type", right), ("content-type", right)]),
                Err(UnsupportedBody::Type { .. })
            ));
        }
    }

    #[test]
    fn gzip_once_or_nothing() {
        let check = |encodings: &[&str]| {
            let mut fields = vec![("content-type", "application/x-git-upload-pack-request")];
            fields.extend(encodings.iter().map(|encoding| ("content-encoding", *encoding)));
            body_encoding(&headers(&fields), Service::UploadPack)
        };
        for (encodings, expected) in [
            (&[][..], Ok(Encoding::Plain)),
            (&["identity"][..], Ok(Encoding::Plain)),
            (&["gzip"], Ok(Encoding::Gzip)),
            (&["x-gzip"], Ok(Encoding::Gzip)),
            (&["GZIP"], Ok(Encoding::Gzip)),
            (&["gzip, gzip"], Err(UnsupportedBody::Encoding)),
            (&["gzip", "gzip"], Err(UnsupportedBody::Encoding)),
            (&["deflate"], Err(UnsupportedBody::Encoding)),
            (&["br"], Err(UnsupportedBody::Encoding)),
            (&["é"], Err(UnsupportedBody::Encoding)),
            (&[""], Err(UnsupportedBody::Encoding)),
        ] {
            assert_eq!(check(encodings), expected, "{encodings:?}");
        }
    }

    #[test]
    fn a_protocol_that_is_not_well_formed_is_version_0() {
        use hakata_forge::hosting::ProtocolVersion::{V0, V1, V2};
        let long = format!("version=2:{}", "a".repeat(247));
        for (values, expected) in [
            (&[][..], V0),
            (&["version=2"][..], V2),
            (&["version=1"], V1),
            (&["version=0"], V0),
            (&["version=2:foo"], V2),
            (&["version=1:version=2"], V2),
            (&["version=9"], V0),
            (&["version="], V0),
            (&["2"], V0),
            (&["version=2", "version=2"], V0),
            (&["version=2é"], V0),
            (&[&long], V0),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("git-protocol", *value)).collect();
            assert_eq!(protocol(&headers(&fields)).version, expected, "{values:?}");
        }
    }
}

//! Who a request says it comes from.

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hakata_runtime::secret::Secret;

/// Longest `Authorization` value that is looked at, in bytes.
const MAX_AUTHORIZATION_BYTES: usize = 4096;

/// The credentials in a request, not yet judged.
#[derive(Debug)]
pub enum Credentials {
    /// There are none.
    Anonymous,
    /// `Basic`: a name, and a password or a token.
    Basic {
        /// The account's name, or whatever a client sends beside a token.
        name: String,
        /// The password or token.
        secret: Secret<String>,
    },
    /// `Bearer` or `token`: a token.
    Token(Secret<String>),
}

/// The `Authorization` header is there and cannot be understood: more than one, too long, of an unknown
/// scheme, or not well formed. Such a request is never taken for an anonymous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "credentials cannot be understood\nhint: use HTTP Basic with a password or token, or Bearer with a token"
)]
pub struct CredentialsError;

impl Credentials {
    /// Reads the `Authorization` header. Source: RFC 7617, RFC 6750.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn parse(headers: &HeaderMap) -> Result<Self, CredentialsError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(Self::Anonymous) };
        if values.next().is_some() || value.len() > MAX_AUTHORIZATION_BYTES {
            return Err(CredentialsError);
        }
        let (scheme, rest) =
            value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(CredentialsError)?;
        let rest = rest.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("basic") {
            return basic(rest);
        }
        let token = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
        if !token || rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialsError);
        }
        Ok(Self::Token(Secret::new(rest.to_owned())))
    }
}

fn basic(encoded: &str) -> Result<Credentials, CredentialsError> {
    let decoded = STANDARD.decode(encoded).map_err(|_| CredentialsError)?;
    let pair = Secret::new(String::from_utf8(decoded).map_err(|_| CredentialsError)?);
    let (name, secret) = pair.expose().split_once(':').ok_or(CredentialsError)?;
    if pair.expose().chars().any(char::is_control) {
        return Err(CredentialsError);
    }
    Ok(Credentials::Basic { name: name.to_owned(), secret: Secret::new(secret.to_owned()) })
}

#[cfg(test)]
mod tests {
    use ::http::header::AUTHORIZATION;
    use ::http::{HeaderMap, HeaderValue};

    use super::{Credentials, CredentialsError};

    fn parse(values: &[&[u8]]) -> Result<String, CredentialsError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        Credentials::parse(&headers).map(|credentials| match credentials {
            Credentials::Anonymous => "anonymous".to_owned(),
            Credentials::Basic { name, secret } => format!("{name}|{}", secret.expose()),
            Credentials::Token(token) => format!("token {}", token.expose()),
        })
    }

    #[test]
    fn the_three_schemes_are_read() {
        for (values, expected) in [
            (&[][..], "anonymous"),
            (&[b"Basic YWxpY2U6c2VjcmV0" as &[u8]][..], "alice|secret"),
            (&[b"basic YWxpY2U6YTpi"], "alice|a:b"),
            (&[b"BASIC  Og== "], "|"),
            (&[b"Bearer hkt_abc"], "token hkt_abc"),
            (&[b"token hkt_abc"], "token hkt_abc"),
        ] {
            assert_eq!(parse(values).as_deref(), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_never_anonymous() {
        let long = [b"Bearer ".as_slice(), &[b'a'; 4096]].concat();
        for values in [
            &[b"" as &[u8]][..],
            &[b"Basic"],
            &[b"Basic "],
            &[b"Basic !!!"],
            &[b"Basic YWxpY2U"],
            &[b"Basic YWxpY2U="],
            &[b"Basic /zp4"],
            &[b"Basic YQA6Yg=="],
            &[b"Bearer"],
            &[b"Bearer "],
            &[b"Bearer a b"],
            &[b"Digest username=x"],
            &[b"Negotiate abc"],
            &[b"Bearer \xff"],
            &[b"Bearer a", b"Bearer a"],
            &[&long],
        ] {
            assert_eq!(parse(values), Err(CredentialsError), "{values:?}");
        }
    }
}

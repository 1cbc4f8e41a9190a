//! A URL that somebody gave us, parsed once.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// The longest URL that is taken, in bytes.
const MAX_URL: usize = 2_048;

/// Where to connect to and what to ask for there: `http` or `https`, without credentials.
///
/// The host is what the WHATWG parser makes of it: lower case, punycode, and an IP address however it was spelled.
/// Source: url.spec.whatwg.org, "host parsing".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: Host<String>,
    port: u16,
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTargetError {
    /// No URL at all, or one without a host.
    #[error("not a URL with a host")]
    NoUrl,
    /// Longer than 2,048 bytes.
    #[error("longer than {MAX_URL} bytes")]
    TooLong,
    /// Another scheme than `http` and `https`.
    #[error("the scheme is not http or https")]
    Scheme,
    /// A name and password before the host; they would be shown wherever the URL is.
    #[error("credentials in the URL")]
    Credentials,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ParseTargetError`], which never repeats the text.
    pub fn parse(text: &str) -> Result<Self, ParseTargetError> {
        if text.len() > MAX_URL {
            return Err(ParseTargetError::TooLong);
        }
        let mut url = Url::parse(text).map_err(|_| ParseTargetError::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ParseTargetError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ParseTargetError::Credentials);
        }
        url.set_fragment(None);
        // What is kept and shown is longer than what was given, where that had other letters than a URL has.
        if url.as_str().len() > MAX_URL {
            return Err(ParseTargetError::TooLong);
        }
        let host = url.host().ok_or(ParseTargetError::NoUrl)?.to_owned();
        let port = url.port_or_known_default().ok_or(ParseTargetError::NoUrl)?;
        Ok(Self { url, host, port })
    }

    /// Returns the URL as it was understood.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns the host as a name or an address without brackets.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// Returns the port, also when it goes without saying.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns host and port: what a limit on one receiver counts by.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Returns the value of `Host`: without the port that goes without saying.
    pub(crate) fn host_header(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// Returns path and query.
    pub(crate) fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// Returns the address, if the host is one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{ParseTargetError, Target};

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for host in
            ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.01"]
        {
            let target = Target::parse(&format!("http://{host}:80/x")).unwrap();
            assert_eq!(target.literal().unwrap().to_string(), "127.0.0.1", "{host}");
        }
        for host in ["１２７.０.０.１", "127。0。0。1", "127%2e0.0.1"] {
            let target = Target::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(target.host(), "127.0.0.1", "{host}");
        }
        assert_eq!(Target::parse("http://[::FFFF:127.0.0.1]/").unwrap().host(), "::ffff:127.0.0.1");
    }

    #[test]
    fn parts_are_as_a_request_wants_them() {
        let target = Target::parse("HTTPS://Hooks.Example.ORG/a%20b?c=d#e").unwrap();
        assert_eq!(target.as_str(), "https://hooks.example.org/a%20b?c=d");
        assert_eq!((target.port(), target.is_https()), (443, true));
        assert_eq!(target.host_header(), "hooks.example.org");
        assert_eq!(target.path_and_query(), "/a%20b?c=d");
        assert_eq!(Target::parse("http://[::1]:8080").unwrap().authority(), "[::1]:8080");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let cases = [
            ("", ParseTargetError::NoUrl),
            ("/hook", ParseTargetError::NoUrl),
            ("http://", ParseTargetError::NoUrl),
            ("http://a:99999/", ParseTargetError::NoUrl),
            ("http://1.2.3.256/", ParseTargetError::NoUrl),
            ("ftp://example.org/", ParseTargetError::Scheme),
            ("file:///etc/passwd", ParseTargetError::Scheme),
            ("gopher://127.0.0.1:70/_x", ParseTargetError::Scheme),
            ("https://a:b@example.org/", ParseTargetError::Credentials),
            ("https://a@example.org/", ParseTargetError::Credentials),
        ];
        for (text, error) in cases {
            assert_eq!(Target::parse(text).unwrap_err(), error, "{text}");
        }
        let long = format!("http://example.org/{}", "a".repeat(2_048));
        assert_eq!(Target::parse(&long).unwrap_err(), ParseTargetError::TooLong);
    }
}

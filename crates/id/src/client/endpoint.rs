//! Where a server listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An address of a server: `HOST:PORT`, or the path of a Unix socket, absolute or behind `unix:`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// Host and port; the name is looked up at each connect.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why an address was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no address of a server; write HOST:PORT, or unix:PATH")]
pub struct ParseEndpointError(String);

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, ParseEndpointError> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text)) {
            return match path {
                "" => Err(ParseEndpointError(text.to_owned())),
                _ => Ok(Self::Unix(path.into())),
            };
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(1..)) => Ok(Self::Tcp(text.to_owned())),
            _ => Err(ParseEndpointError(text.to_owned())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn addresses_are_hosts_with_ports_or_paths() {
        for (text, shown) in [
            ("127.0.0.1:11212", "127.0.0.1:11212"),
            ("[::1]:11212", "[::1]:11212"),
            ("ids.example:1", "ids.example:1"),
            ("/run/id.sock", "unix:/run/id.sock"),
            ("unix:id.sock", "unix:id.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()), Ok(shown.to_owned()));
        }
        for text in ["", ":11212", "localhost", "localhost:", "localhost:0", "localhost:65536", "unix:"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?} is an address");
        }
    }
}

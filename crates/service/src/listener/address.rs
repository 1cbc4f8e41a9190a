//! Where to listen: an IP address with a port, or a path in the file system.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to bind: `127.0.0.1:3000`, `[::1]:3000`, `:3000` (everywhere), or `unix:/run/hakata.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

/// An address that has none of the known forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address in {0:?}; write 127.0.0.1:3000, [::1]:3000, :3000 or unix:/path")]
pub struct ParseAddressError(String);

impl Address {
    /// The socket address, if this is TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let refuse = || ParseAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(refuse()) } else { Ok(Address::Unix(PathBuf::from(path))) };
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().map_err(|_| refuse())?;
            return Ok(Address::Tcp(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)));
        }
        match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => text.parse(),
        }
        .map(Address::Tcp)
        .map_err(|_| refuse())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_parse() {
        for (text, shown) in [
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]:0", "[::1]:0"),
            (":80", "[::]:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("unix:/run/h.sock", "unix:/run/h.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in ["", "3000", ":x", "unix:", "example.com:80", "127.0.0.1"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}

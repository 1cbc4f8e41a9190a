//! Whom to ask, whichever protocol is spoken, and how connections there are kept.

use std::time::Duration;

use hakata_runtime::secret::Secret;

use crate::tls::Tls;

/// A server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// The token of the service.
    pub token: Option<Secret<String>>,
    /// Whom to trust and who we are; without it the connection is in the clear.
    pub tls: Option<Tls>,
    /// How long a connection may take to stand and to be let in.
    pub connect_timeout: Duration,
    /// After this silence the server is asked whether it is still there: by TCP, and over HTTP/2 by a ping.
    pub keepalive: Duration,
    /// Connections that requests are spread over.
    pub n_connections: usize,
    /// The longest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

impl Endpoint {
    /// Names a server that is asked in the clear and without a token, with the bounds of a default configuration.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(30),
            n_connections: 2,
            max_answer_bytes: 64 << 20,
        }
    }

    /// Shows a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Secret::new(token.into()));
        self
    }

    /// The host, without the port.
    pub(crate) fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn a_host_is_what_stands_before_the_port() {
        for (address, host) in [("git.example.org:3010", "git.example.org"), ("[::1]:1", "::1"), ("h", "h")] {
            assert_eq!(Endpoint::new(address).host(), host);
        }
    }
}

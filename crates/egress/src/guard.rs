//! The judgement: a target becomes addresses that may be connected to, or nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::timeout;

use crate::address::{Forbidden, forbidden};
use crate::tls::{self, LoadRootsError};
use crate::{Settings, Target};

/// Decides what may be connected to; cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    pub(crate) settings: Arc<Settings>,
    pub(crate) tls: Arc<ClientConfig>,
}

/// Addresses of a target that were judged. Whoever connects, connects to one of these and resolves nothing again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    addresses: Vec<SocketAddr>,
}

impl Pinned {
    /// Lists the addresses; never empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Why a target must not, or cannot, be connected to.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The port is not among those that may be used.
    #[error("port {port} may not be connected to")]
    Port {
        /// The port.
        port: u16,
    },
    /// The address, or every address of the name, is not on the public internet.
    #[error("{host} is at a {why} address, which may not be connected to")]
    Forbidden {
        /// The host as the URL says it.
        host: String,
        /// What the first of its addresses is.
        why: Forbidden,
    },
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
        /// What the resolver said, if it said anything.
        #[source]
        source: Option<io::Error>,
    },
    /// The resolver took too long.
    #[error("resolving {host} took too long")]
    Slow {
        /// The name.
        host: String,
    },
}

impl PinError {
    /// Tells whether trying later may help: names come back, rules do not change by themselves.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NoAddress { .. } | Self::Slow { .. })
    }
}

impl Guard {
    /// Makes a guard; reads the trusted authorities, which blocks for some milliseconds.
    ///
    /// # Errors
    /// When `settings.roots` cannot be used.
    pub fn new(settings: Settings) -> Result<Self, LoadRootsError> {
        let tls = tls::client(settings.roots.as_deref())?;
        Ok(Self { settings: Arc::new(settings), tls: Arc::new(tls) })
    }

    /// Renders the authorities that are trusted, in PEM, for a child process that connects by itself; `None` if they are
    /// those of the machine, which it finds by itself. Blocks.
    ///
    /// # Errors
    /// When `settings.roots` cannot be read any more.
    pub fn authorities_pem(&self) -> io::Result<Option<String>> {
        self.settings.roots.as_deref().map(tls::authorities_pem).transpose()
    }

    /// Resolves a target once and keeps the addresses that may be connected to.
    ///
    /// # Errors
    /// [`PinError`]: a port or address that is not allowed, or no answer.
    pub async fn pin(&self, target: &Target) -> Result<Pinned, PinError> {
        let port = target.port();
        if !self.settings.ports.has(port) {
            return Err(PinError::Port { port });
        }
        let found = match target.literal() {
            Some(address) => vec![address],
            None => self.resolve(target).await?,
        };
        let is_named = target.literal().is_none() && self.settings.allow.has_host(&target.host());
        let mut why = None;
        let mut addresses = Vec::with_capacity(found.len());
        for address in found {
            match if is_named { None } else { self.judge(address) } {
                None => addresses.push(SocketAddr::new(address, port)),
                Some(reason) => why = why.or(Some(reason)),
            }
        }
        match why {
            Some(why) if addresses.is_empty() => Err(PinError::Forbidden { host: target.host(), why }),
            _ => Ok(Pinned { addresses }),
        }
    }

    /// Tells why an address is refused, if it is.
    fn judge(&self, address: IpAddr) -> Option<Forbidden> {
        forbidden(address).filter(|_| !self.settings.allow.has_address(address))
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, PinError> {
        let host = target.host();
        let resolving = self.settings.resolver.resolve(&host);
        match timeout(self.settings.deadlines.resolve, resolving).await {
            Err(_) => Err(PinError::Slow { host }),
            Ok(Err(error)) => Err(PinError::NoAddress { host, source: Some(error) }),
            Ok(Ok(found)) if found.is_empty() => Err(PinError::NoAddress { host, source: None }),
            Ok(Ok(found)) => Ok(found),
        }
    }
}

//! Whom to ask over gRPC, and how the connection is kept.

use std::time::Duration;

use hakata_runtime::secret::Secret;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint as TonicEndpoint, Identity};

use super::Grpc;

/// A server.
#[derive(Debug)]
pub struct Endpoint {
    /// `http://host:port`, or `https://` with TLS.
    pub url: String,
    /// The token of the service.
    pub token: Option<Secret<String>>,
    /// For `https://`: whom to trust, and who we are.
    pub tls: Option<ServerTls>,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// After this silence the server is asked whether it is still there.
    pub keepalive: Duration,
}

/// What TLS to a server needs.
#[derive(Debug)]
pub struct ServerTls {
    /// The authority that signed the server's certificate, PEM.
    pub authority: Vec<u8>,
    /// Our certificate and key, PEM, if the server asks for one.
    pub identity: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    /// The name in the server's certificate, if it is not the one in the URL.
    pub name: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none, or the certificates are none.
    #[error("reading the address {url} of the gRPC server")]
    Endpoint {
        /// The address.
        url: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// A header cannot carry the token.
    #[error("the token of the gRPC server holds characters that no header can carry")]
    Token,
}

impl Grpc {
    /// Makes a client. It connects when it is first used, and again whenever the connection breaks.
    ///
    /// # Errors
    /// If address, token or certificates are malformed. That nobody answers shows only later.
    pub fn lazy(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let wrong = |source| ConnectError::Endpoint { url: endpoint.url.clone(), source };
        let mut channel = TonicEndpoint::from_shared(endpoint.url.clone())
            .map_err(wrong)?
            .connect_timeout(endpoint.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(endpoint.keepalive))
            .http2_keep_alive_interval(endpoint.keepalive)
            .keep_alive_timeout(endpoint.connect_timeout)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        if let Some(tls) = &endpoint.tls {
            channel = channel.tls_config(configured(tls)).map_err(wrong)?;
        }
        let authorization = endpoint
            .token
            .as_ref()
            .map(|token| MetadataValue::try_from(format!("Bearer {}", token.expose())))
            .transpose()
            .map_err(|_| ConnectError::Token)?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        Ok(Self { channel: channel.connect_lazy(), authorization })
    }
}

fn configured(tls: &ServerTls) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authority));
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key.expose()));
    }
    match &tls.name {
        Some(name) => config.domain_name(name.clone()),
        None => config,
    }
}

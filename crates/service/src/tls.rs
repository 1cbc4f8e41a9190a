//! TLS for listeners, with certificates that can be changed while the server runs.

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::server::TlsStream;

mod failure;

pub(crate) use failure::metrics;

/// How long a peer that is turned away may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What it may still send meanwhile.
const MAX_LAST_BYTES: u64 = 64 << 10;

/// Where the certificates are, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients; with it a client without one is turned away.
    pub client_authority: Option<PathBuf>,
}

/// Whom a client's certificate names; [`Tls::accept`] has checked that an authority vouches for it.
#[derive(Clone, Debug)]
pub struct ClientCertificate(Arc<CertificateDer<'static>>);

impl ClientCertificate {
    /// Takes it of a connection whose hands were shaken; `None` if clients are not asked for one.
    pub fn of<S>(stream: &TlsStream<S>) -> Option<Self> {
        let first = stream.get_ref().1.peer_certificates()?.first()?;
        Some(Self(Arc::new(first.clone().into_owned())))
    }

    /// Finds the first of some names that the certificate is valid for: a DNS name or an address among its alternative
    /// names. The common name counts nothing.
    pub fn named<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        let certificate = ParsedCertificate::try_from(&*self.0).ok()?;
        let is_valid = |name: &&String| {
            let name = ServerName::try_from(name.as_str());
            name.is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
        };
        names.iter().find(is_valid).map(String::as_str)
    }
}

/// The present certificates of a server; cheap to clone, all clones change together.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Config,
    present: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Why certificates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadTlsError {
    /// A file is missing or no PEM.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The authorities of clients are none.
    #[error("using the authorities {path}")]
    Authority {
        /// Their file.
        path: PathBuf,
        /// What is wrong with them.
        #[source]
        source: VerifierBuilderError,
    },
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("using the certificate {certificate}")]
    Use {
        /// The file of the chain.
        certificate: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads the files. TLS 1.2 and 1.3 are spoken, HTTP/2 and HTTP/1.1 offered.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn load(config: Config) -> Result<Self, LoadTlsError> {
        let present = Arc::new(RwLock::new(read(&config)?));
        Ok(Self { config, present })
    }

    /// Reads the files again, for new connections. If they cannot be used the old certificates stay.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn reload(&self) -> Result<(), LoadTlsError> {
        let fresh = read(&self.config)?;
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Lists the files that certificates are read from.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let Config { certificate, key, client_authority } = &self.config;
        [certificate, key].into_iter().chain(client_authority)
    }

    /// Shakes hands within a time, and counts a failure for the listener.
    ///
    /// # Errors
    /// When the peer is too slow, leaves, speaks something else, or has no certificate that is good for this server.
    pub async fn accept<S>(
        &self,
        stream: S,
        limit: Duration,
        listener: &'static str,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner).clone();
        let accepting = TlsAcceptor::from(present).accept(stream).into_fallible();
        let error = match tokio::time::timeout(limit, accepting).await {
            Ok(Ok(accepted)) => return Ok(accepted),
            Ok(Err((error, stream))) => {
                if failure::is_of_certificate(&error) {
                    part(stream).await;
                }
                error
            }
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake takes too long"),
        };
        failure::count(listener, &error);
        Err(error)
    }
}

/// Lets a peer read why it is turned away: were the connection closed while something that it sent is unread, the kernel
/// would take the alert back.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let reading = async {
        stream.shutdown().await?;
        let mut rest = stream.take(MAX_LAST_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whether the peer listens is its own affair.
    let _ = tokio::time::timeout(LAST_WORD, reading).await;
}

fn read(config: &Config) -> Result<Arc<ServerConfig>, LoadTlsError> {
    let in_file = |path: &PathBuf| {
        let path = path.clone();
        move |source| LoadTlsError::Read { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&config.certificate).map_err(in_file(&config.certificate))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(in_file(&config.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(in_file(&config.key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let refuse = |source| LoadTlsError::Use { certificate: config.certificate.clone(), source };
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(refuse)?;
    let server = match &config.client_authority {
        None => server.with_no_client_auth(),
        Some(path) => server.with_client_cert_verifier(verifier(path, provider)?),
    };
    let mut server = server.with_single_cert(chain, key).map_err(refuse)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

/// Asks clients for a certificate that one of these authorities signed.
fn verifier(
    path: &PathBuf,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, LoadTlsError> {
    let read = |source| LoadTlsError::Read { path: path.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
        let added = roots.add(certificate.map_err(read)?);
        added.map_err(|source| LoadTlsError::Use { certificate: path.clone(), source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|source| LoadTlsError::Authority { path: path.clone(), source })?;
    Ok(verifier)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use std::path::Path;
    use tokio::io::duplex;
    use tokio_rustls::TlsConnector;

    /// Writes a fresh certificate for `localhost` and gives what trusts it.
    pub(crate) fn certify(dir: &Path) -> RootCertStore {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        roots
    }

    /// Names the certificate that was written to a directory.
    pub(crate) fn config(dir: &Path) -> Config {
        Config { certificate: dir.join("cert.pem"), key: dir.join("key.pem"), client_authority: None }
    }

    /// A client that trusts only these roots and offers one protocol.
    pub(crate) fn connector(roots: RootCertStore, protocol: &str) -> (TlsConnector, ServerName<'static>) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut client = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        (TlsConnector::from(Arc::new(client)), ServerName::try_from("localhost").unwrap())
    }

    async fn shake_hands(tls: &Tls, roots: RootCertStore) -> Option<Vec<u8>> {
        let (connector, name) = connector(roots, "h2");
        let (near, far) = duplex(64 << 10);
        let (ours, theirs) =
            tokio::join!(tls.accept(near, Duration::from_secs(9), "test"), connector.connect(name, far));
        theirs.ok()?;
        ours.ok()?.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    }

    #[tokio::test]
    async fn new_certificates_hold_after_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let old = certify(dir.path());
        let tls = Tls::load(config).unwrap();
        assert_eq!(shake_hands(&tls, old.clone()).await.as_deref(), Some(&b"h2"[..]));
        let new = certify(dir.path());
        assert!(shake_hands(&tls, new.clone()).await.is_none(), "not before the reload");
        tls.reload().unwrap();
        assert!(shake_hands(&tls, new.clone()).await.is_some());
        assert!(shake_hands(&tls, old).await.is_none());
        std::fs::write(dir.path().join("key.pem"), "no key").unwrap();
        assert!(matches!(tls.reload(), Err(LoadTlsError::Read { .. })));
        assert!(shake_hands(&tls, new).await.is_some(), "a bad file changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_or_odd_peer_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path());
        let config = config(dir.path());
        let tls = Tls::load(config).unwrap();
        let (near, _silent) = duplex(64);
        let late = tls.accept(near, Duration::from_secs(30), "test").await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let (near, mut far) = duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let odd = tls.accept(near, Duration::from_secs(30), "test").await.unwrap_err();
        assert_eq!(odd.kind(), io::ErrorKind::InvalidData);
    }
}

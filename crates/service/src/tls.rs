//! TLS for listeners, with certificates that can be changed while the server runs.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Where the certificate chain and its key are, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
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

    /// Shakes hands within a time.
    ///
    /// # Errors
    /// When the peer is too slow, leaves, or speaks something else.
    pub async fn accept<S>(&self, stream: S, limit: Duration) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner).clone();
        match tokio::time::timeout(limit, TlsAcceptor::from(present).accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake takes too long")),
        }
    }
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
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refuse)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(refuse)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server))
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
            tokio::join!(tls.accept(near, Duration::from_secs(9)), connector.connect(name, far));
        theirs.ok()?;
        ours.ok()?.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    }

    #[tokio::test]
    async fn new_certificates_hold_after_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
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
        let config = Config { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let tls = Tls::load(config).unwrap();
        let (near, _silent) = duplex(64);
        let late = tls.accept(near, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let (near, mut far) = duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let odd = tls.accept(near, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(odd.kind(), io::ErrorKind::InvalidData);
    }
}

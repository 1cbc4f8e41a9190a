//! TLS on the side of the caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// Where the certificates are, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The authorities whose servers are trusted, and no others.
    pub authority: PathBuf,
    /// Our own chain and its key, for servers that ask who calls.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, if it is not that of the address.
    pub name: Option<String>,
}

/// Certificates that were read; cheap to clone. Connections made later go on with them: whoever wants fresh ones reads
/// them again and makes a client of them.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
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
    /// A certificate is of a kind that is not supported, or does not fit its key.
    #[error("using the certificate {path}")]
    Use {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// No server has such a name.
    #[error("expecting a server called {name:?}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: InvalidDnsNameError,
    },
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn load(config: &Config) -> Result<Self, LoadTlsError> {
        let name = config.name.as_ref().map(|name| {
            let wrong = |source| LoadTlsError::Name { name: name.clone(), source };
            ServerName::try_from(name.clone()).map_err(wrong)
        });
        let mut roots = RootCertStore::empty();
        for certificate in chain(&config.authority)? {
            roots.add(certificate).map_err(refuse(&config.authority))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refuse(&config.authority))?
            .with_root_certificates(roots);
        let client = match &config.identity {
            None => client.with_no_client_auth(),
            Some((certificate, key)) => {
                let read = |source| LoadTlsError::Read { path: key.clone(), source };
                let key = PrivateKeyDer::from_pem_file(key).map_err(read)?;
                client.with_client_auth_cert(chain(certificate)?, key).map_err(refuse(certificate))?
            }
        };
        Ok(Self { config: Arc::new(client), name: name.transpose()? })
    }

    /// The name that the server's certificate must have.
    pub(crate) fn name(&self, host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()),
        }
    }
}

fn refuse(path: &Path) -> impl FnOnce(rustls::Error) -> LoadTlsError {
    let path = path.to_owned();
    move |source| LoadTlsError::Use { path, source }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadTlsError> {
    let wrong = |source| LoadTlsError::Read { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match chain.map_err(wrong)? {
        chain if chain.is_empty() => Err(wrong(pem::Error::NoItemsFound)),
        chain => Ok(chain),
    }
}

//! Whom we believe to be who they say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

/// Why authorities could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadRootsError {
    /// The file is missing or no PEM.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// A certificate that cannot be an authority, or protocols that the library does not have.
    #[error("trusting the authorities in {path:?}")]
    Use {
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// Makes the side of TLS that connects. It offers HTTP/1.1 only, which is what follows.
pub(crate) fn client(extra: Option<&Path>) -> Result<ClientConfig, LoadRootsError> {
    let mut roots = RootCertStore::empty();
    // A machine without authorities reaches nobody by https, and says so at each try.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra {
        let read = |source| LoadRootsError::Read { path: path.to_owned(), source };
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            let used = roots.add(certificate.map_err(read)?);
            used.map_err(|source| LoadRootsError::Use { path: Some(path.to_owned()), source })?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder =
        builder.map_err(|source| LoadRootsError::Use { path: extra.map(Path::to_owned), source })?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Renders the authorities of the machine and those of a file. Source: RFC 7468.
pub(crate) fn authorities_pem(extra: &Path) -> io::Result<String> {
    /// Characters of a line.
    const WIDTH: usize = 64;
    let mut pem = String::new();
    let extra = CertificateDer::pem_file_iter(extra).map_err(io::Error::other)?;
    let extra = extra.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    for certificate in rustls_native_certs::load_native_certs().certs.into_iter().chain(extra) {
        let text = STANDARD.encode(&certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(WIDTH) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::authorities_pem;

    #[test]
    fn authorities_are_written_as_they_were_read() {
        let made = rcgen::generate_simple_self_signed(["git.example".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roots.pem");
        std::fs::write(&path, made.cert.pem()).unwrap();
        let pem = authorities_pem(&path).unwrap();
        let read: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read.last(), Some(made.cert.der()));
        assert_eq!(read.len(), 1 + rustls_native_certs::load_native_certs().certs.len());
        assert!(pem.lines().all(|line| line.len() <= 64));
    }
}

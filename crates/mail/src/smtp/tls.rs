//! Whom we believe to be the mail server.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::SendError;

/// Makes the side of TLS that connects; reads the authorities' files, once for a mail server.
pub(super) fn connector(extra: Option<&Path>) -> Result<TlsConnector, SendError> {
    let mut roots = RootCertStore::empty();
    // A machine without authorities believes nobody, and says so at each try.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra {
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(Some(path), error))? {
            let certificate = certificate.map_err(|error| unusable(Some(path), error))?;
            roots.add(certificate).map_err(|error| unusable(Some(path), error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unusable(extra, error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()).into())
}

fn unusable(path: Option<&Path>, source: impl std::error::Error + Send + Sync + 'static) -> SendError {
    SendError::Authorities { path: path.map(Path::to_owned), source: Box::new(source) }
}

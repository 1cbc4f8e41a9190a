//! Signatures.

use hakata_git::read::{SignatureKind as Kind, Signed};
use hakata_names::Oid;
use hakata_rpc::v1::{SignatureKind, SignatureResponse};

use super::super::messages::oid_bytes;

/// Tells of a signature, or that there is none.
pub(super) fn signature(oid: &Oid, found: Option<Signed>) -> SignatureResponse {
    let Some(Signed { kind, signature, payload }) = found else {
        return SignatureResponse { oid: oid_bytes(oid), ..SignatureResponse::default() };
    };
    let kind = match kind {
        Kind::OpenPgp => SignatureKind::Openpgp,
        Kind::Ssh => SignatureKind::Ssh,
        Kind::X509 => SignatureKind::X509,
        Kind::Unknown => SignatureKind::Unknown,
    };
    SignatureResponse {
        oid: oid_bytes(oid),
        kind: kind.into(),
        signature: signature.into(),
        payload: payload.into(),
    }
}

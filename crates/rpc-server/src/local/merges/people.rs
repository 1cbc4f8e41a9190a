//! Who makes commits.

use hakata_git::write::Signer;
use hakata_rpc::Status;
use hakata_rpc::v1::Signature;

use super::super::made;

/// Reads somebody who has to be there.
pub(in super::super) fn signer(signature: Option<Signature>, role: &str) -> Result<Signer, Status> {
    signature.map(made::signer).ok_or_else(|| Status::invalid(format!("the request names no {role}")))
}

/// Reads the committer, who may be the author.
pub(in super::super) fn committer(
    signature: Option<Signature>,
    author: Option<&Signer>,
) -> Result<Signer, Status> {
    match (signature, author) {
        (None, Some(author)) => Ok(author.clone()),
        (signature, _) => signer(signature, "committer"),
    }
}

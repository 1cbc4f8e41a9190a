//! Opening what objects are sent to.

use hakata_names::RepositoryPath;
use hakata_store::Visibility;

use crate::access::{Grant, Write};
use crate::hosting::PushTarget;
use crate::{Actor, Error, Forge, Kind};

/// Grants the sending of objects. As a client sends them before its push, a repository that the push would create is made
/// now, private.
///
/// # Errors
/// As [`Forge::grant`].
pub async fn open_upload(forge: &Forge, actor: &Actor, path: &RepositoryPath) -> Result<Grant<Write>, Error> {
    let creation = match forge.open_push(actor, path).await? {
        PushTarget::Existing(grant) => return Ok(grant),
        PushTarget::Absent(creation) => creation,
    };
    match forge.create_by_push(&creation, Visibility::Private).await {
        Ok(mut created) => created.keep(),
        // Somebody was faster.
        Err(error) if error.kind() == Kind::Conflict => {}
        Err(error) => return Err(error),
    }
    forge.grant::<Write>(actor, path).await
}

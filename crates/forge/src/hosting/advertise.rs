//! What a server says first, from the snapshot in memory.

use std::time::Duration;

use bytes::Bytes;
use hakata_git::refs::RefSnapshot;
use hakata_git::serve;
use hakata_names::RefName;

use super::measure::{Operation, Outcome};
use super::{Protocol, PushTarget, Service};
use crate::access::{Grant, Read};
use crate::{Error, Forge};

/// Returns the advertisement of refs for a fetch, in slices that are not copied; without HTTP's service line.
///
/// Cost: no SQL when this process owns the database and the refs are in memory.
///
/// # Errors
/// When the refs cannot be read.
pub async fn advertise_fetch(
    forge: &Forge,
    grant: &Grant<Read>,
    protocol: Protocol,
) -> Result<Vec<Bytes>, Error> {
    let repository = forge.repositories().open(grant.repository()).await?;
    let capabilities = forge.git().capabilities();
    let lines = serve::advertise(repository.snapshot(), Service::UploadPack, protocol, capabilities);
    Operation::AdvertiseFetch.count(Outcome::Done, Duration::ZERO);
    Ok(lines)
}

/// Returns the advertisement of refs for a push; without HTTP's service line.
///
/// # Errors
/// When the refs cannot be read.
pub async fn advertise_push(
    forge: &Forge,
    target: &PushTarget,
    protocol: Protocol,
) -> Result<Vec<Bytes>, Error> {
    let capabilities = forge.git().capabilities();
    let lines = match target {
        PushTarget::Existing(grant) => {
            let repository = forge.repositories().open(grant.repository()).await?;
            serve::advertise(repository.snapshot(), Service::ReceivePack, protocol, capabilities)
        }
        PushTarget::Absent(_) => {
            let nothing = RefSnapshot::empty(0, forge.settings().default_object_format, forge.default_ref()?);
            serve::advertise(&nothing, Service::ReceivePack, protocol, capabilities)
        }
    };
    Operation::AdvertisePush.count(Outcome::Done, Duration::ZERO);
    Ok(lines)
}

impl Forge {
    /// The branch that HEAD of a new repository names.
    pub(crate) fn default_ref(&self) -> Result<RefName, Error> {
        RefName::parse_branch(self.settings().default_branch.as_bytes()).map_err(Error::internal)
    }
}

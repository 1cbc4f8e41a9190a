//! Serving `git archive --remote`.

use hakata_git::serve::{self, UploadArchive};
use tokio::io::AsyncRead;

use super::Output;
use super::input::Counted;
use super::measure::{Measured, Moved, Operation};
use super::source::Fetched;
use crate::access::{Grant, Read};
use crate::{Error, Forge};

/// Serves one archive, with the pkt-lines of `git upload-archive`.
///
/// # Errors
/// See [the module](super).
pub async fn archive<R>(
    forge: &Forge,
    grant: &Grant<Read>,
    input: R,
    output: &mut Output<'_>,
) -> Result<Moved, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let mut measured = Measured::start(forge, Operation::Archive, grant.path(), grant.actor());
    let mut input = Counted::new(input, measured.received());
    let stats = &mut measured.stats;
    let served = async {
        let source = Fetched(forge.repositories().open(grant.repository()).await?);
        let request = UploadArchive { git: forge.git(), source: &source };
        serve::upload_archive(request, &mut input, output, stats).await.map_err(Error::from)
    };
    let served = served.await;
    measured.finish(served)
}

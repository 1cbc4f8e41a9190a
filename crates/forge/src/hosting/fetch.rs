//! Serving fetches.

use hakata_git::serve::{self, FetchLimits, FetchStats, UploadPack};
use tokio::io::AsyncRead;

use super::input::Counted;
use super::measure::{Measured, Moved, Operation};
use super::source::Fetched;
use super::{Mode, Output, Protocol};
use crate::access::{Grant, Read};
use crate::{Error, Forge};

/// Serves a fetch: a whole conversation, or one request of it. `input` should be buffered.
///
/// # Errors
/// See [the module](super).
pub async fn fetch<R>(
    forge: &Forge,
    grant: &Grant<Read>,
    protocol: Protocol,
    input: R,
    output: &mut Output<'_>,
) -> Result<Moved, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let mut measured = Measured::start(forge, Operation::Fetch, grant.path(), grant.actor());
    let mut input = Counted::new(input, measured.received());
    let served = converse(forge, grant, protocol, &mut input, output, &mut measured.stats).await;
    measured.is_listing = protocol.mode == Mode::Stateless && measured.stats.n_fetches == 0;
    measured.finish(served)
}

async fn converse<R: AsyncRead + Send + Unpin>(
    forge: &Forge,
    grant: &Grant<Read>,
    protocol: Protocol,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), Error> {
    let repository = forge.repositories().open(grant.repository()).await?;
    let snapshot = repository.snapshot().clone();
    let source = Fetched(repository);
    let limits = FetchLimits::default();
    let conversation =
        UploadPack { git: forge.git(), snapshot: &snapshot, source: &source, protocol, limits };
    match serve::upload_pack(conversation, input, output, stats).await {
        Err(error) if error.is_untold() && protocol.mode == Mode::Stateful => {
            Err(tell(error.into(), output).await)
        }
        served => served.map_err(Error::from),
    }
}

/// Ends a conversation that has begun by the words that a face would have found a status for.
async fn tell(error: Error, output: &mut Output<'_>) -> Error {
    // A client that is gone by now hears nothing; the error is the same.
    let told = output.send(serve::encode_error(&error.err_line())).await;
    if told.is_ok() {
        let _ = output.flush().await;
    }
    error
}

//! Versions 0 and 1 over one connection. Source: gitprotocol-pack(5).
//!
//! The advertisement is ours; git's own is read and dropped. Then wants are checked, and the two sides
//! negotiate, each line of the client's being read by us before git reads it.

use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::ChildStdin;

use super::upload_pack::{Command, check_wants};
use super::v0::{Haves, Needs};
use super::{FetchStats, Output, ServeError, Service, UploadPack, advertise, fetch};
use crate::packets::Packets;

/// The longest advertisement of git that is dropped, in bytes: some millions of refs.
const MAX_ADVERTISEMENT: u64 = 1 << 30;

pub(super) async fn serve<R: AsyncRead + Unpin + Send>(
    conversation: &UploadPack<'_>,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let UploadPack { git, snapshot, source, protocol, limits } = *conversation;
    let lines = advertise(snapshot, Service::UploadPack, protocol, git.capabilities());
    Command::Advertise.count();
    stats.n_listings += 1;
    output.send_all(lines).await.map_err(ServeError::Gone)?;
    output.flush().await.map_err(ServeError::Gone)?;
    let bounds = conversation.bounds();
    let mut packets = Packets::new(input, limits.request_bytes);
    let Some(needs) = Needs::read(&mut packets, snapshot, bounds).await? else {
        return Ok(());
    };
    Command::Fetch.count();
    needs.count(stats);
    let dir = source.directory().await.map_err(ServeError::Directory)?;
    let dir = (*dir).as_ref();
    check_wants(conversation, dir, &needs.wanted.wants).await?;
    let command = fetch::command(dir, fetch::Version::V0);
    let mut serving = fetch::Serving::start(git, &command, stats).await?;
    serving.stats.n_fetches += 1;
    let mut stdout = serving.child.stdout().map(BufReader::new);
    drop_advertisement(stdout.as_mut()).await;
    let mut haves = Haves::new(snapshot.format(), bounds.n_haves);
    let request = needs.encode(git.capabilities().agent());
    let (stdin, gone) = (serving.child.stdin(), output.closed());
    tokio::select! {
        // git's end is the end; what the client says afterwards interests nobody.
        moved = fetch::relay(stdout, output, serving.stats) => moved?,
        mistake = negotiate(stdin, request, &mut packets, &mut haves) => return Err(mistake),
        () = gone => return Err(ServeError::Gone(std::io::ErrorKind::BrokenPipe.into())),
    }
    serving.stats.n_haves += haves.n as u64;
    serving.finish().await
}

async fn drop_advertisement(stdout: Option<&mut fetch::Buffered>) {
    if let Some(stdout) = stdout {
        let mut packets = Packets::new(stdout, MAX_ADVERTISEMENT);
        // If git fails here its end says so.
        while let Ok(Some(_)) = packets.line().await {}
    }
}

/// Hands the client's lines to git until `done`; returns only if the client makes a mistake or its
/// connection fails, and otherwise waits for git to end.
async fn negotiate<R: AsyncRead + Unpin>(
    stdin: Option<ChildStdin>,
    mut request: Vec<u8>,
    packets: &mut Packets<'_, R>,
    haves: &mut Haves,
) -> ServeError {
    let Some(mut stdin) = stdin else { return std::future::pending().await };
    loop {
        if stdin.write_all(&request).await.is_err() || haves.done {
            break;
        }
        request.clear();
        packets.renew();
        match packets.next().await {
            Ok(Some(packet)) => match haves.take(&packet, &mut request) {
                Ok(()) => {}
                Err(refused) => return refused.into(),
            },
            Ok(None) => break,
            Err(error) => return error.into(),
        }
    }
    drop(stdin);
    std::future::pending().await
}

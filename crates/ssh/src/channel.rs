//! One command on one channel: its streams, its limits and the order of its end.

mod activity;
mod input;
mod output;

pub(crate) use activity::Activity;
pub(crate) use input::Input;
pub(crate) use output::Output;

use crate::live::Live;
use crate::metrics::{CHANNELS, COMMANDS, CommandLabel, ExitLabel};
use crate::run::{self, Job};
use crate::server::Shared;
use hakata_forge::Actor;
use hakata_service::stream::Patience;
use input::{Feed, NotRead};
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the last messages of a channel may wait for their turn.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// Stands in for the exit status when a command ends by a limit.
const CUT_STATUS: u32 = 255;

/// How much longer than on a socket a client may take nothing on a channel: OpenSSH's client tells what it has taken
/// only every 96 KiB, which at 1 KiB a second is more than the minute of the default.
const WINDOW_STALLS: u32 = 2;

/// The streams of one command.
pub(crate) struct Streams {
    /// What the client sends.
    pub(crate) input: Input,
    /// Standard output.
    pub(crate) output: Output,
    /// Standard error.
    pub(crate) errors: Output,
}

/// Why a command is over.
enum End {
    Exit(u32),
    Left,
    Stalled,
}

/// Runs a job on a channel and closes the channel: end of file, exit status, close, as OpenSSH's client wants it.
///
/// The future of the job is dropped, and by that its children end, as soon as the client closes the channel or leaves,
/// takes nothing for the write stall limit, or exchanges nothing for the idle limit.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    live: Arc<Live>,
    actor: Actor,
    job: Job,
    channel: Channel<Msg>,
    stop: CancellationToken,
) {
    let _counted = (CHANNELS.track(), live.run_command());
    let settings = &shared.settings;
    let label = job.label();
    // A client has several sessions of LFS, and the others wait for the one that moves a large object.
    let activity = match label {
        CommandLabel::LfsTransfer => Activity::beside(&live.transfers),
        _ => Activity::new(),
    };
    let activity = Arc::new(activity);
    let (read, write) = channel.split();
    let (feed, input) = Input::new();
    let stall = settings.patience.stall * WINDOW_STALLS;
    let patience = Patience { stall, ..settings.patience };
    let streams = Streams {
        input,
        output: Output::new(write.make_writer(), activity.clone(), patience),
        errors: Output::new(write.make_writer_ext(Some(1)), activity.clone(), patience),
    };
    let end = tokio::select! {
        biased;
        () = stop.cancelled() => End::Left,
        end = pump(read, feed, &activity, stall) => end,
        () = activity.quiet_for(settings.idle) => End::Stalled,
        status = run::run(&shared, &live, &actor, job, streams) => End::Exit(status),
    };
    count(label, &end, &activity);
    let _ = tokio::time::timeout(CLOSE_TIME, close(&write, &end)).await;
}

/// Moves what the client sends to the command until the client closes the channel or is gone.
///
/// It takes messages whether or not the command reads: the session's loop waits for a full channel, and with it every
/// other channel of the connection, and nobody notices that the client has left. So a command that takes nothing for
/// `patience` while more waits for it than a client may have on the way is ended. What it no longer reads is dropped.
async fn pump(mut read: ChannelReadHalf, feed: Feed, activity: &Activity, patience: Duration) -> End {
    let mut feed = Some(feed);
    while let Some(message) = read.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                activity.touch();
                let Some(open) = &feed else { continue };
                match tokio::time::timeout(patience, open.send(data)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(NotRead)) => feed = None,
                    Err(_) => {
                        activity.stalled();
                        return End::Stalled;
                    }
                }
            }
            ChannelMsg::Eof => feed = None,
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    End::Left
}

/// Sends what ends a channel; after the client has left there is nobody to tell.
async fn close(write: &ChannelWriteHalf<Msg>, end: &End) -> Result<(), russh::Error> {
    let status = match end {
        End::Exit(status) => *status,
        End::Stalled => CUT_STATUS,
        End::Left => return write.close().await,
    };
    write.eof().await?;
    write.exit_status(status).await?;
    write.close().await
}

fn count(label: CommandLabel, end: &End, activity: &Activity) {
    let exit = match end {
        End::Exit(0) => ExitLabel::Success,
        End::Left => ExitLabel::Left,
        _ if activity.has_stalled() => ExitLabel::Stalled,
        End::Exit(_) => ExitLabel::Failure,
        End::Stalled => ExitLabel::Stalled,
    };
    COMMANDS.get((label, exit)).inc();
}

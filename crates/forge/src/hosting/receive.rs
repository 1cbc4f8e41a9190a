//! Receiving pushes, from the commands to the report.
//!
//! ```text
//! commands ─▶ names, stale, rules, quota ─▶ pack into quarantine ─▶ rules again, with objects ─▶ commit ─▶ report
//!             (no byte of the pack read)     (git, repository)        (forced? too large?)        │
//!                                                        rules changed meanwhile: judge again ◀──┘
//! ```

mod commit;
mod intake;
mod open;

pub(crate) use commit::Judged;

use std::time::Duration;

use hakata_git::receive::{
    Progress, PushCapabilities, PushLimits, PushRequest, ReadPushError, Report, encode_fatal, encode_report,
    read_request,
};
use tokio::io::AsyncRead;

use super::input::Counted;
use super::judge::Refused;
use super::measure::{Measured, Moved, Operation};
use super::report::Verdicts;
use super::{Mode, Output, Protocol, PushTarget, advertise_push};
use crate::{Error, Forge, Kind};
use open::Opened;

/// Bytes of a refused push that are read and dropped, so that the client finishes writing and reads why.
const MAX_DRAIN: u64 = 256 << 20;

/// How long a client of a connection may be silent after its report: it may keep the connection open, and
/// nothing in a pack that nobody parses says where it ends.
const QUIET_STATEFUL: Duration = Duration::from_secs(1);

/// How long a client may be silent within the body of a request, which has an end of its own.
const QUIET_STATELESS: Duration = Duration::from_secs(30);

/// How often a client that waits hears that it is not forgotten.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// Receives a push, from its commands to its report. `input` should be buffered.
///
/// Refused refs are not an error here: the client has them in its report.
///
/// # Errors
/// See [the module](super).
pub async fn receive<R>(
    forge: &Forge,
    target: PushTarget,
    protocol: Protocol,
    input: R,
    output: &mut Output<'_>,
) -> Result<Moved, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let mut measured = Measured::start(forge, Operation::Push, target.path(), target.actor());
    let mut input = Counted::new(input, measured.received());
    let push = run(forge, target, protocol, &mut input, output, &mut measured);
    let result = match tokio::time::timeout(forge.settings().push_time, push).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Kind::Limited, "the push took too long")),
    };
    measured.finish(result)
}

async fn run<R: AsyncRead + Send + Unpin>(
    forge: &Forge,
    target: PushTarget,
    protocol: Protocol,
    input: &mut Counted<R>,
    output: &mut Output<'_>,
    measured: &mut Measured,
) -> Result<(), Error> {
    // Before anything is said: a busy server can still answer with a status.
    let _permit = match &target {
        PushTarget::Existing(grant) => Some(forge.inner.pushes.acquire(grant.repository()).await?),
        PushTarget::Absent(_) => None,
    };
    if protocol.mode == Mode::Stateful {
        let lines = advertise_push(forge, &target, protocol).await?;
        output.send_all(lines).await.map_err(gone)?;
        output.flush().await.map_err(gone)?;
    }
    let request = match read(forge, &target, input).await {
        Ok(Some(request)) => request,
        Ok(None) => {
            if protocol.mode == Mode::Stateless {
                measured.probed();
            }
            return Ok(());
        }
        Err(Unread::Told(error)) => {
            // Clients listen on the side-band from their first command on, since we always offer it.
            let spoken = PushCapabilities { side_band: true, ..PushCapabilities::default() };
            return tell(error, &spoken, protocol, input, output, measured).await;
        }
        Err(Unread::Failed(error)) if protocol.mode == Mode::Stateless => return Err(error),
        Err(Unread::Failed(error)) => {
            return tell(error, &PushCapabilities::default(), protocol, input, output, measured).await;
        }
    };
    let mut push =
        Push { forge, protocol, request, verdicts: Verdicts::default(), has_spoken: false, measured };
    match push.serve(target, input, output).await {
        Ok(report) => push.finish(report, input, output).await,
        Err(error) if protocol.mode == Mode::Stateless && !push.has_spoken && is_for_later(&error) => {
            Err(error)
        }
        Err(error) => tell(error, &push.request.capabilities, protocol, input, output, push.measured).await,
    }
}

/// Whether a status says all that there is to say: come again.
fn is_for_later(error: &Error) -> bool {
    matches!(error.kind(), Kind::Limited | Kind::Unavailable | Kind::Internal) && !error.is_for_a_person()
}

/// Ends a push by words in band: git shows them to the person, which it does with no status of HTTP.
async fn tell<R: AsyncRead + Send + Unpin>(
    error: Error,
    capabilities: &PushCapabilities,
    protocol: Protocol,
    input: &mut Counted<R>,
    output: &mut Output<'_>,
    measured: &mut Measured,
) -> Result<(), Error> {
    measured.n_refused = measured.n_refused.max(1);
    if protocol.mode == Mode::Stateless {
        input.drain(MAX_DRAIN, QUIET_STATELESS).await;
    }
    output.send(encode_fatal(&error.err_line(), capabilities)).await.map_err(gone)?;
    output.flush().await.map_err(gone)?;
    if protocol.mode == Mode::Stateful {
        input.drain(MAX_DRAIN, QUIET_STATEFUL).await;
        return Err(error);
    }
    if error.is_disk_full() {
        tracing::error!(cause = %error.chain(), "refused a push: {error}");
    } else {
        tracing::info!(kind = error.kind().as_str(), reason = %error, cause = %error.chain(), "refused a push in band");
    }
    Ok(())
}

/// Why there are no commands.
enum Unread {
    /// The person who pushes can do something about it.
    Told(Error),
    /// The bytes are no push, or end too early.
    Failed(Error),
}

/// Reads the commands.
async fn read<R: AsyncRead + Send + Unpin>(
    forge: &Forge,
    target: &PushTarget,
    input: &mut Counted<R>,
) -> Result<Option<PushRequest>, Unread> {
    let format = match target {
        PushTarget::Existing(grant) => grant.facts().object_format,
        PushTarget::Absent(_) => forge.settings().default_object_format,
    };
    let limits = PushLimits { n_updates: forge.settings().max_refs_per_push, ..PushLimits::default() };
    read_request(input, format, &limits).await.map_err(|refused| match refused {
        ReadPushError::Io(error) => Unread::Failed(gone(error)),
        ReadPushError::Malformed(_) | ReadPushError::Truncated => {
            Unread::Failed(Error::new(Kind::Invalid, refused.to_string()))
        }
        ReadPushError::TooMany { .. } => Unread::Told(Error::new(Kind::TooLarge, refused.to_string())),
        _ => Unread::Told(Error::new(Kind::Invalid, refused.to_string())),
    })
}

/// One push whose commands have been read.
struct Push<'a> {
    forge: &'a Forge,
    protocol: Protocol,
    request: PushRequest,
    verdicts: Verdicts,
    /// Whether a status can no longer be sent instead of words in band.
    has_spoken: bool,
    measured: &'a mut Measured,
}

impl Push<'_> {
    /// Does the push; answers what to report. An error means that nothing was changed.
    async fn serve<R: AsyncRead + Send + Unpin>(
        &mut self,
        target: PushTarget,
        input: &mut Counted<R>,
        output: &mut Output<'_>,
    ) -> Result<Report, Error> {
        let mut opened = Opened::open(self.forge, target, &self.request).await?;
        let result = self.push_into(&opened, input, output).await;
        let n_accepted = self.measured.moved.n_refs;
        if let Some(created) = opened.created.take() {
            self.settle(created, n_accepted, output).await?;
        }
        result
    }

    async fn push_into<R: AsyncRead + Send + Unpin>(
        &mut self,
        opened: &Opened,
        input: &mut Counted<R>,
        output: &mut Output<'_>,
    ) -> Result<Report, Error> {
        let rules = self.forge.rules(&opened.actor, opened.repository.id()).await?;
        self.judge_early(opened, &rules);
        let wanted = self.verdicts.rest(&self.request.updates);
        if wanted.is_empty() {
            return Ok(self.verdicts.report(&self.request));
        }
        match self.take_in(opened, &rules, wanted, input, output).await? {
            Ok(received) => {
                self.commit(opened, rules, received, output).await?;
                Ok(self.verdicts.report(&self.request))
            }
            Err(unpack) => Ok(Report::unpack_failed(&self.request, unpack)),
        }
    }

    /// Judges what needs no objects: a push of which nothing is left is answered without its pack.
    fn judge_early(&mut self, opened: &Opened, rules: &super::rules::Rules) {
        let repository = &opened.repository;
        let snapshot = repository.snapshot();
        let mut n_refs = snapshot.len();
        let full = rules.quota.room() == 0;
        for update in &self.request.updates {
            n_refs += usize::from(update.old.is_none() && update.new.is_some());
            let judged = super::judge::judge_name(update, repository.default_ref())
                .and_then(|()| open::check_stale(update, snapshot))
                .and_then(|()| {
                    open::check_count(n_refs, update, self.forge.settings().max_refs_per_repository)
                })
                .and_then(|()| open::check_room(full, update, &rules.quota))
                .and_then(|()| rules.judge_early(update));
            if let Err(refused) = judged {
                self.verdicts.refuse(&update.name, refused);
            }
        }
        let any_refused = self.verdicts.n_refused() > 0 || !self.request.refused.is_empty();
        if self.request.capabilities.atomic && any_refused {
            self.verdicts.fail_rest(&self.request.updates);
        }
    }

    /// Says what stands beside the report: hints, and nothing to clients that cannot hear it.
    async fn say(&mut self, output: &mut Output<'_>, lines: &[String]) -> Result<(), Error> {
        self.has_spoken |= self.request.capabilities.side_band && !lines.is_empty();
        let mut progress = Progress::new(output, &self.request.capabilities);
        for line in lines {
            progress.line(line).await.map_err(gone)?;
        }
        Ok(())
    }

    async fn finish<R: AsyncRead + Send + Unpin>(
        &mut self,
        report: Report,
        input: &mut Counted<R>,
        output: &mut Output<'_>,
    ) -> Result<(), Error> {
        let mut lines = open::unknown_options(&self.request);
        lines.extend(self.verdicts.take_hints().iter().map(|hint| format!("hint: {hint}")));
        self.say(output, &lines).await?;
        self.measured.n_refused = report.refs.iter().filter(|line| !line.is_ok()).count();
        // HTTP carries one direction at a time for some clients and proxies; SSH closes when it has its report.
        if self.protocol.mode == Mode::Stateless {
            input.drain(MAX_DRAIN, QUIET_STATELESS).await;
        }
        output.send(encode_report(&report, &self.request.capabilities)).await.map_err(gone)?;
        output.flush().await.map_err(gone)?;
        if self.protocol.mode == Mode::Stateful && self.measured.moved.n_refs == 0 && self.request.has_pack()
        {
            input.drain(MAX_DRAIN, QUIET_STATEFUL).await;
        }
        Ok(())
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), hint: None }
    }
}

/// The client left, or its connection failed.
fn gone(error: std::io::Error) -> Error {
    Error::client_left(error)
}

//! Taking the pack in, and judging what is in it.

use hakata_git::quarantine::IndexPackError;
use hakata_git::receive::Progress;
use hakata_names::RefUpdate;
use hakata_repository::{ReceiveError, ReceiveLimits, Received, RefRefusal, TooLarge};
use hakata_runtime::units::ByteSize;
use tokio::io::AsyncRead;

use super::super::Output;
use super::super::create::Created;
use super::super::input::Counted;
use super::super::judge::Refused;
use super::super::rules::Rules;
use super::open::Opened;
use super::{KEEPALIVE_EVERY, Push, gone};
use crate::admin::shown_bytes;
use crate::{Error, Kind};

impl Push<'_> {
    /// Takes the pack into quarantine; the inner error is what stands behind `unpack`.
    pub(super) async fn take_in<R: AsyncRead + Send + Unpin>(
        &mut self,
        opened: &Opened,
        rules: &Rules,
        wanted: Vec<RefUpdate>,
        input: &mut Counted<R>,
        output: &mut Output<'_>,
    ) -> Result<Result<Received, String>, Error> {
        let settings = self.forge.settings();
        let most = settings.max_pack.bytes().min(rules.quota.room());
        let limits = ReceiveLimits {
            max_pack_bytes: Some(most),
            max_object_bytes: Some(settings.max_object.bytes()),
            spent: self.measured.spent.clone(),
            ..ReceiveLimits::default()
        };
        let push = hakata_repository::Push { updates: wanted, shallow: self.request.shallow.clone() };
        let pack = self.request.has_pack().then_some(input);
        let mut progress = Progress::new(output, &self.request.capabilities);
        let received = while_waiting(
            opened.repository.receive(push, pack, &limits),
            &mut progress,
            &mut self.has_spoken,
        )
        .await?;
        match received {
            Ok(received) => Ok(Ok(received)),
            Err(ReceiveError::Index(IndexPackError::TooLarge { .. })) => {
                let (words, hint) = too_large(most, settings.max_pack, rules);
                self.verdicts.hint(hint);
                Ok(Err(words))
            }
            Err(ReceiveError::Index(error)) => unpack_line(error).map(Err),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a push that brings objects over the limit, naming the largest.
    pub(super) fn judge_sizes(&mut self, received: &mut Received) {
        let Some(largest) = received.large().first() else { return };
        let limit = self.forge.settings().max_object;
        let reason = format!("{} is over the limit of {}", shown(largest), shown_bytes(limit.bytes()));
        let others = received.large().len() - 1;
        if others > 0 {
            self.verdicts.hint(format!("{others} more objects are too large"));
        }
        let hint = "keep large files in Git LFS: git lfs migrate import --above=100MB";
        let names: Vec<_> =
            received.updates().iter().filter(|update| update.new.is_some()).cloned().collect();
        for update in names {
            let refused = Refused { reason: reason.clone(), hint: Some(hint.to_owned()) };
            self.verdicts.refuse(&update.name, refused);
            received.refuse(&update.name, RefRefusal::Denied(reason.clone()));
        }
    }

    /// Keeps a repository that was made for this push, or takes it back.
    pub(super) async fn settle(
        &mut self,
        mut created: Created,
        n_accepted: usize,
        output: &mut Output<'_>,
    ) -> Result<(), Error> {
        if n_accepted == 0 {
            created.undo().await;
            return Ok(());
        }
        created.keep();
        super::super::measure::created();
        // Even to a client that asks for quiet, as git does whenever it has no terminal: scripts want to know.
        let line = format!("Created {} repository {}", created.visibility, created.path);
        self.say(output, &[line]).await
    }
}

/// Runs the work, and tells a waiting client now and then that it is not forgotten.
async fn while_waiting<T>(
    work: impl Future<Output = T>,
    progress: &mut Progress<'_, '_>,
    has_spoken: &mut bool,
) -> Result<T, Error> {
    tokio::pin!(work);
    let mut every = tokio::time::interval_at(tokio::time::Instant::now() + KEEPALIVE_EVERY, KEEPALIVE_EVERY);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            _ = every.tick() => {
                *has_spoken = true;
                progress.keepalive().await.map_err(gone)?;
            }
        }
    }
}

/// Names the limit that a pack is over: its own, or the repository's.
fn too_large(most: u64, max_pack: ByteSize, rules: &Rules) -> (String, String) {
    if most == max_pack.bytes() {
        let words = format!("pack exceeds the limit of {} a push", shown_bytes(most));
        return (words, "push in several steps, and keep large files in Git LFS".to_owned());
    }
    let words = format!("pack exceeds the {} that are left of the quota", shown_bytes(most));
    (words, rules.quota.warning(0).unwrap_or_else(|| "ask an administrator for a larger quota".to_owned()))
}

fn shown(large: &TooLarge) -> String {
    let size = shown_bytes(large.object.size_bytes);
    match &large.path {
        Some(path) => format!("file '{}' of {size}", hakata_names::escape_controls(path.as_bytes())),
        None => format!("object {} of {size}", large.object.oid),
    }
}

/// What a client is told about a pack that is no good; our own troubles are errors.
fn unpack_line(error: IndexPackError) -> Result<String, Error> {
    match error {
        IndexPackError::TooLarge { .. } | IndexPackError::Refused { .. } | IndexPackError::Truncated => {
            Ok(error.unpack_line())
        }
        IndexPackError::Input(error) => Err(gone(error)),
        IndexPackError::Child(hakata_git::ChildError::Limited(limited)) => Err(limited.into()),
        error => Err(Error::internal(error)),
    }
}

impl From<ReceiveError> for Error {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Limited(limited) => limited.into(),
            ReceiveError::Busy(busy) => busy.into(),
            ReceiveError::Index(error) => match unpack_line(error) {
                Ok(words) => Self::new(Kind::Invalid, words),
                Err(error) => error,
            },
            error => Self::internal(error),
        }
    }
}

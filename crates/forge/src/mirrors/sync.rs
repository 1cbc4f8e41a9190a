//! One try of one mirror, and what is written down about it.

use std::time::Duration;

use hakata_names::MirrorId;
use hakata_runtime::metrics::{CounterFamily, Gauge, HistogramFamily, Label, Metric, SECONDS};
use hakata_store::jobs::Job;
use hakata_store::mirrors::{self as rows, Mirror};
use hakata_store::{Direction, RepositoryState, repositories};
use tokio::time::Instant;

use super::{pull, push, schedule};
use crate::jobs::Outcome;
use crate::remotes::{Remotes, Trouble, within};
use crate::{Error, Forge};

static SYNCS: CounterFamily<(Way, End)> =
    CounterFamily::new("hakata_mirror_syncs_total", "Syncs of mirrors on this node, by how they ended");
static TOOK: HistogramFamily<Way> =
    HistogramFamily::new("hakata_mirror_seconds", "Time of one sync of a mirror", SECONDS);
static MIRRORS: Gauge = Gauge::new("hakata_mirrors", "Mirrors, over all nodes, counted now and then");
static PAUSED: Gauge = Gauge::new("hakata_mirrors_paused", "Mirrors that somebody paused, over all nodes");
static FAILING: Gauge =
    Gauge::new("hakata_mirrors_failing", "Mirrors whose last sync did not work, over all nodes");

/// Time between two looks whether a mirror that is being synced is still wanted.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Who follows whom, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Pull,
    Push,
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Pull => Self::Pull,
            Direction::Push => Self::Push,
        }
    }
}

impl Label for Way {
    const KEY: &'static str = "direction";

    fn value(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// How a sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Synced,
    /// Some refs did not follow.
    Partial,
    Retry,
    Failed,
}

impl Label for End {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Partial => "partial",
            Self::Retry => "retry",
            Self::Failed => "failed",
        }
    }
}

impl Remotes {
    /// Tries the mirror that a job is about, and writes down what came of it. Dropping the future ends the try.
    pub async fn sync(&self, job: &Job) -> Outcome {
        let Some(id) = mirror_of(&job.payload) else {
            return Outcome::Bury { why: "the job names no mirror".to_owned() };
        };
        match self.forge.mirror_to_sync(id).await {
            Ok(Some(mirror)) => self.sync_one(&mirror).await.unwrap_or_else(Outcome::from),
            Ok(None) => Outcome::Finish,
            Err(error) => error.into(),
        }
    }

    async fn sync_one(&self, mirror: &Mirror) -> Result<Outcome, Error> {
        let (id, way) = (mirror.id, Way::from(mirror.direction));
        let began = Instant::now();
        let limit = self.forge.settings().mirrors.time;
        let trying = async {
            match mirror.direction {
                Direction::Pull => within(limit, pull::run(self, mirror)).await,
                Direction::Push => within(limit, push::run(self, mirror)).await,
            }
        };
        let tried = tokio::select! {
            tried = trying => Some(tried),
            () = self.forge.mirror_unwanted(id) => None,
        };
        TOOK.get(way).observe_duration(began.elapsed());
        let still_wanted = self.forge.mirror_to_sync(id).await?.is_some();
        let Some(tried) = tried.filter(|_| still_wanted) else {
            // It was taken away or paused meanwhile: what came of it is nobody's trouble.
            return Ok(Outcome::Finish);
        };
        let now = self.forge.clock().now_ms();
        let mut conn = self.forge.db().write().await?;
        let (end, outcome) = match tried {
            Ok(remark) => {
                rows::note_success(&mut conn, id, now, remark.as_deref()).await?;
                (if remark.is_some() { End::Partial } else { End::Synced }, Outcome::Finish)
            }
            Err(trouble) => {
                rows::note_failure(&mut conn, id, now, trouble.text()).await?;
                match trouble {
                    Trouble::Later(why) => (End::Retry, Outcome::Retry { why, after: None }),
                    Trouble::Never(why) => (End::Failed, Outcome::Bury { why }),
                }
            }
        };
        SYNCS.get((way, end)).inc();
        Ok(outcome)
    }
}

impl Forge {
    /// Finds a mirror, unless there is no reason to sync it any more.
    async fn mirror_to_sync(&self, id: MirrorId) -> Result<Option<Mirror>, Error> {
        let mut conn = self.db().read().await?;
        let Some(mirror) = rows::find(&mut conn, id).await?.filter(|mirror| mirror.paused_at.is_none())
        else {
            return Ok(None);
        };
        let repository = repositories::find(&mut conn, mirror.repository).await?;
        Ok(repository.filter(|row| row.state != RepositoryState::Deleted).map(|_| mirror))
    }

    /// Waits until there is no reason any more to sync a mirror: whoever takes it away or pauses it, on whatever node,
    /// means what is under way too.
    async fn mirror_unwanted(&self, id: MirrorId) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.mirror_to_sync(id).await {
                Ok(None) => return,
                Ok(Some(_)) => {}
                Err(error) => tracing::debug!(mirror.id = id.get(), error = %error, "looking after a mirror"),
            }
        }
    }

    /// Counts mirrors for the gauges.
    pub(crate) async fn count_mirrors(&self) -> Result<(), Error> {
        let (n_mirrors, n_paused, n_failing) = rows::count(&mut self.db().read().await?).await?;
        MIRRORS.set(n_mirrors);
        PAUSED.set(n_paused);
        FAILING.set(n_failing);
        Ok(())
    }
}

/// Says which refs did not follow, and why: the first few of them.
pub(super) fn remark<'a>(refused: impl Iterator<Item = (String, &'a str)>) -> Option<String> {
    const SHOWN: usize = 3;
    let all: Vec<(String, &str)> = refused.collect();
    let shown: Vec<String> = all.iter().take(SHOWN).map(|(name, why)| format!("{name}: {why}")).collect();
    let n = all.len();
    let more = if n > SHOWN { "; …" } else { "" };
    let refs = if n == 1 { "1 ref does".to_owned() } else { format!("{n} refs do") };
    (n > 0).then(|| format!("{refs} not follow: {}{more}", shown.join("; ")))
}

/// Reads the mirror that a job is about.
fn mirror_of(payload: &str) -> Option<MirrorId> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    payload["mirror"].as_i64().map(MirrorId::new)
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&SYNCS, &TOOK, &MIRRORS, &PAUSED, &FAILING];
    all.extend(schedule::metrics());
    all
}

#[cfg(test)]
mod tests {
    use super::{mirror_of, remark};

    #[test]
    fn what_does_not_follow_is_said_briefly() {
        let refused = |n: usize| remark((0..n).map(|n| (format!("refs/heads/{n}"), "no")));
        assert_eq!(refused(0), None);
        assert_eq!(refused(1).unwrap(), "1 ref does not follow: refs/heads/0: no");
        let many = refused(5).unwrap();
        assert!(
            many.starts_with("5 refs do not follow: refs/heads/0: no; ") && many.ends_with("; …"),
            "{many}"
        );
    }

    #[test]
    fn a_job_names_its_mirror() {
        assert_eq!(mirror_of("{\"mirror\":7}").unwrap().get(), 7);
        assert_eq!(mirror_of("{}"), None);
    }
}

//! `hakata lfs gc|scrub|remove|restore|migrate-storage`.

use hakata_names::{LfsOid, RepositoryId, RepositoryPath};
use hakata_runtime::units::ByteSize;
use hakata_store::lfs_objects;
use hakata_store::lfs_sweeps;
use hakata_store::page::PageSize;
use hakata_store::repositories;

use super::super::outcome::shown_bytes;
use super::super::run::{Note, Plain, Progress};
use super::super::{Cell, Outcome, Report, Row, Table};
use super::done;
use crate::access::{Own, Read};
use crate::lfs::{Collected, How, Relocated, Scrubbed, Sum, Wish};
use crate::{Actor, Error, Forge, Kind, lfs};

/// Columns of what was found in each repository.
const COLUMNS: [&str; 9] = [
    "path",
    "objects",
    "size_bytes",
    "quarantined_bytes",
    "waiting_bytes",
    "revived_bytes",
    "removed_bytes",
    "postponed_bytes",
    "note",
];

/// Most bad objects that are shown.
const MAX_SHOWN: usize = 1_000;

/// Collects in one repository, or in all.
pub(super) async fn gc(
    forge: &Forge,
    actor: &Actor,
    path: Option<RepositoryPath>,
    how: How,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    let mut tally = Tally { how, ..Tally::default() };
    if let Some(path) = path {
        let grant = forge.grant::<Read>(actor, &path).await?;
        let collected = lfs::collect(forge, grant.repository(), how).await?;
        tally.add(path.to_string(), Ok(collected));
        return Ok(tally.report());
    }
    let mut after = None;
    loop {
        let mut conn = forge.db().read().await?;
        let due = lfs_sweeps::list_due(&mut conn, i64::MAX, after, PageSize::default()).await?;
        drop(conn);
        let Some(last) = due.last() else { return Ok(tally.report()) };
        after = Some(last.repository);
        for due in due {
            let Some(path) = path_of(forge, due.repository).await? else { continue };
            let collected = lfs::collect(forge, due.repository, how).await;
            let plain = match &collected {
                Err(error) => Plain::Alarm(format!("{path}: {error}")),
                Ok(_) => Plain::Never,
            };
            tally.add(path, collected);
            let (phase, unit) = ("searching".to_owned(), "repositories".to_owned());
            progress(Note { phase, done: tally.all.rows.len() as u64, total: None, unit, plain });
        }
    }
}

/// Finds how a repository is called now; `None`: it is gone.
async fn path_of(forge: &Forge, id: RepositoryId) -> Result<Option<String>, Error> {
    let row = repositories::find(&mut forge.db().read().await?, id).await?;
    Ok(row.map(|row| row.path().to_string()))
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    how: How,
    all: Table,
    quarantined: Sum,
    waiting: Sum,
    taken: Sum,
    n_failed: u64,
}

impl Tally {
    fn add(&mut self, path: String, collected: Result<Collected, Error>) {
        let (found, note) = match collected {
            Ok(found) if found.is_left_alone => (found, Cell::text("nothing points to any object")),
            Ok(found) => (found, Cell::Absent),
            Err(error) => {
                self.n_failed += 1;
                (Collected::default(), Cell::text(error))
            }
        };
        self.quarantined += found.quarantined;
        self.waiting += found.waiting;
        self.taken += found.taken;
        let row = Row::default()
            .with("path", Cell::Text(path))
            .with("objects", Cell::Number(i64::try_from(found.looked_at.n).unwrap_or(i64::MAX)))
            .with("size_bytes", Cell::Bytes(found.looked_at.bytes))
            .with("quarantined_bytes", Cell::Bytes(found.quarantined.bytes))
            .with("waiting_bytes", Cell::Bytes(found.waiting.bytes))
            .with("revived_bytes", Cell::Bytes(found.revived.bytes))
            .with("removed_bytes", Cell::Bytes(found.taken.bytes))
            .with("postponed_bytes", Cell::Bytes(found.postponed.bytes))
            .with("note", note);
        if self.all.columns.is_empty() {
            self.all = Table::new(&COLUMNS);
        }
        self.all.push(row.0.into_iter().map(|(_, cell)| cell).collect());
    }

    fn report(self) -> Outcome {
        let (quarantined, taken) = match self.how.is_dry_run {
            true => ("would go into quarantine", "would be removed"),
            false => ("went into quarantine", "were removed"),
        };
        let said = |sum: Sum, what: &str| format!("{} objects, {}, {what}", sum.n, shown_bytes(sum.bytes));
        let mut message = [
            said(self.quarantined, quarantined),
            said(self.waiting, "stay in quarantine"),
            said(self.taken, taken),
        ]
        .join("; ");
        if self.n_failed > 0 {
            message.push_str(&format!("; {} repositories cannot be searched", self.n_failed));
        }
        let hint = (self.n_failed > 0).then(|| "nothing was removed of what cannot be searched".to_owned());
        let has_failures = self.n_failed > 0;
        Outcome::Report(Report { message, hint, shown: self.all.clone(), all: self.all, has_failures })
    }
}

/// Reads objects again.
pub(super) async fn scrub(
    forge: &Forge,
    rate: Option<ByteSize>,
    is_due_only: bool,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    let (settings, now) = (&forge.settings().lfs, forge.clock().now_ms());
    let age = i64::try_from(settings.scrub_every.as_millis()).unwrap_or(i64::MAX);
    let before = if is_due_only { now.saturating_sub(age) } else { now.saturating_add(1) };
    let wish = Wish { before, rate: rate.unwrap_or(settings.scrub_rate) };
    let (_, bytes) = lfs_objects::unchecked(&mut forge.db().read().await?, before).await?;
    let total = u64::try_from(bytes).ok();
    let mut told = |so_far: Scrubbed| {
        let (phase, unit) = ("reading objects".to_owned(), "bytes".to_owned());
        progress(Note { phase, done: so_far.bytes, total, unit, plain: Plain::Sometimes });
    };
    let scrubbed = lfs::scrub(forge, wish, &mut told).await?;
    let bad = lfs_objects::list_bad(&mut forge.db().read().await?, PageSize::new(MAX_SHOWN)).await?;
    let mut table = Table::new(&["oid", "size_bytes", "path"]);
    for at in &bad {
        let size = u64::try_from(at.object.size_bytes).unwrap_or(0);
        table.push(vec![Cell::text(at.object.oid), Cell::Bytes(size), Cell::text(&at.path)]);
    }
    let Scrubbed { n_objects, bytes, n_bad, n_healed, n_unreadable } = scrubbed;
    let mut message = format!("read {n_objects} objects, {}: {n_bad} are bad", shown_bytes(bytes));
    for (n, words) in [(n_healed, "are good again"), (n_unreadable, "could not be read")] {
        if n > 0 {
            message.push_str(&format!(", {n} {words}"));
        }
    }
    let hint = (!bad.is_empty()).then(|| {
        "whoever has these objects sends them again with their next push: git lfs push --all REMOTE"
            .to_owned()
    });
    let has_failures = !bad.is_empty() || n_unreadable > 0;
    Ok(Outcome::Report(Report { message, hint, shown: table.clone(), all: table, has_failures }))
}

/// Copies everything to the store that takes the place of another.
pub(super) async fn migrate_storage(forge: &Forge, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
    let mut told = |so_far: Relocated| {
        let (phase, unit) = ("copying".to_owned(), "bytes".to_owned());
        progress(Note { phase, done: so_far.bytes, total: None, unit, plain: Plain::Sometimes });
    };
    let Relocated { n_copied, bytes, n_there, n_bad } = lfs::relocate(forge, &mut told).await?;
    let mut message =
        format!("copied {n_copied} files, {}, and found {n_there} copied before", shown_bytes(bytes));
    if n_bad > 0 {
        message.push_str(&format!("; {n_bad} are missing or damaged, and were not copied"));
    }
    let number = |n: u64| Cell::Number(i64::try_from(n).unwrap_or(i64::MAX));
    let row = Row::default()
        .with("copied", number(n_copied))
        .with("size_bytes", Cell::Bytes(bytes))
        .with("there", number(n_there))
        .with("bad", number(n_bad));
    if n_bad == 0 {
        return Ok(done(message, Some(row)));
    }
    let mut table = Table::new(&["copied", "size_bytes", "there", "bad"]);
    table.push(row.0.into_iter().map(|(_, cell)| cell).collect());
    let hint = "the log names them; hakata lfs scrub and hakata repo verify say whose they are".to_owned();
    let (shown, all) = (Table::default(), table);
    Ok(Outcome::Report(Report { message, hint: Some(hint), shown, all, has_failures: true }))
}

/// Removes objects for good.
pub(super) async fn remove(
    forge: &Forge,
    actor: &Actor,
    path: &RepositoryPath,
    oids: &[String],
) -> Result<Outcome, Error> {
    let grant = forge.grant::<Own>(actor, path).await?;
    let changed = lfs::remove(forge, &grant, &parse(oids)?).await?;
    let message = format!("removed {} objects of {path}, {}", changed.n_objects, shown_bytes(changed.bytes));
    Ok(done(message, None))
}

/// Takes objects out of quarantine, and lets removed ones be sent again.
pub(super) async fn restore(
    forge: &Forge,
    actor: &Actor,
    path: &RepositoryPath,
    oids: &[String],
) -> Result<Outcome, Error> {
    let grant = forge.grant::<Own>(actor, path).await?;
    let changed = lfs::restore(forge, &grant, &parse(oids)?).await?;
    let mut message =
        format!("restored {} objects of {path}, {}", changed.n_objects, shown_bytes(changed.bytes));
    if changed.n_allowed > 0 {
        message.push_str(&format!("; {} that were removed may be sent again", changed.n_allowed));
    }
    Ok(done(message, None))
}

fn parse(oids: &[String]) -> Result<Vec<LfsOid>, Error> {
    let parse = |oid: &String| {
        LfsOid::parse(oid.as_bytes()).map_err(|error| {
            Error::new(Kind::Invalid, error.to_string()).with_hint("git lfs ls-files --all --long tells oids")
        })
    };
    oids.iter().map(parse).collect()
}

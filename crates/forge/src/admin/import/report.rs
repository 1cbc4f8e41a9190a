//! What became of everything in a tree.

use std::time::Duration;

use hakata_repository::Imported;

use super::number;
use super::plan::Item;
use crate::admin::outcome::Report;
use crate::admin::{Cell, Outcome, Row, Table, shown_bytes};

/// What became of one thing.
#[derive(Clone, Debug)]
pub(super) enum Fared {
    /// It was imported.
    Imported { imported: Box<Imported>, object_format: &'static str },
    /// It would be imported.
    Planned { n_refs: usize, object_format: &'static str },
    /// It is here already.
    Exists,
    /// It was not imported, and why.
    Failed(String),
}

/// Counts and rows, as they come.
#[derive(Debug)]
pub(super) struct Tally {
    is_rehearsal: bool,
    shown: Table,
    all: Table,
    n_imported: usize,
    n_existing: usize,
    n_failed: usize,
    size_bytes: u64,
}

/// How many problems of one repository are in its reason; programs get all of them.
const MAX_PROBLEMS: usize = 3;

/// The columns for programs.
const ALL: [&str; 11] = [
    "source",
    "path",
    "result",
    "reason",
    "object_format",
    "refs",
    "refs_refused",
    "refs_skipped",
    "objects",
    "size_bytes",
    "problems",
];

impl Fared {
    /// The word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Imported { .. } => "imported",
            Self::Planned { .. } => "planned",
            Self::Exists => "exists",
            Self::Failed(_) => "failed",
        }
    }

    /// What a person should know about it: why it failed, or what of it is not here.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Failed(why) => Some(why.clone()),
            Self::Imported { imported, .. } => {
                let n_refused = n_refused(imported);
                let parts = [
                    (n_refused, "not taken".to_owned()),
                    (imported.n_skipped, "left out, symbolic or of odd names".to_owned()),
                ];
                let mut words: Vec<String> = parts
                    .into_iter()
                    .filter(|(n, _)| *n > 0)
                    .map(|(n, what)| format!("{n} {} {what}", if n == 1 { "ref was" } else { "refs were" }))
                    .collect();
                words.extend(imported.problems.iter().take(MAX_PROBLEMS).cloned());
                if let Some(more) = imported.problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0)
                {
                    words.push(format!("and {more} more problems"));
                }
                (!words.is_empty()).then(|| words.join("; "))
            }
            Self::Planned { .. } | Self::Exists => None,
        }
    }
}

fn n_refused(imported: &Imported) -> usize {
    imported.committed.refs.iter().filter(|(_, answer)| answer.is_err()).count()
}

/// The cells behind the reason.
fn counts(fared: &Fared, size_bytes: u64) -> [Cell; 7] {
    let nothing = || Cell::Absent;
    match fared {
        Fared::Imported { imported, object_format } => [
            Cell::text(object_format),
            number(imported.committed.n_accepted()),
            number(n_refused(imported)),
            number(imported.n_skipped),
            Cell::Number(i64::from(imported.n_objects)),
            Cell::Bytes(imported.size_bytes),
            Cell::Words(imported.problems.clone()),
        ],
        Fared::Planned { n_refs, object_format } => [
            Cell::text(object_format),
            number(*n_refs),
            nothing(),
            nothing(),
            nothing(),
            Cell::Bytes(size_bytes),
            Cell::Words(Vec::new()),
        ],
        Fared::Exists | Fared::Failed(_) => {
            let words = Cell::Words(Vec::new());
            [nothing(), nothing(), nothing(), nothing(), nothing(), nothing(), words]
        }
    }
}

impl Tally {
    /// Begins; a rehearsal shows everything, since nothing else comes of it.
    pub(super) fn new(is_rehearsal: bool) -> Self {
        let shown = Table::new(&["source", "path", "result", "reason"]);
        let (n_imported, n_existing, n_failed) = (0, 0, 0);
        Self { is_rehearsal, shown, all: Table::new(&ALL), n_imported, n_existing, n_failed, size_bytes: 0 }
    }

    /// Adds one; `size_bytes` is that of its source.
    pub(super) fn add(&mut self, item: &Item, fared: &Fared, size_bytes: u64) {
        let reason = fared.reason();
        let row = Row::default()
            .with("source", Cell::text(&item.place))
            .with("path", item.path.as_ref().map_or(Cell::Absent, Cell::text))
            .with("result", Cell::text(fared.word()))
            .with("reason", reason.clone().map_or(Cell::Absent, Cell::Text));
        if self.is_rehearsal || reason.is_some() {
            self.shown.push(row.0.iter().map(|(_, cell)| cell.clone()).collect());
        }
        self.all.push(row.0.into_iter().map(|(_, cell)| cell).chain(counts(fared, size_bytes)).collect());
        match fared {
            Fared::Imported { imported, .. } => {
                self.n_imported += 1;
                self.size_bytes += imported.size_bytes;
            }
            Fared::Planned { .. } => {
                self.n_imported += 1;
                self.size_bytes += size_bytes;
            }
            Fared::Exists => self.n_existing += 1,
            Fared::Failed(_) => self.n_failed += 1,
        }
    }

    /// Makes the answer.
    pub(super) fn report(self, took: Duration) -> Outcome {
        let message = self.message(took);
        let hint = match (self.n_failed, self.is_rehearsal) {
            (0, _) => None,
            (_, true) => Some("import one under another name by hakata repo import DIR OWNER/NAME"),
            (_, false) => Some(
                "--skip-existing takes up what is missing; \
                 one goes under another name by hakata repo import DIR OWNER/NAME",
            ),
        };
        let hint = hint.map(str::to_owned);
        let has_failures = self.n_failed > 0;
        Outcome::Report(Report { message, hint, shown: self.shown, all: self.all, has_failures })
    }

    fn message(&self, took: Duration) -> String {
        let n = self.n_imported + self.n_existing + self.n_failed;
        let verb = if self.is_rehearsal { "would import" } else { "imported" };
        let noun = if n == 1 { "repository" } else { "repositories" };
        let mut message =
            format!("{verb} {} of {n} {noun}, {}", self.n_imported, shown_bytes(self.size_bytes));
        if !self.is_rehearsal && self.n_imported > 0 {
            let rate = self.size_bytes / took.as_secs().max(1);
            message.push_str(&format!(" in {} s ({}/s)", took.as_secs(), shown_bytes(rate)));
        }
        if self.n_existing > 0 {
            message.push_str(&format!("; {} existed", self.n_existing));
        }
        if self.n_failed > 0 {
            let words = if self.is_rehearsal { "cannot be imported" } else { "failed" };
            message.push_str(&format!("; {} {words}", self.n_failed));
        }
        message
    }
}

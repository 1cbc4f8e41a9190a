//! From forge's words to the command line's: outcomes, errors, steps.

use crate::output::{Answer, Exit, Failure, Step, Table};
use hakata_forge::admin::{self, Note, Outcome};
use hakata_forge::{Error, Kind};
use serde_json::Value;

/// Makes the answer of an outcome.
pub(crate) fn answer(outcome: Outcome) -> Answer {
    let objects = outcome.objects();
    let first = objects.first().cloned().unwrap_or(Value::Null);
    match &outcome {
        Outcome::Token { token, .. } => Answer::Text(token.expose().clone(), first),
        Outcome::Done { message, .. } => Answer::Text(message.clone(), first),
        Outcome::One(row) => {
            let width = row.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let lines: Vec<String> = match row.0.as_slice() {
                [(_, only)] => vec![only.shown()],
                cells => {
                    cells.iter().map(|(name, cell)| format!("{name:<width$}  {}", cell.shown())).collect()
                }
            };
            Answer::Text(lines.join("\n"), first)
        }
        Outcome::Report(report) => {
            let hint = report.hint.iter().map(|hint| format!("hint: {hint}"));
            let lines = std::iter::once(report.message.clone()).chain(hint).collect();
            let shown = shown(&report.shown, vec![Value::Null; report.shown.rows.len()]);
            Answer::Report { shown, lines, objects, has_failures: report.has_failures }
        }
        Outcome::List(listed) | Outcome::Findings(listed) => {
            let table = shown(listed, objects);
            match outcome {
                Outcome::Findings(_) => Answer::Findings(table),
                _ => Answer::Table(table),
            }
        }
    }
}

/// Makes the table for people, with the object of each row.
fn shown(listed: &admin::Table, objects: Vec<Value>) -> Table {
    let mut table = Table::new(listed.columns.iter().map(AsRef::as_ref));
    for (row, object) in listed.rows.iter().zip(objects) {
        table.push(row.iter().map(|cell| cell.shown()), object);
    }
    table
}

/// Makes the failure of an error; the operator is told the causes, which a stranger is not.
pub(crate) fn failure(error: &Error) -> Failure {
    let exit = match error.kind() {
        Kind::NotFound => Exit::NotFound,
        Kind::Invalid => Exit::Usage,
        Kind::Forbidden | Kind::Unauthenticated | Kind::Conflict | Kind::TooLarge | Kind::Limited => {
            Exit::Refused
        }
        Kind::Unavailable | Kind::Internal => Exit::Failed,
    };
    let chain = error.chain();
    let message = match chain.is_empty() {
        true => error.public().to_owned(),
        false => format!("{}: {chain}", error.public()),
    };
    let mut failure = Failure::new(exit, error.kind().as_str(), message);
    failure.hint = error.hint().map(str::to_owned);
    failure
}

/// Makes the step of a note.
pub(crate) fn step(note: Note) -> Step {
    let Note { phase, done, total, unit, plain } = note;
    let step = match unit.as_str() {
        "bytes" => Step::bytes(phase, done, total),
        _ => Step::items(phase, done, total),
    };
    step.with_plain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_exit_codes() {
        for (kind, exit) in [
            (Kind::NotFound, Exit::NotFound),
            (Kind::Invalid, Exit::Usage),
            (Kind::Conflict, Exit::Refused),
            (Kind::Internal, Exit::Failed),
        ] {
            assert_eq!(failure(&Error::new(kind, "no")).exit, exit, "{kind:?}");
        }
        let error = Error::internal(std::io::Error::other("disk is full"));
        assert_eq!(failure(&error).message, "internal error: disk is full", "the operator sees the cause");
    }
}

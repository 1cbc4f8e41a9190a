//! `hakata hook …`.

use hakata_store::webhooks::deliveries::{Attempt, Delivery};

use super::accounts::done;
use super::{Cell, HookCommand, Outcome, Row, Table};
use crate::webhooks::{Shown, Wish};
use crate::{Actor, Error, Forge};

/// Most bytes of a body that are shown.
const MAX_SHOWN: usize = 64 * 1024;

pub(super) async fn run(forge: &Forge, actor: &Actor, command: HookCommand) -> Result<Outcome, Error> {
    match command {
        HookCommand::List { place } => {
            let hooks = forge.list_webhooks(actor, place.as_ref()).await?;
            Ok(Outcome::List(hook_table(&hooks)))
        }
        HookCommand::Add { place, url, secret, format, content_type, events, branches } => {
            let secret = secret.map(Into::into);
            let wish = Wish { place, url, secret, format, content_type, events, branches };
            let id = forge.add_webhook(actor, wish).await?;
            let row = Row::default().with("id", Cell::text(id));
            Ok(done(format!("added webhook {id}"), Some(row)))
        }
        HookCommand::Remove { id } => {
            forge.remove_webhook(actor, id).await?;
            Ok(done(format!("removed webhook {id}"), None))
        }
        HookCommand::Test { id } => {
            let delivery = forge.test_webhook(id).await?;
            let row = Row::default().with("delivery", Cell::text(delivery));
            Ok(done(format!("a test of webhook {id} is on its way as delivery {delivery}"), Some(row)))
        }
        HookCommand::Deliveries { id, limit } => {
            let deliveries = forge.list_deliveries(id, usize::from(limit)).await?;
            Ok(Outcome::List(delivery_table(&deliveries)))
        }
        HookCommand::Delivery { id, delivery } => {
            let (delivery, body, attempts) = forge.get_delivery(id, delivery).await?;
            Ok(Outcome::List(attempt_table(&delivery, body.as_deref(), &attempts)))
        }
        HookCommand::Redeliver { id, delivery } => {
            forge.redeliver(id, delivery).await?;
            Ok(done(format!("delivery {delivery} is on its way again"), None))
        }
        HookCommand::RedeliverFailed { id, since_s } => {
            let n = forge.redeliver_failed(id, since_s).await?;
            Ok(done(format!("{n} deliveries are on their way again"), Some(count(n))))
        }
        HookCommand::Pause { id } => {
            forge.pause_webhook(id).await?;
            Ok(done(format!("webhook {id} is paused; what happens from now on is kept for it"), None))
        }
        HookCommand::Resume { id } => {
            let n = forge.resume_webhook(id).await?;
            Ok(done(format!("webhook {id} is resumed; {n} held deliveries are on their way"), Some(count(n))))
        }
    }
}

fn count(n: usize) -> Row {
    Row::default().with("n_deliveries", Cell::Number(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn hook_table(hooks: &[Shown]) -> Table {
    let columns = [
        "id",
        "place",
        "url",
        "format",
        "content_type",
        "events",
        "branches",
        "signed",
        "paused_at",
        "paused",
        "failing_since",
        "created_at",
    ];
    let rows = hooks.iter().map(|Shown { row, place }| {
        let paused = row.paused.as_ref();
        Row::default()
            .with("id", Cell::text(row.id))
            .with("place", Cell::text(place))
            .with("url", Cell::text(&row.url))
            .with("format", Cell::text(&row.format))
            .with("content_type", Cell::text(&row.content_type))
            .with("events", Cell::Words(row.events.split(' ').map(str::to_owned).collect()))
            .with("branches", if row.branches.is_empty() { Cell::Absent } else { Cell::text(&row.branches) })
            .with("signed", Cell::Flag(row.secret.is_some()))
            .with("paused_at", Cell::time(paused.map(|paused| paused.at)))
            .with("paused", paused.map_or(Cell::Absent, |paused| Cell::text(&paused.reason)))
            .with("failing_since", Cell::time(row.failing_since))
            .with("created_at", Cell::Time(row.created_at))
    });
    Table::of_rows(&columns, rows)
}

fn delivery_table(deliveries: &[Delivery]) -> Table {
    let columns =
        ["id", "guid", "event", "ref", "sequence", "state", "attempts", "created_at", "finished_at"];
    let rows = deliveries.iter().map(|delivery| {
        let ref_name = delivery.ref_name.as_ref();
        Row::default()
            .with("id", Cell::text(delivery.id))
            .with("guid", Cell::text(&delivery.guid))
            .with("event", Cell::text(&delivery.kind))
            .with("ref", ref_name.map_or(Cell::Absent, |name| words(name.as_bytes())))
            .with("sequence", Cell::Number(delivery.sequence))
            .with("state", Cell::text(delivery.state))
            .with("attempts", Cell::Number(delivery.attempts))
            .with("created_at", Cell::Time(delivery.created_at))
            .with("finished_at", Cell::time(delivery.finished_at))
    });
    Table::of_rows(&columns, rows)
}

/// One row an attempt; the body of the request, the same in each, is in the first.
fn attempt_table(delivery: &Delivery, body: Option<&[u8]>, attempts: &[Attempt]) -> Table {
    let columns = [
        "delivery",
        "number",
        "at",
        "url",
        "status",
        "error",
        "timings",
        "request_headers",
        "request_body",
        "response_headers",
        "response_body",
    ];
    let rows = attempts.iter().enumerate().map(|(n, attempt)| {
        let body = body.filter(|_| n == 0);
        Row::default()
            .with("delivery", Cell::text(&delivery.guid))
            .with("number", Cell::Number(attempt.number))
            .with("at", Cell::Time(attempt.at))
            .with("url", Cell::text(&attempt.url))
            .with("status", attempt.status.map_or(Cell::Absent, Cell::Number))
            .with("error", attempt.error.as_ref().map_or(Cell::Absent, Cell::text))
            .with("timings", Cell::text(&attempt.timings))
            .with("request_headers", Cell::text(&attempt.request_headers))
            .with("request_body", body.map_or(Cell::Absent, words))
            .with("response_headers", attempt.response_headers.as_ref().map_or(Cell::Absent, Cell::text))
            .with("response_body", attempt.response_body.as_deref().map_or(Cell::Absent, words))
    });
    Table::of_rows(&columns, rows)
}

fn words(bytes: &[u8]) -> Cell {
    Cell::text(String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_SHOWN)]))
}

//! Webhooks: who is told of what happens, in which words, and how often it is tried.
//!
//! ```text
//! commit ──job──▶ fan_out: events behind the cursor ──▶ deliveries, in order  ──job each──▶ deliver: attempt, record
//!                                                       (held while a webhook is paused)       │  retry, pause
//! ```
//!
//! A delivery is recorded once for each event, ref and webhook, in the transaction that moves the repository's cursor.
//! Its body is made at the first attempt and sent again as it is. Whether the webhook may be told is asked again at
//! each attempt. Deliveries of one webhook about one ref take turns in the lane of their jobs.

mod body;
mod deliver;
mod fan_out;
mod headers;
mod hooks;
mod lane;
mod news;
mod outcome;
mod payload;
mod person;
mod read;
mod record;
mod redeliver;
mod settings;
mod words;

#[cfg(test)]
mod tests;

pub use deliver::Courier;
pub(crate) use fan_out::is_news;
pub use hooks::Place;
pub(crate) use hooks::{Shown, Wish};
pub(crate) use news::Moved;
pub(crate) use read::{Span, moved};
pub use settings::WebhookSettings;
pub use words::{ContentType, EventKind, Format};

use hakata_runtime::metrics::Metric;

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all = deliver::metrics();
    all.extend(fan_out::metrics());
    all
}

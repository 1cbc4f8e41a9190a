//! Mail: who is told by it of what happens, why, and in which words.
//!
//! ```text
//! transaction of what happens ──▶ notice: one a reader ──job──▶ postman: judged again, written, sent, recorded
//!                                    └─ held ──job an hour or a day later──▶ one letter for all
//! ```
//!
//! A notice is written in the transaction of what it tells of, once for each reader, with its job. Whether the reader
//! may and wants to be told is judged then and again when the letter is sent. Where mail is off, there are no notices
//! and no jobs. A new thing to tell of is another `Matter`, and another way to be concerned by it another `Reason`.

mod compose;
mod digest;
mod letter;
mod matter;
mod mute;
mod notices;
mod people;
mod phrases;
mod postman;
mod preferences;
mod pushed;
mod settings;
mod test;

pub(crate) use matter::{AccountChange, Matter, Reason, RepositoryChange};
pub use mute::Muted;
pub(crate) use notices::{Addressees, Notices};
pub use phrases::Language;
pub use postman::Postman;
pub(crate) use preferences::{Wished, Wishes};
pub use settings::{MailSettings, Way};

#[cfg(test)]
mod tests;

use hakata_runtime::metrics::Metric;

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all = notices::metrics();
    all.extend(postman::metrics());
    all
}

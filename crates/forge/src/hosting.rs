//! Git's conversations with a hosted repository: what a face calls once it knows who asks for what.
//!
//! | request | calls |
//! |---|---|
//! | HTTP `info/refs?service=git-upload-pack` | [`Forge::grant`](crate::Forge::grant)`::<Read>`, [`advertise_fetch`] |
//! | HTTP `POST git-upload-pack`, SSH `git-upload-pack` | [`Forge::grant`](crate::Forge::grant)`::<Read>`, [`fetch`] |
//! | HTTP `info/refs?service=git-receive-pack` | [`Forge::open_push`](crate::Forge::open_push), [`advertise_push`] |
//! | HTTP `POST git-receive-pack`, SSH `git-receive-pack` | [`Forge::open_push`](crate::Forge::open_push), [`receive`] |
//! | SSH `git-upload-archive` | [`Forge::grant`](crate::Forge::grant)`::<Read>`, [`archive`] |
//!
//! In [`Mode::Stateful`] `fetch` and `receive` begin with the advertisement themselves; in
//! [`Mode::Stateless`] they read a request. An error that comes before the first byte of output can still be
//! answered in the face's own way (a status, an `ERR` line); after it, the conversation has already told the
//! client in band and the face only closes.
//!
//! Dropping one of these futures ends its children: that is how a face says that the client has left.

mod advertise;
mod archive;
mod create;
mod fetch;
mod input;
mod judge;
mod measure;
mod receive;
mod report;
mod rules;
mod source;
mod target;
mod turn;

pub use advertise::{advertise_fetch, advertise_push};
pub use archive::archive;
pub use fetch::fetch;
pub use hakata_git::serve::{Mode, Output, Protocol, ProtocolVersion, Service};
pub use measure::Moved;
pub use receive::receive;
pub use target::{Creation, PushTarget};
pub use turn::Turn;

pub(crate) use create::{Created, Wish};
pub(crate) use receive::Judged;
pub(crate) use target::CREATES_IN_GROUP;
pub(crate) use turn::Client;

pub(crate) use measure::metrics;

#[cfg(test)]
mod tests;

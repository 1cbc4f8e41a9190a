//! Git LFS: what a face calls once it knows who asks for what.
//!
//! | request | calls |
//! |---|---|
//! | batch, `download` | [`Forge::grant`](crate::Forge::grant)`::<Read>`, [`batch_download`] |
//! | batch, `upload` | [`open_upload`], [`batch_upload`] |
//! | GET and HEAD of an object | `Grant<Read>`, [`find`], [`read`] |
//! | resumable upload | `Grant<Write>`, [`offset`], [`append`] |
//! | PUT of an object | `Grant<Write>`, [`receive`] |
//! | verify | `Grant<Write>`, [`verify`] |
//! | locks | [`lock`], [`list_locks`], [`verify_locks`], [`unlock`] |
//!
//! Who may read a repository may read its objects; knowing an oid opens nothing. Bytes are kept once, however many
//! repositories have them. A repository is given what another has without sending it only if the actor may read it
//! there; who may not sends it, and what came is hashed and dropped.
//!
//! ```text
//! batch ─▶ present? readable elsewhere? room? ─▶ reservation ─▶ action with a token
//! PUT ─▶ row: staged ─▶ bytes, hashed and counted ─▶ one transaction: live, linked, usage ─▶ reply
//! ```
//!
//! Actions carry tokens ([`Right`]) that are good for one repository, one object, one operation and a while. Whoever
//! shows one is judged again by the rules as they are then.

mod batch;
mod collect;
mod download;
mod guard;
mod incoming;
mod locks;
mod measure;
mod open;
mod present;
mod relocate;
mod removal;
mod resumable;
mod scrub;
mod settings;
mod state;
mod sweep;
mod token;
mod upload;

#[cfg(test)]
mod tests;

pub use batch::{Answer, Refusal, Wanted, batch_download, batch_upload, release};
pub use download::{Content, Stored, find, read, verify};
pub use locks::{Lock, LockPage, LockWish, OursAndTheirs, list_locks, lock, unlock, verify_locks};
pub use open::open_upload;
pub use resumable::{Progress, append, offset};
pub use settings::LfsSettings;
pub use state::Transfer;
pub use token::{Bearer, LFS_TOKEN_PREFIX, Operation, Right, Signer};
pub use upload::receive;

pub(crate) use collect::{Collected, How, Sum, collect};
pub(crate) use guard::{Guards, MAX_MOVES, Present, Touched};
pub(crate) use measure::metrics;
pub(crate) use relocate::{Relocated, relocate};
pub(crate) use removal::{remove, restore};
pub(crate) use scrub::{Scrubbed, Wish, scrub};
pub(crate) use state::State;

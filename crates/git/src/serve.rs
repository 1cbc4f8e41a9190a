//! The server's side of fetches: upload-pack and upload-archive over a pair of byte streams.
//!
//! Advertisements and `ls-refs` are answered from a [`RefSnapshot`](crate::refs::RefSnapshot) in process. A `fetch` is parsed, every
//! want is checked, and only then does a `git upload-pack` see it, in our own spelling.

mod advertise;
mod archive;
mod fetch;
mod filter;
mod ls_refs;
mod object_info;
mod output;
mod protocol;
mod request;
mod stateful;
mod upload_pack;
mod v0;
mod v2;
mod wants;

pub use advertise::{Capabilities, advertise};
pub use archive::{UploadArchive, upload_archive};
pub use output::Output;
pub use protocol::{Mode, Protocol, ProtocolVersion, Service};
pub use request::RequestError;
pub(crate) use upload_pack::metrics;
pub use upload_pack::{FetchLimits, FetchStats, ServeError, UploadPack, encode_error, upload_pack};
pub use wants::{BoxFuture, Directory, OpenDirectoryError, Source};

#[cfg(test)]
mod tests;

//! The faces of Git LFS, over HTTP and over SSH: batches, transfers and locks.
//!
//! Over HTTP a request is read once into a route, signed in, granted by the forge, and answered in the protocol's media type,
//! refusals too. Objects are streams in both directions: memory is the same for a megabyte and for many gigabytes.
//! Nothing here decides who may do what or knows where bytes lie.
//!
//! ```text
//! path, method ──▶ Route ─┐
//! Authorization ─▶ Actor ─┼▶ Grant ─▶ batch, locks: JSON in, JSON out
//!         or token of an  │        └▶ object: Range, body ◀─▶ forge
//!         action ─────────┘
//! ```
//!
//! Source: git-lfs/git-lfs, docs/api; `docs/lfs.md` says where this server goes beyond it.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use hakata_lfs::{LfsHttp, Settings};
//! use hakata_service::http::{Body, Server};
//!
//! # fn example(forge: hakata_forge::Forge) {
//! let lfs = Arc::new(LfsHttp::new(forge, Settings::default()));
//! let server = Server::new("http", hakata_service::http::Settings::default(), move |request, facts| {
//!     let lfs = Arc::clone(&lfs);
//!     async move {
//!         match lfs.respond(request, &facts).await {
//!             Ok(response) => response,
//!             Err(_not_lfs) => http::Response::new(Body::empty()),
//!         }
//!     }
//! });
//! # }
//! ```

mod face;

mod route;

mod authority;

mod batch;
mod locks;
mod object;
mod range;
mod tus;

mod ssh;

mod json;
mod refusal;

mod metrics;
mod settings;

pub use face::LfsHttp;
pub use metrics::metrics;
pub use settings::Settings;
pub use ssh::{Duplex, LfsSsh, Opened};

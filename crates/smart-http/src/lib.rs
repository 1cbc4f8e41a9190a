//! The HTTP face of Git: the smart protocol, versions 0, 1 and 2.
//!
//! A request is read once into a route, signed in, granted by the forge, and answered: `info/refs` by slices
//! of the ref snapshot, a conversation by a body that runs it. Nothing here decides who may do what, starts a
//! git or knows where a repository lies. There are no redirects and no sessions.
//!
//! ```text
//! path, method, query ─▶ Route ─┐
//! Authorization ───────▶ Actor ─┴▶ Grant ─▶ advertise ─▶ slices
//!                                        └▶ converse: body ─ gunzip, bounds ─▶ forge ─▶ frames ─▶ body
//! ```
//!
//! [`BareHttp`] is the same for a folder of plain repositories, with git's own paths, statuses and fields.
//!
//! [`MutePage`] is the page behind the link in letters by which a reader leaves; it is here until there is a web.
//!
//! An error that comes before the first byte of an answer becomes a status, by one table; a later one cuts
//! the answer. When a client leaves, its conversation is dropped and the git behind it ends.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use hakata_service::http::{Body, Server, Settings};
//! use hakata_smart_http::SmartHttp;
//!
//! # fn example(forge: hakata_forge::Forge) {
//! let git = Arc::new(SmartHttp::new(forge, hakata_smart_http::Settings::default()));
//! let server = Server::new("http", Settings::default(), move |request, facts| {
//!     let git = Arc::clone(&git);
//!     async move { git.respond(request, &facts).await.unwrap_or_else(|| http::Response::new(Body::empty())) }
//! });
//! # }
//! ```

mod smart_http;

mod route;

mod request_head;

mod framing;
mod inflate;
mod request_body;

mod conversation;

mod archive;

mod bare;

mod mute;

mod answer;
mod refusal;

mod metrics;
mod settings;

pub use bare::BareHttp;
pub use metrics::metrics;
pub use mute::MutePage;
pub use settings::Settings;
pub use smart_http::SmartHttp;

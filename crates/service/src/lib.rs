//! How every server of Hakata listens, speaks HTTP, reports its health and stops.
//!
//! Nothing here knows what is served: a listener hands out connections, [`http::Server`] turns them into calls of one
//! asynchronous function. Every wait for a peer has a deadline and every queue a bound.
//!
//! ```no_run
//! use hakata_runtime::tasks::Tasks;
//! use hakata_service::http::{Body, Server, Settings};
//! use hakata_service::listener::{self, Address, Connections, Listener};
//! use std::sync::Arc;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tasks = Tasks::new();
//! let address: Address = "127.0.0.1:0".parse()?;
//! let listener = Listener::bind("http", &address, &listener::Settings::default(), Connections::default())?;
//! let server = Server::new("http", Settings::default(), |_request, _facts| async {
//!     http::Response::new(Body::full("hello\n"))
//! });
//! let (server, group) = (Arc::new(server), tasks.clone());
//! listener.serve(&tasks, move |connection| server.clone().serve(connection, group.clone())).await;
//! # Ok(())
//! # }
//! ```

pub mod listener;
pub mod stream;
pub mod tls;

pub mod http;

pub mod health;
pub mod log;
pub mod process;
pub mod shutdown;

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn hakata_runtime::metrics::Metric> {
    let mut all = listener::metrics();
    all.extend(stream::metrics());
    all.extend(tls::metrics());
    all.extend(http::metrics());
    all.extend(process::metrics());
    all.extend(log::metrics());
    all
}

//! Git over SSH, and a few commands for people: one face of the forge.
//!
//! The wire protocol is russh's; what it leaves to its user is here: one deadline for banner, key exchange and login,
//! bounds on channels, stalls and idleness, a parser for exactly the commands that exist, and the order in which a
//! channel ends. Who somebody is comes from a verified signature alone, and what they may do from [`hakata_forge`].
//! Nothing here runs a process, opens a file of a repository or asks a database.
//!
//! ```no_run
//! use hakata_runtime::tasks::Tasks;
//! use hakata_service::listener::{self, Address, Connections, Listener};
//! use hakata_ssh::{HostKeys, Server, Settings};
//! use std::path::Path;
//!
//! # async fn example(forge: hakata_forge::Forge) -> Result<(), Box<dyn std::error::Error>> {
//! let tasks = Tasks::new();
//! let host_keys = HostKeys::open(Path::new("data/ssh"))?;
//! let server = Server::new(forge, &host_keys, Settings::default());
//! let address: Address = "127.0.0.1:2222".parse()?;
//! let listener = Listener::bind("ssh", &address, &listener::Settings::default(), Connections::default())?;
//! let group = tasks.clone();
//! listener.serve(&tasks, move |connection| server.clone().serve(connection, group.clone())).await;
//! # Ok(())
//! # }
//! ```

mod server;
mod settings;

mod host_keys;

mod wire;

mod live;

mod session;

mod login;

mod algorithms;

mod channel;

mod command;
mod environment;

mod run;

mod carried;

mod realm;

mod metrics;

pub use carried::{LfsSession, LfsTransfer};
pub use host_keys::{HostKeys, OpenHostKeysError};
pub use server::Server;
pub use settings::{LfsUrl, Settings};

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn hakata_runtime::metrics::Metric> {
    metrics::all()
}

#[cfg(test)]
mod tests;

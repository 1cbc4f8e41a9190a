//! `hakata bare` against git's own server and git's own client.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "bare/backend.rs"]
mod backend;
#[path = "bare/clients.rs"]
mod clients;
#[path = "bare/differential.rs"]
mod differential;
#[path = "bare/folder.rs"]
mod folder;
#[path = "bare/life.rs"]
mod life;
#[path = "bare/request.rs"]
mod request;
#[path = "bare/server.rs"]
mod server;

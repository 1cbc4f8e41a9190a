//! Drives the real binary with the real `git`, `ssh` and `curl`: for scenarios, crash tests and proofs.
//!
//! A [`Sandbox`] is a temporary directory with people in it, each with a home, a key and a token; a [`Server`]
//! is a running `hakata`; a [`scenario`] is a text file that uses both. Nothing here is part of the product,
//! and nothing here knows how the product works inside, but for the proofs that a crash leaves nothing behind and loses
//! no row.
//!
//! Waiting is always for a condition, with a deadline; ports are chosen by the system; a failed run keeps its
//! directory and names it.

mod clients;
mod database;
mod fake_clock;
mod faults;
mod id_server;
mod mail_server;
mod people;
mod port;
mod process;
mod program;
mod rabbit_server;
mod random;
mod redis_server;
mod s3_server;
mod sandbox;
mod server;
mod slow_proxy;
mod talk;
mod webhook_receiver;

pub mod proof;
pub mod scenario;

pub use clients::{is_absent, python};
pub use database::{Database, Engine};
pub use fake_clock::FakeClock;
pub use faults::{crash_points, merge_points};
pub use id_server::{IdNode, IdServer};
pub use mail_server::MailServer;
pub use people::Person;
pub use port::{free_port, is_taken};
pub use process::Process;
pub use program::{Output, run, run_with_input, wait_until};
pub use rabbit_server::RabbitServer;
pub use redis_server::{Kept, RedisServer};
pub use s3_server::S3Server;
pub use sandbox::Sandbox;
pub use server::{Server, ServerOptions};
pub use slow_proxy::SlowProxy;
pub use talk::Talk;
pub use webhook_receiver::{Manner, Received, WebhookReceiver};

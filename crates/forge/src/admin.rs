//! Administration: every command is a value, and there is one function that runs it.
//!
//! A [`Command`] comes from the command line or, as JSON, over the local socket; [`run`] answers with an
//! [`Outcome`], which is JSON for programs and a table for people. Who may send one is decided at the door
//! (the socket's mode and the peer's uid); commands act as the operator.

mod accounts;
mod command;
mod doctor;
mod groups;
mod hook_command;
mod hooks;
mod import;
mod lfs;
mod mail;
mod mail_command;
mod mirror_command;
mod mirrors;
mod outcome;
mod queue;
mod repositories;
mod rules;
mod run;
mod words;

#[cfg(test)]
mod tests;

pub use command::{
    Command, GroupCommand, KeyCommand, KeyOwner, MemberCommand, RepoCommand, TokenCommand, UserCommand,
};
pub use hook_command::HookCommand;
pub use import::{ImportTree, MissingOwners};
pub use lfs::LfsCommand;
pub use mail_command::{LanguageWish, MailCommand};
pub use mirror_command::{ImportUrl, ImportsCommand, MirrorAdd, MirrorCommand};
pub use outcome::{Cell, Outcome, Report, Row, Table};
pub use queue::{QueueCommand, Which};

pub(crate) use accounts::{keys as key_table, token_row, tokens as token_table};
pub(crate) use outcome::shown_bytes;
pub(crate) use repositories::{repositories as repository_table, row as repository_row};
pub use run::{Note, Plain, Progress, run};

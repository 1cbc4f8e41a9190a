//! The face as a whole, with OpenSSH's client and with clients that behave badly.

mod clients;
mod commands;
mod drain;
mod forge;
mod git;
mod harness;
mod hostile;
mod keys;
mod security_keys;
pub(crate) mod stub;

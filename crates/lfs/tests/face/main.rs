//! The face in front of a whole forge: the shapes of the protocol, and what hostile clients hear.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute")]

mod fixture;

mod batch;
mod hostile;
mod locks;
mod ssh;
mod ssh_hostile;
mod talk;
mod transfer;
mod tus;

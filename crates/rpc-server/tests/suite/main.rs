//! The servers and clients of the repository service, against each other and against git.

#![expect(clippy::unwrap_used, reason = "what tests share fails the test that calls it")]

mod ask;
mod contract;
mod counting;
mod example;
mod files;
mod fixture;
mod floods;
mod gauges;
mod hostile;
mod leaving;
mod listing;
mod lost;
mod making;
mod merging;
mod reference;
mod signatures;
mod tls;
mod uploading;
mod whole;
mod writing;
mod zoo;

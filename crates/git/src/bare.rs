//! Repositories that an operator keeps in a folder of their own, served as `git http-backend` serves them.
//!
//! Here, and only here, git reads the repository's and the operator's configuration and runs their hooks: the folder
//! is the operator's, and so are the hooks. git runs as the operator would run it, with the variables that the
//! operator hands on ([`Root::open`]) and nothing else of our environment. What it may take of the machine is
//! bounded as everywhere.
//!
//! ```text
//! path ─▶ Root::find ─▶ Repository ─▶ configuration ─┬▶ advertisement ─▶ kept while nothing has changed
//!                                                    ├▶ converse      ─▶ git upload-pack | receive-pack
//!                                                    ├▶ ask_backend   ─▶ git http-backend
//!                                                    └▶ open_file     ─▶ a file below objects/
//! ```
//!
//! Source: git-http-backend(1), `http-backend.c`, `path.c` of git.

mod backend;
mod configuration;
mod converse;
mod files;
mod find;
mod kept;
mod listing;
mod patient;
mod root;
mod stamps;

pub use backend::BackendReply;
pub use configuration::{Configuration, OddValue, ReadConfigurationError};
pub use converse::{Conversation, ConverseError, Program, Visitor};
pub use files::{ObjectsFile, OpenFileError};
pub use find::FindError;
pub use kept::AnswerError;
pub use root::{OpenRootError, Repository, Root, RootSettings};

use hakata_runtime::metrics::Metric;

/// Lists the metrics of an operator's repositories.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all = kept::metrics();
    all.extend(converse::metrics());
    all
}

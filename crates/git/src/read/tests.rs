//! Every question is asked of git too, over repositories made for its sake.

mod commits;
mod histories;
mod hostile;
mod large_files;
mod lasts;
mod objects;
mod revisions;
mod searches;
pub(crate) mod zoo;

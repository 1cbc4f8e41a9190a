//! Imports of other hosts' repositories, which run as jobs.
//!
//! ```text
//! begin: repository row (creating), import row, job ─▶ fetch, take in, one commit ─▶ repository active, import done
//!                                                        └─ it does not work: again later, or the repository's row goes
//! ```
//!
//! As long as a repository is being filled, nobody sees it, and nobody else can take its name. An attempt that was cut
//! is begun again; one whose commit went through is known by the version of the repository.

mod manage;
mod run;

pub(crate) use manage::Wish;
pub(crate) use run::metrics;

#[cfg(test)]
mod tests;

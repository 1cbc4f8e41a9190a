//! Imports of other hosts' repositories, which run as jobs.
//!
//! ```text
//! begin: repository row (creating), import row, job ─▶ fetch, take in, one commit ─▶ repository active, import done
//!                                                        └─ it does not work: again later, or the repository's row goes
//! ```
//!
//! As long as a repository is being filled, nobody can use it, and nobody else can take its name. One transaction puts its
//! refs there, makes it active and ends the import; an attempt that was cut before is begun again. Whoever gives an import
//! up removes the repository first, and the attempt that is under way, on whatever node, sees that the import has ended
//! and stops.

mod manage;
mod run;

pub(crate) use manage::Wish;
pub(crate) use run::metrics;

#[cfg(test)]
mod tests;

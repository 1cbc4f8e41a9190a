//! Authorization as a value: the acts, the grant, and the one table.
//!
//! ```text
//!            reporter  developer  maintainer  owner   deploy key   token needs
//! Read       yes       yes        yes         yes     yes          repo:read
//! Write                yes        yes         yes     if writable  repo:write
//! Maintain                        yes         yes                  repo:admin
//! Own                                         yes                  repo:admin
//! ```
//!
//! Everybody reads a public repository. The owner of a personal repository and an administrator of the
//! installation count as `owner` (an administrator's token only with the scope `admin`); a group's members
//! have their role on each of the group's repositories; collaborators have theirs on one. The largest counts.
//! An absent repository and a hidden one are answered alike.

mod facts;
mod grant;
mod policy;

#[cfg(test)]
mod tests;

pub use grant::{Act, Grant, Maintain, Own, Read, Write};
pub(crate) use grant::{grant_from, hidden};
pub use policy::ActKind;

pub(crate) use facts::{Facts, FactsCache};
pub(crate) use policy::{Asker, Verdict, decide, is_refused_by_mirror};

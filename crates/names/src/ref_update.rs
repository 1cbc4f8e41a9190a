//! One move of one ref.

use crate::{Oid, RefName};

/// The wish to move a ref from one target to another; `None` stands for "does not exist".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// The ref to move.
    pub name: RefName,
    /// The target it is expected to have now.
    pub old: Option<Oid>,
    /// The target it shall have; `None` deletes it.
    pub new: Option<Oid>,
}

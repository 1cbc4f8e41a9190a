//! The vocabulary of Hakata: object ids, ref names, tree paths, names of owners and repositories, row ids.
//!
//! Everything here is parsed once at the edge and trusted afterwards: a value of one of these types is
//! valid by construction. The crate never performs IO and knows no policy.
//!
//! ```
//! use hakata_names::{Oid, RefName};
//!
//! let name = RefName::parse(b"refs/heads/main")?;
//! assert_eq!(name.branch(), Some(&b"main"[..]));
//! let oid = Oid::parse_hex(b"8ab686eafeb1f44702738c8b0f24f2567c36da6d")?;
//! assert_eq!(oid.to_string(), "8ab686eafeb1f44702738c8b0f24f2567c36da6d");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod escape;
mod ids;
mod lfs_oid;
mod oid;
mod owner;
mod ref_name;
mod ref_pattern;
mod ref_update;
mod tree_path;

pub use escape::escape_controls;
pub use ids::{
    AuditId, DeliveryId, EventId, GroupId, ImportId, JobId, KeyId, LfsLockId, LfsObjectId, MirrorId,
    NoticeId, OwnerId, PackId, ProtectionId, RepositoryId, TokenId, UserId, WebhookId,
};
pub use lfs_oid::{LfsOid, ParseLfsOidError};
pub use oid::{ObjectFormat, Oid, ParseOidError};
pub use owner::{
    MAX_NAME_BYTES, OwnerName, ParseNameError, ParseRepositoryPathError, RepositoryName, RepositoryPath,
};
pub use ref_name::{MAX_COMPONENT_BYTES, MAX_REF_NAME_BYTES, ParseRefNameError, RefName};
pub use ref_pattern::{ParseRefPatternError, RefPattern};
pub use ref_update::RefUpdate;
pub use tree_path::{ParseTreePathError, TreePath};

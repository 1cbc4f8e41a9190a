//! The commands.

use std::fmt;
use std::path::PathBuf;

use hakata_names::{KeyId, ObjectFormat, OwnerName, RepositoryId, RepositoryPath, TokenId};
use hakata_runtime::units::ByteSize;
use serde::{Deserialize, Serialize};

use super::queue::QueueCommand;
use super::{
    HookCommand, ImportTree, ImportUrl, ImportsCommand, LfsCommand, MailCommand, MirrorCommand, words,
};
use crate::{Role, Scopes, Visibility};

/// One administrative command, as the command line and the local socket send it.
///
/// ```
/// use hakata_forge::admin::{Command, UserCommand};
/// let command: Command = serde_json::from_str(r#"{"command":"user","action":"list"}"#)?;
/// assert!(matches!(command, Command::User(UserCommand::List)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// `hakata user …`.
    User(UserCommand),
    /// `hakata key …`.
    Key(KeyCommand),
    /// `hakata token …`.
    Token(TokenCommand),
    /// `hakata repo …`.
    Repo(RepoCommand),
    /// `hakata group …`.
    Group(GroupCommand),
    /// `hakata queue …`.
    Queue(QueueCommand),
    /// `hakata hook …`.
    Hook(HookCommand),
    /// `hakata mail …`.
    Mail(MailCommand),
    /// `hakata lfs …`.
    Lfs(LfsCommand),
    /// `hakata doctor`: looks at everything that is cheap to look at.
    Doctor,
}

/// `hakata user …`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum UserCommand {
    /// Makes a user, with all that is given, or nothing at all.
    Add {
        /// The name.
        name: OwnerName,
        /// Whether to make an administrator.
        #[serde(default)]
        admin: bool,
        /// The address for mail.
        #[serde(default)]
        email: Option<String>,
        /// The password; without one the user signs in by keys and tokens only.
        #[serde(default)]
        password: Option<String>,
        /// Lines of public keys.
        #[serde(default)]
        keys: Vec<String>,
    },
    /// Lists users.
    List,
    /// Refuses every login of a user from now on; nothing is deleted.
    Disable {
        /// The name.
        name: OwnerName,
    },
    /// Takes `disable` back.
    Enable {
        /// The name.
        name: OwnerName,
    },
    /// Gives or takes the rank of administrator.
    Admin {
        /// The name.
        name: OwnerName,
        /// Whether the user is one from now on.
        admin: bool,
    },
    /// Sets the password.
    Password {
        /// The name.
        name: OwnerName,
        /// The new one; `None` takes it away.
        password: Option<String>,
    },
}

/// Shows what is done to whom, never a password.
impl fmt::Debug for UserCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { name, .. } => write!(f, "Add({name})"),
            Self::List => f.write_str("List"),
            Self::Disable { name } => write!(f, "Disable({name})"),
            Self::Enable { name } => write!(f, "Enable({name})"),
            Self::Admin { name, admin } => write!(f, "Admin({name}, {admin})"),
            Self::Password { name, .. } => write!(f, "Password({name})"),
        }
    }
}

/// Whose key it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOwner {
    /// A user's.
    User(OwnerName),
    /// A deploy key of a repository.
    Repository(RepositoryPath),
}

/// `hakata key …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum KeyCommand {
    /// Adds a key.
    Add {
        /// Whose it is.
        owner: KeyOwner,
        /// The line of the `.pub` file.
        line: String,
        /// A title; else the comment of the line.
        #[serde(default)]
        title: Option<String>,
        /// A deploy key that may push; users' keys always may.
        #[serde(default)]
        can_write: bool,
    },
    /// Lists the keys of one owner.
    List {
        /// Whose they are.
        owner: KeyOwner,
    },
    /// Removes a key.
    Remove {
        /// Whose it is.
        owner: KeyOwner,
        /// Which.
        #[serde(with = "words")]
        id: KeyId,
    },
}

/// `hakata token …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum TokenCommand {
    /// Makes a token; the outcome shows it, once.
    New {
        /// The user whose token it is.
        user: OwnerName,
        /// What it may be used for.
        scopes: Scopes,
        /// A name to tell it apart.
        #[serde(default)]
        name: Option<String>,
        /// Seconds until it ends; without it, never.
        #[serde(default)]
        expires_s: Option<u64>,
    },
    /// Lists a user's tokens (not their text).
    List {
        /// The user.
        user: OwnerName,
    },
    /// Ends a token now.
    Revoke {
        /// The user.
        user: OwnerName,
        /// Which.
        #[serde(with = "words")]
        id: TokenId,
    },
}

/// `hakata repo …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum RepoCommand {
    /// Makes an empty repository.
    Create {
        /// Where.
        path: RepositoryPath,
        /// Who may read it.
        visibility: Visibility,
        /// `sha1` or `sha256`; without it the configured default.
        #[serde(default)]
        object_format: Option<String>,
        /// One line about it.
        #[serde(default)]
        description: Option<String>,
    },
    /// Lists repositories, of one owner or all.
    List {
        /// Whose.
        #[serde(default)]
        owner: Option<OwnerName>,
    },
    /// Lists the deleted repositories that can be restored.
    ListDeleted,
    /// Deletes a repository.
    Delete {
        /// Which.
        path: RepositoryPath,
    },
    /// Brings a deleted repository back under its old name.
    Restore {
        /// Which; paths of deleted ones may be taken by others.
        #[serde(with = "words")]
        id: RepositoryId,
    },
    /// Moves a repository to another name or owner; the old name does not lead to it.
    Rename {
        /// Which.
        path: RepositoryPath,
        /// Its new path.
        to: RepositoryPath,
    },
    /// Brings a bare directory in as a new repository.
    Import {
        /// The directory.
        source: PathBuf,
        /// Where to.
        path: RepositoryPath,
        /// Who may read it.
        visibility: Visibility,
        /// Whether objects with fsck warnings are taken.
        #[serde(default)]
        accept_warnings: bool,
    },
    /// Brings all repositories below a directory in.
    ImportTree(ImportTree),
    /// Begins to bring in a repository of another host.
    ImportUrl(ImportUrl),
    /// `hakata repo imports …`.
    Imports(ImportsCommand),
    /// `hakata repo mirror …`.
    Mirror(MirrorCommand),
    /// Tells the directory on this machine that `git` can read.
    Path {
        /// Which.
        path: RepositoryPath,
    },
    /// Shows or sets the branch that `HEAD` names.
    DefaultBranch {
        /// Which.
        path: RepositoryPath,
        /// The branch, which need not exist; `None` shows it.
        #[serde(default)]
        branch: Option<String>,
    },
    /// Protects the branches or tags that match a pattern.
    Protect {
        /// Which.
        path: RepositoryPath,
        /// Whether the pattern is about tags.
        #[serde(default)]
        tags: bool,
        /// The pattern over short names.
        pattern: String,
        /// The least role that may push; `None`: nobody.
        push: Option<Role>,
        /// Whether pushes may be forced.
        #[serde(default)]
        force: bool,
        /// Whether the ref may be deleted.
        #[serde(default)]
        delete: bool,
        /// Who may push by name, whatever `push` says.
        #[serde(default)]
        allowed: Vec<OwnerName>,
    },
    /// Lists the rules of a repository.
    Protections {
        /// Which.
        path: RepositoryPath,
    },
    /// Removes a rule.
    Unprotect {
        /// Which.
        path: RepositoryPath,
        /// Whether the rule is about tags.
        #[serde(default)]
        tags: bool,
        /// The rule's pattern.
        pattern: String,
    },
    /// Sets who may read it.
    Visibility {
        /// Which.
        path: RepositoryPath,
        /// Who may.
        visibility: Visibility,
    },
    /// Makes it read-only, or takes that back.
    Archive {
        /// Which.
        path: RepositoryPath,
        /// Whether it is archived from now on.
        archived: bool,
    },
    /// Sets the most bytes of packs it may have.
    Quota {
        /// Which.
        path: RepositoryPath,
        /// The limit; `None`: the configured default.
        quota: Option<ByteSize>,
    },
    /// Checks rows against bytes, and objects with fsck.
    Verify {
        /// Which.
        path: RepositoryPath,
    },
    /// Makes the rows of a repository again from its bare directory.
    Recover {
        /// The directory.
        source: PathBuf,
        /// Where to.
        path: RepositoryPath,
    },
    /// Gives a user a role, or takes it.
    Collaborator {
        /// Which.
        path: RepositoryPath,
        /// Who.
        user: OwnerName,
        /// The role; `None` takes it away.
        role: Option<Role>,
    },
}

/// `hakata group …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum GroupCommand {
    /// Makes a group whose first owner is a user.
    Create {
        /// The group's name.
        name: OwnerName,
        /// Its first owner.
        owner: OwnerName,
    },
    /// Lists groups.
    List,
    /// Deletes a group that owns nothing.
    Delete {
        /// The group.
        name: OwnerName,
    },
    /// `hakata group member …`.
    Member {
        /// The group.
        name: OwnerName,
        /// What about its members.
        change: MemberCommand,
    },
}

/// `hakata group member …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum MemberCommand {
    /// Lists members.
    List,
    /// Adds a member or changes the role.
    Add {
        /// Who.
        user: OwnerName,
        /// The role on all of the group's repositories.
        role: Role,
    },
    /// Removes a member.
    Remove {
        /// Who.
        user: OwnerName,
    },
}

/// Reads the name of an object format as the commands spell it.
pub(super) fn object_format(name: &str) -> Option<ObjectFormat> {
    [ObjectFormat::Sha1, ObjectFormat::Sha256].into_iter().find(|format| format.name() == name)
}

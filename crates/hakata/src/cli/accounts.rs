//! `user`, `key`, `token` and `group`: their flags, and the administrative commands that they stand for.

use crate::cli::mail::{MailWish, Watch};
use crate::cli::{input, words};
use crate::output::Failure;
use clap::{Args, Subcommand};
use hakata_forge::admin;
use hakata_forge::{Role, Scopes};
use hakata_names::{OwnerName, RepositoryPath};
use hakata_runtime::units::Span;
use std::path::PathBuf;

/// `hakata user …`
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Creates an account
    Add(UserAdd),
    /// Lists accounts
    List,
    /// Makes an account an administrator's, or no longer
    Admin {
        /// The account's name
        name: OwnerName,
        /// Takes the right away instead
        #[arg(long)]
        revoke: bool,
    },
    /// Refuses an account at every door, keeping what it owns
    Disable {
        /// The account's name
        name: OwnerName,
    },
    /// Lets a disabled account in again
    Enable {
        /// The account's name
        name: OwnerName,
    },
    /// Sets an account's password
    Password {
        /// The account's name
        name: OwnerName,
        /// Reads the password as one line of standard input
        #[arg(long)]
        password_stdin: bool,
        /// Takes the password away: keys and tokens remain
        #[arg(long, conflicts_with = "password_stdin")]
        remove: bool,
    },
    /// Shows or changes what mail an account gets, and where
    Mail(MailWish),
    /// Sets how much an account wants to hear of a repository
    Watch(Watch),
    /// Lists the repositories that an account chose something for
    Watches {
        /// The account's name
        name: OwnerName,
    },
}

/// `hakata user add …`
#[derive(Debug, Args)]
pub(crate) struct UserAdd {
    /// The account's name
    pub(crate) name: OwnerName,
    /// Makes the account an administrator's
    #[arg(long)]
    pub(crate) admin: bool,
    /// Where mail for this person goes
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Reads the password as one line of standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// A file of SSH public keys, as ~/.ssh/id_ed25519.pub; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
}

/// `hakata key …`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Adds an SSH public key to a person or, as a deploy key, to a repository
    Add {
        /// A person's NAME, or a repository's OWNER/NAME
        #[arg(value_parser = key_owner)]
        owner: admin::KeyOwner,
        /// The file of the public key; - is standard input
        file: PathBuf,
        /// Lets a deploy key push as well
        #[arg(long)]
        write: bool,
        /// What to call the key [default: its comment]
        #[arg(long)]
        title: Option<String>,
    },
    /// Lists keys
    List {
        /// A person's NAME, or a repository's OWNER/NAME
        #[arg(value_parser = key_owner)]
        owner: admin::KeyOwner,
    },
    /// Removes a key
    Remove {
        /// A person's NAME, or a repository's OWNER/NAME
        #[arg(value_parser = key_owner)]
        owner: admin::KeyOwner,
        /// The key's id, from `key list`
        id: i64,
    },
}

/// `hakata token …`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it alone; it is never shown again
    New {
        /// Whose token it is
        #[arg(long, value_name = "NAME")]
        user: OwnerName,
        /// What it may do, with commas: repo:read, repo:write, repo:admin, user:read, user:write, admin
        #[arg(long, value_name = "SCOPES")]
        scope: Scopes,
        /// How long it lives, such as 30d [default: until revoked]
        #[arg(long, value_name = "TIME")]
        expires: Option<Span>,
        /// What it is for
        #[arg(long, value_name = "WORDS")]
        name: Option<String>,
    },
    /// Lists a person's tokens, without their secrets
    List {
        /// Whose tokens
        #[arg(long, value_name = "NAME")]
        user: OwnerName,
    },
    /// Makes a token worthless
    Revoke {
        /// Whose token
        #[arg(long, value_name = "NAME")]
        user: OwnerName,
        /// The token's id, from `token list`
        id: i64,
    },
}

/// `hakata group …`
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Creates a group
    Create {
        /// The group's name
        name: OwnerName,
        /// Its first owner
        #[arg(long, value_name = "NAME")]
        owner: OwnerName,
    },
    /// Lists groups
    List,
    /// Deletes a group that owns nothing
    Delete {
        /// The group's name
        name: OwnerName,
    },
    /// Manages a group's members
    #[command(subcommand)]
    Member(MemberCommand),
}

/// `hakata group member …`
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Adds a member, or changes the role of one
    Add {
        /// The group's name
        group: OwnerName,
        /// The person
        user: OwnerName,
        /// What the person may do there
        #[arg(long, default_value = "developer", value_parser = words::role())]
        role: Role,
    },
    /// Removes a member
    Remove {
        /// The group's name
        group: OwnerName,
        /// The person
        user: OwnerName,
    },
    /// Lists members
    List {
        /// The group's name
        group: OwnerName,
    },
}

impl UserCommand {
    /// Makes the administrative command, reading what it needs from files and standard input.
    pub(crate) fn into_command(self) -> Result<admin::Command, Failure> {
        let command = match self {
            Self::Add(add) => return add.into_command(),
            Self::Mail(wish) => return Ok(wish.into_command()),
            Self::Watch(watch) => return Ok(watch.into_command()),
            Self::Watches { name: user } => {
                return Ok(admin::Command::Mail(admin::MailCommand::Watches { user }));
            }
            Self::List => admin::UserCommand::List,
            Self::Admin { name, revoke } => admin::UserCommand::Admin { name, admin: !revoke },
            Self::Disable { name } => admin::UserCommand::Disable { name },
            Self::Enable { name } => admin::UserCommand::Enable { name },
            Self::Password { name, remove: true, .. } => {
                admin::UserCommand::Password { name, password: None }
            }
            Self::Password { name, password_stdin, .. } => {
                let password =
                    if password_stdin { input::password_line()? } else { input::ask_password(&name)? };
                admin::UserCommand::Password { name, password: Some(password) }
            }
        };
        Ok(admin::Command::User(command))
    }
}

impl UserAdd {
    fn into_command(self) -> Result<admin::Command, Failure> {
        let password = if self.password_stdin { Some(input::password_line()?) } else { None };
        let mut keys = Vec::new();
        for file in &self.key {
            keys.extend(input::public_keys(file)?);
        }
        let Self { name, admin, email, .. } = self;
        Ok(admin::Command::User(admin::UserCommand::Add { name, admin, email, password, keys }))
    }
}

impl KeyCommand {
    /// Makes the administrative command, reading the key's file.
    pub(crate) fn into_command(self) -> Result<admin::Command, Failure> {
        let command = match self {
            Self::Add { owner: admin::KeyOwner::User(_), write: true, .. } => {
                return Err(Failure::usage(
                    "--write is for deploy keys; a person's keys push wherever the person may",
                ));
            }
            Self::Add { owner, file, write, title } => {
                let mut lines = input::public_keys(&file)?;
                let line = lines.pop().unwrap_or_default();
                if !lines.is_empty() {
                    let message = format!("{} holds {} keys", file.display(), lines.len() + 1);
                    return Err(Failure::usage(message).with_hint("add them one at a time"));
                }
                admin::KeyCommand::Add { owner, line, title, can_write: write }
            }
            Self::List { owner } => admin::KeyCommand::List { owner },
            Self::Remove { owner, id } => admin::KeyCommand::Remove { owner, id: id.into() },
        };
        Ok(admin::Command::Key(command))
    }
}

impl TokenCommand {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        admin::Command::Token(match self {
            Self::New { user, scope, expires, name } => {
                let expires_s = expires.map(|expires| expires.duration().as_secs());
                admin::TokenCommand::New { user, scopes: scope, name, expires_s }
            }
            Self::List { user } => admin::TokenCommand::List { user },
            Self::Revoke { user, id } => admin::TokenCommand::Revoke { user, id: id.into() },
        })
    }
}

impl GroupCommand {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        use admin::MemberCommand as Change;
        let member = |name, change| admin::GroupCommand::Member { name, change };
        admin::Command::Group(match self {
            Self::Create { name, owner } => admin::GroupCommand::Create { name, owner },
            Self::List => admin::GroupCommand::List,
            Self::Delete { name } => admin::GroupCommand::Delete { name },
            Self::Member(MemberCommand::Add { group, user, role }) => {
                member(group, Change::Add { user, role })
            }
            Self::Member(MemberCommand::Remove { group, user }) => member(group, Change::Remove { user }),
            Self::Member(MemberCommand::List { group }) => member(group, Change::List),
        })
    }
}

fn key_owner(text: &str) -> Result<admin::KeyOwner, String> {
    match text.contains('/') {
        true => {
            text.parse::<RepositoryPath>().map(admin::KeyOwner::Repository).map_err(|error| error.to_string())
        }
        false => text.parse::<OwnerName>().map(admin::KeyOwner::User).map_err(|error| error.to_string()),
    }
}

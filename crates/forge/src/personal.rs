//! What people do for themselves over SSH: a few of the administrative commands, with their own rights.

use hakata_names::{OwnerName, RepositoryPath, UserId};
use hakata_store::repositories::Repository;

use crate::access::{Read, grant_from};
use crate::admin::{Cell, Outcome, Row, key_table, repository_row, repository_table, token_row, token_table};
use crate::keys::PublicKey;
use crate::tokens::TokenWish;
use crate::{Actor, Error, Forge, Kind, Scope, Scopes, Visibility};

/// A command of a person who is signed in.
#[derive(Clone, Debug)]
pub enum Command {
    /// Who am I?
    Whoami,
    /// The person's repositories, or those of an owner that the person may read.
    RepoList {
        /// Only this owner's.
        owner: Option<OwnerName>,
    },
    /// Makes an empty repository.
    RepoCreate {
        /// Where.
        path: RepositoryPath,
        /// Who may read it.
        visibility: Visibility,
    },
    /// What is known about one repository.
    RepoInfo {
        /// Which.
        path: RepositoryPath,
    },
    /// The person's SSH keys.
    KeyList,
    /// Adds an SSH key to the person.
    KeyAdd {
        /// The line of the `.pub` file.
        line: String,
        /// A title; else the comment of the line.
        title: Option<String>,
    },
    /// The person's tokens.
    TokenList,
    /// Makes a token for the person.
    TokenNew {
        /// What it may be used for.
        scopes: Scopes,
        /// A name to tell it apart.
        name: Option<String>,
    },
}

/// Runs a command with the rights of `actor`.
///
/// # Errors
/// [`Kind::Forbidden`] for an actor that is no person, or whose token lacks the scope; else as the command.
pub async fn run(forge: &Forge, actor: &Actor, command: Command) -> Result<Outcome, Error> {
    let user =
        actor.user().ok_or_else(|| Error::new(Kind::Forbidden, "this is for people, not for deploy keys"))?;
    forge.check_signed_in(actor).await?;
    let scope = scope(&command);
    if !actor.scopes().allow(scope) {
        return Err(Error::new(Kind::Forbidden, format!("this token lacks the scope {}", scope.as_str())));
    }
    match command {
        Command::Whoami => Ok(Outcome::One(whoami(actor, user))),
        Command::RepoList { owner } => {
            let rows = readable(forge, actor, owner).await?;
            Ok(Outcome::List(repository_table(&rows)))
        }
        Command::RepoCreate { path, visibility } => {
            let grant = forge.create_repository(actor, &path, visibility, None, String::new()).await?;
            let message = format!("created {visibility} repository {}", grant.path());
            Ok(Outcome::Done { message, row: None })
        }
        Command::RepoInfo { path } => {
            let grant = forge.grant::<Read>(actor, &path).await?;
            Ok(Outcome::One(repository_row(&forge.repository_row(&grant).await?)))
        }
        Command::KeyList => Ok(Outcome::List(key_table(forge.list_user_keys(user).await?))),
        Command::KeyAdd { line, title } => {
            let key = PublicKey::parse(&line)?;
            let added = forge.add_user_key(actor, user, &key, title.as_deref()).await?;
            Ok(Outcome::Done { message: format!("added key {}", added.fingerprint), row: None })
        }
        Command::TokenList => Ok(Outcome::List(token_table(forge.list_tokens(user).await?))),
        Command::TokenNew { scopes, name } => {
            let made = forge.new_token(actor, user, TokenWish { scopes, name, ends_after: None }).await?;
            Ok(Outcome::Token { token: made.text, row: token_row(&made.row) })
        }
    }
}

/// The scope that a token needs for a command; of repositories, policy asks again.
fn scope(command: &Command) -> Scope {
    match command {
        Command::Whoami | Command::KeyList | Command::TokenList => Scope::UserRead,
        Command::RepoList { .. } | Command::RepoInfo { .. } => Scope::RepoRead,
        Command::RepoCreate { .. } => Scope::RepoWrite,
        Command::KeyAdd { .. } | Command::TokenNew { .. } => Scope::UserWrite,
    }
}

fn whoami(actor: &Actor, user: UserId) -> Row {
    Row::default()
        .with("id", Cell::text(user))
        .with("name", Cell::text(actor.name()))
        .with("admin", Cell::Flag(actor.is_admin()))
}

/// Lists an owner's repositories that the actor may read. An owner that does not exist has none.
async fn readable(forge: &Forge, actor: &Actor, owner: Option<OwnerName>) -> Result<Vec<Repository>, Error> {
    let owner = match owner {
        Some(owner) => owner,
        None => OwnerName::parse(actor.name())?,
    };
    let all = match forge.list_repositories(Some(&owner)).await {
        Err(error) if error.kind() == Kind::NotFound => Vec::new(),
        all => all?,
    };
    let mut readable = Vec::new();
    for row in all {
        let facts = forge.facts(actor, &row.path()).await?;
        if grant_from::<Read>(actor, facts).is_ok() {
            readable.push(row);
        }
    }
    Ok(readable)
}

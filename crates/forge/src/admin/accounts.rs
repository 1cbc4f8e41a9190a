//! `hakata user`, `hakata key`, `hakata token`.

use std::time::Duration;

use hakata_runtime::secret::Secret;
use hakata_store::OwnerState;
use hakata_store::keys::Key;
use hakata_store::tokens::Token;
use hakata_store::users::User;

use super::{Cell, KeyCommand, KeyOwner, Outcome, Row, Table, TokenCommand, UserCommand};
use crate::accounts::Registration;
use crate::keys::{ParseKeyError, PublicKey};
use crate::tokens::TokenWish;
use crate::{Actor, Error, Forge};

pub(super) async fn user(forge: &Forge, actor: &Actor, command: UserCommand) -> Result<Outcome, Error> {
    match command {
        UserCommand::Add { name, admin, email, password, keys } => {
            let keys =
                keys.iter().map(|line| PublicKey::parse(line)).collect::<Result<Vec<_>, ParseKeyError>>()?;
            let password = password.map(Secret::new);
            let registration = Registration { is_admin: admin, email, password, keys };
            let id = forge.add_user(actor, &name, registration).await?;
            let row = Row::default().with("id", Cell::text(id)).with("name", Cell::text(&name));
            Ok(done(format!("added user {name}"), Some(row)))
        }
        UserCommand::List => Ok(Outcome::List(users(forge.list_users().await?))),
        UserCommand::Disable { name } => {
            forge.set_user_state(actor, &name, OwnerState::Disabled).await?;
            Ok(done(format!("disabled user {name}: no login works from now on"), None))
        }
        UserCommand::Enable { name } => {
            forge.set_user_state(actor, &name, OwnerState::Active).await?;
            Ok(done(format!("enabled user {name}"), None))
        }
        UserCommand::Admin { name, admin } => {
            forge.set_admin(actor, &name, admin).await?;
            let is = if admin { "is an administrator now" } else { "is no administrator now" };
            Ok(done(format!("user {name} {is}"), None))
        }
        UserCommand::Password { name, password } => {
            let what = if password.is_some() { "set" } else { "took away" };
            forge.set_password(actor, &name, password.map(Secret::new)).await?;
            Ok(done(format!("{what} the password of {name}"), None))
        }
    }
}

pub(super) async fn key(forge: &Forge, actor: &Actor, command: KeyCommand) -> Result<Outcome, Error> {
    match command {
        KeyCommand::Add { owner, line, title, can_write } => {
            let key = PublicKey::parse(&line)?;
            let added = match &owner {
                KeyOwner::User(name) => {
                    let user = forge.get_user(name).await?.id;
                    forge.add_user_key(actor, user, &key, title.as_deref()).await?
                }
                KeyOwner::Repository(path) => {
                    let grant = forge.grant(actor, path).await?;
                    forge.add_deploy_key(&grant, &key, title.as_deref(), can_write).await?
                }
            };
            Ok(done(format!("added key {}", added.fingerprint), Some(key_row(&added))))
        }
        KeyCommand::List { owner } => Ok(Outcome::List(keys(of_owner(forge, actor, &owner).await?))),
        KeyCommand::Remove { owner, id } => {
            match &owner {
                KeyOwner::User(name) => {
                    let user = forge.get_user(name).await?.id;
                    forge.remove_user_key(actor, user, id).await?;
                }
                KeyOwner::Repository(path) => {
                    forge.remove_deploy_key(&forge.grant(actor, path).await?, id).await?;
                }
            }
            Ok(done(format!("removed key {id}"), None))
        }
    }
}

async fn of_owner(forge: &Forge, actor: &Actor, owner: &KeyOwner) -> Result<Vec<Key>, Error> {
    match owner {
        KeyOwner::User(name) => {
            let user = forge.get_user(name).await?.id;
            forge.list_user_keys(user).await
        }
        KeyOwner::Repository(path) => forge.list_deploy_keys(&forge.grant(actor, path).await?).await,
    }
}

pub(super) async fn token(forge: &Forge, actor: &Actor, command: TokenCommand) -> Result<Outcome, Error> {
    match command {
        TokenCommand::New { user, scopes, name, expires_s } => {
            let id = forge.get_user(&user).await?.id;
            let ends_after = expires_s.map(Duration::from_secs);
            let made = forge.new_token(actor, id, TokenWish { scopes, name, ends_after }).await?;
            Ok(Outcome::Token { token: made.text, row: token_row(&made.row) })
        }
        TokenCommand::List { user } => {
            let id = forge.get_user(&user).await?.id;
            Ok(Outcome::List(tokens(forge.list_tokens(id).await?)))
        }
        TokenCommand::Revoke { user, id } => {
            let user = forge.get_user(&user).await?.id;
            forge.revoke_token(actor, user, id).await?;
            Ok(done(format!("revoked token {id}"), None))
        }
    }
}

/// A sentence, and what was made.
pub(super) fn done(message: String, row: Option<Row>) -> Outcome {
    Outcome::Done { message, row }
}

fn users(rows: Vec<User>) -> Table {
    let mut table =
        Table::new(&["id", "name", "email", "admin", "state", "password", "created_at", "last_seen_at"]);
    for user in rows {
        table.push(vec![
            Cell::text(user.id),
            Cell::text(&user.owner.name),
            Cell::text(&user.email),
            Cell::Flag(user.is_admin),
            Cell::text(user.owner.state),
            Cell::Flag(user.password_hash.is_some()),
            Cell::Time(user.owner.created_at),
            Cell::time(user.last_seen_at),
        ]);
    }
    table
}

/// The columns of a key.
fn key_row(key: &Key) -> Row {
    Row::default()
        .with("id", Cell::text(key.id))
        .with("title", Cell::text(&key.title))
        .with("algorithm", Cell::text(&key.algorithm))
        .with("fingerprint", Cell::text(&key.fingerprint))
        .with("can_write", Cell::Flag(key.can_write))
        .with("created_at", Cell::Time(key.created_at))
        .with("last_used_at", Cell::time(key.last_used_at))
}

pub(crate) fn keys(rows: Vec<Key>) -> Table {
    let columns = ["id", "title", "algorithm", "fingerprint", "can_write", "created_at", "last_used_at"];
    Table::of_rows(&columns, rows.iter().map(key_row))
}

/// The columns of a token; never its text.
pub(crate) fn token_row(token: &Token) -> Row {
    Row::default()
        .with("id", Cell::text(token.id))
        .with("name", Cell::text(&token.name))
        .with("hint", Cell::text(format!("{}…", token.hint)))
        .with("scopes", Cell::text(&token.scopes))
        .with("created_at", Cell::Time(token.created_at))
        .with("expires_at", Cell::time(token.expires_at))
        .with("last_used_at", Cell::time(token.last_used_at))
        .with("revoked_at", Cell::time(token.revoked_at))
}

pub(crate) fn tokens(rows: Vec<Token>) -> Table {
    let columns = ["id", "name", "hint", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"];
    Table::of_rows(&columns, rows.iter().map(token_row))
}

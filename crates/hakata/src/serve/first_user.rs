//! The first account: offered on a terminal, from the person's own login name and public keys.

use crate::administer;
use crate::cli;
use crate::config::environment;
use crate::output::{self, Answer, Failure, note};
use hakata_forge::{Forge, admin};
use hakata_names::OwnerName;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// The files of `~/.ssh` that are offered, the best first.
const KEY_FILES: [&str; 3] = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

/// Tells whether there is any account, after offering to make one if a person is there to ask.
pub(super) async fn exists_or_made(forge: &Forge) -> Result<bool, Failure> {
    let list = admin::Command::User(admin::UserCommand::List);
    let listed = run(forge, list).await?;
    if matches!(&listed, Answer::Table(users) if !users.is_empty()) {
        return Ok(true);
    }
    if !output::is_interactive() {
        return Ok(false);
    }
    let (Some(name), keys) = (login(), key_lines()) else { return Ok(false) };
    if keys.is_empty()
        || !output::ask(&format!("Create {name}, an administrator, with {} of ~/.ssh?", counted(&keys)))
    {
        return Ok(false);
    }
    let add = admin::UserCommand::Add { name, admin: true, email: None, password: None, keys };
    match run(forge, admin::Command::User(add)).await? {
        Answer::Text(done, _) => note(&done),
        _ => note("done"),
    }
    Ok(true)
}

/// The login name, if an account may be called so.
pub(super) fn login() -> Option<OwnerName> {
    environment::login_name().and_then(|name| name.parse().ok())
}

/// The public keys of the person, as paths.
pub(super) fn key_files() -> Vec<PathBuf> {
    let Some(folder) = environment::home().map(|home| home.join(".ssh")) else { return Vec::new() };
    KEY_FILES.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect()
}

fn key_lines() -> Vec<String> {
    key_files().iter().filter_map(|path| cli::public_keys(path).ok()).flatten().collect()
}

fn counted(keys: &[String]) -> String {
    match keys.len() {
        1 => "the public key".to_owned(),
        n => format!("the {n} public keys"),
    }
}

async fn run(forge: &Forge, command: admin::Command) -> Result<Answer, Failure> {
    administer::run_on(forge, command, mpsc::channel(1).0).await
}

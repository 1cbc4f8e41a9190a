//! The commands for people, and the greeting.

use super::{REFUSED, log_error, refuse};
use crate::channel::{Input, Output, Streams};
use crate::command::{KeyCommand, PeopleCommand, RepoCommand, TokenCommand};
use crate::live::Live;
use crate::server::Shared;
use hakata_forge::admin::{Outcome, Table};
use hakata_forge::{Actor, Scope, Scopes, Visibility, personal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest public key that is read from standard input.
const MAX_KEY_LINE: u64 = 16 * 1024;

const HELP: &str = "\
Git:
  git clone ssh://HOST/OWNER/NAME           also push, fetch and archive --remote
People:
  whoami                                    who this key belongs to
  repo list [OWNER]                         repositories that you can see
  repo create OWNER/NAME [--public]         a new repository, private unless you say so
  repo info OWNER/NAME                      what is known about one
  key list                                  your SSH keys
  key add [TITLE] < FILE.pub                another one
  token list                                your access tokens
  token new NAME [SCOPE]...                 a new one, shown once; repo:write without SCOPE
";

/// Greets by name; there is no shell, so the status is a failure.
pub(super) async fn greet(actor: &Actor, output: &mut Output) -> u32 {
    let text = format!("Hi {}! Your key works, but there is no shell here.\n\n{HELP}", actor.name());
    let _ = output.write_all(text.as_bytes()).await;
    REFUSED
}

/// Runs a command and prints its outcome.
pub(super) async fn run(
    shared: &Shared,
    live: &Live,
    actor: &Actor,
    command: PeopleCommand,
    mut streams: Streams,
) -> u32 {
    let command = match personal_command(command, &mut streams.input).await {
        Ok(Some(command)) => command,
        Ok(None) => return print(&mut streams.output, HELP).await,
        Err(sentence) => return refuse(&mut streams.errors, &sentence).await,
    };
    match shared.realm.run_personal(actor, command).await {
        Ok(outcome) => print(&mut streams.output, &render(&outcome)).await,
        Err(error) => {
            log_error(live, actor, "people", &error);
            refuse(&mut streams.errors, &error.err_line()).await
        }
    }
}

/// Completes a parsed command; `None` asks for help.
async fn personal_command(
    command: PeopleCommand,
    input: &mut Input,
) -> Result<Option<personal::Command>, String> {
    use personal::Command;
    Ok(Some(match command {
        PeopleCommand::Help => return Ok(None),
        PeopleCommand::Whoami => Command::Whoami,
        PeopleCommand::Repo(RepoCommand::List { owner }) => Command::RepoList { owner },
        PeopleCommand::Repo(RepoCommand::Create { path, is_public }) => {
            let visibility = if is_public { Visibility::Public } else { Visibility::Private };
            Command::RepoCreate { path, visibility }
        }
        PeopleCommand::Repo(RepoCommand::Info { path }) => Command::RepoInfo { path },
        PeopleCommand::Key(KeyCommand::List) => Command::KeyList,
        PeopleCommand::Key(KeyCommand::Add { title }) => {
            Command::KeyAdd { line: read_key(input).await?, title }
        }
        PeopleCommand::Token(TokenCommand::List) => Command::TokenList,
        PeopleCommand::Token(TokenCommand::New { name, scopes }) => {
            Command::TokenNew { scopes: parse_scopes(&scopes)?, name: Some(name) }
        }
    }))
}

async fn read_key(input: &mut Input) -> Result<String, String> {
    let mut line = Vec::new();
    let read = input.take(MAX_KEY_LINE).read_to_end(&mut line).await;
    let text = read.ok().and_then(|_| String::from_utf8(line).ok()).unwrap_or_default();
    match text.trim() {
        "" => {
            Err("send the public key on standard input: ssh HOST key add < ~/.ssh/id_ed25519.pub".to_owned())
        }
        line => Ok(line.to_owned()),
    }
}

fn parse_scopes(words: &[String]) -> Result<Scopes, String> {
    if words.is_empty() {
        return Ok(Scopes::only(Scope::RepoWrite));
    }
    words.join(",").parse().map_err(|error: hakata_forge::ParseScopesError| {
        hakata_names::escape_controls(error.to_string().as_bytes())
    })
}

async fn print(output: &mut Output, text: &str) -> u32 {
    match output.write_all(text.as_bytes()).await {
        Ok(()) => 0,
        Err(_) => REFUSED,
    }
}

/// Renders an outcome for a terminal; cells make their own control characters visible.
fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    if let Some(table) = outcome.table() {
        text.push_str(&render_table(table));
    }
    if let Some(message) = outcome.message() {
        text.push_str(&hakata_names::escape_controls(message.as_bytes()));
        text.push('\n');
    }
    if let Outcome::Token { token, .. } = outcome {
        text.push_str(token.expose());
        text.push('\n');
    } else if let Some(row) = outcome.row() {
        for (key, cell) in &row.0 {
            text.push_str(&format!("{key}: {}\n", cell.shown()));
        }
    }
    text
}

fn render_table(table: &Table) -> String {
    let header = table.columns.iter().map(|column| column.to_uppercase()).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    lines.extend(table.rows.iter().map(|row| row.iter().map(|cell| cell.shown()).collect()));
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

//! The few commands that people type: `ssh host repo list`.

use super::ParseCommandError;
use super::quote;
use hakata_names::{OwnerName, RepositoryPath};

/// Most words in a command for people.
const MAX_WORDS: usize = 32;

/// A command for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PeopleCommand {
    /// Says what is possible.
    Help,
    /// Says who the key belongs to.
    Whoami,
    /// About repositories.
    Repo(RepoCommand),
    /// About the caller's keys.
    Key(KeyCommand),
    /// About the caller's tokens.
    Token(TokenCommand),
}

/// `repo …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RepoCommand {
    /// `repo list [OWNER]`
    List {
        /// Only of this owner.
        owner: Option<OwnerName>,
    },
    /// `repo create OWNER/NAME [--public|--private]`
    Create {
        /// The new repository.
        path: RepositoryPath,
        /// Whether everybody may read it.
        is_public: bool,
    },
    /// `repo info OWNER/NAME`
    Info {
        /// The repository.
        path: RepositoryPath,
    },
}

/// `key …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyCommand {
    /// `key list`
    List,
    /// `key add [TITLE]`, the public key on standard input.
    Add {
        /// What the caller calls it; the key's own comment otherwise.
        title: Option<String>,
    },
}

/// `token …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenCommand {
    /// `token list`
    List,
    /// `token new NAME [SCOPE]…`
    New {
        /// What the caller calls it.
        name: String,
        /// What it may be used for, as words that forge parses.
        scopes: Vec<String>,
    },
}

impl PeopleCommand {
    /// Parses what follows the verb.
    ///
    /// # Errors
    /// Any [`ParseCommandError`] but the length.
    pub(super) fn parse(verb: &str, rest: &str) -> Result<Self, ParseCommandError> {
        if !matches!(verb, "help" | "--help" | "whoami" | "repo" | "key" | "token") {
            return Err(ParseCommandError::Unknown);
        }
        let words = words(rest)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (verb, words.as_slice()) {
            ("help" | "--help", _) => Ok(Self::Help),
            ("whoami", []) => Ok(Self::Whoami),
            ("repo", words) => parse_repo(words).map(Self::Repo),
            ("key", words) => parse_key(words).map(Self::Key),
            ("token", words) => parse_token(words).map(Self::Token),
            _ => Err(ParseCommandError::Arguments),
        }
    }
}

fn parse_repo(words: &[&str]) -> Result<RepoCommand, ParseCommandError> {
    match words {
        ["list"] => Ok(RepoCommand::List { owner: None }),
        ["list", owner] => {
            let owner = OwnerName::parse(owner).map_err(|_| ParseCommandError::Arguments)?;
            Ok(RepoCommand::List { owner: Some(owner) })
        }
        ["create", path] | ["create", path, "--private"] | ["create", "--private", path] => {
            Ok(RepoCommand::Create { path: RepositoryPath::parse_url(path)?, is_public: false })
        }
        ["create", path, "--public"] | ["create", "--public", path] => {
            Ok(RepoCommand::Create { path: RepositoryPath::parse_url(path)?, is_public: true })
        }
        ["info", path] => Ok(RepoCommand::Info { path: RepositoryPath::parse_url(path)? }),
        ["list" | "create" | "info", ..] | [] => Err(ParseCommandError::Arguments),
        _ => Err(ParseCommandError::Unknown),
    }
}

fn parse_key(words: &[&str]) -> Result<KeyCommand, ParseCommandError> {
    match words {
        ["list"] => Ok(KeyCommand::List),
        ["add"] => Ok(KeyCommand::Add { title: None }),
        // ssh joins its arguments with spaces, so a title of several words arrives as several words.
        ["add", title @ ..] if title.iter().all(|word| !word.starts_with('-')) => {
            Ok(KeyCommand::Add { title: Some(title.join(" ")) })
        }
        ["list" | "add", ..] | [] => Err(ParseCommandError::Arguments),
        _ => Err(ParseCommandError::Unknown),
    }
}

fn parse_token(words: &[&str]) -> Result<TokenCommand, ParseCommandError> {
    match words {
        ["list"] => Ok(TokenCommand::List),
        ["new", name, scopes @ ..] if words[1..].iter().all(|word| !word.starts_with('-')) => {
            let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
            Ok(TokenCommand::New { name: (*name).to_owned(), scopes })
        }
        ["list" | "new", ..] | [] => Err(ParseCommandError::Arguments),
        _ => Err(ParseCommandError::Unknown),
    }
}

/// Splits into words: plain ones without anything a shell would act on, or whole ones in git's quotes.
pub(super) fn words(rest: &str) -> Result<Vec<String>, ParseCommandError> {
    let mut words = Vec::new();
    let mut rest = rest.trim_matches(' ');
    while !rest.is_empty() {
        if words.len() == MAX_WORDS {
            return Err(ParseCommandError::Arguments);
        }
        let end = end_of_word(rest);
        let (word, after) = rest.split_at(end);
        words.push(parse_word(word)?);
        rest = after.trim_start_matches(' ');
    }
    Ok(words)
}

fn parse_word(word: &str) -> Result<String, ParseCommandError> {
    if word.starts_with('\'') {
        return quote::unquote(word).ok_or(ParseCommandError::Quoting);
    }
    let is_plain = |c: char| c.is_alphanumeric() || "._/-:@+=,".contains(c);
    if word.chars().all(is_plain) { Ok(word.to_owned()) } else { Err(ParseCommandError::Quoting) }
}

/// Finds the space that ends the first word; spaces between quotes belong to it, and an escaped quote opens none.
fn end_of_word(text: &str) -> usize {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if !is_quoted => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => return at,
            _ => {}
        }
    }
    text.len()
}

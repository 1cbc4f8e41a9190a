//! What a client asks for in an `exec` request: a parser for exactly the commands that exist.
//!
//! There is no shell and no search path. Git's commands take one argument, quoted as git quotes it; the commands for
//! people take plain words. Whatever is not listed here is refused before anything else looks at it.
//!
//! ```text
//! git-upload-pack '/alice/tools.git'          git upload-pack 'alice/tools'
//! repo create alice/tools --public            key add laptop
//! ```

mod people;
mod quote;

pub(crate) use people::{KeyCommand, PeopleCommand, RepoCommand, TokenCommand};

use hakata_forge::lfs::Operation;
use hakata_names::{ParseRepositoryPathError, RepositoryPath};

/// Longest command line in bytes; git's own clients need a few hundred.
pub(crate) const MAX_COMMAND_LINE: usize = 4096;

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// One of git's server programs on one repository.
    Git {
        /// Which program, and by that which right is needed.
        service: GitService,
        /// Which repository.
        path: RepositoryPath,
    },
    /// `git-lfs-authenticate PATH OPERATION`: signs in to LFS over HTTP.
    LfsAuthenticate {
        /// Which repository.
        path: RepositoryPath,
        /// What for.
        operation: Operation,
    },
    /// `git-lfs-transfer PATH OPERATION`: LFS over SSH itself.
    LfsTransfer {
        /// Which repository.
        path: RepositoryPath,
        /// What for.
        operation: Operation,
    },
    /// A command for people.
    People(PeopleCommand),
}

/// Git's server programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GitService {
    /// Serves fetches.
    UploadPack,
    /// Serves pushes.
    ReceivePack,
    /// Serves `git archive --remote`.
    UploadArchive,
}

/// Why a command line is refused; the sentence is for the person at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseCommandError {
    /// Longer than [`MAX_COMMAND_LINE`].
    #[error("the command is longer than {MAX_COMMAND_LINE} bytes")]
    TooLong,
    /// Not UTF-8, or with control characters.
    #[error("the command contains control characters or is not UTF-8")]
    NotText,
    /// No such command.
    #[error("there is no such command here, and no shell")]
    Unknown,
    /// A quote that git would not write.
    #[error("the argument is not quoted as git quotes it")]
    Quoting,
    /// Too few or too many words, or an unknown option.
    #[error("the command has wrong arguments")]
    Arguments,
    /// The repository is not named `OWNER/NAME`.
    #[error(transparent)]
    Path(#[from] ParseRepositoryPathError),
}

impl Command {
    /// Parses the line of an `exec` request.
    ///
    /// # Errors
    /// Any [`ParseCommandError`]; nothing is looked up, so the answer tells nothing about what exists.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, ParseCommandError> {
        if line.len() > MAX_COMMAND_LINE {
            return Err(ParseCommandError::TooLong);
        }
        let line = std::str::from_utf8(line).map_err(|_| ParseCommandError::NotText)?;
        if line.chars().any(char::is_control) {
            return Err(ParseCommandError::NotText);
        }
        let (verb, rest) = split_verb(line);
        if let Some(service) = GitService::from_verb(verb) {
            return Ok(Self::Git { service, path: parse_path_argument(rest)? });
        }
        match verb {
            "git" => {
                let (verb, rest) = split_verb(rest);
                let service = GitService::from_short_verb(verb).ok_or(ParseCommandError::Unknown)?;
                Ok(Self::Git { service, path: parse_path_argument(rest)? })
            }
            "git-lfs-authenticate" => {
                parse_lfs(rest).map(|(path, operation)| Self::LfsAuthenticate { path, operation })
            }
            "git-lfs-transfer" => {
                parse_lfs(rest).map(|(path, operation)| Self::LfsTransfer { path, operation })
            }
            _ => PeopleCommand::parse(verb, rest).map(Self::People),
        }
    }
}

impl GitService {
    fn from_verb(verb: &str) -> Option<Self> {
        verb.strip_prefix("git-").and_then(Self::from_short_verb)
    }

    fn from_short_verb(verb: &str) -> Option<Self> {
        match verb {
            "upload-pack" => Some(Self::UploadPack),
            "receive-pack" => Some(Self::ReceivePack),
            "upload-archive" => Some(Self::UploadArchive),
            _ => None,
        }
    }
}

/// Splits at the first space, as git writes exactly one; what is left keeps any further ones.
fn split_verb(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

fn parse_path_argument(rest: &str) -> Result<RepositoryPath, ParseCommandError> {
    if rest.is_empty() {
        return Err(ParseCommandError::Arguments);
    }
    let path = quote::unquote(rest).ok_or(ParseCommandError::Quoting)?;
    Ok(RepositoryPath::parse_url(&path)?)
}

/// Parses the path, quoted or, as old clients write it, plain, and the operation. The oid that very old ones add says
/// nothing.
fn parse_lfs(rest: &str) -> Result<(RepositoryPath, Operation), ParseCommandError> {
    let words = people::words(rest)?;
    let (path, operation) = match &words[..] {
        [path, operation] | [path, operation, _] => (path, operation),
        _ => return Err(ParseCommandError::Arguments),
    };
    let operation = Operation::parse(operation).ok_or(ParseCommandError::Arguments)?;
    Ok((RepositoryPath::parse_url(path)?, operation))
}

#[cfg(test)]
mod tests;

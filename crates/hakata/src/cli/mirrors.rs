//! `repo mirror` and `repo imports`: their flags, and the administrative commands that they stand for.

use crate::cli::input;
use crate::output::Failure;
use clap::{ArgGroup, Args, Subcommand};
use hakata_forge::Direction;
use hakata_forge::admin::{self, ImportsCommand, MirrorAdd};
use hakata_names::RepositoryPath;
use hakata_runtime::units::Span;

/// `hakata repo mirror …`
#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Lets a repository follow one of another host, or the other way round
    Add(Add),
    /// Lists mirrors, and how they do
    List {
        /// Only those of one repository
        #[arg(value_name = "OWNER/NAME")]
        path: Option<RepositoryPath>,
    },
    /// Ends a mirror; what it brought stays
    Remove(One),
    /// Syncs a mirror at once
    Sync(One),
    /// Lets a mirror rest
    Pause(One),
    /// Ends a pause, and syncs at once
    Resume(One),
}

/// `hakata repo mirror add …`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("direction").required(true).args(["pull", "push"]))]
#[command(after_help = "\
--pull makes OWNER/NAME follow URL: it is made if it is absent, takes no pushes, and loses what the other does not have.
--push makes URL follow OWNER/NAME: after each push, and from time to time. Branches, tags and notes are mirrored.")]
pub(crate) struct Add {
    /// The repository here
    #[arg(value_name = "OWNER/NAME")]
    path: RepositoryPath,
    /// The other host's: https, or http
    url: String,
    /// OWNER/NAME follows URL
    #[arg(long)]
    pull: bool,
    /// URL follows OWNER/NAME
    #[arg(long)]
    push: bool,
    /// Who we say there that we are; a token alone needs none
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    user: Option<String>,
    /// Reads the password or token for URL as one line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Only branches that match, such as main,release/*
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    branches: Vec<String>,
    /// Leaves tags and notes out
    #[arg(long)]
    no_tags: bool,
    /// With --push: moves no branch of URL so that it loses commits
    #[arg(long, conflicts_with = "pull")]
    no_force: bool,
    /// With --pull: takes objects that git's checks only warn about
    #[arg(long, conflicts_with = "push")]
    accept_warnings: bool,
    /// Time between two syncs; 0s only when there is reason to [default: mirrors.every]
    #[arg(long, value_name = "TIME")]
    every: Option<Span>,
    /// Gives up what is in OWNER/NAME with --pull, at URL with --push; without it such a mirror is refused
    #[arg(long)]
    overwrite: bool,
}

/// One mirror.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The mirror's id, from `repo mirror list`
    id: i64,
}

/// `hakata repo imports …`
#[derive(Debug, Args)]
pub(crate) struct Imports {
    /// Gives one up; nothing is left of it
    #[arg(long, value_name = "ID")]
    cancel: Option<i64>,
    /// How many to list
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "cancel")]
    limit: u16,
}

impl MirrorCommand {
    /// Makes the administrative command, reading a password from standard input.
    pub(crate) fn into_command(self) -> Result<admin::RepoCommand, Failure> {
        use admin::MirrorCommand as Mirror;
        Ok(admin::RepoCommand::Mirror(match self {
            Self::Add(add) => Mirror::Add(add.into_command()?),
            Self::List { path } => Mirror::List { path },
            Self::Remove(One { id }) => Mirror::Remove { id: id.into() },
            Self::Sync(One { id }) => Mirror::Sync { id: id.into() },
            Self::Pause(One { id }) => Mirror::Pause { id: id.into() },
            Self::Resume(One { id }) => Mirror::Resume { id: id.into() },
        }))
    }
}

impl Add {
    fn into_command(self) -> Result<MirrorAdd, Failure> {
        let password = if self.password_stdin { Some(input::password_line()?) } else { None };
        Ok(MirrorAdd {
            path: self.path,
            direction: if self.pull { Direction::Pull } else { Direction::Push },
            url: self.url,
            user: self.user,
            password,
            branches: self.branches,
            tags: !self.no_tags,
            force: !self.no_force,
            accept_warnings: self.accept_warnings,
            every_s: self.every.map(|every| every.duration().as_secs()),
            overwrite: self.overwrite,
        })
    }
}

impl Imports {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::RepoCommand {
        admin::RepoCommand::Imports(match self.cancel {
            Some(id) => ImportsCommand::Cancel { id: id.into() },
            None => ImportsCommand::List { limit: self.limit },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, MirrorAdd};
    use crate::cli::{Cli, Command, RepoCommand};
    use clap::Parser;
    use hakata_forge::admin;

    fn read(line: &str) -> Option<MirrorAdd> {
        let cli = Cli::try_parse_from(line.split(' ')).ok()?;
        let Command::Repo(RepoCommand::Mirror(mirror)) = cli.command else { return None };
        match mirror.into_command().ok()? {
            admin::RepoCommand::Mirror(admin::MirrorCommand::Add(add)) => Some(add),
            _ => None,
        }
    }

    #[test]
    fn a_mirror_goes_one_way() {
        let pull = read("hakata repo mirror add a/b https://x/y --pull --branches main,release/* --every 2h");
        let pull = pull.unwrap();
        assert_eq!((pull.direction, pull.every_s), (Direction::Pull, Some(7_200)));
        assert_eq!(pull.branches, ["main", "release/*"]);
        assert!(pull.tags && pull.force && !pull.overwrite);
        let push =
            read("hakata repo mirror add a/b https://x/y --push --no-force --no-tags --overwrite").unwrap();
        assert!(push.overwrite);
        assert!(push.direction == Direction::Push && !push.force && !push.tags);
        for line in [
            "hakata repo mirror add a/b https://x/y",
            "hakata repo mirror add a/b https://x/y --pull --push",
            "hakata repo mirror add a/b https://x/y --pull --no-force",
            "hakata repo mirror add a/b https://x/y --push --user bot",
            "hakata repo mirror add a/b --push",
        ] {
            assert!(read(line).is_none(), "{line}");
        }
    }
}

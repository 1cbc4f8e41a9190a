//! `repo import`: one repository of this machine, or all below a directory.

use crate::cli::repositories::absolute;
use crate::output::Failure;
use clap::Args;
use hakata_forge::Visibility;
use hakata_forge::admin::{ImportTree, MissingOwners, RepoCommand};
use hakata_names::{OwnerName, RepositoryPath};
use std::path::PathBuf;

/// `hakata repo import …`
#[derive(Debug, Args)]
#[command(after_help = "\
Every repository below the directory of --tree is taken, bare ones and the .git of work trees: DIR/OWNER/NAME.git
becomes OWNER/NAME, or NAME of the owner that --owner names, however deep it lies. Symbolic links are not followed.
HEAD, description, all refs and the object format are kept. The server reads the directory if one runs, else this
command does. What fails is named, the rest goes on; the exit code is 1 then.")]
pub(crate) struct Import {
    /// The bare repository's directory
    #[arg(required_unless_present = "tree")]
    source: Option<PathBuf>,
    /// The repository to create
    #[arg(value_name = "OWNER/NAME", required_unless_present = "tree")]
    path: Option<RepositoryPath>,
    /// Lets everybody read it, or all of them
    #[arg(long)]
    public: bool,
    /// Takes objects that git's checks only warn about
    #[arg(long)]
    accept_warnings: bool,
    /// Takes over all repositories below a directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["source", "path"])]
    tree: Option<PathBuf>,
    /// With --tree: gives them all to one user or group
    #[arg(long, value_name = "NAME", requires = "tree", conflicts_with = "source")]
    owner: Option<OwnerName>,
    /// With --tree: leaves out names, or paths below DIR, such as '*.wiki.git' or 'old/*'
    #[arg(long, value_name = "PATTERN", requires = "tree", conflicts_with = "source")]
    exclude: Vec<String>,
    /// With --tree: passes over what is here, and finishes what a cut import left
    #[arg(long, requires = "tree", conflicts_with = "source")]
    skip_existing: bool,
    /// With --tree: tells what would be done, and does nothing
    #[arg(long, requires = "tree", conflicts_with = "source")]
    dry_run: bool,
    /// With --tree: makes missing owners users, who cannot sign in yet
    #[arg(long, requires = "tree", conflicts_with = "source")]
    create_users: bool,
    /// With --tree: makes missing owners groups that this user owns
    #[arg(long, value_name = "USER", requires = "tree", conflicts_with_all = ["source", "create_users"])]
    create_groups: Option<OwnerName>,
}

impl Import {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> Result<RepoCommand, Failure> {
        let visibility = if self.public { Visibility::Public } else { Visibility::Private };
        let accept_warnings = self.accept_warnings;
        match (self.tree, self.source, self.path) {
            (Some(directory), _, _) => Ok(RepoCommand::ImportTree(ImportTree {
                directory: absolute(&directory)?,
                owner: self.owner,
                exclude: self.exclude,
                visibility,
                accept_warnings,
                skip_existing: self.skip_existing,
                dry_run: self.dry_run,
                missing: match (self.create_groups, self.create_users) {
                    (Some(user), _) => MissingOwners::GroupsOf(user),
                    (None, true) => MissingOwners::Users,
                    (None, false) => MissingOwners::Refused,
                },
            })),
            (None, Some(source), Some(path)) => {
                Ok(RepoCommand::Import { source: absolute(&source)?, path, visibility, accept_warnings })
            }
            _ => Err(Failure::usage("name the directory and OWNER/NAME, or --tree DIR")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ImportTree, MissingOwners, RepoCommand};
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn read(line: &str) -> Option<RepoCommand> {
        let cli = Cli::try_parse_from(line.split(' ')).ok()?;
        let Command::Repo(crate::cli::RepoCommand::Import(import)) = cli.command else { return None };
        import.into_command().ok()
    }

    #[test]
    fn a_tree_and_a_single_repository_are_told_apart() {
        let tree =
            read("hakata repo import --tree dir --exclude a --exclude b --create-groups aiko --public");
        let Some(RepoCommand::ImportTree(ImportTree { directory, exclude, missing, .. })) = tree else {
            panic!("{tree:?}")
        };
        assert!(
            directory.is_absolute() && directory.ends_with("dir"),
            "a server has another working directory"
        );
        assert_eq!(exclude, ["a", "b"]);
        assert!(matches!(missing, MissingOwners::GroupsOf(user) if user.as_str() == "aiko"));
        assert!(matches!(read("hakata repo import dir a/b"), Some(RepoCommand::Import { .. })));
    }

    #[test]
    fn flags_of_the_one_do_not_fit_the_other() {
        for line in [
            "hakata repo import",
            "hakata repo import dir",
            "hakata repo import dir a/b --tree dir",
            "hakata repo import dir --tree dir",
            "hakata repo import dir a/b --dry-run",
            "hakata repo import dir a/b --owner c",
            "hakata repo import dir a/b --exclude c",
            "hakata repo import dir a/b --skip-existing",
            "hakata repo import dir a/b --create-users",
            "hakata repo import dir a/b --create-groups c",
            "hakata repo import --tree dir --create-users --create-groups c",
            "hakata repo import --tree dir --owner no/slash",
        ] {
            assert!(read(line).is_none(), "{line}");
        }
    }
}

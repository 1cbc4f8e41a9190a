//! `repo import`: one repository of this machine or of another host, or all below a directory.

use crate::cli::input;
use crate::cli::repositories::absolute;
use crate::output::Failure;
use clap::Args;
use hakata_forge::Visibility;
use hakata_forge::admin::{ImportTree, ImportUrl, MissingOwners, RepoCommand};
use hakata_names::{OwnerName, RepositoryPath};
use std::path::{Path, PathBuf};

/// `hakata repo import …`
#[derive(Debug, Args)]
#[command(after_help = "\
Every repository below the directory of --tree is taken, bare ones and the .git of work trees: DIR/OWNER/NAME.git
becomes OWNER/NAME, or NAME of the owner that --owner names, however deep it lies. Symbolic links are not followed.
HEAD, description, all refs and the object format are kept. The server reads the directory if one runs, else this
command does. What fails is named, the rest goes on; the exit code is 1 then.

A URL is imported by a worker, beside everything else: `hakata repo imports` tells how far it is. Branches, tags, notes
and HEAD are taken.")]
pub(crate) struct Import {
    /// The bare repository's directory, or the https:// URL of one of another host
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
    /// With a URL: who we say there that we are; a token alone needs none
    #[arg(long, value_name = "NAME", requires = "password_stdin", conflicts_with = "tree")]
    user: Option<String>,
    /// With a URL: reads the password or token for it as one line of standard input
    #[arg(long, conflicts_with = "tree")]
    password_stdin: bool,
    /// With a URL: how the objects there are named [default: sha1]
    #[arg(long, value_name = "FORMAT", value_parser = ["sha1", "sha256"], conflicts_with = "tree")]
    object_format: Option<String>,
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
            (None, Some(source), Some(path)) if is_url(&source) => {
                let password = if self.password_stdin { Some(input::password_line()?) } else { None };
                Ok(RepoCommand::ImportUrl(ImportUrl {
                    url: source.to_string_lossy().into_owned(),
                    path,
                    visibility,
                    user: self.user,
                    password,
                    object_format: self.object_format,
                    accept_warnings,
                }))
            }
            (None, Some(_), Some(_)) if self.password_stdin || self.object_format.is_some() => {
                Err(Failure::usage("a login and an object format are for URLs: https://…"))
            }
            (None, Some(source), Some(path)) => {
                Ok(RepoCommand::Import { source: absolute(&source)?, path, visibility, accept_warnings })
            }
            _ => Err(Failure::usage("name the directory and OWNER/NAME, or --tree DIR")),
        }
    }
}

/// Tells a URL from a path, which may have a colon in it but not two slashes behind it.
fn is_url(source: &Path) -> bool {
    source.as_os_str().as_encoded_bytes().windows(3).any(|window| window == b"://")
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
        let url = read("hakata repo import https://git.example.org/x.git a/b --object-format sha256");
        assert!(
            matches!(url, Some(RepoCommand::ImportUrl(url)) if url.url == "https://git.example.org/x.git")
        );
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
            "hakata repo import dir a/b --object-format sha1",
            "hakata repo import https://x/y a/b --user bot",
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

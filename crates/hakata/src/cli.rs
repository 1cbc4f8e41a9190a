//! The command line: every flag is defined once, here and below; help, completion and man pages come from it.

mod accounts;
mod bare;
mod hooks;
mod id;
mod import;
mod input;
mod lfs;
mod listen_on;
mod mail;
mod mirrors;
mod queue;
mod repositories;
mod rpc;
mod tools;
mod words;

pub(crate) use accounts::{GroupCommand, KeyCommand, TokenCommand, UserCommand};
pub(crate) use bare::{BareArgs, Switch};
pub(crate) use hooks::HookCommand;
pub(crate) use id::{IdArgs, IdCommand, with_two_hyphens};
pub(crate) use input::public_keys;
pub(crate) use lfs::LfsArgs;
pub(crate) use listen_on::ListenOn;
pub(crate) use mail::MailCommand;
pub(crate) use queue::QueueCommand;
pub(crate) use repositories::RepoCommand;
pub(crate) use rpc::{CallArgs, RouteName, RpcArgs, RpcCommand};
pub(crate) use tools::{ConfigCommand, Page, Shell, completion, man, version};

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// A self-hosted Git hosting system in one program.
#[derive(Debug, Parser)]
#[command(
    name = "hakata",
    version,
    disable_help_subcommand = true,
    propagate_version = false,
    max_term_width = 100
)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 not found, 4 refused.")]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) place: Place,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which Hakata is meant, and how to answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Directory of everything Hakata keeps [default: ./hakata-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file [default: hakata.toml in the data directory, if there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Sets a configuration key, over file and environment
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Answers with one JSON object, or one a line for lists
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves everything: Git over HTTP and SSH, and Git LFS
    Serve(ServeArgs),
    /// Serves Git and Git LFS over HTTP alone
    Http(ServeArgs),
    /// Serves Git over SSH alone
    Ssh(ServeArgs),
    /// Serves Git LFS alone, or looks after it
    Lfs(Box<LfsArgs>),
    /// Works at jobs alone: what is done after pushes
    Worker(ServeArgs),
    /// Serves a folder of ordinary bare repositories over HTTP, without a database
    Bare(BareArgs),
    /// Serves unique integers alone, to clients of katsubushi and memcached
    Id(Box<IdArgs>),
    /// Serves repository operations alone, to other programs, or calls one
    Rpc(Box<RpcArgs>),
    /// Tells whether a server runs here, and how it does
    Status,
    /// Looks for what is wrong with this installation
    Doctor,
    /// Manages people's accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Manages SSH keys of people and of repositories
    #[command(subcommand)]
    Key(KeyCommand),
    /// Manages access tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Manages repositories
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Manages groups and their members
    #[command(subcommand)]
    Group(GroupCommand),
    /// Shows and manages jobs: what is done after pushes
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Manages webhooks
    #[command(subcommand)]
    Hook(HookCommand),
    /// Looks after mail
    #[command(subcommand)]
    Mail(MailCommand),
    /// Checks, shows, explains or writes the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints a completion script
    Completion {
        /// The shell to complete for
        shell: Shell,
    },
    /// Writes the manual pages into a directory
    Man {
        /// The directory; it must exist
        dir: PathBuf,
    },
    /// Prints the version
    Version,
    /// Prints a generated page of docs/
    #[command(hide = true)]
    Reference {
        /// The page
        page: Page,
    },
    /// Waits for the death of the server that started this, and kills its git processes
    #[command(hide = true)]
    Warden {
        /// What these have in their environment
        mark: OsString,
    },
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Where Git over HTTP listens, or off, as http.address
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<ListenOn>,
    /// Where Git over SSH listens, or off, as ssh.address
    #[arg(long, value_name = "ADDR")]
    pub(crate) ssh: Option<ListenOn>,
    /// Where metrics and health listen, or off, as admin.address
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<ListenOn>,
    /// Writes the bound addresses here as JSON when every listener is up
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Kills the process at the Nth pass of a named point, or panics there, for tests
    #[arg(long, hide = true, value_name = "NAME:N[:panic]")]
    pub(crate) fault: Option<String>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("write it KEY=VALUE, such as http.address=127.0.0.1:8080")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["hakata --data d --json status", "hakata status --data d --json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.place.json && cli.place.data.as_deref() == Some(std::path::Path::new("d")), "{line}");
        }
        let cli = Cli::try_parse_from(["hakata", "serve", "--set", "log.level=a=debug"]).unwrap();
        assert_eq!(cli.place.set, [("log.level".to_owned(), "a=debug".to_owned())]);
    }

    #[test]
    fn the_example_units_start_what_there_is() {
        let unit = include_str!("../../../deploy/hakata.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(matches!(cli.command, Command::Serve(_)) && cli.place.data.is_some(), "{line}");
        let sockets = [
            include_str!("../../../deploy/hakata-http.socket"),
            include_str!("../../../deploy/hakata-ssh.socket"),
        ];
        for (socket, name) in sockets.iter().zip(["http", "ssh"]) {
            assert!(socket.contains(&format!("FileDescriptorName={name}\n")), "{socket}");
        }
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        for line in [
            "hakata",
            "hakata frob",
            "hakata serve --http nowhere",
            "hakata serve --admin of",
            "hakata user add",
            "hakata token new --user a",
            "hakata key add a:b k.pub",
            "hakata repo create tools",
            "hakata token new --user a --scope repo:wirte",
            "hakata --set x status",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}

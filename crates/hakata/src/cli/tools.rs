//! `config`, completion and manual pages: what needs no running Hakata.

use crate::cli::{Cli, Place};
use crate::config::{self, Layers};
use crate::output::{Answer, Failure};
use crate::reference;
use clap::{CommandFactory, Subcommand, ValueEnum};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// `hakata config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Names every problem of the configuration
    Check,
    /// Prints the values in force
    Show {
        /// Also says where each came from
        #[arg(long)]
        origin: bool,
    },
    /// Writes a commented configuration file
    Init {
        /// The file [default: that of --config, else hakata.toml in the data directory]
        file: Option<std::path::PathBuf>,
    },
    /// Explains a key, a section, or all of them
    Help {
        /// section.key, or section
        key: Option<String>,
    },
}

/// Shells with completion.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Pages of docs/ that the program makes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Page {
    /// configuration.md
    Configuration,
    /// metrics.md
    Metrics,
    /// rpc-operations.md
    Operations,
}

impl Page {
    /// Prints the page.
    pub(crate) fn print(self) -> Answer {
        Answer::Raw(match self {
            Self::Configuration => config::reference(),
            Self::Metrics => reference::metrics_page(),
            Self::Operations => reference::operations_page(),
        })
    }
}

impl ConfigCommand {
    /// Runs the command.
    pub(crate) fn run(&self, place: &Place) -> Result<Answer, Failure> {
        match self {
            Self::Check => {
                let layers = Layers::read(place, &[])?;
                let file = layers
                    .file()
                    .map_or("none, defaults in use".to_owned(), |path| path.display().to_string());
                Ok(Answer::Text(
                    format!("configuration {file}: no problems"),
                    json!({ "file": file, "problems": [] }),
                ))
            }
            Self::Show { origin } => Ok(Layers::read(place, &[])?.show(*origin)),
            Self::Init { file } => init(&file.clone().unwrap_or_else(|| config::file_to_write(place))),
            Self::Help { key } => config::help(key.as_deref()).map(Answer::Table),
        }
    }
}

/// Writes the commented file, never over one that exists.
fn init(path: &Path) -> Result<Answer, Failure> {
    let act = || format!("writing {}", path.display());
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| Failure::failed(act(), &error))?;
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(
                Failure::refused(format!("{} exists already", path.display())).with_hint("name another file")
            );
        }
        made => made.map_err(|error| Failure::failed(act(), &error))?,
    };
    file.write_all(config::template().as_bytes()).map_err(|error| Failure::failed(act(), &error))?;
    Ok(Answer::Text(format!("wrote {}", path.display()), json!({ "file": path.display().to_string() })))
}

/// Makes a completion script.
pub(crate) fn completion(shell: Shell) -> Answer {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hakata", &mut script);
    Answer::Raw(String::from_utf8_lossy(&script).into_owned())
}

/// Writes a manual page for each command.
pub(crate) fn man(dir: &Path) -> Result<Answer, Failure> {
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|error| Failure::failed(format!("writing manual pages into {}", dir.display()), &error))?;
    Ok(Answer::Text(
        format!("wrote manual pages into {}", dir.display()),
        json!({ "dir": dir.display().to_string() }),
    ))
}

/// Tells the version.
pub(crate) fn version() -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    Answer::Text(format!("hakata {version}"), json!({ "version": version }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_and_manual_pages_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let Answer::Raw(script) = completion(shell) else { panic!("a script is printed as it is") };
            assert!(script.contains("serve") && !script.is_empty(), "{shell:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        man(folder.path()).unwrap();
        for page in ["hakata.1", "hakata-serve.1", "hakata-user-add.1"] {
            let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(!text.contains("NAME:N"), "{page} names no hidden flag");
        }
    }

    #[test]
    fn init_writes_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/hakata.toml");
        init(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), config::template());
        assert_eq!(init(&path).unwrap_err().kind, "refused");
    }
}

//! Configuration: one table of keys, four sources, every problem at once.
//!
//! A flag wins over an environment variable, that over the file, that over the default. Every document about keys is
//! made from the table in `keys`.

mod check;
pub(crate) mod environment;
mod id;
mod jobs;
mod keys;
mod lfs;
mod mail;
mod mirrors;
mod rabbitmq;
mod raw;
mod routes;
mod rpc;
mod rpc_client;
mod settings;
mod show;
mod storage;
mod value;
mod webhooks;

pub(crate) use id::{Id, IdListen};
pub(crate) use raw::Setting;
pub(crate) use rpc_client::RpcClient;
pub(crate) use settings::{Listen, Log, Public, Server, Settings};
pub(crate) use show::{reference, template};
pub(crate) use storage::{Move, Storage};

use crate::cli::Place;
use crate::output::{Answer, Exit, Failure, Table};
use raw::{Problem, Sources, Values};
use std::path::{Path, PathBuf};

/// The default data directory.
const DATA: &str = "./hakata-data";
/// The configuration file of a data directory.
const FILE: &str = "hakata.toml";

/// All sources, read.
#[derive(Debug)]
pub(crate) struct Layers {
    values: Values,
    file: Option<PathBuf>,
}

impl Layers {
    /// Reads every source; `flags` are those of the command beside the general ones.
    ///
    /// # Errors
    /// All problems in one failure.
    pub(crate) fn read(place: &Place, flags: &[Setting]) -> Result<Self, Failure> {
        let file = file_to_read(place);
        let read = |path: PathBuf| match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => {
                Err(Failure::new(Exit::Usage, "configuration", format!("{}: {error}", path.display())))
            }
        };
        let file = file.map(read).transpose()?;
        let mut sources = Sources { file, environment: environment::variables(), flags: flags.to_vec() };
        let set = |(key, value): &(String, String)| Setting {
            key: key.clone(),
            value: value.clone(),
            flag: "--set",
        };
        sources.flags.extend(place.set.iter().map(set));
        if let Some(data) = &place.data {
            let value = data.to_string_lossy().into_owned();
            sources.flags.push(Setting { key: "server.data".to_owned(), value, flag: "--data" });
        }
        let values = Values::read(&sources).map_err(|problems| failure(&problems))?;
        check::check(&values).map_err(|problems| failure(&problems))?;
        Ok(Self { values, file: sources.file.map(|(path, _)| path) })
    }

    /// Tells which file was read, if any.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Tells the data directory, as written.
    pub(crate) fn data(&self) -> &Path {
        Path::new(self.values.get("server.data").text())
    }

    /// Tells whether nothing sets a key.
    pub(crate) fn is_default(&self, name: &'static str) -> bool {
        *self.values.origin(name) == raw::Origin::Default
    }

    /// Gives the values as the settings of the parts; `data` is the data directory, absolute.
    pub(crate) fn settings(&self, data: &Path) -> Settings {
        Settings::new(&self.values, data)
    }

    /// Lists the keys whose values are not those of `other`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = |key: &&keys::Key| self.values.get(key.name) != other.values.get(key.name);
        keys::all().filter(differs).map(|key| key.name).collect()
    }

    /// Lists the values in force.
    pub(crate) fn show(&self, with_origin: bool) -> Answer {
        let table = show::values(&self.values);
        Answer::Table(if with_origin { table } else { table.without_last_column() })
    }
}

/// Explains one key, a section, or all keys.
///
/// # Errors
/// Not found, with the nearest name.
pub(crate) fn help(name: Option<&str>) -> Result<Table, Failure> {
    show::help(name).map_err(|near| {
        let failure =
            Failure::new(Exit::NotFound, "not_found", format!("no key is called {}", name.unwrap_or("")));
        match near {
            Some(near) => failure.with_hint(format!("did you mean {near}?")),
            None => failure.with_hint("hakata config help lists all keys"),
        }
    })
}

/// Tells where `config init` writes when no file is named.
pub(crate) fn file_to_write(place: &Place) -> PathBuf {
    place.config.clone().or_else(environment::config_file).unwrap_or_else(|| data(place).join(FILE))
}

/// The file that is named, or the one that lies in the data directory.
fn file_to_read(place: &Place) -> Option<PathBuf> {
    let named = place.config.clone().or_else(environment::config_file);
    named.or_else(|| Some(data(place).join(FILE)).filter(|path| path.exists()))
}

/// The data directory as far as it is known before the file is read.
fn data(place: &Place) -> PathBuf {
    place.data.clone().or_else(environment::data_directory).unwrap_or_else(|| PathBuf::from(DATA))
}

fn failure(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    let n_problems = match problems.len() {
        1 => "the configuration has a problem".to_owned(),
        n => format!("the configuration has {n} problems"),
    };
    let message = format!("{n_problems}\n{}", lines.join("\n"));
    Failure::new(Exit::Usage, "configuration", message).with_hint("hakata config help lists all keys")
}

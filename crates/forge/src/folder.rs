//! A folder of ordinary bare repositories, served by its operator without a database.
//!
//! It is the other host beside a [`Forge`](crate::Forge): who may do what follows from each repository's own
//! configuration and from a file of names and passwords, as with `git http-backend` behind a web server, and git does
//! all the work. A face asks [`Folder::open`] for a repository and [`Opened::allow`] for a service of it;
//! what comes back is the grant.
//!
//! ```text
//! Authorization ─▶ sign_in ─▶ Visitor ─┐
//! path ─────────▶ open ─────▶ Opened ──┴▶ allow ─▶ Allowed ─▶ advertise, converse
//!                                 └─▶ file ─▶ objects for the old protocol
//! ```

mod errors;
mod file;
mod htpasswd;
mod people;
mod secrets;
mod serve;

use std::sync::Arc;

use hakata_git::bare::{Configuration, FindError, OddValue, Repository, Root};
use hakata_runtime::units::ByteSize;

pub use file::{DumbFile, FileReply, Sent};
pub use hakata_git::bare::{Program, Visitor};
pub use htpasswd::{Htpasswd, OpenHtpasswdError};
pub use people::{People, PeopleSettings};
pub use serve::{Allowed, protocol_version};

pub(crate) use people::metrics;

use crate::{Error, Kind};

/// The largest request of a fetch where a repository sets none. Source: git-config(1), `http.maxRequestBuffer`.
const MAX_REQUEST: ByteSize = ByteSize::mib(10);

/// The least that git takes for it. Source: `read_request_eof` in http-backend.c.
const LEAST_REQUEST: u64 = 8 << 10;

/// A folder of repositories and the people who may push there; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct Folder {
    root: Root,
    people: Option<Arc<People>>,
}

/// What a path of a URL leads to.
#[derive(Clone, Debug)]
pub enum Place {
    /// A repository that is served.
    Repository(Opened),
    /// Nothing that is served.
    Absent,
    /// Something that git's own server chokes on.
    Broken,
}

/// A repository that is served, and what its configuration says of that.
#[derive(Clone, Debug)]
pub struct Opened {
    repository: Repository,
    rules: Rules,
    asks_for_names: bool,
}

/// What a repository's configuration says about serving it. Source: git-http-backend(1), git-config(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    upload_pack: Option<bool>,
    receive_pack: Option<bool>,
    upload_archive: Option<bool>,
    any_file: bool,
    max_request: ByteSize,
}

impl Folder {
    /// Serves `root`; without `people` everybody is anonymous.
    pub fn new(root: Root, people: Option<People>) -> Self {
        Self { root, people: people.map(Arc::new) }
    }

    /// Tells whether there is a file of people: then a client that may not push is asked for its name.
    pub fn has_people(&self) -> bool {
        self.people.is_some()
    }

    /// Finds the repository at a path and reads its configuration.
    ///
    /// # Errors
    /// When git refuses the repository, its configuration makes no sense, or there is no room.
    pub async fn open(&self, below: &[u8]) -> Result<Place, Error> {
        let repository = match self.root.find(below).await {
            Ok(Some(repository)) if repository.is_exported() => repository,
            Ok(found) => {
                if let Some(repository) = found {
                    tracing::debug!(repository.path = %repository.path().display(), "repository is not exported");
                }
                return Ok(Place::Absent);
            }
            Err(error @ FindError::File { .. }) => {
                tracing::debug!("{error}");
                return Ok(Place::Broken);
            }
            Err(FindError::Busy(busy)) => return Err(busy.into()),
        };
        let configuration = repository.configuration().await?;
        let rules = Rules::read(&configuration).map_err(|odd| self.odd(&repository, odd))?;
        Ok(Place::Repository(Opened { repository, rules, asks_for_names: self.has_people() }))
    }

    fn odd(&self, repository: &Repository, odd: OddValue) -> Error {
        let path = repository.path().display();
        Error::new(Kind::Internal, "internal error")
            .with_source(odd)
            .with_hint(format!("the operator finds it with: git -C '{path}' config list --show-origin"))
    }
}

impl Rules {
    fn read(configuration: &Configuration) -> Result<Self, OddValue> {
        let max_request = configuration.size("http.maxrequestbuffer")?;
        let max_request = max_request.map_or(MAX_REQUEST, |bytes| ByteSize::new(bytes.max(LEAST_REQUEST)));
        Ok(Self {
            upload_pack: configuration.flag(Program::UploadPack.key())?,
            receive_pack: configuration.flag(Program::ReceivePack.key())?,
            upload_archive: configuration.flag(Program::UploadArchive.key())?,
            any_file: configuration.flag("http.getanyfile")?.unwrap_or(true),
            max_request,
        })
    }

    /// Tells whether a visitor may use a program: by default all fetch, and who has a name pushes.
    fn verdict(&self, program: Program, visitor: &Visitor) -> bool {
        let is_known = !visitor.user.is_empty();
        match program {
            Program::UploadPack => self.upload_pack.unwrap_or(true),
            Program::ReceivePack => self.receive_pack.unwrap_or(is_known),
            Program::UploadArchive => self.upload_archive.unwrap_or(is_known),
        }
    }

    /// Tells whether a name would make a difference.
    fn asks_for_a_name(&self, program: Program) -> bool {
        match program {
            Program::UploadPack => false,
            Program::ReceivePack => self.receive_pack.is_none(),
            Program::UploadArchive => self.upload_archive.is_none(),
        }
    }
}

impl Opened {
    /// Decides whether a visitor may use a program of it.
    ///
    /// # Errors
    /// [`Kind::Forbidden`]; [`Kind::Unauthenticated`] where a name would help and there are names.
    pub fn allow(&self, program: Program, visitor: Visitor) -> Result<Allowed, Error> {
        if self.rules.verdict(program, &visitor) {
            return Ok(Allowed::new(self.repository.clone(), program, visitor, self.rules.max_request));
        }
        if self.asks_for_names && visitor.user.is_empty() && self.rules.asks_for_a_name(program) {
            return Err(Error::sign_in());
        }
        Err(Error::new(Kind::Forbidden, format!("service not enabled: {}", program.name())))
    }

    /// Tells whether clients of the old protocol may read files.
    pub fn allows_files(&self) -> bool {
        self.rules.any_file
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_REQUEST, Program, Rules, Visitor};

    #[test]
    fn who_may_do_what_is_gits_own_table() {
        let unset = Rules {
            upload_pack: None,
            receive_pack: None,
            upload_archive: None,
            any_file: true,
            max_request: MAX_REQUEST,
        };
        let set = |flag| Rules {
            upload_pack: Some(flag),
            receive_pack: Some(flag),
            upload_archive: Some(flag),
            ..unset
        };
        let anonymous = Visitor::default();
        let known = Visitor { user: "alice".to_owned(), address: None };
        for (rules, program, expected) in [
            (unset, Program::UploadPack, [true, true]),
            (unset, Program::ReceivePack, [false, true]),
            (unset, Program::UploadArchive, [false, true]),
            (set(true), Program::UploadPack, [true, true]),
            (set(true), Program::ReceivePack, [true, true]),
            (set(false), Program::UploadPack, [false, false]),
            (set(false), Program::ReceivePack, [false, false]),
            (set(false), Program::UploadArchive, [false, false]),
        ] {
            let verdicts = [&anonymous, &known].map(|visitor| rules.verdict(program, visitor));
            assert_eq!(verdicts, expected, "{program:?} {rules:?}");
            assert_eq!(rules.asks_for_a_name(program), !expected[0] && expected[1], "{program:?} {rules:?}");
        }
    }
}

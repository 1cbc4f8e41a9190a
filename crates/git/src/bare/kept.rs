//! Answers of git about refs, kept while the files that they were made from have not changed.
//!
//! What a client hears is what git said, byte for byte; only that it still holds is decided here. So hidden refs,
//! every way to store refs and every capability come out right without our knowing them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use hakata_names::ObjectFormat;
use hakata_pkt_line::{DELIM, FLUSH, encode};
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::metrics::{CounterFamily, Label, Metric};
use hakata_runtime::units::ByteSize;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::configuration::{Known, ReadConfigurationError};
use super::listing::Listing;
use super::root::Repository;
use super::stamps::Stamps;
use crate::command::Subcommand;
use crate::process::{ChildError, ask};
use crate::serve::ProtocolVersion;

/// Longest answer that is read, in bytes: some millions of refs.
const MAX_ANSWER: u64 = 512 << 20;

/// Most configurations that are kept, and the typical count of answers.
const MAX_CONFIGURATIONS: usize = 10_000;

/// Longest request whose answer is kept, in bytes.
const MAX_REQUEST: usize = 4 << 10;

static ANSWERED: CounterFamily<From> = CounterFamily::new(
    "hakata_bare_listings_total",
    "Answers about refs of an operator's own repositories, by where they came from",
);

/// Lists the metrics of answers.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&ANSWERED]
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Memory,
    Git,
}

impl Label for From {
    const KEY: &'static str = "from";

    fn value(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Git => "git",
        }
    }
}

/// What git can be asked about refs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// The advertisement of upload-pack.
    Advertisement(ProtocolVersion),
    /// `ls-refs` without prefixes and with everything that it can say of a ref.
    Listing(ObjectFormat),
}

/// An answer and the state of the files behind it.
#[derive(Debug)]
struct Answer {
    bytes: Bytes,
    stamps: Stamps,
}

type Place = (PathBuf, Question);

/// Weighs an answer by its bytes, its stamps and something for the rest.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Place, Arc<Answer>> for Weight {
    fn weight(&self, place: &Place, answer: &Arc<Answer>) -> u64 {
        (512 + place.0.as_os_str().len() + answer.bytes.len() + answer.stamps.weight()) as u64
    }
}

/// A request of a repository.
type Asked = (PathBuf, Bytes);

/// The listing that an answer was made from, by whose place in memory it is known again, and the answer.
type Derived = (Bytes, Bytes);

impl Weighter<Asked, Derived> for Weight {
    fn weight(&self, asked: &Asked, derived: &Derived) -> u64 {
        (512 + asked.0.as_os_str().len() + asked.1.len() + derived.0.len() + derived.1.len()) as u64
    }
}

/// What is kept of all repositories of a folder.
#[derive(Debug)]
pub(super) struct Kept {
    is_on: bool,
    configurations: Cache<PathBuf, Arc<Known>>,
    answers: Cache<Place, Arc<Answer>, Weight>,
    /// Answers to requests that clients repeat, made from listings.
    derived: Cache<Asked, Derived, Weight>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The repository's configuration cannot be had.
    #[error("reading the configuration")]
    Configuration(#[source] ReadConfigurationError),
    /// git did not run.
    #[error("asking git for refs")]
    Child(#[source] ChildError),
    /// There was no thread to look at files.
    #[error("looking at refs")]
    Busy(#[source] BlockingError),
}

impl Kept {
    pub(super) fn new(size: ByteSize, is_on: bool) -> Self {
        Self {
            is_on,
            configurations: Cache::new(MAX_CONFIGURATIONS),
            answers: Cache::with_weighter(MAX_CONFIGURATIONS, size.bytes() / 2, Weight),
            derived: Cache::with_weighter(MAX_CONFIGURATIONS, size.bytes() / 2, Weight),
        }
    }

    pub(super) fn configuration(&self, dir: &Path) -> Option<Arc<Known>> {
        self.configurations.get(dir)
    }

    pub(super) fn keep_configuration(&self, dir: &Path, known: &Arc<Known>) {
        if known.stamps.is_some() {
            self.configurations.insert(dir.to_owned(), known.clone());
        }
    }
}

impl Repository {
    /// Returns git's advertisement of upload-pack, without the line that HTTP puts before it.
    ///
    /// # Errors
    /// When git cannot be asked. A git that fails has said what it could, which is the answer.
    pub async fn fetch_advertisement(&self, version: ProtocolVersion) -> Result<Bytes, AnswerError> {
        self.answer(Question::Advertisement(version)).await.map(|(bytes, _)| bytes)
    }

    /// Answers a request of version 2 if it is a plain `ls-refs`; `None` if git must be asked the very question of the
    /// client.
    ///
    /// # Errors
    /// As [`fetch_advertisement`](Self::fetch_advertisement).
    pub async fn answer_ls_refs(&self, request: &[u8]) -> Result<Option<Bytes>, AnswerError> {
        let Some(listing) = self.listing().await? else { return Ok(None) };
        if request.len() > MAX_REQUEST {
            return Ok(listing.answer(request));
        }
        let asked = (self.path().to_owned(), Bytes::copy_from_slice(request));
        let derived = &self.root().kept().derived;
        // The entry holds its listing, so no other can have the same place in memory.
        if let Some((of, answer)) = derived.get(&asked)
            && (of.as_ptr(), of.len()) == (listing.lines.as_ptr(), listing.lines.len())
        {
            return Ok(Some(answer));
        }
        let Some(answer) = listing.answer(request) else { return Ok(None) };
        derived.insert(asked, (listing.lines, answer.clone()));
        Ok(Some(answer))
    }

    /// Returns git's answer to an `ls-refs` of everything, if that can be asked.
    async fn listing(&self) -> Result<Option<Listing>, AnswerError> {
        if !self.root().kept().is_on {
            return Ok(None);
        }
        let known = self.known().await.map_err(AnswerError::Configuration)?;
        let Some(format) = known.configuration.object_format() else { return Ok(None) };
        let (bytes, is_whole) = self.answer_with(&known, Question::Listing(format)).await?;
        Ok(is_whole.then_some(Listing { format, lines: bytes }))
    }

    async fn answer(&self, question: Question) -> Result<(Bytes, bool), AnswerError> {
        let known = self.known().await.map_err(AnswerError::Configuration)?;
        self.answer_with(&known, question).await
    }

    /// Finds an answer that still holds, or asks git; tells also whether git succeeded.
    async fn answer_with(&self, known: &Known, question: Question) -> Result<(Bytes, bool), AnswerError> {
        let kept = self.root().kept();
        let may_keep = kept.is_on && !known.configuration.is_restless();
        let of_configuration = known.stamps.clone().filter(|_| may_keep);
        let Some(of_configuration) = of_configuration else {
            return self.ask(question).await;
        };
        let place = (self.path().to_owned(), question);
        let found = kept.answers.get(&place);
        let (dir, now) = (self.path().to_owned(), SystemTime::now());
        let looked = self.git().blocking().run(move || match found {
            Some(found) if found.stamps.hold() => Ok(found),
            _ => Err(Stamps::of_refs(&dir).ok().filter(|stamps| stamps.were_settled(now))),
        });
        let before = match looked.await.map_err(AnswerError::Busy)? {
            Ok(found) => {
                ANSWERED.get(From::Memory).inc();
                return Ok((found.bytes.clone(), true));
            }
            Err(before) => before,
        };
        let (bytes, is_whole) = self.ask(question).await?;
        if let Some(before) = before.filter(|_| is_whole) {
            let stamps = of_configuration.with(&before);
            let answer = Arc::new(Answer { bytes: bytes.clone(), stamps });
            let checked = answer.clone();
            let still = self.git().blocking().run(move || checked.stamps.hold());
            if still.await.map_err(AnswerError::Busy)? {
                kept.answers.insert(place, answer);
            }
        }
        Ok((bytes, is_whole))
    }

    async fn ask(&self, question: Question) -> Result<(Bytes, bool), AnswerError> {
        ANSWERED.get(From::Git).inc();
        let command = self.command(Subcommand::UploadPack);
        let (command, request) = match question {
            Question::Advertisement(version) => {
                let command = command.flag("--http-backend-info-refs").flag(".");
                let protocol = match version {
                    ProtocolVersion::V0 => None,
                    ProtocolVersion::V1 => Some("version=1"),
                    ProtocolVersion::V2 => Some("version=2"),
                };
                match protocol {
                    Some(protocol) => (command.env("GIT_PROTOCOL", protocol), Vec::new()),
                    None => (command, Vec::new()),
                }
            }
            Question::Listing(format) => {
                let command = command.flag("--stateless-rpc").flag(".").env("GIT_PROTOCOL", "version=2");
                (command, list_everything(format))
            }
        };
        let (finished, said) =
            ask(self.git(), &command, request, MAX_ANSWER).await.map_err(AnswerError::Child)?;
        let is_whole = finished.status.success() && (said.len() as u64) < MAX_ANSWER;
        if !is_whole {
            let (path, said) = (self.path().display(), finished.message());
            tracing::warn!(repository.path = %path, git.said = said, "git cannot list the refs of a repository");
        }
        Ok((said.into(), is_whole))
    }
}

/// Writes the request for every ref and everything about it. Source: gitprotocol-v2(5), `ls-refs`.
fn list_everything(format: ObjectFormat) -> Vec<u8> {
    let mut request = Vec::new();
    encode(b"command=ls-refs\n", &mut request);
    encode(format!("object-format={}\n", format.name()).as_bytes(), &mut request);
    request.extend_from_slice(DELIM);
    for argument in [&b"peel\n"[..], b"symrefs\n", b"unborn\n"] {
        encode(argument, &mut request);
    }
    request.extend_from_slice(FLUSH);
    request
}

//! What a client asks: a command, its arguments, and whether something follows them.

use std::collections::BTreeMap;

use hakata_names::{LfsLockId, LfsOid};
use hakata_pkt_line::Packet;
use http::StatusCode;

use super::reply::Reply;
use super::wire::{Wire, WireError};
use crate::metrics::Request;
use crate::route::lock_of;

/// Most arguments of one request; clients send four.
const MAX_ARGUMENTS: usize = 32;

/// Lines of a refused request that are read to its end, so that its client sees why.
const MAX_LINES: usize = 1_000;

/// Longest command and longest argument, in bytes: the longest path there may be, and its name.
const MAX_LINE: usize = 8 << 10;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `version N`
    Version(String),
    /// `batch`
    Batch,
    /// `get-object OID`
    Get(LfsOid),
    /// `put-object OID`
    Put(LfsOid),
    /// `verify-object OID`
    Verify(LfsOid),
    /// `lock`
    Lock,
    /// `list-lock`; git-lfs 3.0 to 3.3 write `list-locks` before a push.
    ListLocks,
    /// `unlock ID`
    Unlock(LfsLockId),
    /// `quit`
    Quit,
}

/// The arguments of a request, by name; those that nobody knows are among them and never asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments(BTreeMap<String, String>);

/// A request up to its delimiter or end.
#[derive(Debug)]
pub(super) struct Head {
    /// What is asked for, or what is to be said about that.
    pub(super) command: Result<Command, Reply>,
    /// Its arguments.
    pub(super) arguments: Arguments,
}

impl Head {
    /// Reads the next request; `None` when the client has left between two.
    pub(super) async fn read(wire: &mut Wire) -> Result<Option<Self>, WireError> {
        let line = match wire.packet().await {
            Err(WireError::Left) => return Ok(None),
            Ok(Some(Packet::Data(line))) => line,
            Ok(_) => return Err(WireError::Odd),
            Err(error) => return Err(error),
        };
        let mut command = text(&line).and_then(|line| Command::parse(&line));
        let mut arguments = Arguments::default();
        let mut n_lines = 0;
        while let Some(Packet::Data(line)) = wire.packet().await? {
            n_lines += 1;
            if n_lines > MAX_LINES {
                return Err(WireError::Odd);
            }
            if let Err(reply) = text(&line).and_then(|line| arguments.insert(&line)) {
                // What was wrong first is said.
                command = command.and(Err(reply));
            }
        }
        Ok(Some(Self { command, arguments }))
    }

    /// What is counted.
    pub(super) fn label(&self) -> Request {
        match &self.command {
            Ok(Command::Batch) => Request::Batch,
            Ok(Command::Get(_)) => Request::Download,
            Ok(Command::Put(_)) => Request::Upload,
            Ok(Command::Verify(_)) => Request::Verify,
            Ok(Command::Lock | Command::ListLocks | Command::Unlock(_)) => Request::Locks,
            Ok(Command::Version(_) | Command::Quit) | Err(_) => Request::None,
        }
    }
}

/// Reads a line of text; the line feed at its end is not part of it.
pub(super) fn text(line: &[u8]) -> Result<String, Reply> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() > MAX_LINE {
        return Err(Reply::refuse(StatusCode::PAYLOAD_TOO_LARGE, "a line is too long"));
    }
    let text = std::str::from_utf8(line).ok().filter(|text| !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| invalid("a line is not UTF-8, or has a zero in it"))
}

fn invalid(words: &str) -> Reply {
    Reply::refuse(StatusCode::BAD_REQUEST, words)
}

impl Command {
    fn parse(line: &str) -> Result<Self, Reply> {
        let (verb, operand) = line.split_once(' ').unwrap_or((line, ""));
        let oid = || {
            let oid = LfsOid::parse(operand.as_bytes());
            oid.map_err(|error| Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, error))
        };
        match (verb, operand) {
            ("version", version) => Ok(Self::Version(version.to_owned())),
            ("batch", "") => Ok(Self::Batch),
            ("get-object", _) => oid().map(Self::Get),
            ("put-object", _) => oid().map(Self::Put),
            ("verify-object", _) => oid().map(Self::Verify),
            ("lock", "") => Ok(Self::Lock),
            ("list-lock" | "list-locks", "") => Ok(Self::ListLocks),
            ("unlock", id) => lock_of(id).map(Self::Unlock).ok_or_else(|| {
                Reply::refuse(StatusCode::NOT_FOUND, "there is no such lock in this repository")
            }),
            ("quit", "") => Ok(Self::Quit),
            _ => Err(invalid("there is no such command")),
        }
    }
}

impl Arguments {
    fn insert(&mut self, line: &str) -> Result<(), Reply> {
        let (name, value) = line.split_once('=').ok_or_else(|| invalid("an argument is NAME=VALUE"))?;
        if self.0.len() >= MAX_ARGUMENTS {
            return Err(invalid("the request has too many arguments"));
        }
        match self.0.insert(name.to_owned(), value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(invalid("an argument is there twice")),
        }
    }

    /// Finds an argument; an empty one says nothing.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Reads a number of bytes or of other things.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Reply> {
        let Some(value) = self.find(name) else { return Ok(None) };
        let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        let words = || Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, format!("{name} is a whole number"));
        number.map(Some).ok_or_else(words)
    }

    /// Reads the length of an object, which must be there.
    pub(super) fn size(&self) -> Result<u64, Reply> {
        // Rows hold signed numbers.
        let size = self.number("size")?.filter(|size| i64::try_from(*size).is_ok());
        size.ok_or_else(|| invalid("the request does not say how long the object is"))
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::{LfsLockId, LfsOid};

    use super::{Arguments, Command};

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    #[test]
    fn h3_to_h6_commands_are_exactly_those_that_exist() {
        let oid = LfsOid::parse(OID.as_bytes()).unwrap();
        for (line, command) in [
            ("version 1".to_owned(), Command::Version("1".to_owned())),
            ("batch".to_owned(), Command::Batch),
            (format!("get-object {OID}"), Command::Get(oid)),
            (format!("put-object {OID}"), Command::Put(oid)),
            (format!("verify-object {OID}"), Command::Verify(oid)),
            ("lock".to_owned(), Command::Lock),
            ("list-lock".to_owned(), Command::ListLocks),
            ("list-locks".to_owned(), Command::ListLocks),
            ("unlock 12".to_owned(), Command::Unlock(LfsLockId::new(12))),
            ("quit".to_owned(), Command::Quit),
        ] {
            assert_eq!(Command::parse(&line), Ok(command), "{line}");
        }
        for (line, status) in [
            (String::new(), 400),
            (" ".to_owned(), 400),
            ("batch now".to_owned(), 400),
            ("quit 1".to_owned(), 400),
            ("BATCH".to_owned(), 400),
            ("get-object".to_owned(), 422),
            ("get-object ../../etc/passwd".to_owned(), 422),
            (format!("get-object {}", OID.to_uppercase()), 422),
            (format!("put-object {OID} "), 422),
            (format!("put-object  {OID}"), 422),
            ("unlock".to_owned(), 404),
            ("unlock -1".to_owned(), 404),
            ("unlock 1 2".to_owned(), 404),
        ] {
            assert_eq!(Command::parse(&line).unwrap_err().status.as_u16(), status, "{line}");
        }
    }

    #[test]
    fn an_argument_is_there_once_and_unknown_ones_do_not_matter() {
        let mut arguments = Arguments::default();
        for line in ["size=5", "path=a=b c", "unknown=1", "refname="] {
            arguments.insert(line).unwrap();
        }
        assert_eq!(
            (arguments.size(), arguments.find("path"), arguments.find("refname")),
            (Ok(5), Some("a=b c"), None)
        );
        for line in ["size=5", "size", "=", ""] {
            let mut arguments = arguments.clone();
            let inserted = arguments.insert(line).and_then(|()| arguments.insert(line));
            assert_eq!(inserted.unwrap_err().status.as_u16(), 400, "{line}");
        }
        for size in ["-1", "+1", "1.5", "9223372036854775808", "99999999999999999999", "x"] {
            let mut arguments = Arguments::default();
            arguments.insert(&format!("size={size}")).unwrap();
            assert!(arguments.size().is_err(), "{size}");
        }
        let many =
            (0..40).try_fold(Arguments::default(), |mut all, n| all.insert(&format!("n{n}=1")).map(|()| all));
        assert!(many.is_err(), "how many there may be is bounded");
    }
}

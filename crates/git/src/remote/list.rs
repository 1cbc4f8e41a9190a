//! What another host's repository has: refs, and where `HEAD` points.

use hakata_names::{ObjectFormat, Oid, RefName};

use super::{FetchError, Remote};
use crate::command::{Command, Subcommand};
use crate::process::ask;
use crate::{Git, GitDir};

/// Most bytes of one line of `ls-remote`: an oid, a name, and what stands between and behind them.
const MAX_LINE: u64 = 64 + 1 + 1_024 + 1;

/// Most bytes of a whole listing, which is held in memory: two million refs with common names.
const MAX_LISTING: u64 = 256 << 20;

/// What a repository is about. Other names (`refs/pull/…`) are the other host's affair.
const SPACES: [&[u8]; 3] = [b"refs/heads/", b"refs/tags/", b"refs/notes/"];

/// The refs of a repository at a distance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The branch that `HEAD` points to, if the other side says so.
    pub head: Option<RefName>,
    /// Branches, tags and notes, sorted by name.
    pub refs: Vec<(RefName, Oid)>,
    /// Refs whose names are not stored here.
    pub n_skipped: usize,
}

impl Remote {
    /// Lists branches, tags, notes, and where `HEAD` points. `dir` is any repository of ours of that format.
    ///
    /// # Errors
    /// [`FetchError`]; more refs than `most` are refused.
    pub async fn list(
        &self,
        git: &Git,
        dir: &GitDir,
        format: ObjectFormat,
        most: usize,
    ) -> Result<Listed, FetchError> {
        let command = self.command(Subcommand::LsRemote, dir).flag("--symref").operand(&self.url);
        let command = ["HEAD", "refs/heads/*", "refs/tags/*", "refs/notes/*"]
            .into_iter()
            .fold(command, Command::operand);
        // A tag has a second line about what it is of.
        let most_lines = u64::try_from(most).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(4);
        let max_output = most_lines.saturating_mul(MAX_LINE).min(MAX_LISTING);
        let (finished, said) = ask(git, &command, Vec::new(), max_output).await.map_err(FetchError::Child)?;
        let too_many = FetchError::TooManyRefs { limit: most };
        if said.len() as u64 >= max_output {
            return Err(too_many);
        }
        if !finished.status.success() {
            return Err(FetchError::refused(finished.message()));
        }
        let listed = parse(&said, format)?;
        if listed.refs.len() > most { Err(too_many) } else { Ok(listed) }
    }
}

/// Reads the lines of `ls-remote --symref`. Source: git-ls-remote(1).
fn parse(said: &[u8], format: ObjectFormat) -> Result<Listed, FetchError> {
    let mut listed = Listed::default();
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Some(target) = line.strip_prefix(b"ref: ") {
            let name = target.strip_suffix(b"\tHEAD").and_then(|name| RefName::parse(name).ok());
            listed.head = listed.head.or(name.filter(|name| name.branch().is_some()));
            continue;
        }
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        let (oid, name) = (&line[..tab], &line[tab + 1..]);
        // What a tag is of, and a `HEAD` that is on no branch.
        if name.ends_with(b"^{}") || name == b"HEAD" {
            continue;
        }
        let oid = match Oid::parse_wire(oid, format) {
            Ok(Some(oid)) => oid,
            Err(_) if Oid::parse_hex(oid).is_ok() => return Err(FetchError::Format),
            Ok(None) | Err(_) => return Err(FetchError::Refused("its refs cannot be read".to_owned())),
        };
        // A pattern matches the end of a name, whatever stands before it.
        if !SPACES.iter().any(|space| name.starts_with(space)) {
            continue;
        }
        match RefName::parse(name) {
            Ok(name) => listed.refs.push((name, oid)),
            Err(_) => listed.n_skipped += 1,
        }
    }
    listed.refs.sort_unstable();
    listed.refs.dedup_by(|a, b| a.0 == b.0);
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use hakata_names::ObjectFormat;

    use super::{FetchError, parse};

    const OID: &str = "1234567890123456789012345678901234567890";

    #[test]
    fn refs_and_head_are_read_and_the_rest_is_skipped() {
        let lines = format!(
            "ref: refs/heads/trunk\tHEAD\n{OID}\tHEAD\n{OID}\trefs/tags/v1\n{OID}\trefs/tags/v1^{{}}\n\
             {OID}\trefs/heads/trunk\n{OID}\trefs/heads/a..b\n"
        );
        let listed = parse(lines.as_bytes(), ObjectFormat::Sha1).unwrap();
        let names: Vec<String> = listed.refs.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["refs/heads/trunk", "refs/tags/v1"]);
        assert_eq!((listed.head.unwrap().to_string(), listed.n_skipped), ("refs/heads/trunk".to_owned(), 1));
    }

    #[test]
    fn another_hash_function_is_told() {
        let lines = format!("{OID}\trefs/heads/main\n");
        assert!(matches!(parse(lines.as_bytes(), ObjectFormat::Sha256), Err(FetchError::Format)));
        assert!(matches!(parse(b"x\trefs/heads/main\n", ObjectFormat::Sha1), Err(FetchError::Refused(_))));
    }
}

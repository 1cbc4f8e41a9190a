//! How the commits of one version of a branch relate to those of another.

use hakata_names::Oid;

use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};
use crate::process::ask;
use crate::read::{Allowance, Pieces, deadline, until};

/// Most output that is read, in bytes.
const MAX_OUTPUT: u64 = 4 << 20;

/// Most commits of one side: git compares each with each.
const MAX_COMMITS: u64 = 1_000;

/// Two versions of a branch: what each head reaches and its base does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Base and head of the old version.
    pub old: (Oid, Oid),
    /// Base and head of the new version.
    pub new: (Oid, Oid),
}

/// Two commits that belong together, or one that is alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangePair {
    /// The commit of the old version and its number, from 1 on.
    pub old: Option<(u32, Oid)>,
    /// The commit of the new version and its number, from 1 on.
    pub new: Option<(u32, Oid)>,
    /// Whether both change the same with the same message.
    pub is_same: bool,
    /// The first line of the message.
    pub subject: Vec<u8>,
}

impl Objects {
    /// Pairs the commits of two versions, as `git range-diff` does.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, [`ReadError::Invalid`] for more than a thousand commits on a
    /// side, [`ReadError::Exhausted`], [`ReadError::Child`].
    pub async fn range_diff(
        &self,
        versions: Versions,
        allowance: &Allowance,
    ) -> Result<Vec<RangePair>, ReadError> {
        self.check_versions(versions, allowance).await?;
        let command = self.range_diff_command(versions).flag("--no-patch").number("--abbrev", 64);
        let asked = ask(self.git(), &command, Vec::new(), MAX_OUTPUT);
        let (finished, said) = until(deadline(allowance), asked).await??;
        finished.success()?;
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let pairs: Option<Vec<RangePair>> = lines.map(parse).collect();
        pairs.ok_or_else(|| ReadError::Walk("git compared versions in an unknown way".into()))
    }

    /// Streams the text of `git range-diff`: the pairs, and how their patches differ.
    ///
    /// # Errors
    /// As [`range_diff`](Self::range_diff).
    pub async fn range_diff_patch(
        &self,
        versions: Versions,
        allowance: &Allowance,
    ) -> Result<Pieces, ReadError> {
        self.check_versions(versions, allowance).await?;
        Pieces::start(self, &self.range_diff_command(versions), Vec::new(), allowance).await
    }

    async fn check_versions(&self, versions: Versions, allowance: &Allowance) -> Result<(), ReadError> {
        let sides = [versions.old, versions.new];
        let counted = self.read_within(allowance, move |view| {
            let apart = view.ahead_behind(&sides.map(|(base, head)| (head, base)))?;
            Ok(apart.iter().map(|apart| apart.ahead).max().unwrap_or(0))
        });
        if counted.await? > MAX_COMMITS {
            let said = format!("more than {MAX_COMMITS} commits cannot be compared");
            return Err(ReadError::Invalid(said));
        }
        Ok(())
    }

    fn range_diff_command(&self, versions: Versions) -> Command {
        let range = |(base, head): (Oid, Oid)| format!("{base}..{head}");
        Command::new(Subcommand::RangeDiff)
            .dir(self.dir())
            .flag("--no-color")
            .flag("--no-notes")
            .operand(range(versions.old))
            .operand(range(versions.new))
    }
}

/// Parses `1:  <oid> ! 2:  <oid> subject`; a side that is absent is `-:  ---`.
fn parse(line: &[u8]) -> Option<RangePair> {
    let mut rest = line;
    let old = side(&mut rest)?;
    let sign = word(&mut rest)?;
    let new = side(&mut rest)?;
    if !matches!(sign, b"=" | b"!" | b"<" | b">") {
        return None;
    }
    Some(RangePair { old, new, is_same: sign == b"=", subject: rest.trim_ascii().to_vec() })
}

/// Takes a number and an id off; `None` if they make no sense.
#[expect(clippy::option_option, reason = "absent is a value here")]
fn side(rest: &mut &[u8]) -> Option<Option<(u32, Oid)>> {
    let number = word(rest)?.strip_suffix(b":")?;
    let oid = word(rest)?;
    if number == b"-" {
        return Some(None);
    }
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(Some((number, Oid::parse_hex(oid).ok()?)))
}

fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let trimmed = rest.trim_ascii_start();
    let end = trimmed.iter().position(|byte| *byte == b' ').unwrap_or(trimmed.len());
    let (word, behind) = trimmed.split_at(end);
    *rest = behind;
    (!word.is_empty()).then_some(word)
}

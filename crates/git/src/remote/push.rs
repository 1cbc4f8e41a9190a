//! Pushing to another host.

use hakata_names::{Oid, RefName, escape_controls};

use super::{FetchError, Remote};
use crate::command::{Command, Subcommand};
use crate::process::ask;
use crate::{Git, GitDir};

/// Refs of one git process: their names fit into a command line.
const AT_ONCE: usize = 200;

/// Most output of one push that is read, in bytes: a line for each ref, with what the other side says.
const MAX_OUTPUT: u64 = 1 << 20;

/// Where a ref shall be at the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefPush {
    /// Its name, here and there.
    pub name: RefName,
    /// Its target; `None` deletes it.
    pub new: Option<Oid>,
    /// Whether it may lose commits that it has there.
    pub is_forced: bool,
}

/// What became of one ref: the text is the other side's, or git's, safe for a terminal.
pub type PushResult = (RefName, Result<(), String>);

impl Remote {
    /// Pushes refs of a repository whose objects are in `dir`. Each stands for itself; answers what became of it.
    /// Dropping the future kills git, and what was pushed until then stays so.
    ///
    /// # Errors
    /// [`FetchError`] when the other side does not talk to us.
    pub async fn push(
        &self,
        git: &Git,
        dir: &GitDir,
        refs: &[RefPush],
    ) -> Result<Vec<PushResult>, FetchError> {
        let mut results = Vec::with_capacity(refs.len());
        for part in refs.chunks(AT_ONCE) {
            let command = self
                .command(Subcommand::Push, dir)
                .flag("--porcelain")
                .flag("--no-verify")
                .flag("--no-follow-tags")
                .flag("--no-recurse-submodules")
                .operand(&self.url);
            let command = part.iter().map(refspec).fold(command, Command::operand);
            let (finished, said) =
                ask(git, &command, Vec::new(), MAX_OUTPUT).await.map_err(FetchError::Child)?;
            let answers = parse(&said);
            if answers.is_empty() && !finished.status.success() {
                return Err(FetchError::refused(finished.message()));
            }
            let unanswered = || Err("the other side did not say what became of it".to_owned());
            for RefPush { name, .. } in part {
                let answer = answers.iter().find(|(answered, _)| answered == name);
                results.push((name.clone(), answer.map_or_else(unanswered, |(_, result)| result.clone())));
            }
        }
        Ok(results)
    }
}

/// Renders what git is asked for. Source: git-push(1), `<refspec>`.
fn refspec(push: &RefPush) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let mut words = Vec::new();
    if let Some(new) = push.new {
        if push.is_forced {
            words.push(b'+');
        }
        words.extend_from_slice(new.to_string().as_bytes());
    }
    words.push(b':');
    words.extend_from_slice(push.name.as_bytes());
    std::ffi::OsString::from_vec(words)
}

/// Reads `FLAG TAB FROM:TO TAB SUMMARY` lines. Source: git-push(1), `--porcelain`.
fn parse(said: &[u8]) -> Vec<PushResult> {
    let line = |line: &[u8]| {
        let mut fields = line.splitn(3, |byte| *byte == b'\t');
        let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
        let colon = refs.iter().rposition(|byte| *byte == b':')?;
        let name = RefName::parse(&refs[colon + 1..]).ok()?;
        let result = if flag == b"!" { Err(escape_controls(summary)) } else { Ok(()) };
        Some((name, result))
    };
    said.split(|byte| *byte == b'\n').filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn answers_are_read_ref_by_ref() {
        let said =
            b"To https://example.org/x.git\n \t123:refs/heads/a\t1..2\n*\t456:refs/heads/b/c\t[new branch]\n\
                     -\t:refs/heads/d\t[deleted]\n!\t789:refs/heads/e\t[remote rejected] (no)\x07\nDone\n";
        let answers = parse(said);
        let shown: Vec<String> = answers.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(shown, ["refs/heads/a", "refs/heads/b/c", "refs/heads/d", "refs/heads/e"]);
        assert!(answers[..3].iter().all(|(_, result)| result.is_ok()));
        assert_eq!(answers[3].1, Err("[remote rejected] (no)\\u{7}".to_owned()));
    }
}

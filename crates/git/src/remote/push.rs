//! Pushing to another host.

use std::collections::HashMap;
use std::ffi::OsString;

use hakata_names::{Oid, RefName, escape_controls};

use super::{FetchError, Remote};
use crate::command::{Command, Subcommand};
use crate::process::ask;
use crate::{Git, GitDir};

/// Most refs of one git process, and of one request to the other side. git compares each of them with each that is there
/// already: all into an empty repository at once cost it least.
const AT_ONCE: usize = 8_000;

/// Most bytes of their names and targets, which go by the command line: half of what Linux takes of a process with the
/// usual stack. Source: execve(2), "Limits on size of arguments and environment".
const MAX_COMMAND: usize = 1 << 20;

/// Most bytes that are read of what is said about one ref, its names not counted, and about a push as a whole.
const MAX_SAID: u64 = 2_048;
const MAX_SAID_BEFORE: u64 = 64 << 10;

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
        for part in parts(refs) {
            let specs: Vec<OsString> = part.iter().map(refspec).collect();
            let names: u64 = specs.iter().map(|spec| spec.len() as u64).sum();
            let max_output = MAX_SAID_BEFORE + MAX_SAID * part.len() as u64 + 2 * names;
            let command = self
                .command(Subcommand::Push, dir)
                .flag("--porcelain")
                .flag("--no-verify")
                .flag("--no-follow-tags")
                .flag("--no-recurse-submodules")
                .operand(&self.url);
            let command = specs.into_iter().fold(command, Command::operand);
            let (finished, said) =
                ask(git, &command, Vec::new(), max_output).await.map_err(FetchError::Child)?;
            let mut answers: HashMap<RefName, _> = parse(&said).into_iter().collect();
            if answers.is_empty() && !finished.status.success() {
                return Err(FetchError::refused(finished.message()));
            }
            let unanswered = || Err("the other side did not say what became of it".to_owned());
            results.extend(
                part.iter().map(|RefPush { name, .. }| {
                    (name.clone(), answers.remove(name).unwrap_or_else(unanswered))
                }),
            );
        }
        Ok(results)
    }
}

/// Cuts refs into what one git process takes. Those that go do not share one with others: `a` must be gone before `a/b`
/// can come.
fn parts(refs: &[RefPush]) -> impl Iterator<Item = &[RefPush]> {
    let mut rest = refs;
    std::iter::from_fn(move || {
        let goes = rest.first()?.new.is_none();
        let mut n_bytes = 0;
        let fits = |push: &&RefPush| {
            // The target, the signs beside it, and what the kernel keeps of each argument.
            n_bytes += push.name.as_bytes().len() + 64 + 3 + size_of::<usize>();
            push.new.is_none() == goes && n_bytes <= MAX_COMMAND
        };
        let n = rest.iter().take(AT_ONCE).take_while(fits).count().max(1);
        let (part, tail) = rest.split_at(n);
        rest = tail;
        Some(part)
    })
}

/// Renders what git is asked for. Source: git-push(1), `<refspec>`.
fn refspec(push: &RefPush) -> OsString {
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
    OsString::from_vec(words)
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
    use hakata_names::{Oid, RefName};

    use super::{AT_ONCE, MAX_COMMAND, RefPush, parse, parts};

    fn push(name: &str, new: Option<u8>) -> RefPush {
        let new = new.map(|byte| Oid::from_bytes(&[byte; 20]).unwrap());
        RefPush { name: RefName::parse(name.as_bytes()).unwrap(), new, is_forced: true }
    }

    /// 20,000 refs are a few processes, none with more than a command line holds, and what goes comes first.
    #[test]
    fn many_refs_are_few_processes() {
        let gone = (0..10).map(|n| push(&format!("refs/heads/gone/{n}"), None));
        let set = (0..20_000).map(|n| push(&format!("refs/heads/{n:05}"), Some(7)));
        let refs: Vec<RefPush> = gone.chain(set).collect();
        let cut: Vec<&[RefPush]> = parts(&refs).collect();
        assert_eq!(cut.concat(), refs, "each once, in their order");
        assert_eq!(cut.iter().map(|part| part.len()).collect::<Vec<_>>(), [10, AT_ONCE, AT_ONCE, 4_000]);
        let long: Vec<RefPush> = (0..2_000)
            .map(|n| {
                push(
                    &format!("refs/heads/{}/{}/{}/{n}", "a".repeat(250), "b".repeat(250), "c".repeat(250)),
                    Some(7),
                )
            })
            .collect();
        let bytes = |part: &&[RefPush]| part.iter().map(|push| push.name.as_bytes().len()).sum::<usize>();
        assert_eq!(parts(&long).collect::<Vec<_>>().concat(), long);
        assert!(parts(&long).all(|part| bytes(&part) < MAX_COMMAND));
        assert!(parts(&[]).next().is_none());
    }

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

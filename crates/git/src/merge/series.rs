//! Which commits a rebase takes over.

use hakata_names::Oid;

use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};
use crate::process::ask;
use crate::read::{Allowance, deadline, until};

/// What becomes of merges on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MergesOnTheWay {
    /// They are left out, and what they merged comes in a row, as git-rebase(1) does.
    #[default]
    Flatten,
    /// There must be none.
    Refuse,
}

impl Objects {
    /// Lists the commits of `head` that `base` has not, the oldest first, as `git rebase` takes them over: without merges
    /// and without those that `base` has in the form of another commit with the same change. Up to `max` of them, and one
    /// more if there are more.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] for a merge if there must be none; [`ReadError::Exhausted`], [`ReadError::Child`].
    pub async fn rebase_series(
        &self,
        base: Oid,
        head: Oid,
        merges: MergesOnTheWay,
        max: usize,
        allowance: &Allowance,
    ) -> Result<Vec<Oid>, ReadError> {
        if merges == MergesOnTheWay::Refuse {
            let first =
                self.rev_list(&["--merges", "--max-count=1"], format!("{base}..{head}"), 1, allowance);
            if let Some(merge) = first.await?.first() {
                return Err(ReadError::Invalid(format!("{merge} is a merge, which cannot be rebased")));
            }
        }
        let flags = ["--reverse", "--topo-order", "--no-merges", "--cherry-pick", "--right-only"];
        self.rev_list(&flags, format!("{base}...{head}"), max, allowance).await
    }

    /// Lists commits, one more than `max` of them if there are more.
    async fn rev_list(
        &self,
        flags: &[&'static str],
        range: String,
        max: usize,
        allowance: &Allowance,
    ) -> Result<Vec<Oid>, ReadError> {
        let command = Command::new(Subcommand::RevList).dir(self.dir());
        let command = flags.iter().fold(command, |command, flag| command.flag(flag)).operand(range);
        let line_bytes = (self.format().oid_len() * 2 + 1) as u64;
        let most = line_bytes * (max as u64 + 1);
        let asked = ask(self.git(), &command, Vec::new(), most);
        let (finished, said) = until(deadline(allowance), asked).await??;
        // A list that was cut ends git by a broken pipe.
        if (said.len() as u64) < most {
            finished.success()?;
        }
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let oids = lines.map(|line| Oid::parse_hex(line).map_err(|error| ReadError::Walk(error.into())));
        oids.collect()
    }
}

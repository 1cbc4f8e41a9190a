//! The LFS objects that anything in a history may point to.

use std::ops::ControlFlow;
use std::sync::Arc;

use hakata_names::{LfsOid, Oid};

use super::allowance::Allowance;
use super::blob::ShortBlob;
use super::lfs_pointers::MAX_POINTER;
use super::pipe::Pipe;
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};

/// Blobs that are read in one visit to the objects.
const VISIT: usize = 1_000;

/// Longest line of git's list, in bytes.
const MAX_LINE: usize = 128;

/// Digits of an LFS oid.
const N_DIGITS: usize = 2 * LfsOid::LEN;

impl Objects {
    /// Gives to a sink, until that breaks, every LFS oid that stands in a file small enough for a pointer, in any commit
    /// that `tips` reach and `hide` do not. It may be given more than once, and for a file that is no pointer: whoever
    /// deletes what is not named here must not depend on how clients read pointers. Returns how many files were read.
    ///
    /// One git lists the small files, from bitmaps where there are some; each is read once, a thousand at a time.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], and errors of reading, such as a tip that is not there: then not all was given.
    pub async fn lfs_oids_of_history(
        &self,
        tips: &[Oid],
        hide: &[Oid],
        allowance: &Allowance,
        sink: &mut (dyn FnMut(LfsOid) -> ControlFlow<()> + Send),
    ) -> Result<u64, ReadError> {
        if tips.is_empty() {
            return Ok(0);
        }
        let mut input = String::new();
        tips.iter().for_each(|oid| input.push_str(&format!("{oid}\n")));
        hide.iter().for_each(|oid| input.push_str(&format!("^{oid}\n")));
        let command = Command::new(Subcommand::RevList)
            .dir(self.dir())
            .flag("--objects")
            .flag("--no-object-names")
            .flag("--use-bitmap-index")
            .flag("--filter=object:type=blob")
            // Larger ones are left out, and those of this size too.
            .number("--filter=blob:limit", MAX_POINTER + 1)
            .flag("--stdin");
        let mut pipe = Pipe::start_with(self, &command, input.into_bytes(), allowance).await?;
        let (mut n_files, mut is_end) = (0, false);
        while !is_end {
            let mut blobs = Vec::with_capacity(VISIT);
            while blobs.len() < VISIT && !is_end {
                match pipe.read_until(b'\n', MAX_LINE).await? {
                    Some(line) => {
                        blobs.push(Oid::parse_hex(&line).map_err(|error| ReadError::Walk(error.into()))?)
                    }
                    None => is_end = true,
                }
            }
            n_files += blobs.len() as u64;
            for oid in self.lfs_oids_in(blobs, allowance).await? {
                if sink(oid).is_break() {
                    pipe.stop();
                    return Ok(n_files);
                }
            }
        }
        if let Some(finished) = pipe.finish().await? {
            finished.success()?;
        }
        Ok(n_files)
    }

    async fn lfs_oids_in(&self, blobs: Vec<Oid>, allowance: &Allowance) -> Result<Vec<LfsOid>, ReadError> {
        let blobs: Arc<[Oid]> = blobs.into();
        let read = move |view: &crate::objects::View| {
            let mut found = Vec::new();
            for blob in view.short_blobs(&blobs, MAX_POINTER, u64::MAX)? {
                // The rest are the tips themselves.
                if let ShortBlob::Content(content) = blob {
                    found.extend(lfs_oids(&content));
                }
            }
            Ok(found)
        };
        self.read_within(allowance, read).await
    }
}

/// Finds what may be LFS oids in a file: all runs of as many hexadecimal digits as one has, in either case.
fn lfs_oids(content: &[u8]) -> impl Iterator<Item = LfsOid> + '_ {
    let runs = content.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() == N_DIGITS);
    runs.filter_map(|run| LfsOid::parse(&run.to_ascii_lowercase()).ok())
}

#[cfg(test)]
mod tests {
    use super::lfs_oids;

    #[test]
    fn whatever_may_be_an_oid_is_one() {
        let oid = "ab".repeat(32);
        let found = |text: &str| lfs_oids(text.as_bytes()).map(|oid| oid.to_string()).collect::<Vec<_>>();
        for text in [
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 7\n"),
            format!("version x\r\noid sha256:{oid}\r\nsize -\r\n"),
            format!("# git-media\n{oid}"),
            format!("oid sha256:{}", oid.to_uppercase()),
            format!(" {oid} "),
        ] {
            assert_eq!(found(&text), std::slice::from_ref(&oid), "{text}");
        }
        for text in [String::new(), oid[1..].to_owned(), format!("{oid}a"), format!("{}g", &oid[1..])] {
            assert_eq!(found(&text), [""; 0], "{text}");
        }
        assert_eq!(found(&format!("{oid}\n{oid}")).len(), 2);
    }
}

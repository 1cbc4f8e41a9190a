//! What `git merge-tree --stdin --write-tree -z` answers. Source: git-merge-tree(1), "OUTPUT".
//!
//! ```text
//! STATUS NUL TREE NUL                        1 is clean; then there is nothing but the last NUL
//! (MODE SP OID SP STAGE TAB PATH NUL)* NUL   what is not merged
//! (N NUL (PATH NUL){N} KIND NUL TEXT NUL)*   messages
//! NUL
//! ```

use std::collections::BTreeMap;
use std::io;

use hakata_names::Oid;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Most bytes of an answer that are kept.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Longest field that is read.
const MAX_FIELD_BYTES: usize = 1 << 20;

/// What comes of merging two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Whether nothing is left to be decided.
    pub is_clean: bool,
    /// The merged tree; with conflicts, files hold both sides between markers, and paths of one side may be renamed.
    pub tree: Oid,
    /// What is not merged, by path.
    pub conflicts: Vec<Conflict>,
    /// What git says about it, in order.
    pub messages: Vec<MergeMessage>,
    /// Whether there was more than is kept.
    pub is_truncated: bool,
}

/// A path on which the sides disagree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// The path.
    pub path: Vec<u8>,
    /// Why, in git's words: `contents`, `modify/delete`, `rename/rename`; of several messages all kinds, each once.
    pub kinds: Vec<String>,
    /// Stage 1: what both come from.
    pub base: Option<Side>,
    /// Stage 2.
    pub ours: Option<Side>,
    /// Stage 3.
    pub theirs: Option<Side>,
}

/// What is at a path on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The mode, as in a tree.
    pub mode: u32,
    /// The object.
    pub oid: Oid,
}

/// A sentence of git about some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeMessage {
    /// What it is about.
    pub paths: Vec<Vec<u8>>,
    /// A word that stays the same over versions of git: `Auto-merging`, `CONFLICT (contents)`.
    pub kind: String,
    /// The sentence.
    pub text: Vec<u8>,
}

/// Reads one answer; the second value is its length in bytes.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if it ends early, [`io::ErrorKind::InvalidData`] if it is something else.
pub(super) async fn read<R: AsyncBufRead + Unpin>(from: &mut R) -> io::Result<(Merged, u64)> {
    let mut fields = Fields { from, n_bytes: 0 };
    let is_clean = match &fields.next().await?[..] {
        b"1" => true,
        b"0" => false,
        _ => return Err(odd()),
    };
    let tree = Oid::parse_hex(&fields.next().await?).map_err(|_| odd())?;
    let mut answer =
        Answer { kept_bytes: 0, is_truncated: false, by_path: BTreeMap::new(), messages: Vec::new() };
    if !is_clean {
        loop {
            let field = fields.next().await?;
            if field.is_empty() {
                break;
            }
            answer.stage(&field)?;
        }
    }
    loop {
        let count = fields.next().await?;
        if count.is_empty() {
            break;
        }
        let count: usize = std::str::from_utf8(&count).ok().and_then(|n| n.parse().ok()).ok_or_else(odd)?;
        let mut message = Vec::new();
        for _ in 0..count.checked_add(2).ok_or_else(odd)? {
            let field = fields.next().await?;
            answer.kept_bytes += field.len() + 64;
            if answer.kept_bytes <= MAX_KEPT_BYTES {
                message.push(field);
            }
        }
        answer.message(message, count + 2);
    }
    let n_bytes = fields.n_bytes;
    Ok((answer.merged(is_clean, tree), n_bytes))
}

struct Fields<'a, R> {
    from: &'a mut R,
    n_bytes: u64,
}

impl<R: AsyncBufRead + Unpin> Fields<'_, R> {
    /// Reads up to the next NUL.
    async fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut field = Vec::new();
        loop {
            let filled = self.from.fill_buf().await?;
            if filled.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let end = filled.iter().position(|byte| *byte == 0);
            let piece = &filled[..end.unwrap_or(filled.len())];
            if field.len() + piece.len() > MAX_FIELD_BYTES {
                return Err(odd());
            }
            field.extend_from_slice(piece);
            let n = piece.len() + usize::from(end.is_some());
            self.n_bytes += n as u64;
            self.from.consume(n);
            if end.is_some() {
                return Ok(field);
            }
        }
    }
}

struct Answer {
    kept_bytes: usize,
    is_truncated: bool,
    by_path: BTreeMap<Vec<u8>, Conflict>,
    messages: Vec<MergeMessage>,
}

impl Answer {
    fn stage(&mut self, field: &[u8]) -> io::Result<()> {
        let tab = field.iter().position(|byte| *byte == b'\t').ok_or_else(odd)?;
        let (head, path) = (&field[..tab], &field[tab + 1..]);
        let head = std::str::from_utf8(head).map_err(|_| odd())?;
        let mut words = head.split(' ');
        let mut next = || words.next().ok_or_else(odd);
        let mode = u32::from_str_radix(next()?, 8).map_err(|_| odd())?;
        let oid = Oid::parse_hex(next()?.as_bytes()).map_err(|_| odd())?;
        let stage = next()?;
        self.kept_bytes += field.len() + 128;
        if self.kept_bytes > MAX_KEPT_BYTES {
            self.is_truncated = true;
            return Ok(());
        }
        let fresh = || Conflict { path: path.to_vec(), ..Conflict::default() };
        let conflict = self.by_path.entry(path.to_vec()).or_insert_with(fresh);
        let side = Some(Side { mode, oid });
        match stage {
            "1" => conflict.base = side,
            "2" => conflict.ours = side,
            "3" => conflict.theirs = side,
            _ => return Err(odd()),
        }
        Ok(())
    }

    fn message(&mut self, mut fields: Vec<Vec<u8>>, n_fields: usize) {
        if fields.len() < n_fields {
            self.is_truncated = true;
            return;
        }
        let text = fields.pop().unwrap_or_default();
        let kind = String::from_utf8_lossy(&fields.pop().unwrap_or_default()).into_owned();
        // Some kinds have no space behind the word.
        let inner = kind.strip_prefix("CONFLICT").map(str::trim_start);
        if let Some(kind) = inner.and_then(|kind| kind.strip_prefix('(')?.strip_suffix(')')) {
            for path in &fields {
                if let Some(conflict) = self.by_path.get_mut(path)
                    && !conflict.kinds.iter().any(|known| known == kind)
                {
                    conflict.kinds.push(kind.to_owned());
                }
            }
        }
        self.messages.push(MergeMessage { paths: fields, kind, text });
    }

    fn merged(self, is_clean: bool, tree: Oid) -> Merged {
        let conflicts = self.by_path.into_values().collect();
        Merged { is_clean, tree, conflicts, messages: self.messages, is_truncated: self.is_truncated }
    }
}

fn odd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "git merge-tree answers in an unknown way")
}

#[cfg(test)]
mod tests {
    use super::{MAX_KEPT_BYTES, read};

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    #[tokio::test]
    async fn answers_are_read_one_after_another() {
        let clean = format!("1\0{TREE}\0\0");
        let conflict = format!(
            "0\0{TREE}\0100644 {TREE} 1\ta b\0100755 {TREE} 3\ta b\0\0\
             1\0a b\0Auto-merging\0Auto-merging a b\n\0\
             2\0a b\0other\0CONFLICT (modify/delete)\0said\n\0\0"
        );
        let said = [&clean[..], &conflict, &clean].concat();
        let mut from = said.as_bytes();
        let (first, n_first) = read(&mut from).await.unwrap();
        assert!(first.is_clean && first.conflicts.is_empty());
        assert_eq!(n_first, clean.len() as u64);
        let (second, n_second) = read(&mut from).await.unwrap();
        assert_eq!(n_second, conflict.len() as u64);
        assert!(!second.is_clean && !second.is_truncated);
        let [one] = &second.conflicts[..] else { panic!("{second:?}") };
        assert_eq!((&one.path[..], &one.kinds[..]), (&b"a b"[..], &["modify/delete".to_owned()][..]));
        assert_eq!(one.base.map(|side| side.mode), Some(0o100_644));
        assert!(one.ours.is_none() && one.theirs.is_some_and(|side| side.mode == 0o100_755));
        assert_eq!(second.messages[1].paths, [b"a b".to_vec(), b"other".to_vec()]);
        assert!(read(&mut from).await.is_ok() && from.is_empty());
    }

    #[tokio::test]
    async fn what_is_cut_or_something_else_is_an_error() {
        let whole = format!("0\0{TREE}\0100644 {TREE} 1\ta\0\01\0a\0CONFLICT (x)\0y\0\0");
        for at in 0..whole.len() {
            let cut = read(&mut &whole.as_bytes()[..at]).await;
            assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof, "cut at {at}");
        }
        for odd in ["2\0", "1\0nothing\0\0", &format!("0\0{TREE}\0x\0")] {
            assert_eq!(read(&mut odd.as_bytes()).await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn more_conflicts_than_anybody_reads_are_counted_and_not_kept() {
        let mut said = format!("0\0{TREE}\0").into_bytes();
        let n = MAX_KEPT_BYTES / 128;
        for at in 0..n {
            said.extend_from_slice(format!("100644 {TREE} 2\tpath {at}\0").as_bytes());
        }
        said.extend_from_slice(b"\0\0");
        let (merged, n_bytes) = read(&mut &said[..]).await.unwrap();
        assert!(merged.is_truncated && merged.conflicts.len() < n);
        assert_eq!(n_bytes, said.len() as u64);
    }
}

//! Lists of branches and tags.

use bytes::Bytes;
use hakata_git::objects::{ReadError, View};
use hakata_git::refs::Ref as GitRef;
use hakata_rpc::v1::{RefEntry, RefOrder, RepositoryKey, Tip};
use hakata_rpc::{Answers, Call, Status};

use super::super::messages::reference;
use super::super::{Local, counted, uncounted};
use super::PART_REFS;
use super::tips::KeptTips;
use crate::parts::parts;

/// What is to be listed.
pub(super) struct Question {
    pub(super) prefix: &'static [u8],
    pub(super) patterns: Vec<Bytes>,
    pub(super) order: i32,
    pub(super) with_tips: bool,
    pub(super) limit: u32,
    pub(super) cursor: Bytes,
}

/// Where a list goes on, and how many are still wanted.
struct Place {
    left: usize,
    cursor: Bytes,
}

/// A list, and for each entry the cursor behind it.
struct Listed {
    entries: Vec<RefEntry>,
    cursors: Vec<Bytes>,
}

impl Local {
    /// Answers with a list in parts; each but the last says behind what the next begins.
    pub(super) fn listed<T, F>(
        self,
        key: Option<RepositoryKey>,
        call: Call,
        question: Question,
        part: F,
    ) -> Answers<T>
    where
        T: Send + 'static,
        F: Fn(Vec<RefEntry>, Bytes) -> T + Send + 'static,
    {
        parts(|parts| async move {
            let (left, cursor) = uncounted(question.limit, &question.cursor)?;
            let place = Place { left, cursor: question.cursor.slice_ref(cursor) };
            let Listed { entries, cursors } = self.list_refs(key.as_ref(), &call, question, place).await?;
            for (entries, cursor) in chunks(entries, &cursors, left) {
                parts.give(part(entries, cursor)).await?;
            }
            Ok(())
        })
    }

    /// Lists the refs below a prefix. Only tips and the order by date read objects.
    async fn list_refs(
        &self,
        key: Option<&RepositoryKey>,
        call: &Call,
        question: Question,
        place: Place,
    ) -> Result<Listed, Status> {
        let newest = match RefOrder::try_from(question.order) {
            Ok(RefOrder::Newest) => true,
            Ok(_) => false,
            Err(_) => return Err(Status::invalid("there is no such order")),
        };
        if !newest && !question.with_tips {
            let repository = self.repository(key).await?;
            let found = repository.snapshot().iter().filter(|found| question.takes(found));
            let found = found.filter(|found| found.name.as_bytes() > &place.cursor[..]).take(place.left);
            let entries: Vec<_> = found.map(|found| entry(found, None)).collect();
            return Ok(Listed { cursors: cursors_by_name(&entries), entries });
        }
        let opened = self.open(key, call).await?;
        let snapshot = opened.repository.snapshot().clone();
        let kept = self.0.tips.clone();
        opened
            .read(move |view| question.read(&Tips { view, kept: &kept }, snapshot.iter(), newest, &place))
            .await
    }
}

impl Question {
    fn takes(&self, found: &GitRef) -> bool {
        let Some(short) = found.name.as_bytes().strip_prefix(self.prefix) else { return false };
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| wild(pattern, short))
    }

    fn read<'a>(
        &self,
        tips: &Tips<'_>,
        refs: impl Iterator<Item = &'a GitRef>,
        newest: bool,
        place: &Place,
    ) -> Result<Listed, ReadError> {
        let refs = refs.filter(|found| self.takes(found));
        if !newest {
            let refs = refs.filter(|found| found.name.as_bytes() > &place.cursor[..]).take(place.left);
            let entries: Result<Vec<_>, ReadError> =
                refs.map(|found| Ok(entry(found, tips.find(found)?))).collect();
            let entries = entries?;
            return Ok(Listed { cursors: cursors_by_name(&entries), entries });
        }
        let mut dated = Vec::new();
        for found in refs {
            let cursor = dated_cursor(tips.created(found)?, found.name.as_bytes());
            if cursor > place.cursor {
                dated.push((cursor, found));
            }
        }
        dated.sort_by(|(one, _), (other, _)| one.cmp(other));
        dated.truncate(place.left);
        let tip = |found| if self.with_tips { tips.find(found) } else { Ok(None) };
        let dated = dated.into_iter().map(|(cursor, found)| Ok((cursor, entry(found, tip(found)?))));
        let dated = dated.collect::<Result<Vec<_>, ReadError>>()?;
        let (cursors, entries) = dated.into_iter().unzip();
        Ok(Listed { entries, cursors })
    }
}

/// Cuts a list, of which so many were wanted, into parts.
fn chunks(
    entries: Vec<RefEntry>,
    cursors: &[Bytes],
    left: usize,
) -> impl Iterator<Item = (Vec<RefEntry>, Bytes)> {
    let n = entries.len();
    let mut entries = entries.into_iter();
    let firsts = (0..n).step_by(PART_REFS);
    firsts.map(move |first| {
        let last = (first + PART_REFS).min(n);
        let cursor = if last == n { Bytes::new() } else { counted(left - last, &cursors[last - 1]) };
        (entries.by_ref().take(PART_REFS).collect(), cursor)
    })
}

fn entry(found: &GitRef, tip: Option<Tip>) -> RefEntry {
    RefEntry { r#ref: Some(reference(found)), tip }
}

fn cursors_by_name(entries: &[RefEntry]) -> Vec<Bytes> {
    let name = |entry: &RefEntry| entry.r#ref.as_ref().map(|found| found.name.clone()).unwrap_or_default();
    entries.iter().map(name).collect()
}

/// Writes a date so that later ones come first, and the name behind it. Never empty.
fn dated_cursor(date: i64, name: &[u8]) -> Bytes {
    let reversed = !(date.cast_unsigned() ^ (1 << 63));
    [&reversed.to_be_bytes(), name].concat().into()
}

/// Where tips are looked up.
struct Tips<'a> {
    view: &'a View,
    kept: &'a KeptTips,
}

impl Tips<'_> {
    /// Finds the commit at the end of a ref.
    fn find(&self, found: &GitRef) -> Result<Option<Tip>, ReadError> {
        self.kept.find(self.view, found)
    }

    /// The date that orders a ref: of its tag object, whatever that is of, else of its commit. What says none is from
    /// 1970, as for git. Source: git-for-each-ref(1), `creatordate`.
    fn created(&self, found: &GitRef) -> Result<i64, ReadError> {
        let time = match self.find(found)? {
            Some(tip) if found.peeled.is_some() => tip.tagger.map(|by| by.time_s),
            Some(tip) => tip.committer.map(|by| by.time_s),
            None if found.peeled.is_some() => self.view.read_tag(&found.oid)?.tagger.and_then(|by| by.time),
            None => None,
        };
        Ok(time.unwrap_or(0).max(0))
    }
}

/// Matches a glob pattern, where `*` is any bytes and `?` is any one.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(b'?') => (at, from) = (at + 1, from + 1),
            Some(byte) if *byte == text[from] => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((back, behind)) = star else { return false };
                star = Some((back, behind + 1));
                (at, from) = (back + 1, behind + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{dated_cursor, wild};

    #[test]
    fn patterns() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("*", "a/b", true),
            ("v1.*", "v1.2", true),
            ("v1.*", "v2.1", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("?", "ab", false),
            ("a?c", "abc", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(wild(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn later_dates_come_first() {
        let cursors = [
            dated_cursor(i64::MAX, b"z"),
            dated_cursor(1, b"b"),
            dated_cursor(1, b"c"),
            dated_cursor(-5, b"a"),
        ];
        assert!(cursors.is_sorted());
        assert!(dated_cursor(i64::MIN, b"a") > cursors[3]);
    }
}

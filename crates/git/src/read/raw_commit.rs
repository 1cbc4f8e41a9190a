//! A commit as it is stored, parsed as leniently as git does.
//!
//! ```text
//! tree <hex>\n
//! parent <hex>\n …
//! author <name> <<mail>> <seconds> <zone>\n
//! committer …\n
//! <header> <value>\n [ <continued value>\n …]
//! \n
//! <message>
//! ```

use gix::ObjectId;

/// A commit's bytes, split.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawCommit<'a> {
    headers: &'a [u8],
    /// What follows the empty line.
    pub(super) message: &'a [u8],
}

impl<'a> RawCommit<'a> {
    /// Splits headers and message.
    pub(super) fn new(content: &'a [u8]) -> Self {
        let end = content.windows(2).position(|pair| pair == b"\n\n");
        match end {
            Some(at) => Self { headers: &content[..=at], message: &content[at + 2..] },
            None => Self { headers: content, message: &[] },
        }
    }

    /// Reads the tree, which stands first.
    pub(super) fn tree(&self) -> Option<ObjectId> {
        ObjectId::from_hex(self.lines().next()?.strip_prefix(b"tree ")?).ok()
    }

    /// Reads the parents, which follow the tree.
    pub(super) fn parents(&self) -> impl Iterator<Item = ObjectId> + use<'a> {
        let lines = self.lines().skip(1);
        lines.map_while(|line| ObjectId::from_hex(line.strip_prefix(b"parent ")?).ok())
    }

    /// Returns the lines of tree and parents.
    pub(super) fn links(&self) -> &'a [u8] {
        let mut end = 0;
        for _ in 0..=self.parents().count() {
            end += line_end(&self.headers[end..]).unwrap_or(0);
        }
        &self.headers[..end]
    }

    /// Lists the headers that are neither tree nor parent: name, first line of the value, and the whole lines.
    pub(super) fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = &self.headers[self.links().len()..];
        std::iter::from_fn(move || {
            let first = line_end(rest)?;
            let mut end = first;
            while rest.get(end) == Some(&b' ') {
                end += line_end(&rest[end..])?;
            }
            let (lines, behind) = rest.split_at(end);
            rest = behind;
            let line = &lines[..first];
            let name_end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
            let value = lines.get(name_end + 1..).unwrap_or_default();
            Some(Header { name: line[..name_end].trim_ascii_end(), value, lines })
        })
    }

    /// Reads the committer's time; 0 if it makes no sense, as git does.
    pub(super) fn committed_at(&self) -> i64 {
        let mut lines = self.lines().skip(1 + self.parents().count());
        let is_author = lines.next().is_some_and(|line| line.starts_with(b"author"));
        let line = lines.next().filter(|line| is_author && line.starts_with(b"committer"));
        let time = line.and_then(seconds_behind_mail).unwrap_or(0);
        i64::try_from(time).unwrap_or(0)
    }

    fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.headers.split(|byte| *byte == b'\n')
    }
}

/// One header of a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    pub(super) name: &'a [u8],
    value: &'a [u8],
    /// All of its lines, as they are stored.
    pub(super) lines: &'a [u8],
}

impl Header<'_> {
    /// Returns the value, lines joined as they were before git stored them.
    pub(super) fn unfolded(&self) -> Vec<u8> {
        let value = self.value.strip_suffix(b"\n").unwrap_or(self.value);
        let mut out = Vec::with_capacity(value.len());
        for (n, line) in value.split(|byte| *byte == b'\n').enumerate() {
            if n > 0 {
                out.push(b'\n');
            }
            out.extend_from_slice(if n > 0 { line.strip_prefix(b" ").unwrap_or(line) } else { line });
        }
        out
    }
}

/// Length of the first line, its end included; `None` if nothing is left.
fn line_end(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
    (end > 0).then_some(end)
}

/// Reads the number behind the last `>` of a line.
pub(super) fn seconds_behind_mail(line: &[u8]) -> Option<u64> {
    let at = line.iter().rposition(|byte| *byte == b'>')?;
    let digits = line[at + 1..].trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

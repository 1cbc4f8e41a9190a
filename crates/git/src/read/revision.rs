//! Revisions as people write them. Source: gitrevisions(7).
//!
//! Understood are ids and their beginnings, ref names by git's rules, `@`, names that `git describe` made,
//! `^`, `^N`, `~N`, `^{commit}`, `^{tree}`, `^{blob}`, `^{tag}`, `^{object}`, `^{}`, and `:path` at the end.
//! Not understood are ranges, dates and the reflog, since the answer is always one object.

use std::collections::HashSet;

use gix::ObjectId;
use hakata_names::{Oid, TreePath, escape_controls};

use super::commit_graph::CommitGraph;
use super::history::History;
use crate::objects::{Kind, ReadError, View, object_id};

/// Shortest beginning of an id. Source: `MINIMUM_ABBREV` of git.
const MIN_PREFIX: usize = 4;

/// Most candidates that an ambiguous beginning is answered with.
const MAX_CANDIDATES: usize = 16;

/// Longest revision, in bytes: a ref name, a path and some steps.
const MAX_REVISION: usize = 8 << 10;

/// Most commits that a revision is followed over by the commit-graph alone: few, since nobody waits for them elsewhere.
const MAX_GRAPHED_STEPS: usize = 64;

/// Where a name without `refs/` is looked for, in order. Source: `ref_rev_parse_rules` of git.
const RULES: [(&[u8], &[u8]); 6] = [
    (b"", b""),
    (b"refs/", b""),
    (b"refs/tags/", b""),
    (b"refs/heads/", b""),
    (b"refs/remotes/", b""),
    (b"refs/remotes/", b"/HEAD"),
];

/// Finds the object that a full ref name, or `HEAD`, points to.
pub type RefLookup<'a> = &'a dyn Fn(&[u8]) -> Option<Oid>;

/// What an ambiguous beginning is wanted for: other kinds do not count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Any,
    Commit,
    Tree,
    Blob,
    Tag,
}

impl View {
    /// Resolves a revision to an object. It exists, unless it is the commit of a submodule at a path.
    ///
    /// # Errors
    /// [`ReadError::NotFound`], [`ReadError::Ambiguous`], [`ReadError::Invalid`] for what is no revision, and
    /// errors of reading.
    pub fn resolve(&self, revision: &[u8], refs: RefLookup<'_>) -> Result<Oid, ReadError> {
        if revision.is_empty() || revision.len() > MAX_REVISION || revision.contains(&0) {
            return Err(invalid(revision));
        }
        let (revision, path) = match split_path(revision) {
            Some((revision, path)) => (revision, Some(path)),
            None => (revision, None),
        };
        let end = revision.iter().position(|byte| matches!(byte, b'^' | b'~')).unwrap_or(revision.len());
        let (name, mut steps) = revision.split_at(end);
        if name.is_empty() {
            return Err(invalid(revision));
        }
        let mut want = if path.is_some() { Want::Tree } else { Want::Any };
        if !steps.is_empty() {
            want = first_want(steps);
        }
        let mut oid = self.base(name, want, refs)?;
        while !steps.is_empty() {
            oid = self.step_from(&oid, &mut steps, revision)?;
        }
        match path {
            Some(path) => self.below(&oid, path),
            None => Ok(oid),
        }
    }

    /// Resolves what stands before all steps: an id wins over a ref, a ref over the beginning of an id.
    fn base(&self, name: &[u8], want: Want, refs: RefLookup<'_>) -> Result<Oid, ReadError> {
        let lower = name.to_ascii_lowercase();
        let hex_len = self.format().hex_len();
        if lower.len() == hex_len && lower.iter().all(u8::is_ascii_hexdigit) {
            let oid = Oid::parse_hex(&lower).map_err(|_| not_found(name))?;
            return if self.has(&oid) { Ok(oid) } else { Err(not_found(name)) };
        }
        if let Some(oid) = by_rules(name, refs) {
            return if self.has(&oid) { Ok(oid) } else { Err(ReadError::Absent(oid)) };
        }
        // `v1.0-3-gabcdef` is commit `abcdef`.
        let described = name.windows(2).rposition(|pair| pair == b"-g").map(|at| &lower[at + 2..]);
        let (prefix, want) = match described {
            Some(prefix) if is_prefix(prefix, hex_len) => (prefix, Want::Commit),
            _ => (&lower[..], want),
        };
        if !is_prefix(prefix, hex_len) {
            return Err(not_found(name));
        }
        self.by_prefix(std::str::from_utf8(prefix).map_err(|_| not_found(name))?, want)
    }

    fn by_prefix(&self, prefix: &str, want: Want) -> Result<Oid, ReadError> {
        let walk = |error: gix::Error| ReadError::Walk(error.into());
        let hex = gix::hash::Prefix::from_hex(prefix).map_err(|e| ReadError::Walk(e.into()))?;
        let mut found = HashSet::new();
        self.repository().objects.lookup_prefix(hex, Some(&mut found)).map_err(walk)?;
        let mut candidates = Vec::new();
        for id in found {
            candidates.push(Oid::from_bytes(id.as_slice()).map_err(|e| ReadError::Walk(e.into()))?);
        }
        candidates.sort_unstable();
        if candidates.len() > 1 {
            let mut fitting = Vec::new();
            for oid in &candidates {
                if self.is_wanted(oid, want)? {
                    fitting.push(*oid);
                }
            }
            if !fitting.is_empty() {
                candidates = fitting;
            }
        }
        match candidates[..] {
            [] => Err(not_found(prefix.as_bytes())),
            [oid] => Ok(oid),
            _ => {
                candidates.truncate(MAX_CANDIDATES);
                Err(ReadError::Ambiguous { prefix: prefix.to_owned(), candidates })
            }
        }
    }

    fn is_wanted(&self, oid: &Oid, want: Want) -> Result<bool, ReadError> {
        let Some(header) = self.header(oid)? else { return Ok(false) };
        Ok(match want {
            Want::Any => true,
            Want::Blob => header.kind == Kind::Blob,
            Want::Tag => header.kind == Kind::Tag,
            Want::Commit | Want::Tree => {
                let oid = self.peel(oid)?.unwrap_or(*oid);
                let kind = self.header(&oid)?.map(|header| header.kind);
                kind == Some(Kind::Commit) || want == Want::Tree && kind == Some(Kind::Tree)
            }
        })
    }

    /// Takes one step off `steps` and goes there.
    fn step_from(&self, oid: &Oid, steps: &mut &[u8], whole: &[u8]) -> Result<Oid, ReadError> {
        let (sign, rest) = steps.split_first().ok_or_else(|| invalid(whole))?;
        if let (b'^', Some(rest)) = (sign, rest.strip_prefix(b"{")) {
            let end = rest.iter().position(|byte| *byte == b'}').ok_or_else(|| invalid(whole))?;
            *steps = &rest[end + 1..];
            return self.peel_to(oid, &rest[..end], whole);
        }
        let (n, rest) = split_number(rest).ok_or_else(|| invalid(whole))?;
        *steps = rest;
        let oid = self.peel_to(oid, b"commit", whole)?;
        // `^3` is one step to the third parent, `~3` three steps to first ones.
        let (n_steps, nth) = if *sign == b'~' { (n, 1) } else { (n.min(1), n) };
        let mut history = History::new(self);
        let (mut node, mut parents) = (history.node(&oid)?, Vec::new());
        for _ in 0..n_steps {
            parents.clear();
            history.parents(node, &mut parents)?;
            node = *parents.get(nth - 1).ok_or_else(|| not_found(whole))?;
        }
        history.oid(node)
    }

    /// Follows tags to a commit.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if they lead elsewhere, [`ReadError::Absent`], and errors of reading.
    pub fn commit_of(&self, oid: &Oid) -> Result<Oid, ReadError> {
        if self.graphed(oid).is_some() {
            return Ok(*oid);
        }
        match self.header(oid)?.ok_or(ReadError::Absent(*oid))?.kind {
            Kind::Commit => Ok(*oid),
            _ => self.peel_to(oid, b"commit", format!("{oid}^{{commit}}").as_bytes()),
        }
    }

    fn peel_to(&self, oid: &Oid, kind: &[u8], whole: &[u8]) -> Result<Oid, ReadError> {
        let is = |oid: &Oid, kind| Ok(self.header(oid)?.is_some_and(|header| header.kind == kind));
        let peeled = |oid: &Oid| Ok::<_, ReadError>(self.peel(oid)?.unwrap_or(*oid));
        let found = match kind {
            b"object" => return Ok(*oid),
            b"" => return peeled(oid),
            b"tag" => *oid,
            b"tree" => match self.tree_of(oid) {
                Err(ReadError::Invalid(_)) => return Err(not_found(whole)),
                tree => return tree,
            },
            b"commit" | b"blob" => peeled(oid)?,
            _ => return Err(invalid(whole)),
        };
        let wanted = match kind {
            b"tag" => Kind::Tag,
            b"blob" => Kind::Blob,
            _ => Kind::Commit,
        };
        let fits: Result<bool, ReadError> = is(&found, wanted);
        if fits? { Ok(found) } else { Err(not_found(whole)) }
    }

    fn below(&self, oid: &Oid, path: &[u8]) -> Result<Oid, ReadError> {
        let root = match self.tree_of(oid) {
            Err(ReadError::Invalid(_)) => return Err(not_found(path)),
            root => root?,
        };
        let (path, must_be_tree) = match path.strip_suffix(b"/") {
            Some(path) => (path, true),
            None => (path, false),
        };
        if path.is_empty() && !must_be_tree {
            return Ok(root);
        }
        let path = TreePath::parse(path).map_err(|_| invalid(path))?;
        let entry = self.find_entry(&root, &path)?;
        let entry = entry.filter(|entry| !must_be_tree || entry.kind == super::EntryKind::Tree);
        entry.map(|entry| entry.oid).ok_or_else(|| not_found(path.as_bytes()))
    }

    fn has(&self, oid: &Oid) -> bool {
        self.exists(oid) || {
            let id = object_id(oid);
            id == gix::ObjectId::empty_tree(id.kind())
        }
    }
}

/// Resolves a revision that begins with a ref, as far as the commit-graph knows the commits that it leads over; `None` if
/// more than that is needed.
pub(crate) fn resolve_by_graph(
    graph: &CommitGraph,
    revision: &[u8],
    refs: RefLookup<'_>,
) -> Option<(ObjectId, Kind)> {
    let end = revision.iter().position(|byte| matches!(byte, b'^' | b'~' | b':')).unwrap_or(revision.len());
    let (name, mut steps) = revision.split_at(end);
    // Ids are looked for among the objects first.
    if revision.len() > MAX_REVISION || revision.contains(&0) || is_oid(name) {
        return None;
    }
    let oid = by_rules(name, refs)?;
    let mut position = graph.find(&object_id(&oid))?;
    let mut left = MAX_GRAPHED_STEPS;
    while let Some((sign, rest)) = steps.split_first() {
        if steps == b"^{tree}" {
            return Some((graph.at(position).root_tree_id().to_owned(), Kind::Tree));
        }
        if let Some(rest) = steps.strip_prefix(b"^{commit}") {
            steps = rest;
            continue;
        }
        let (n, rest) = split_number(rest).filter(|_| *sign != b':')?;
        let (n_steps, nth) = if *sign == b'~' { (n, 1) } else { (n.min(1), n) };
        left = left.checked_sub(n_steps)?;
        for _ in 0..n_steps {
            position = graph.at(position).iter_parents().nth(nth - 1)?.ok()?.0;
        }
        steps = rest;
    }
    Some((graph.at(position).id().to_owned(), Kind::Commit))
}

/// Finds what a name without steps points to.
fn by_rules(name: &[u8], refs: RefLookup<'_>) -> Option<Oid> {
    let name = if name == b"@" { b"HEAD" } else { name };
    RULES.iter().find_map(|(before, after)| refs(&[before, name, after].concat()))
}

/// Says whether a name is an id of any hash function.
fn is_oid(name: &[u8]) -> bool {
    matches!(name.len(), 40 | 64) && name.iter().all(u8::is_ascii_hexdigit)
}

/// Splits the number behind `^` or `~` off, 1 without one; `None` if no further step follows it.
fn split_number(steps: &[u8]) -> Option<(usize, &[u8])> {
    let n_digits = steps.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(steps.len());
    let (digits, rest) = steps.split_at(n_digits);
    let digits = std::str::from_utf8(digits).ok()?;
    // More steps than any history has.
    let n = if digits.is_empty() { 1 } else { digits.parse().unwrap_or(usize::MAX) };
    matches!(rest.first(), None | Some(b'^' | b'~')).then_some((n, rest))
}

/// Splits at the first colon that is not within braces.
fn split_path(revision: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut depth = 0_u32;
    for (at, byte) in revision.iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => return Some((&revision[..at], &revision[at + 1..])),
            _ => {}
        }
    }
    None
}

/// What kind of object the first step starts from.
fn first_want(steps: &[u8]) -> Want {
    match steps {
        _ if steps.starts_with(b"^{tree}") => Want::Tree,
        _ if steps.starts_with(b"^{blob}") => Want::Blob,
        _ if steps.starts_with(b"^{tag}") => Want::Tag,
        _ if steps.starts_with(b"^{}") || steps.starts_with(b"^{object}") => Want::Any,
        _ => Want::Commit,
    }
}

fn is_prefix(digits: &[u8], hex_len: usize) -> bool {
    (MIN_PREFIX..hex_len).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit)
}

fn not_found(revision: &[u8]) -> ReadError {
    ReadError::NotFound(revision.to_owned())
}

fn invalid(revision: &[u8]) -> ReadError {
    let shown = &revision[..revision.len().min(200)];
    ReadError::Invalid(format!("'{}' is not a revision", escape_controls(shown)))
}

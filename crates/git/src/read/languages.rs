//! What a repository is written in.

use std::collections::BTreeMap;

use bytes::Bytes;
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::glob::wildmatch::Mode;
use gix::glob::{Pattern, pattern::Case};
use hakata_names::Oid;

use super::RawTree;
use super::tree::EntryKind;
use crate::languages::{
    self, ByName, HEAD_BYTES, Language, by_content, by_name, is_documentation, is_generated, is_vendored,
};
use crate::objects::{ReadError, View, object_id};

/// Longest file of attributes that is read, in bytes. Source: `ATTR_MAX_FILE_SIZE` of git is larger.
const MAX_ATTRIBUTES: u64 = 1 << 20;

/// Deepest directory that is entered.
const MAX_DEPTH: usize = 256;

/// Largest file whose first lines are looked at, in bytes: it is read as a whole.
const MAX_READ: u64 = 256 << 10;

/// How much of a tree is looked at.
#[derive(Clone, Copy, Debug)]
pub struct LanguageLimits {
    /// Files whose size is counted.
    pub max_files: u64,
    /// Bytes of files whose first lines are looked at.
    pub max_bytes: u64,
}

impl Default for LanguageLimits {
    fn default() -> Self {
        Self { max_files: 200_000, max_bytes: 64 << 20 }
    }
}

/// The languages of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages {
    /// Language and bytes of its files, the largest first.
    pub counts: Vec<(&'static Language, u64)>,
    /// Whether all of the tree was looked at.
    pub is_complete: bool,
}

impl View {
    /// Counts the bytes of each language in a tree, or in the tree that a commit or tag leads to. Files of others,
    /// generated ones and documentation are left out, unless `.gitattributes` says otherwise (`linguist-vendored`,
    /// `-generated`, `-documentation`, `-detectable`, `-language`). Ends early, and says so, where the limits or the
    /// time of the caller do.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::Invalid`], [`ReadError::Object`].
    pub fn languages(&self, root: &Oid, limits: &LanguageLimits) -> Result<Languages, ReadError> {
        let tree = object_id(&self.tree_of(root)?);
        let mut count =
            Count { view: self, left: *limits, rules: Vec::new(), bytes: BTreeMap::new(), is_complete: true };
        match count.directory(tree, &mut Vec::new(), 0) {
            Ok(()) => {}
            Err(ReadError::Exhausted(_)) => count.is_complete = false,
            Err(error) => return Err(error),
        }
        let mut counts: Vec<_> = count
            .bytes
            .into_iter()
            .filter_map(|(name, bytes)| Some((languages::find(name)?, bytes)))
            .collect();
        counts.sort_by_key(|(language, bytes)| (std::cmp::Reverse(*bytes), language.name));
        Ok(Languages { counts, is_complete: count.is_complete })
    }
}

/// A count under way.
struct Count<'v> {
    view: &'v View,
    left: LanguageLimits,
    /// Attributes of the directories above, the innermost last.
    rules: Vec<Rule>,
    bytes: BTreeMap<&'static str, u64>,
    is_complete: bool,
}

/// One line of a file of attributes.
struct Rule {
    pattern: Pattern,
    /// Length of the directory that the pattern is about, with its slash.
    base: usize,
    said: Said,
}

/// What is said of a file.
#[derive(Clone, Debug, Default)]
struct Said {
    vendored: Option<bool>,
    generated: Option<bool>,
    documentation: Option<bool>,
    detectable: Option<bool>,
    language: Option<String>,
}

impl Said {
    /// Lets a later line override.
    fn overridden_by(&mut self, later: &Self) {
        self.vendored = later.vendored.or(self.vendored);
        self.generated = later.generated.or(self.generated);
        self.documentation = later.documentation.or(self.documentation);
        self.detectable = later.detectable.or(self.detectable);
        if later.language.is_some() {
            self.language.clone_from(&later.language);
        }
    }

    fn read(&mut self, name: &str, state: gix::attrs::StateRef<'_>) {
        let set = match state {
            gix::attrs::StateRef::Set => Some(true),
            gix::attrs::StateRef::Unset => Some(false),
            gix::attrs::StateRef::Value(value) => Some(value.as_bstr() != "false"),
            gix::attrs::StateRef::Unspecified => None,
        };
        match name {
            "linguist-vendored" => self.vendored = set,
            "linguist-generated" => self.generated = set,
            "linguist-documentation" => self.documentation = set,
            "linguist-detectable" => self.detectable = set,
            "linguist-language" => {
                if let gix::attrs::StateRef::Value(value) = state {
                    self.language = Some(value.as_bstr().to_string());
                }
            }
            _ => {}
        }
    }
}

impl Count<'_> {
    fn directory(&mut self, id: ObjectId, path: &mut Vec<u8>, depth: usize) -> Result<(), ReadError> {
        let tree = RawTree::read(self.view, id)?;
        let n_rules = self.rules.len();
        if let Some(entry) = tree.find(b".gitattributes")?.filter(|entry| !entry.is_tree()) {
            self.attributes(entry.object_id(), path.len())?;
        }
        let length = path.len();
        for entry in tree.entries() {
            let entry = entry?;
            self.view.meter().step()?;
            path.extend_from_slice(entry.name);
            match EntryKind::of_mode(entry.mode) {
                EntryKind::Tree if depth >= MAX_DEPTH => self.is_complete = false,
                EntryKind::Tree => {
                    path.push(b'/');
                    self.directory(entry.object_id(), path, depth + 1)?;
                }
                EntryKind::Blob | EntryKind::Executable => self.file(entry.object_id(), path, entry.name)?,
                EntryKind::Link | EntryKind::Submodule => {}
            }
            path.truncate(length);
        }
        self.rules.truncate(n_rules);
        Ok(())
    }

    fn file(&mut self, id: ObjectId, path: &[u8], name: &[u8]) -> Result<(), ReadError> {
        let said = self.said(path);
        let is = |said: Option<bool>, otherwise: bool| said.unwrap_or(otherwise);
        if is(said.vendored, is_vendored(path)) || is(said.documentation, is_documentation(path)) {
            return Ok(());
        }
        let named = said.language.as_deref().and_then(languages::find);
        let by_name = named.map_or_else(|| by_name(name), ByName::Known);
        let is_nothing = by_name == ByName::Nothing || said.detectable == Some(false);
        if is_nothing || is(said.generated, is_generated(path, None)) {
            return Ok(());
        }
        if self.left.max_files == 0 {
            self.is_complete = false;
            return Ok(());
        }
        self.left.max_files -= 1;
        let oid = Oid::from_bytes(id.as_slice()).map_err(|error| ReadError::Walk(error.into()))?;
        let Some(header) = self.view.header(&oid)? else { return Err(ReadError::Absent(oid)) };
        let head = self.head(&oid, header.size_bytes)?;
        if said.generated.is_none() && is_generated(path, head.as_deref()) {
            return Ok(());
        }
        let language = match (by_name, head) {
            (ByName::Known(language), _) => Some(language),
            (_, Some(head)) => by_content(name, &head),
            (_, None) => None,
        };
        if let Some(language) = language {
            *self.bytes.entry(language.name).or_default() += header.size_bytes;
        }
        Ok(())
    }

    /// Reads the first bytes of a file; `None` if it is too long for that, or so much was read already.
    fn head(&mut self, oid: &Oid, size_bytes: u64) -> Result<Option<Bytes>, ReadError> {
        if size_bytes > MAX_READ {
            return Ok(None);
        }
        let Some(left) = self.left.max_bytes.checked_sub(size_bytes) else {
            self.is_complete = false;
            return Ok(None);
        };
        self.left.max_bytes = left;
        self.view.meter().take_bytes(size_bytes)?;
        let mut content = self.view.read_blob(oid, MAX_READ)?;
        content.truncate(HEAD_BYTES);
        Ok(Some(content))
    }

    /// Reads a file of attributes about the directory whose path has this length.
    fn attributes(&mut self, id: ObjectId, base: usize) -> Result<(), ReadError> {
        let oid = Oid::from_bytes(id.as_slice()).map_err(|error| ReadError::Walk(error.into()))?;
        let content = match self.view.read_blob(&oid, MAX_ATTRIBUTES) {
            Ok(content) => content,
            // git does not read them either.
            Err(ReadError::TooLarge { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in gix::attrs::parse(&content) {
            let Ok((gix::attrs::parse::Kind::Pattern(pattern), assignments, _)) = line else { continue };
            let mut said = Said::default();
            let mut is_ours = false;
            for assignment in assignments.flatten() {
                let name = assignment.name.as_str();
                is_ours |= name.starts_with("linguist-");
                said.read(name, assignment.state);
            }
            if is_ours {
                self.rules.push(Rule { pattern, base, said });
            }
        }
        Ok(())
    }

    fn said(&self, path: &[u8]) -> Said {
        let mut said = Said::default();
        for rule in &self.rules {
            let path: &BStr = path[rule.base..].as_bstr();
            let name = path.rfind_byte(b'/').map(|at| at + 1);
            let mode = Mode::NO_MATCH_SLASH_LITERAL;
            if rule.pattern.matches_repo_relative_path(path, name, Some(false), Case::Sensitive, mode) {
                said.overridden_by(&rule.said);
            }
        }
        said
    }
}

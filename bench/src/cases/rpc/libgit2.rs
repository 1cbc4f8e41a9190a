//! libgit2, in process, as its documentation shows it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use git2::{Commit, DiffFormat, DiffOptions, ObjectType, Oid, Repository, Sort, Tree};

use super::peers::{self, Peer, RefRow, Sum, Told, told};
use super::question::Question;
use super::subject::Subject;

/// Histories longer than this are not blamed: it takes minutes.
const MAX_BLAMED: usize = 30_000;

/// An open repository, which is not opened again.
pub(super) struct Libgit2(Repository);

impl Libgit2 {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(Repository::open_bare(path)?))
    }
}

impl Peer for Libgit2 {
    fn name(&self) -> &'static str {
        "libgit2"
    }

    fn ask(&self, question: Question, subject: &Subject) -> Option<Result<Told>> {
        Some(match question {
            Question::Refs => self.refs(),
            Question::Revision => self.revision(),
            Question::Tree => self.tree(),
            Question::Blob => self.blob(&subject.file),
            Question::Blobs => self.blobs(subject),
            Question::Log(n) => self.log(n as usize),
            Question::Count => self.count(),
            Question::MergeBases => self.merge_bases(subject),
            Question::AheadBehind => self.ahead_behind(subject),
            Question::PathLog => self.path_log(&subject.file, 100),
            Question::LastCommits | Question::LastCommitsAgain => self.last_commits(&subject.entries),
            Question::SmallDiff => self.diffs(subject.small.as_slice()),
            Question::Diffs => self.diffs(&subject.diffs),
            Question::HugeStats => self.huge(subject, false),
            Question::HugePatch => self.huge(subject, true),
            Question::Merges => self.merges(subject),
            Question::Blame if subject.n_commits > MAX_BLAMED => return None,
            Question::Blame => self.blame(&subject.file),
        })
    }
}

impl Libgit2 {
    fn refs(&self) -> Result<Told> {
        let mut rows: Vec<RefRow> = Vec::new();
        for glob in ["refs/heads/*", "refs/tags/*"] {
            for found in self.0.references_glob(glob)? {
                let found = found?;
                let target = found.target().context("a branch or tag points to an object")?;
                let object = self.0.find_object(target, None)?;
                let tagger = object.as_tag().and_then(|tag| Some(tag.tagger()?.when().seconds()));
                let commit = object.peel_to_commit().ok();
                let date = commit.map(|commit| tagger.unwrap_or(commit.time().seconds()));
                rows.push((found.name_bytes().to_vec(), target.to_string(), date));
            }
        }
        told(move || Ok(peers::refs(rows)))
    }

    fn revision(&self) -> Result<Told> {
        let found = self.0.revparse_single("HEAD~10^{tree}")?.id();
        told(move || Ok(found.to_string().into_bytes()))
    }

    fn head(&self) -> Result<Commit<'_>> {
        Ok(self.0.head()?.peel_to_commit()?)
    }

    fn tree(&self) -> Result<Told> {
        let odb = self.0.odb()?;
        let mut rows = Vec::new();
        for entry in self.head()?.tree()?.iter() {
            let is_file = entry.kind() == Some(ObjectType::Blob);
            let size = if is_file { Some(odb.read_header(entry.id())?.0 as u64) } else { None };
            let mode = u32::try_from(entry.filemode())?;
            rows.push((mode, entry.id().to_string(), size, entry.name_bytes().to_vec()));
        }
        told(move || Ok(peers::tree(rows)))
    }

    fn blob(&self, path: &str) -> Result<Told> {
        let entry = self.head()?.tree()?.get_path(Path::new(path))?;
        let content = self.0.find_blob(entry.id())?.content().to_vec();
        told(move || Ok(content))
    }

    fn blobs(&self, subject: &Subject) -> Result<Told> {
        let mut sum = Sum::default();
        for oid in &subject.blobs {
            sum.add(self.0.find_blob(theirs(oid)?)?.content());
        }
        told(move || Ok(sum.words()))
    }

    fn walk(&self) -> Result<git2::Revwalk<'_>> {
        let mut walk = self.0.revwalk()?;
        walk.set_sorting(Sort::TIME)?;
        walk.push_head()?;
        Ok(walk)
    }

    fn log(&self, n: usize) -> Result<Told> {
        let mut rows = Vec::new();
        for oid in self.walk()?.take(n) {
            let commit = self.0.find_commit(oid?)?;
            rows.push((
                commit.id().to_string(),
                commit.author().when().seconds(),
                commit.committer().when().seconds(),
            ));
        }
        told(move || Ok(peers::log(rows)))
    }

    fn count(&self) -> Result<Told> {
        let mut walk = self.0.revwalk()?;
        walk.push_head()?;
        let n = walk.count();
        told(move || Ok(n.to_string().into_bytes()))
    }

    fn merge_bases(&self, subject: &Subject) -> Result<Told> {
        let mut rows = Vec::new();
        for (one, other) in &subject.bases {
            let found = self.0.merge_bases(theirs(one)?, theirs(other)?)?;
            rows.push(found.iter().map(Oid::to_string).collect());
        }
        told(move || Ok(peers::oids(rows)))
    }

    fn ahead_behind(&self, subject: &Subject) -> Result<Told> {
        let tip = theirs(&subject.tip)?;
        let mut out = String::new();
        for (_, commit) in &subject.compared {
            let (ahead, behind) = self.0.graph_ahead_behind(theirs(commit)?, tip)?;
            out.push_str(&format!("{ahead} {behind}\n"));
        }
        told(move || Ok(out.into_bytes()))
    }

    fn path_log(&self, path: &str, n: usize) -> Result<Told> {
        let at = |commit: &Commit<'_>| -> Result<Option<Oid>> {
            Ok(commit.tree()?.get_path(Path::new(path)).ok().map(|entry| entry.id()))
        };
        let mut rows = Vec::new();
        for oid in self.walk()? {
            let commit = self.0.find_commit(oid?)?;
            let here = at(&commit)?;
            let mut is_changed = commit.parent_count() > 0 || here.is_some();
            for parent in commit.parents() {
                is_changed &= at(&parent)? != here;
            }
            if is_changed {
                let (author, committer) = (commit.author().when(), commit.committer().when());
                rows.push((commit.id().to_string(), author.seconds(), committer.seconds()));
            }
            if rows.len() == n {
                break;
            }
        }
        told(move || Ok(peers::log(rows)))
    }

    /// Walks until each entry was found to differ from all parents.
    fn last_commits(&self, names: &[String]) -> Result<Told> {
        let mut open: HashMap<&str, Oid> = HashMap::new();
        let tip = self.head()?.tree()?;
        for name in names {
            open.insert(name, tip.get_name(name).context("the root has the entry")?.id());
        }
        let mut found: HashMap<String, String> = HashMap::new();
        for oid in self.walk()? {
            let commit = self.0.find_commit(oid?)?;
            let tree = commit.tree()?;
            let parents = commit.parents().map(|parent| parent.tree()).collect::<Result<Vec<_>, _>>()?;
            if parents.iter().any(|parent| parent.id() == tree.id()) {
                continue;
            }
            open.retain(|name, oid| {
                let is_here = |tree: &Tree<'_>| tree.get_name(name).is_some_and(|entry| entry.id() == *oid);
                let is_last = is_here(&tree) && !parents.iter().any(is_here);
                if is_last {
                    found.insert((*name).to_owned(), commit.id().to_string());
                }
                !is_last
            });
            if open.is_empty() {
                break;
            }
        }
        let names = names.to_vec();
        let row = move |name: &String| vec![found.get(name).cloned().unwrap_or_default()];
        told(move || Ok(peers::oids(names.iter().map(row).collect())))
    }

    fn diff(&self, old: Oid, new: Oid) -> Result<git2::Diff<'_>> {
        let (old, new) = (self.0.find_commit(old)?.tree()?, self.0.find_commit(new)?.tree()?);
        let mut diff = self.0.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut DiffOptions::new()))?;
        diff.find_similar(None)?;
        Ok(diff)
    }

    fn patch(&self, old: Oid, new: Oid) -> Result<(u64, u64, u64)> {
        let diff = self.diff(old, new)?;
        let (mut added, mut deleted) = (0, 0);
        diff.print(DiffFormat::Patch, |_, _, line| {
            added += u64::from(line.origin() == '+');
            deleted += u64::from(line.origin() == '-');
            true
        })?;
        Ok((diff.deltas().len() as u64, added, deleted))
    }

    fn diffs(&self, of: &[(hakata_names::Oid, hakata_names::Oid)]) -> Result<Told> {
        let rows = of.iter().map(|(commit, parent)| self.patch(theirs(parent)?, theirs(commit)?));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        told(move || Ok(peers::counts(&rows)))
    }

    fn huge(&self, subject: &Subject, patch: bool) -> Result<Told> {
        let (old, new) = (theirs(&subject.half)?, theirs(&subject.tip)?);
        let row = if patch {
            self.patch(old, new)?
        } else {
            let stats = self.diff(old, new)?.stats()?;
            (stats.files_changed() as u64, stats.insertions() as u64, stats.deletions() as u64)
        };
        told(move || Ok(peers::counts(&[row])))
    }

    /// Trees are written to memory.
    fn merges(&self, subject: &Subject) -> Result<Told> {
        let repository = Repository::open_bare(&subject.path)?;
        let odb = repository.odb()?;
        let _memory = odb.add_new_mempack_backend(1_000)?;
        let mut out = String::new();
        for (base, head) in &subject.merges {
            let (base, head) = (theirs(base)?, theirs(head)?);
            let (base, head) = (repository.find_commit(base)?, repository.find_commit(head)?);
            let mut index = repository.merge_commits(&base, &head, None)?;
            match index.has_conflicts() {
                true => out.push_str("conflicts\n"),
                false => out.push_str(&format!("{}\n", index.write_tree_to(&repository)?)),
            }
        }
        told(move || Ok(out.into_bytes()))
    }

    fn blame(&self, path: &str) -> Result<Told> {
        let blame = self.0.blame_file(Path::new(path), None)?;
        let mut lines = Vec::new();
        for hunk in blame.iter() {
            let first = hunk.final_start_line();
            for line in first..first + hunk.lines_in_hunk() {
                lines.push((u32::try_from(line)?, hunk.final_commit_id().to_string()));
            }
        }
        told(move || Ok(peers::blame(lines)))
    }
}

fn theirs(oid: &hakata_names::Oid) -> Result<Oid> {
    Ok(Oid::from_bytes(oid.as_bytes())?)
}

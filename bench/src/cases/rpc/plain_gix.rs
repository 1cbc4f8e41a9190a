//! gix, in process, as its documentation shows it: an open repository with what it does by itself.
//!
//! Merges and blame are parts of gix that the product does not build; so they are not measured.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;
use gix::{ObjectId, Repository};

use super::peers::{self, Peer, RefRow, Sum, Told, told};
use super::question::Question;
use super::subject::Subject;

/// An open repository, which is not opened again.
pub(super) struct PlainGix(Repository);

impl PlainGix {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(gix::open(path)?))
    }
}

impl Peer for PlainGix {
    fn name(&self) -> &'static str {
        "gix"
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
            Question::HugeStats => self.huge(subject),
            Question::HugePatch | Question::Merges | Question::Blame => return None,
        })
    }
}

impl PlainGix {
    fn refs(&self) -> Result<Told> {
        let mut rows: Vec<RefRow> = Vec::new();
        for prefix in ["refs/heads/", "refs/tags/"] {
            for found in self.0.references()?.prefixed(prefix)? {
                let found = found.map_err(|error| anyhow::anyhow!("{error}"))?;
                let object = found.id().object()?;
                let tagger = match object.kind {
                    gix::object::Kind::Tag => {
                        let tag = object.clone().into_tag();
                        tag.tagger()?.map(|tagger| tagger.time()).transpose()?.map(|time| time.seconds)
                    }
                    _ => None,
                };
                let commit = object.peel_to_commit().ok();
                let date = commit.map(|commit| Ok(tagger.unwrap_or(commit.time()?.seconds)));
                let date = date.transpose().map_err(|error: gix::Error| anyhow::anyhow!("{error}"))?;
                rows.push((found.name().as_bstr().to_vec(), found.id().to_string(), date));
            }
        }
        told(move || Ok(peers::refs(rows)))
    }

    fn revision(&self) -> Result<Told> {
        let found = self.0.rev_parse_single("HEAD~10^{tree}")?.detach();
        told(move || Ok(found.to_string().into_bytes()))
    }

    fn tree(&self) -> Result<Told> {
        let mut rows = Vec::new();
        for entry in self.0.head_commit()?.tree()?.iter() {
            let entry = entry?;
            let size = match entry.mode().is_blob_or_symlink() {
                true => Some(self.0.find_header(entry.object_id())?.size()),
                false => None,
            };
            let mode = u32::from(entry.mode().value());
            rows.push((mode, entry.object_id().to_string(), size, entry.filename().to_vec()));
        }
        told(move || Ok(peers::tree(rows)))
    }

    fn blob(&self, path: &str) -> Result<Told> {
        let entry = self.0.head_commit()?.tree()?.lookup_entry_by_path(path)?;
        let content = entry.context("the file is there")?.object()?.data.clone();
        told(move || Ok(content))
    }

    fn blobs(&self, subject: &Subject) -> Result<Told> {
        let mut sum = Sum::default();
        for oid in &subject.blobs {
            sum.add(&self.0.find_blob(theirs(oid))?.data);
        }
        told(move || Ok(sum.words()))
    }

    fn walk(&self) -> Result<gix::revision::Walk<'_>> {
        let walk = self.0.rev_walk([self.0.head_id()?]);
        Ok(walk.sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst)).all()?)
    }

    fn log(&self, n: usize) -> Result<Told> {
        let mut rows = Vec::new();
        for found in self.walk()?.take(n) {
            let commit = found?.object()?;
            rows.push((commit.id().to_string(), commit.author()?.time()?.seconds, commit.time()?.seconds));
        }
        told(move || Ok(peers::log(rows)))
    }

    fn count(&self) -> Result<Told> {
        let n = self.0.rev_walk([self.0.head_id()?]).all()?.count();
        told(move || Ok(n.to_string().into_bytes()))
    }

    fn merge_bases(&self, subject: &Subject) -> Result<Told> {
        let mut rows = Vec::new();
        for (one, other) in &subject.bases {
            let found = self.0.merge_bases_many(theirs(one), &[theirs(other)])?;
            rows.push(found.iter().map(ToString::to_string).collect());
        }
        told(move || Ok(peers::oids(rows)))
    }

    fn ahead_behind(&self, subject: &Subject) -> Result<Told> {
        let tip = theirs(&subject.tip);
        let apart = |one: ObjectId, hidden: ObjectId| -> Result<usize> {
            Ok(self.0.rev_walk([one]).with_hidden([hidden]).all()?.count())
        };
        let mut out = String::new();
        for (_, commit) in &subject.compared {
            let commit = theirs(commit);
            out.push_str(&format!("{} {}\n", apart(commit, tip)?, apart(tip, commit)?));
        }
        told(move || Ok(out.into_bytes()))
    }

    fn path_log(&self, path: &str, n: usize) -> Result<Told> {
        let at = |id: ObjectId| -> Result<Option<ObjectId>> {
            let entry = self.0.find_commit(id)?.tree()?.lookup_entry_by_path(path)?;
            Ok(entry.map(|entry| entry.object_id()))
        };
        let mut rows = Vec::new();
        for found in self.walk()? {
            let found = found?;
            let here = at(found.id)?;
            let mut is_changed = !found.parent_ids.is_empty() || here.is_some();
            for parent in &found.parent_ids {
                is_changed &= at(*parent)? != here;
            }
            if is_changed {
                let commit = found.object()?;
                rows.push((
                    commit.id().to_string(),
                    commit.author()?.time()?.seconds,
                    commit.time()?.seconds,
                ));
            }
            if rows.len() == n {
                break;
            }
        }
        told(move || Ok(peers::log(rows)))
    }

    fn entries(&self, commit: ObjectId) -> Result<HashMap<Vec<u8>, ObjectId>> {
        let tree = self.0.find_commit(commit)?.tree()?;
        let mut entries = HashMap::new();
        for entry in tree.iter() {
            let entry = entry?;
            entries.insert(entry.filename().to_vec(), entry.object_id());
        }
        Ok(entries)
    }

    /// Walks until each entry was found to differ from all parents.
    fn last_commits(&self, names: &[String]) -> Result<Told> {
        let tip = self.entries(self.0.head_id()?.detach())?;
        let mut open: Vec<(&String, ObjectId)> = Vec::new();
        for name in names {
            open.push((name, *tip.get(name.as_bytes()).context("the root has the entry")?));
        }
        let mut found: HashMap<String, String> = HashMap::new();
        for commit in self.walk()? {
            let commit = commit?;
            let tree = commit.object()?.tree_id()?.detach();
            let parents = commit.parent_ids().map(|id| Ok(id.object()?.into_commit().tree_id()?.detach()));
            if parents.collect::<Result<Vec<_>>>()?.contains(&tree) {
                continue;
            }
            let here = self.entries(commit.id)?;
            let parents = commit.parent_ids.iter().map(|id| self.entries(*id)).collect::<Result<Vec<_>>>()?;
            open.retain(|(name, id)| {
                let is_here = |entries: &HashMap<Vec<u8>, ObjectId>| entries.get(name.as_bytes()) == Some(id);
                let is_last = is_here(&here) && !parents.iter().any(is_here);
                if is_last {
                    found.insert((*name).clone(), commit.id.to_string());
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

    fn diff(&self, old: ObjectId, new: ObjectId) -> Result<(u64, u64, u64)> {
        let (old, new) = (self.0.find_commit(old)?.tree()?, self.0.find_commit(new)?.tree()?);
        let mut cache = self.0.diff_resource_cache_for_tree_diff()?;
        let (mut files, mut added, mut deleted) = (0, 0, 0);
        old.changes()?.for_each_to_obtain_tree(&new, |change| {
            if !change.entry_mode().is_tree() {
                files += 1;
                if change.entry_mode().is_blob_or_symlink()
                    && let Some(counts) = change.diff(&mut cache)?.line_counts()?
                {
                    added += u64::from(counts.insertions);
                    deleted += u64::from(counts.removals);
                }
                cache.clear_resource_cache_keep_allocation();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((files, added, deleted))
    }

    fn diffs(&self, of: &[(hakata_names::Oid, hakata_names::Oid)]) -> Result<Told> {
        let rows = of.iter().map(|(commit, parent)| self.diff(theirs(parent), theirs(commit)));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        told(move || Ok(peers::counts(&rows)))
    }

    fn huge(&self, subject: &Subject) -> Result<Told> {
        let row = self.diff(theirs(&subject.half), theirs(&subject.tip))?;
        told(move || Ok(peers::counts(&[row])))
    }
}

fn theirs(oid: &hakata_names::Oid) -> ObjectId {
    ObjectId::from_bytes_or_panic(oid.as_bytes())
}

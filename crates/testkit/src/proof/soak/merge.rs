//! Looks for ids that came twice, among more than fit into memory.
//!
//! What one connection received rises, so the files are runs that need no sorting: a merge of all of them passes
//! every id in order, and equal ones lie side by side.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::load::Received;

/// Ids of a run that are in memory at a time.
const CHUNK: usize = 512;

/// Counts the ids of all files.
///
/// # Errors
/// If one of them came twice, or a run does not rise.
pub(super) fn count_unique(received: &[Received]) -> Result<u64> {
    let mut runs = Vec::new();
    for one in received {
        let file = Arc::new(File::open(&one.path).context("opening ids")?);
        let mut begin = 0;
        for end in &one.ends {
            runs.push(Run {
                file: file.clone(),
                name: one.path.display().to_string(),
                at: begin,
                end: *end,
                chunk: Vec::new(),
            });
            begin = *end;
        }
    }
    let mut heads = BinaryHeap::new();
    for (n, run) in runs.iter_mut().enumerate() {
        if let Some(id) = run.next()? {
            heads.push(Reverse((id, n)));
        }
    }
    let (mut n_ids, mut last): (u64, Option<(u64, usize)>) = (0, None);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((id, n)) = *head;
        if let Some((before, other)) = last.filter(|(before, _)| *before >= id) {
            bail!("{id} of {} came after {before} of {}", runs[n].name, runs[other].name);
        }
        last = Some((id, n));
        n_ids += 1;
        match runs[n].next()? {
            Some(next) => *head = Reverse((next, n)),
            None => drop(PeekMut::pop(head)),
        }
    }
    Ok(n_ids)
}

/// What one connection received.
struct Run {
    file: Arc<File>,
    name: String,
    at: u64,
    end: u64,
    /// Read and not yet passed on, the next one last.
    chunk: Vec<u64>,
}

impl Run {
    fn next(&mut self) -> Result<Option<u64>> {
        if self.chunk.is_empty() && self.at < self.end {
            let n = usize::try_from(self.end - self.at).unwrap_or(CHUNK).min(CHUNK);
            let mut bytes = vec![0; n * 8];
            self.file.read_exact_at(&mut bytes, self.at * 8).context("reading ids")?;
            self.at += n as u64;
            let ids = bytes.chunks_exact(8).rev();
            self.chunk.extend(ids.filter_map(|id| Some(u64::from_le_bytes(id.try_into().ok()?))));
            ensure!(self.chunk.len() == n, "ids are 8 bytes long");
        }
        Ok(self.chunk.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Received, count_unique};

    /// Writes files of ids, each cut into connections.
    fn received(folder: &std::path::Path, files: &[&[&[u64]]]) -> Vec<Received> {
        let write = |(n, runs): (usize, &&[&[u64]])| {
            let path = folder.join(n.to_string());
            let bytes: Vec<u8> = runs.concat().iter().flat_map(|id| id.to_le_bytes()).collect();
            std::fs::write(&path, bytes).unwrap();
            let ends = runs.iter().scan(0, |end, run| {
                *end += run.len() as u64;
                Some(*end)
            });
            Received { path, ends: ends.collect() }
        };
        files.iter().enumerate().map(write).collect()
    }

    #[test]
    fn ids_that_came_once_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let long: Vec<u64> = (1_000..1_000 + 3 * CHUNK as u64).collect();
        let files = received(folder.path(), &[&[&[5, 7], &[1, 6]], &[&[2, 9]], &[], &[&long]]);
        assert_eq!(count_unique(&files).unwrap(), 6 + long.len() as u64);
    }

    #[test]
    fn an_id_that_came_twice_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let long: Vec<u64> = (1..=3 * CHUNK as u64).collect();
        let last = *long.last().unwrap();
        let cases: [&[&[&[u64]]]; 4] =
            [&[&[&[1, 3]], &[&[2, 3]]], &[&[&[1, 3], &[3, 4]]], &[&[&long], &[&[last]]], &[&[&[4, 4]]]];
        for files in cases {
            let error = count_unique(&received(folder.path(), files)).unwrap_err().to_string();
            assert!(error.contains("came after"), "{files:?}: {error}");
        }
    }
}

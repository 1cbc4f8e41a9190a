//! The history of one file under all its names.

use bytes::Bytes;
use hakata_rpc::Status;
use hakata_rpc::v1::{History, ListCommitsResponse};

use super::super::{Opened, counted, cut, file_path, status};
use super::{PART_COMMITS, read};
use crate::parts::Parts;

impl Opened {
    /// Lists the commits that changed a file, `limit` of them and `most` over all parts. The cursor is how many were listed, and the commit that it began with.
    pub(super) async fn follow(
        &self,
        history: &History,
        cursor: &[u8],
        (limit, most): (usize, usize),
        parts: Parts<ListCommitsResponse>,
    ) -> Result<(), Status> {
        let [path] = &history.paths[..] else {
            return Err(Status::invalid("only one path can be followed"));
        };
        let path = file_path(path)?;
        let (skip, tip) = match cursor.split_first_chunk() {
            Some((skip, tip)) => (u64::from_be_bytes(*skip), super::oid(tip, self.repository.format())?),
            None => match &history.revisions[..] {
                [] => (0, self.commit(None).await?),
                [revision] => (0, self.commit(Some(revision)).await?),
                _ => return Err(Status::invalid("a file is followed from one revision")),
            },
        };
        let first = usize::try_from(skip).unwrap_or(usize::MAX);
        let wanted = limit.min(most.saturating_sub(first));
        let found =
            self.objects().follow(tip, &path, first, wanted.saturating_add(1), &self.allowance()).await;
        let found = found.map_err(|error| status(&error))?;
        let n = found.len().min(wanted);
        for (part, is_last) in cut(0, n, PART_COMMITS) {
            let (listed, wanted) = ((first + part.end) as u64, limit - part.end);
            let oids: Vec<_> = found[part].iter().map(|followed| followed.commit).collect();
            let commits = self.read(move |view| read(view, &oids));
            let cursor = [&listed.to_be_bytes(), tip.as_bytes()].concat();
            let cursor = if is_last { Bytes::new() } else { counted(wanted, &cursor) };
            parts.give(ListCommitsResponse { commits: commits.await?, cursor }).await?;
        }
        Ok(())
    }
}

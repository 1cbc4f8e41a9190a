//! Who last changed each line.

use std::collections::HashSet;

use hakata_git::diff::Whitespace;
use hakata_git::read::BlameQuery;
use hakata_rpc::Status;
use hakata_rpc::v1::{BlameRange, BlameRequest, BlameResponse};

use super::super::messages::{commit, oid_bytes};
use super::super::{Opened, file_path, oid, status};
use crate::parts::Parts;

/// Ranges of one part.
const PART_RANGES: usize = 100;

impl Opened {
    pub(super) async fn blame(
        &self,
        request: BlameRequest,
        parts: Parts<BlameResponse>,
    ) -> Result<(), Status> {
        let tip = self.resolve(request.revision.as_ref()).await?;
        let format = self.repository.format();
        let ignored = request.ignored_oids.iter().map(|raw| oid(raw, format)).collect::<Result<_, _>>()?;
        let (first, last) = (request.first_line.max(1), request.last_line);
        let ranges = match (first, last) {
            (1, 0) => Vec::new(),
            (first, 0) => vec![first..=u32::MAX],
            (first, last) if first <= last => vec![first..=last],
            _ => return Err(Status::invalid("the last line comes before the first")),
        };
        let whitespace = if request.ignore_whitespace { Whitespace::IgnoreAll } else { Whitespace::Exact };
        let path = file_path(&request.path)?;
        let query = BlameQuery { commit: tip, path, ranges, ignored, whitespace };
        let begun = self.objects().blame(query, &self.allowance()).await;
        let mut blame = begun.map_err(|error| status(&error))?;
        let mut told = HashSet::new();
        let (mut ranges, mut fresh) = (Vec::new(), Vec::new());
        loop {
            let hunk = blame.next().await.map_err(|error| status(&error))?;
            let is_end = hunk.is_none();
            if let Some(hunk) = hunk {
                if told.insert(hunk.commit) {
                    fresh.push(hunk.commit);
                }
                ranges.push(BlameRange {
                    line: hunk.line,
                    n_lines: hunk.n_lines,
                    oid: oid_bytes(&hunk.commit),
                    origin_path: hunk.path.into(),
                    origin_line: hunk.original_line,
                });
            }
            if ranges.len() == PART_RANGES || is_end && !ranges.is_empty() {
                let oids = std::mem::take(&mut fresh);
                let read =
                    self.read(move |view| oids.iter().map(|oid| view.read_commit(oid).map(commit)).collect());
                let commits = read.await?;
                parts.give(BlameResponse { ranges: std::mem::take(&mut ranges), commits }).await?;
            }
            if is_end {
                return Ok(());
            }
        }
    }
}

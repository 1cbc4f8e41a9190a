//! Directories.

use std::sync::Arc;

use bytes::Bytes;
use hakata_git::read::{Depth, ListTree, Match, Pattern, SearchQuery};
use hakata_rpc::v1::{
    FindFilesRequest, FindFilesResponse, GetEntryRequest, ListTreeRequest, ListTreeResponse, SearchMatch,
    SearchRequest, SearchResponse, TreeEntry, TreeService,
};
use hakata_rpc::{Answers, Call, Pending, Status};

use super::messages::{entry, oid_bytes};
use super::{Local, counted, limit, status, tree_path, tree_paths, uncounted};
use crate::metrics::{LIMITS_MET, Limit};
use crate::parts::parts;

/// Entries of one part.
const PART_ENTRIES: usize = 500;

/// Lines of one part.
const PART_LINES: usize = 50;

impl TreeService for Local {
    fn get_entry(&self, call: Call, request: GetEntryRequest) -> Pending<TreeEntry> {
        let local = self.clone();
        Box::pin(async move {
            let path = tree_path(&request.path)?;
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let named = opened.named(request.revision.as_ref())?;
            let Some(path) = path else {
                let tree = opened.read(move |view| view.tree_of(&named.object(view)?)).await?;
                let mode = 0o040_000;
                return Ok(TreeEntry { path: Bytes::new(), oid: oid_bytes(&tree), mode, size_bytes: 0 });
            };
            let found = opened.read(move |view| {
                let Some(mut found) = view.find_entry(&named.object(view)?, &path)? else { return Ok(None) };
                found.path = path.as_bytes().to_vec();
                if found.kind.is_blob() {
                    found.size_bytes = view.header(&found.oid)?.map(|header| header.size_bytes);
                }
                Ok(Some(found))
            });
            let found = found.await?.ok_or_else(|| Status::not_found("there is no such path"))?;
            Ok(entry(b"", &found))
        })
    }

    fn list(&self, call: Call, request: ListTreeRequest) -> Answers<ListTreeResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let root = opened.resolve(request.revision.as_ref()).await?;
            let (mut left, cursor) = uncounted(request.limit, &request.cursor)?;
            let mut query = ListTree {
                root,
                path: tree_path(&request.path)?,
                depth: if request.recursive { Depth::All } else { Depth::One },
                sizes: request.with_sizes,
                after: Some(cursor.to_vec()).filter(|cursor| !cursor.is_empty()),
                limit: PART_ENTRIES,
            };
            while left > 0 {
                query.limit = left.min(PART_ENTRIES);
                let asked = query.clone();
                let page = opened.read(move |view| view.list_tree(&asked)).await?;
                left -= page.entries.len();
                query.after = page.entries.last().map(|last| last.path.clone());
                let more = page.has_more && left > 0;
                let behind = query.after.as_ref().filter(|_| more);
                let cursor = behind.map(|last| counted(left, last)).unwrap_or_default();
                let entries = page.entries.iter().map(|found| entry(&request.path, found)).collect();
                parts.give(ListTreeResponse { entries, cursor }).await?;
                if !more {
                    break;
                }
            }
            Ok(())
        })
    }

    fn find_files(&self, call: Call, request: FindFilesRequest) -> Pending<FindFilesResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let root = opened.resolve(request.revision.as_ref()).await?;
            let limit = limit(request.limit).min(local.0.settings.limits.found_files);
            let found =
                opened.read(move |view| view.find_files(&root, &request.query, Match::Fuzzy, limit)).await?;
            let paths = found.paths.into_iter().map(Bytes::from).collect();
            Ok(FindFilesResponse { paths, n_matches: found.n_matches })
        })
    }

    fn search(&self, call: Call, request: SearchRequest) -> Answers<SearchResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = Arc::new(local.open(request.repository.as_ref(), &call).await?);
            let limits = local.0.settings.limits;
            let query = SearchQuery {
                root: opened.resolve(request.revision.as_ref()).await?,
                pattern: request.query,
                how: if request.regex { Pattern::Regex } else { Pattern::Text },
                ignore_case: !request.case_sensitive,
                paths: tree_paths(&request.paths)?,
                max_per_file: limits.found_lines_per_file,
                limit: limit(request.limit).min(limits.found_lines),
            };
            let begun = opened.objects().search(query, &opened.allowance()).await;
            let mut search = begun.map_err(|error| status(&error))?;
            let mut matches = Vec::new();
            while let Some(hit) = search.next().await.map_err(|error| status(&error))? {
                matches.push(SearchMatch {
                    path: hit.path.into(),
                    line: hit.line,
                    column: hit.column,
                    text: hit.content.into(),
                });
                if matches.len() == PART_LINES {
                    let matches = std::mem::take(&mut matches);
                    parts.give(SearchResponse { matches, truncated: false }).await?;
                }
            }
            let truncated = search.has_more();
            if truncated {
                LIMITS_MET.get(Limit::Found).inc();
            }
            parts.give(SearchResponse { matches, truncated }).await
        })
    }
}

//! What a tree is written in, found once.

use std::time::Duration;

use hakata_git::read::{Allowance, LanguageLimits};
use hakata_names::Oid;
use hakata_rpc::Status;
use hakata_rpc::v1::{LanguageShare, LanguagesResponse};

use super::super::{Local, Opened, status};

/// Time that is looked for; then what was found is the answer.
const TIME: Duration = Duration::from_secs(5);

/// Trees whose answers are remembered.
pub(in crate::local) const MAX_KNOWN: usize = 2_000;

impl Local {
    pub(super) async fn languages_of(&self, opened: &Opened, root: Oid) -> Result<LanguagesResponse, Status> {
        let tree = opened.read(move |view| view.tree_of(&root)).await?;
        if let Some(known) = self.0.languages.get(&tree) {
            return Ok(known);
        }
        let allowance = opened.allowance();
        // A little before the caller gives up, so that there is an answer at all.
        let time = allowance.time.map_or(TIME, |left| TIME.min(left / 2));
        let allowance = Allowance { time: Some(time), ..allowance };
        let read = opened
            .objects()
            .read_within(&allowance, move |view| view.languages(&tree, &LanguageLimits::default()));
        let found = read.await.map_err(|error| status(&error))?;
        let share = |(language, size_bytes): &(&hakata_git::languages::Language, u64)| LanguageShare {
            name: language.name.to_owned(),
            color: language.color.to_owned(),
            size_bytes: *size_bytes,
        };
        let answer = LanguagesResponse {
            languages: found.counts.iter().map(share).collect(),
            size_bytes: found.counts.iter().map(|(_, size_bytes)| size_bytes).sum(),
            complete: found.is_complete,
        };
        if answer.complete {
            self.0.languages.insert(tree, answer.clone());
        }
        Ok(answer)
    }
}

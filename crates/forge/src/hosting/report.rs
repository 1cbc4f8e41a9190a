//! The verdict on each ref of a push, and the words beside it.

use std::collections::HashMap;

use hakata_git::receive::{PushRequest, RefReport, Report};
use hakata_names::{RefName, RefUpdate};

use super::judge::Refused;

/// Most hints that one push shows; thousands of refs refused for one reason need it once.
const MAX_HINTS: usize = 10;

/// What was decided about the refs of one push so far.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    refused: HashMap<RefName, String>,
    hints: Vec<String>,
}

impl Verdicts {
    pub(super) fn refuse(&mut self, name: &RefName, refused: Refused) {
        if let Some(hint) = refused.hint {
            self.hint(hint);
        }
        self.refused.entry(name.clone()).or_insert(refused.reason);
    }

    /// Adds a hint, each once.
    pub(super) fn hint(&mut self, hint: String) {
        if self.hints.len() < MAX_HINTS && !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }

    /// Lists the updates that nobody has refused.
    pub(super) fn rest(&self, updates: &[RefUpdate]) -> Vec<RefUpdate> {
        updates.iter().filter(|update| !self.refused.contains_key(&update.name)).cloned().collect()
    }

    pub(super) fn n_refused(&self) -> usize {
        self.refused.len()
    }

    /// Lists the hints, once.
    pub(super) fn take_hints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.hints)
    }

    /// Refuses what is left because something else of an atomic push was refused.
    pub(super) fn fail_rest(&mut self, updates: &[RefUpdate]) {
        for update in updates {
            self.refused.entry(update.name.clone()).or_insert_with(|| "atomic push failed".to_owned());
        }
    }

    /// Makes the report, in the client's order.
    pub(super) fn report(&self, request: &PushRequest) -> Report {
        let line = |update: &RefUpdate| match self.refused.get(&update.name) {
            Some(reason) => RefReport::refused(&update.name, reason.clone()),
            None => RefReport::ok(&update.name),
        };
        Report { unpack: Ok(()), refs: request.updates.iter().map(line).collect() }.with_refused(request)
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::{RefName, RefUpdate};

    use super::Verdicts;
    use crate::hosting::judge::Refused;

    #[test]
    fn the_first_reason_stands_and_a_hint_is_told_once() {
        let name = |name: &str| RefName::parse(name.as_bytes()).unwrap();
        let (a, b) = (name("refs/heads/a"), name("refs/heads/b"));
        let refused = |reason: &str| Refused { reason: reason.into(), hint: Some("hint".into()) };
        let mut verdicts = Verdicts::default();
        verdicts.refuse(&a, refused("first"));
        verdicts.refuse(&a, refused("second"));
        let updates = [a, b].map(|name| RefUpdate { name, old: None, new: None });
        assert_eq!(verdicts.rest(&updates).len(), 1);
        verdicts.fail_rest(&updates);
        assert_eq!((verdicts.n_refused(), verdicts.take_hints().len()), (2, 1));
        assert_eq!(verdicts.refused[&updates[0].name], "first");
    }
}

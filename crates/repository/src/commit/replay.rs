//! Answers that are kept under the caller's key.
//!
//! ```text
//! {"version": 7, "event": 12, "refs": [["726566732f…", null], ["726566732f…", {"stale": "8ab6…"}]]}
//! {"version": null, "event": null, "refs": [["726566732f…", null]], "unmoved": "8ab6…"}
//! ```
//! Ref names are bytes, hence hexadecimal.

use hakata_names::{EventId, Oid, RefName};
use hakata_store::{StoreError, idempotency, ref_log};
use serde::{Deserialize, Serialize};

use crate::outcome::{Committed, RefRefusal};
use crate::repository::Repository;

/// What a change was answered that is repeated under its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What was committed; no version if there was nothing to commit.
    pub committed: Committed,
    /// Where the ref was that the change would have moved, if it was where it should go already.
    pub unmoved: Option<Oid>,
}

impl Repository {
    /// Finds the answer that a change of this key was given; `None` if there was none. For callers whose work leads to
    /// another change when it is repeated: the commit itself asks as well. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn answer_kept(&self, idempotency_key: &str) -> Result<Option<KeptAnswer>, StoreError> {
        let kept = idempotency::find(&mut self.engine.db.read().await?, self.id, idempotency_key).await?;
        Ok(kept.as_deref().and_then(parse))
    }

    /// Keeps under a key that a change had nothing to do, as a ref was where it should go already. Repeated later, when
    /// the ref is elsewhere, it would do something. False if there is another answer under this key.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn keep_unmoved(
        &self,
        idempotency_key: &str,
        name: &RefName,
        at: &Oid,
    ) -> Result<bool, StoreError> {
        let nothing = Committed { version: None, event: None, refs: vec![(name.clone(), Ok(()))] };
        let kept = encode(&nothing, Some(at));
        let now = self.engine.clock.now_ms();
        let mut conn = self.engine.db.write().await?;
        idempotency::put(&mut conn, self.id, idempotency_key, &kept, now).await
    }

    /// Finds where the change that made a version moved a ref to; `None` if it did not move it, removed it, or was long
    /// ago. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn moved_to(&self, version: i64, name: &RefName) -> Result<Option<Oid>, StoreError> {
        let logged = ref_log::find(&mut self.engine.db.read().await?, self.id, version, name).await?;
        Ok(logged.and_then(|logged| logged.new))
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: Option<i64>,
    event: Option<i64>,
    refs: Vec<(String, Option<KeptRefusal>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unmoved: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptRefusal {
    Stale(Option<String>),
    Conflict(String),
    Incomplete,
    Shallow,
    Atomic,
    Denied(String),
}

/// Writes an answer down.
pub(super) fn encode(committed: &Committed, unmoved: Option<&Oid>) -> String {
    let refs = committed.refs.iter().map(|(name, answer)| (hex(name), answer.as_ref().err().map(keep)));
    let kept = Kept {
        version: committed.version,
        event: committed.event.map(EventId::get),
        refs: refs.collect(),
        unmoved: unmoved.map(Oid::to_string),
    };
    serde_json::to_string(&kept).unwrap_or_default()
}

/// Reads an answer; `None` if it is not one that we write.
pub(super) fn parse(text: &str) -> Option<KeptAnswer> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    let refs = kept.refs.into_iter().map(|(name, refusal)| {
        let answer = match refusal {
            None => Ok(()),
            Some(refusal) => Err(recall(refusal)?),
        };
        Some((name_of(&name)?, answer))
    });
    let committed = Committed {
        version: kept.version,
        event: kept.event.map(EventId::new),
        refs: refs.collect::<Option<Vec<_>>>()?,
    };
    let unmoved = kept.unmoved.map(|hex| Oid::parse_hex(hex.as_bytes()));
    Some(KeptAnswer { committed, unmoved: unmoved.transpose().ok()? })
}

fn keep(refusal: &RefRefusal) -> KeptRefusal {
    match refusal {
        RefRefusal::Stale { actual } => KeptRefusal::Stale(actual.map(|oid| oid.to_string())),
        RefRefusal::Conflict { other } => KeptRefusal::Conflict(hex(other)),
        RefRefusal::Incomplete => KeptRefusal::Incomplete,
        RefRefusal::Shallow => KeptRefusal::Shallow,
        RefRefusal::Atomic => KeptRefusal::Atomic,
        RefRefusal::Denied(reason) => KeptRefusal::Denied(reason.clone()),
    }
}

fn recall(kept: KeptRefusal) -> Option<RefRefusal> {
    Some(match kept {
        KeptRefusal::Stale(None) => RefRefusal::Stale { actual: None },
        KeptRefusal::Stale(Some(hex)) => {
            RefRefusal::Stale { actual: Some(Oid::parse_hex(hex.as_bytes()).ok()?) }
        }
        KeptRefusal::Conflict(other) => RefRefusal::Conflict { other: name_of(&other)? },
        KeptRefusal::Incomplete => RefRefusal::Incomplete,
        KeptRefusal::Shallow => RefRefusal::Shallow,
        KeptRefusal::Atomic => RefRefusal::Atomic,
        KeptRefusal::Denied(reason) => RefRefusal::Denied(reason),
    })
}

fn hex(name: &RefName) -> String {
    name.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name_of(hex: &str) -> Option<RefName> {
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    RefName::parse(&bytes.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use hakata_names::{EventId, Oid, RefName};

    use super::{KeptAnswer, encode, parse};
    use crate::outcome::{Committed, RefRefusal};

    #[test]
    fn every_answer_is_read_back() {
        let name = |text: &[u8]| RefName::parse(text).unwrap();
        let oid = Oid::from_bytes(&[7; 32]).unwrap();
        let refusals = [
            RefRefusal::Stale { actual: None },
            RefRefusal::Stale { actual: Some(oid) },
            RefRefusal::Conflict { other: name(b"refs/heads/\xff") },
            RefRefusal::Incomplete,
            RefRefusal::Shallow,
            RefRefusal::Atomic,
            RefRefusal::Denied("no".to_owned()),
        ];
        let mut refs: Vec<_> =
            refusals.into_iter().map(|refusal| (name(b"refs/heads/a"), Err(refusal))).collect();
        refs.push((name(b"refs/heads/b"), Ok(())));
        let committed = Committed { version: Some(7), event: Some(EventId::new(3)), refs };
        for unmoved in [None, Some(oid)] {
            let kept = KeptAnswer { committed: committed.clone(), unmoved };
            assert_eq!(parse(&encode(&committed, unmoved.as_ref())), Some(kept));
        }
        assert_eq!(parse("{}"), None);
    }
}

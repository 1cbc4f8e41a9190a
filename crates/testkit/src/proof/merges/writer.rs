//! Somebody who merges without a pause, in every way there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use hakata_rpc::Code;
use hakata_rpc::status::Origin;
use serde_json::{Value, json};

use super::calls::{Adds, Asked, Outcome, To, ask};

/// The branch that all writers merge into.
pub(super) const MAIN: &str = "refs/heads/main";

/// The repository.
pub(super) const PATH: &str = "alice/tools";

/// How often a change is asked for that others were faster than, before the writer turns to another.
const MAX_TRIES: usize = 50;

/// Text that is too long to live in a row of the database, even compressed.
const LARGE_BYTES: usize = 200_000;

/// The ways, in turn.
const WAYS: [Way; 9] = [
    Way::CommitFiles,
    Way::Merge,
    Way::Squash,
    Way::Rebase,
    Way::FastForward,
    Way::CherryPick,
    Way::Revert,
    Way::Prepare,
    Way::Fork,
];

#[derive(Clone, Copy, Debug)]
enum Way {
    CommitFiles,
    Merge,
    Squash,
    Rebase,
    FastForward,
    CherryPick,
    Revert,
    Prepare,
    Fork,
}

/// Why a writer does not go on with what it was about.
enum Stopped {
    /// The connection broke.
    Lost,
    /// Others were faster too often.
    Refused,
    /// The server said what it must not say.
    Failed(anyhow::Error),
}

/// A writer; its name is in every commit it makes and every key it uses.
pub(super) struct Writer {
    pub(super) name: String,
    pub(super) to: To,
    /// A branch that nobody else moves.
    pub(super) own: String,
    /// Changes that were acknowledged, of all writers.
    pub(super) n_acknowledged: Arc<AtomicUsize>,
    pub(super) asked: Vec<Asked>,
}

impl Writer {
    /// Merges until the connection breaks; returns all that was asked for, in order.
    pub(super) async fn write(mut self, first: usize) -> Result<Vec<Asked>> {
        for n in first.. {
            match self.change(n).await {
                Ok(()) | Err(Stopped::Refused) => {}
                Err(Stopped::Lost) => break,
                Err(Stopped::Failed(error)) => return Err(error),
            }
        }
        Ok(self.asked)
    }

    /// Makes the `n`th change: on the branch of all or its own, in one of the ways.
    async fn change(&mut self, n: usize) -> Result<(), Stopped> {
        let token = format!("{}-{n}", self.name);
        let into = if n.is_multiple_of(2) { MAIN.to_owned() } else { self.own.clone() };
        let way = WAYS[n % WAYS.len()];
        let both = [format!("{token}.1"), format!("{token}.2")];
        let all = [&both[..], std::slice::from_ref(&token)].concat();
        let merging = json!({
            "repository": { "path": PATH }, "ref_name": into, "message": token, "author": person(n),
        });
        match way {
            Way::CommitFiles => self.commit_files(n, &token, &into, None).await.map(drop),
            Way::Prepare => self.prepare(n, &token, &into).await,
            Way::Fork => self.fork(&token).await,
            Way::Revert => {
                let made = self.commit_files(n, &both[0], &into, None).await?;
                let request = with(merging, json!({ "commits": [{ "oid": made["oid"] }] }));
                self.land("merge.revert", request, &into, &[token]).await
            }
            Way::Merge => {
                let head = self.topic(n, &token, &into, &both).await?;
                let request = with(merging, json!({ "head": head, "fast_forward": "FAST_FORWARD_NEVER" }));
                self.land("merge.merge", request, &into, &all).await
            }
            Way::Squash => {
                let head = self.topic(n, &token, &into, &both).await?;
                let request = with(merging, json!({ "head": head }));
                self.land("merge.squash", request, &into, &[token]).await
            }
            Way::Rebase | Way::FastForward => {
                let head = self.topic(n, &token, &into, &both).await?;
                let mut request = json!({ "repository": { "path": PATH }, "ref_name": into, "head": head });
                let is_rebase = matches!(way, Way::Rebase);
                if is_rebase {
                    request["committer"] = person(n);
                }
                let operation = if is_rebase { "merge.rebase" } else { "merge.fast_forward" };
                self.land(operation, request, &into, &both).await
            }
            Way::CherryPick => {
                let topic = format!("refs/heads/topic/{token}");
                let made = self.commit_files(n, &both[0], &topic, Some(&into)).await?;
                let request = json!({
                    "repository": { "path": PATH }, "ref_name": into, "commits": [{ "oid": made["oid"] }],
                    "committer": person(n + 1),
                });
                self.land("merge.cherry_pick", request, &into, &both[..1]).await
            }
        }
    }

    /// Makes a branch of two commits, from where another one is.
    async fn topic(
        &mut self,
        n: usize,
        token: &str,
        from: &str,
        subjects: &[String],
    ) -> Result<Value, Stopped> {
        let topic = format!("refs/heads/topic/{token}");
        for (subject, start) in subjects.iter().zip([Some(from), None]) {
            self.commit_files(n, subject, &topic, start).await?;
        }
        Ok(json!({ "ref_name": topic }))
    }

    async fn commit_files(
        &mut self,
        n: usize,
        subject: &str,
        branch: &str,
        start: Option<&str>,
    ) -> Result<Value, Stopped> {
        let mut request = self.commit_request(n, subject, branch);
        if let Some(start) = start {
            request["start"] = json!({ "ref_name": start });
        }
        self.acknowledged("merge.commit_files", request, commits(branch, &[subject.to_owned()])).await
    }

    fn commit_request(&self, n: usize, subject: &str, branch: &str) -> Value {
        let mut content = format!("{subject}\n");
        if n.is_multiple_of(3) {
            content.push_str(&noise(subject, LARGE_BYTES));
        }
        let change = json!({ "act": "FILE_ACT_CREATE", "path": format!("{}/{subject}", self.name), "content": content });
        json!({
            "repository": { "path": PATH }, "ref_name": branch, "message": subject, "author": person(n),
            "changes": [change],
        })
    }

    /// Lets a commit be made without moving the branch, and then moves it.
    async fn prepare(&mut self, n: usize, token: &str, into: &str) -> Result<(), Stopped> {
        let request = with(self.commit_request(n, token, into), json!({ "form": "FORM_PREPARE" }));
        let prepared = match ask(&*self.to, "merge.commit_files", &request, None).await {
            Ok(prepared) => prepared,
            Err(status) if status.origin == Origin::Transport => return Err(Stopped::Lost),
            Err(status) => return Err(Stopped::Failed(anyhow!("preparing {token}: {status}"))),
        };
        let request = json!({
            "repository": { "path": PATH }, "atomic": true, "staged": prepared["staged"],
        });
        self.land("ref.update_refs", request, into, &[token.to_owned()]).await
    }

    async fn fork(&mut self, token: &str) -> Result<(), Stopped> {
        let path = format!("alice/{token}");
        let request = json!({ "repository": { "path": PATH }, "path": path, "ref_prefixes": [MAIN] });
        self.acknowledged("repository.fork", request, Adds::Repository { path }).await.map(drop)
    }

    async fn land(
        &mut self,
        operation: &'static str,
        request: Value,
        into: &str,
        subjects: &[String],
    ) -> Result<(), Stopped> {
        self.acknowledged(operation, request, commits(into, subjects)).await.map(drop)
    }

    /// Asks under one key until the change is acknowledged.
    async fn acknowledged(
        &mut self,
        operation: &'static str,
        request: Value,
        adds: Adds,
    ) -> Result<Value, Stopped> {
        let key = format!("{}.{}", self.name, self.asked.len());
        let at = self.asked.len();
        let outcome = Outcome::Unknown;
        self.asked.push(Asked { operation, request: request.clone(), key: key.clone(), adds, outcome });
        for _ in 0..MAX_TRIES {
            match ask(&*self.to, operation, &request, Some(&key)).await {
                Ok(answer) => {
                    self.n_acknowledged.fetch_add(1, Ordering::SeqCst);
                    self.asked[at].outcome = Outcome::Acknowledged(answer.clone());
                    return Ok(answer);
                }
                Err(status) if status.origin == Origin::Transport => return Err(Stopped::Lost),
                // What was prepared is used up by its first commit, and what cannot be moved ahead never can again.
                Err(status) if is_final(operation, status.code) => break,
                Err(status) if matches!(status.code, Code::Aborted | Code::Unavailable) => {}
                Err(status) => return Err(Stopped::Failed(anyhow!("{operation} {request:.300}: {status}"))),
            }
        }
        self.asked[at].outcome = Outcome::Refused;
        Err(Stopped::Refused)
    }
}

/// Whether a refusal of an operation stays one.
fn is_final(operation: &str, code: Code) -> bool {
    match operation {
        "merge.fast_forward" => code == Code::FailedPrecondition,
        "ref.update_refs" => code == Code::Aborted,
        _ => false,
    }
}

fn commits(branch: &str, subjects: &[String]) -> Adds {
    Adds::Commits { branch: branch.to_owned(), subjects: subjects.to_vec() }
}

/// Adds fields to a request.
fn with(mut request: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut request, more) {
        fields.extend(more);
    }
    request
}

fn person(n: usize) -> Value {
    json!({ "name": "Writer", "email": "writer@example.org", "time_s": 1_700_000_000 + n, "offset_minutes": 540 })
}

/// Text that does not compress to much less than half, always the same for a seed.
fn noise(seed: &str, n_bytes: usize) -> String {
    let mut state = seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut text = String::with_capacity(n_bytes);
    while text.len() < n_bytes {
        // Source: Marsaglia, "Xorshift RNGs".
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
        if text.len().is_multiple_of(80) {
            text.push('\n');
        }
    }
    text
}

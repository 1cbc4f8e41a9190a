//! Making another host's repository what ours is.

use hakata_git::quarantine::Fsck;
use hakata_names::RefName;
use hakata_repository::PushTo;
use hakata_store::mirrors::{self as rows, Mirror};

use super::Filter;
use super::sync::remark;
use crate::remotes::{Remotes, Trouble};

/// Pushes what differs; a ref that the other side refuses is a trouble that only people can end.
pub(super) async fn run(remotes: &Remotes, mirror: &Mirror) -> Result<Option<String>, Trouble> {
    let forge = &remotes.forge;
    let login = forge.open_login(mirror.id.into(), mirror.login.as_deref()).await;
    let login = login.map_err(|error| Trouble::Never(Trouble::from(error).text().to_owned()))?;
    let filter = Filter::of(mirror)?;
    let remote = remotes.remote(&mirror.url, login, u64::MAX, Fsck::Strict).await?;
    let opened = forge.repositories().open(mirror.repository).await?;
    let is_followed = |name: &RefName| filter.has(name);
    let max_refs = forge.settings().max_refs_per_repository;
    let to = PushTo { is_followed: &is_followed, is_forced: mirror.is_forced, max_refs };
    let plan = opened.plan_push(&remote, &to).await?;
    if !mirror.may_overwrite {
        if let Some(text) = not_empty(&plan.other) {
            return Err(Trouble::Never(text));
        }
        // Before the first push: what the next sync finds there is ours, also if this one ends half-way.
        rows::allow_overwrite(&mut forge.db().write().await?, mirror.id).await?;
    }
    let results = opened.push_planned(&remote, &plan).await?;
    let refused = results
        .iter()
        .filter_map(|(name, result)| result.as_ref().err().map(|why| (name.to_string(), why.as_str())));
    match remark(refused) {
        Some(text) => Err(Trouble::Never(text)),
        None => {
            let n_refs = results.len();
            if n_refs > 0 {
                tracing::info!(
                    repository.id = mirror.repository.get(),
                    mirror.id = mirror.id.get(),
                    push.refs = n_refs,
                    "pushed to another host's repository"
                );
            }
            Ok(None)
        }
    }
}

/// Says that the other side has something that is not ours.
fn not_empty(other: &[RefName]) -> Option<String> {
    let first = other.first()?;
    let n = other.len();
    let refs = if n == 1 { "1 ref that is".to_owned() } else { format!("{n} refs that are") };
    Some(format!(
        "the other side is not empty: it has {refs} not as here, such as {first}. Nothing was pushed. Remove this mirror, \
         and add it with --overwrite if what is there may go"
    ))
}

#[cfg(test)]
mod tests {
    use hakata_names::RefName;

    use super::not_empty;

    #[test]
    fn what_is_in_the_way_is_said() {
        let name = |text: &str| RefName::parse(text.as_bytes()).unwrap();
        assert_eq!(not_empty(&[]), None);
        let one = not_empty(&[name("refs/heads/a")]).unwrap();
        assert!(
            one.contains("1 ref that is not as here, such as refs/heads/a") && one.contains("--overwrite"),
            "{one}"
        );
        assert!(
            not_empty(&[name("refs/heads/a"), name("refs/heads/b")]).unwrap().contains("2 refs that are")
        );
    }
}

//! GitHub's words. Source: docs.github.com, "Webhook events and payloads".

use serde_json::{Value, json};

use crate::webhooks::EventKind;
use crate::webhooks::news::{About, Author, Commit, Moved, News, utc};
use crate::webhooks::person::Person;

pub(super) fn payload(news: &News<'_>) -> Value {
    let sender = user(news, &news.sender);
    let repository = news.repository.as_ref().map(|about| repository(news, about));
    let (Some(about), Some(moved)) = (&news.repository, &news.moved) else {
        let zen = "Once is enough; twice must not hurt.";
        return json!({ "zen": zen, "hook_id": news.webhook, "repository": repository, "sender": sender });
    };
    match news.kind {
        EventKind::Create => json!({
            "ref": moved.short_ref(),
            "ref_type": moved.ref_type(),
            "master_branch": about.default_branch(),
            "description": about.row.description,
            "pusher_type": "user",
            "repository": repository,
            "sender": sender,
        }),
        EventKind::Delete => json!({
            "ref": moved.short_ref(),
            "ref_type": moved.ref_type(),
            "pusher_type": "user",
            "repository": repository,
            "sender": sender,
        }),
        EventKind::Push | EventKind::Ping => push(news, about, moved, repository, sender),
    }
}

fn push(news: &News<'_>, about: &About, moved: &Moved, repository: Option<Value>, sender: Value) -> Value {
    // GitHub lists the oldest first.
    let commits: Vec<Value> = moved.commits.iter().rev().map(|one| commit(about, one)).collect();
    json!({
        "ref": moved.full_ref(),
        "before": about.hex(moved.old),
        "after": about.hex(moved.new),
        "created": moved.old.is_none(),
        "deleted": moved.new.is_none(),
        "forced": moved.is_forced,
        "base_ref": null,
        "compare": about.compare_url(moved),
        "commits": commits,
        "head_commit": moved.head.as_ref().map(|head| commit(about, head)),
        "repository": repository,
        "pusher": { "name": news.sender.login, "email": news.sender.email(news.settings) },
        "sender": sender,
    })
}

fn commit(about: &About, commit: &Commit) -> Value {
    json!({
        "id": commit.oid,
        "tree_id": commit.tree,
        "distinct": true,
        "message": commit.message,
        "timestamp": commit.author.time,
        "url": about.commit_url(commit),
        "author": author(&commit.author),
        "committer": author(&commit.committer),
        "added": commit.added,
        "removed": commit.removed,
        "modified": commit.modified,
    })
}

fn author(author: &Author) -> Value {
    json!({ "name": author.name, "email": author.email, "username": null })
}

fn user(news: &News<'_>, person: &Person) -> Value {
    let url = format!("{}/{}", news.settings.base_url.trim_end_matches('/'), person.login);
    json!({
        "login": person.login,
        "name": person.login,
        "id": person.id,
        "email": person.email(news.settings),
        "html_url": url,
        "url": url,
        "type": if person.is_group { "Organization" } else { "User" },
        "site_admin": false,
    })
}

fn repository(news: &News<'_>, about: &About) -> Value {
    let row = &about.row;
    json!({
        "id": row.id.get(),
        "name": row.name.to_string(),
        "full_name": about.full_name(),
        "private": about.is_private(),
        "owner": user(news, &about.owner),
        "html_url": about.html_url,
        "description": row.description,
        "fork": false,
        "url": about.html_url,
        "created_at": row.created_at / 1000,
        "updated_at": utc(row.pushed_at.unwrap_or(row.created_at)),
        "pushed_at": row.pushed_at.unwrap_or(row.created_at) / 1000,
        "git_url": about.clone_url(),
        "ssh_url": about.ssh_url,
        "clone_url": about.clone_url(),
        "size": row.size_bytes / 1024,
        "archived": about.is_archived(),
        "visibility": row.visibility.as_str(),
        "default_branch": about.default_branch(),
        "master_branch": about.default_branch(),
    })
}

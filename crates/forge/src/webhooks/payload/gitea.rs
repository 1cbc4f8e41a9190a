//! Gitea's words. Source: Gitea's `modules/structs/hook.go` (field names), as gitea-js and go-scm read them.

use serde_json::{Value, json};

use crate::webhooks::EventKind;
use crate::webhooks::news::{About, Author, Commit, Moved, News, utc};
use crate::webhooks::person::Person;

pub(super) fn payload(news: &News<'_>) -> Value {
    let sender = user(news, &news.sender);
    let repository = news.repository.as_ref().map(|about| repository(news, about));
    let (Some(about), Some(moved)) = (&news.repository, &news.moved) else {
        return json!({ "hook_id": news.webhook, "repository": repository, "sender": sender });
    };
    match news.kind {
        EventKind::Create => json!({
            "sha": about.hex(moved.new),
            "ref": moved.short_ref(),
            "ref_type": moved.ref_type(),
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
    let commits: Vec<Value> = moved.commits.iter().map(|one| commit(about, one)).collect();
    json!({
        "ref": moved.full_ref(),
        "before": about.hex(moved.old),
        "after": about.hex(moved.new),
        "compare_url": about.compare_url(moved),
        "commits": commits,
        "total_commits": moved.n_commits,
        "head_commit": moved.head.as_ref().map(|head| commit(about, head)),
        "repository": repository,
        "pusher": user(news, &news.sender),
        "sender": sender,
    })
}

fn commit(about: &About, commit: &Commit) -> Value {
    json!({
        "id": commit.oid,
        "message": commit.message,
        "url": about.commit_url(commit),
        "author": author(&commit.author),
        "committer": author(&commit.committer),
        "verification": null,
        "timestamp": commit.author.time,
        "added": commit.added,
        "removed": commit.removed,
        "modified": commit.modified,
    })
}

fn author(author: &Author) -> Value {
    json!({ "name": author.name, "email": author.email, "username": "" })
}

fn user(news: &News<'_>, person: &Person) -> Value {
    json!({
        "id": person.id,
        "login": person.login,
        "login_name": "",
        "full_name": person.full_name,
        "email": person.email(news.settings),
        "avatar_url": "",
        "html_url": format!("{}/{}", news.settings.base_url.trim_end_matches('/'), person.login),
        "username": person.login,
    })
}

fn repository(news: &News<'_>, about: &About) -> Value {
    let row = &about.row;
    json!({
        "id": row.id.get(),
        "owner": user(news, &about.owner),
        "name": row.name.to_string(),
        "full_name": about.full_name(),
        "description": row.description,
        "empty": false,
        "private": about.is_private(),
        "fork": false,
        "template": false,
        "mirror": false,
        "size": row.size_bytes / 1024,
        "html_url": about.html_url,
        "url": about.html_url,
        "link": "",
        "ssh_url": about.ssh_url,
        "clone_url": about.clone_url(),
        "original_url": "",
        "website": "",
        "default_branch": about.default_branch(),
        "archived": about.is_archived(),
        "created_at": utc(row.created_at),
        "updated_at": utc(row.pushed_at.unwrap_or(row.created_at)),
        "object_format_name": row.object_format.name(),
    })
}

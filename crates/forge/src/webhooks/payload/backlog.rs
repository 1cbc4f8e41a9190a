//! Backlog's words: an activity of type 12, whatever moved. Source: developer.nulab.com, "Get Recent Updates", and the
//! types of backlog-js.

use serde_json::{Value, json};

use crate::webhooks::news::{About, Moved, News, utc};

/// Git Pushed.
const PUSHED: u32 = 12;

pub(super) fn payload(news: &News<'_>) -> Value {
    let project = news.repository.as_ref().map(|about| {
        let owner = &about.owner;
        json!({ "id": owner.id, "projectKey": owner.login, "name": owner.login, "archived": false })
    });
    json!({
        "id": news.delivery,
        "created": utc(news.at),
        "project": project,
        "type": PUSHED,
        "content": content(news.repository.as_ref(), news.moved.as_ref()),
        "notifications": [],
        "createdUser": {
            "id": news.sender.id,
            "userId": news.sender.login,
            "name": if news.sender.full_name.is_empty() { &news.sender.login } else { &news.sender.full_name },
            "roleType": 2,
            "lang": null,
            "mailAddress": null,
            "nulabAccount": null,
        },
    })
}

fn content(about: Option<&About>, moved: Option<&Moved>) -> Value {
    let repository = about.map(|about| {
        let row = &about.row;
        json!({ "id": row.id.get(), "name": row.name.to_string(), "description": row.description })
    });
    let Some(moved) = moved else { return json!({ "repository": repository }) };
    let change = match (moved.old, moved.new) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    };
    let is_tag = moved.name.tag().is_some();
    let revisions: Vec<Value> = match (&moved.head, is_tag) {
        (Some(head), true) => vec![json!({ "rev": head.oid, "comment": head.message })],
        _ => moved.commits.iter().map(|one| json!({ "rev": one.oid, "comment": one.message })).collect(),
    };
    json!({
        "repository": repository,
        "change_type": change,
        "revision_type": if is_tag { "tag" } else { "commit" },
        "ref": moved.full_ref(),
        "revision_count": if is_tag { u64::try_from(revisions.len()).unwrap_or(0) } else { moved.n_commits },
        "revisions": revisions,
    })
}

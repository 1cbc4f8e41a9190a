//! A message for chats that take Slack's incoming webhooks. Source: docs.slack.dev, "Formatting message text".

use serde_json::{Value, json};

use crate::webhooks::news::{About, Moved, News};

/// Most commits that a message shows; the rest is a number.
const MAX_SHOWN: usize = 10;
/// Most characters of a commit's first line that are shown.
const MAX_SUBJECT: usize = 120;

pub(super) fn payload(news: &News<'_>) -> Value {
    let text = match (&news.repository, &news.moved) {
        (Some(about), Some(moved)) => message(news, about, moved),
        (Some(about), None) => format!("Webhook {} of {} works.", news.webhook, repository(about)),
        (None, _) => format!("Webhook {} works.", news.webhook),
    };
    json!({ "text": text })
}

fn message(news: &News<'_>, about: &About, moved: &Moved) -> String {
    let who = escaped(&news.sender.login);
    let what = format!("{} {}", moved.ref_type(), escaped(&moved.short_ref()));
    let place = repository(about);
    match (moved.old, moved.new) {
        (_, None) => format!("{place}: {who} deleted {what}"),
        (None, Some(_)) if moved.commits.is_empty() => format!("{place}: {who} created {what}"),
        (old, Some(_)) => {
            let verb = match (old, moved.is_forced) {
                (None, _) => "created",
                (_, true) => "forced",
                (_, false) => "pushed to",
            };
            let n = moved.n_commits;
            let commits = if n == 1 { "1 commit".to_owned() } else { format!("{n} commits") };
            let mut text = format!("{place}: {who} {verb} {what}, <{}|{commits}>", about.compare_url(moved));
            for commit in moved.commits.iter().take(MAX_SHOWN) {
                let subject: String = commit.subject().chars().take(MAX_SUBJECT).collect();
                let (url, short) = (about.commit_url(commit), &commit.oid[..commit.oid.len().min(10)]);
                let (subject, author) = (escaped(&subject), escaped(&commit.author.name));
                text.push_str(&format!("\n<{url}|{short}> {subject} — {author}"));
            }
            text
        }
    }
}

fn repository(about: &About) -> String {
    format!("<{}|{}>", about.html_url, escaped(&about.full_name()))
}

/// Escapes the three characters that mean something.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

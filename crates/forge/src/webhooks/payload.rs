//! Bodies in the words of each format.

mod backlog;
mod gitea;
mod github;
mod slack;

use serde_json::Value;

use super::Format;
use super::news::News;

/// Writes what happened in the words of a format.
pub(super) fn payload(format: Format, news: &News<'_>) -> Value {
    match format {
        Format::Gitea => gitea::payload(news),
        Format::Github => github::payload(news),
        Format::Backlog => backlog::payload(news),
        Format::Slack => slack::payload(news),
    }
}

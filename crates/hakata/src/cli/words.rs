//! Words of closed sets, as values of flags.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use hakata_forge::admin::LanguageWish;
use hakata_forge::jobs::{JobState, Kind};
use hakata_forge::mail::Language;
use hakata_forge::webhooks::{ContentType, EventKind, Format};
use hakata_forge::{Digest, NoticeState, Role, Visibility, WatchLevel};

/// Reads a role.
pub(crate) fn role() -> impl TypedValueParser<Value = Role> {
    let words = PossibleValuesParser::new(Role::ALL.map(Role::as_str));
    words.map(|word| Role::parse(&word).expect("the words are those of the roles"))
}

/// Reads the least role of a protection: a role, or nobody.
pub(crate) fn least_role() -> impl TypedValueParser<Value = LeastRole> {
    let words = Role::ALL.map(Role::as_str).into_iter().chain(["nobody"]);
    PossibleValuesParser::new(words.collect::<Vec<_>>()).map(|word| LeastRole(Role::parse(&word)))
}

/// Reads who may see a repository.
pub(crate) fn visibility() -> impl TypedValueParser<Value = Visibility> {
    let words = PossibleValuesParser::new([Visibility::Public.as_str(), Visibility::Private.as_str()]);
    words.map(|word| Visibility::parse(&word).expect("the words are those of visibility"))
}

/// Reads a kind of jobs.
pub(crate) fn kind() -> impl TypedValueParser<Value = Kind> {
    let words = PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.as_str()));
    words.map(|word| Kind::parse(&word).expect("the words are those of the kinds"))
}

/// Reads a state of jobs.
pub(crate) fn state() -> impl TypedValueParser<Value = JobState> {
    let states = [JobState::Waiting, JobState::Claimed, JobState::Buried, JobState::Done];
    let words = PossibleValuesParser::new(states.map(JobState::as_str));
    words.map(|word| JobState::parse(&word).expect("the words are those of the states"))
}

/// Reads the format of a webhook.
pub(crate) fn format() -> impl TypedValueParser<Value = Format> {
    let words = PossibleValuesParser::new(Format::ALL.iter().map(|format| format.as_str()));
    words.map(|word| Format::parse(&word).expect("the words are those of the formats"))
}

/// Reads how the bodies of a webhook are written.
pub(crate) fn content_type() -> impl TypedValueParser<Value = ContentType> {
    let words = PossibleValuesParser::new(ContentType::ALL.iter().map(|content| content.as_str()));
    words.map(|word| ContentType::parse(&word).expect("the words are those of the content types"))
}

/// Reads what a webhook may be told of; nobody asks for tests.
pub(crate) fn event() -> impl TypedValueParser<Value = EventKind> {
    let events = EventKind::ALL.iter().filter(|kind| **kind != EventKind::Ping);
    let words = PossibleValuesParser::new(events.map(|kind| kind.as_str()));
    words.map(|word| EventKind::parse(&word).expect("the words are those of the events"))
}

/// Reads a state of notices.
pub(crate) fn notice_state() -> impl TypedValueParser<Value = NoticeState> {
    let states = [
        NoticeState::Waiting,
        NoticeState::Held,
        NoticeState::Sent,
        NoticeState::Failed,
        NoticeState::Dropped,
    ];
    let words = PossibleValuesParser::new(states.map(NoticeState::as_str));
    words.map(|word| NoticeState::parse(&word).expect("the words are those of the states"))
}

/// Reads how notices are collected.
pub(crate) fn digest() -> impl TypedValueParser<Value = Digest> {
    let words = PossibleValuesParser::new([Digest::Off, Digest::Hourly, Digest::Daily].map(Digest::as_str));
    words.map(|word| Digest::parse(&word).expect("the words are those of digests"))
}

/// Reads how much somebody wants to hear.
pub(crate) fn watch_level() -> impl TypedValueParser<Value = WatchLevel> {
    let levels = [WatchLevel::Watching, WatchLevel::Participating, WatchLevel::Ignoring];
    let words = PossibleValuesParser::new(levels.map(WatchLevel::as_str));
    words.map(|word| WatchLevel::parse(&word).expect("the words are those of the levels"))
}

/// Reads a language, or the installation's.
pub(crate) fn language() -> impl TypedValueParser<Value = LanguageWish> {
    let words = Language::ALL.map(Language::as_str).into_iter().chain(["default"]);
    PossibleValuesParser::new(words.collect::<Vec<_>>())
        .map(|word| Language::parse(&word).map_or(LanguageWish::Default, LanguageWish::One))
}

/// Reads a switch.
pub(crate) fn on_or_off() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|word| word == "on")
}

/// The least role that may do something; `None` is nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeastRole(pub(crate) Option<Role>);

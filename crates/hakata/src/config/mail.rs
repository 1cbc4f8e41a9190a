//! The `[mail]` table: who takes letters, and how they are given to a mail server.

use crate::config::raw::Values;
use hakata_forge::mail::{Language, MailSettings, Way};
use hakata_mail::{Login, Mailbox, Smtp, TlsMode};
use hakata_runtime::secret::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest try: a job of mail is cut after ten minutes.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(9 * 60);

/// Takes the values over, which were checked; `data` is the data directory.
pub(super) fn mail(values: &Values, data: &Path) -> MailSettings {
    MailSettings {
        way: match values.get("mail.transport").text() {
            "smtp" => Way::Smtp,
            "file" => Way::File,
            "log" => Way::Log,
            _ => Way::Off,
        },
        from: values.some_text("mail.from").and_then(|from| from.parse().ok()),
        folder: data.join(values.get("mail.folder").text()),
        smtp: smtp(values),
        language: Language::parse(values.get("mail.language").text()).unwrap_or(Language::En),
        retry_for: values.duration("mail.retry_for"),
        keep: values.duration("mail.keep"),
        hourly: values.duration("mail.hourly"),
        daily: values.duration("mail.daily"),
        refs_per_push: values.count("mail.refs_per_push"),
        commits_per_push: values.count("mail.commits_per_push"),
    }
}

fn smtp(values: &Values) -> Smtp {
    let (tls, port) = match values.get("mail.tls").text() {
        "tls" => (TlsMode::Tls, 465),
        "none" => (TlsMode::None, 25),
        _ => (TlsMode::StartTls, 587),
    };
    let login =
        |user: &str| Login { user: user.to_owned(), password: Secret::new(password(values).to_owned()) };
    Smtp {
        host: values.get("mail.host").text().to_owned(),
        port: u16::try_from(values.count_or("mail.port", port)).unwrap_or(u16::MAX),
        tls,
        login: values.some_text("mail.user").map(login),
        timeout: values.duration("mail.timeout"),
        connections: values.count("mail.connections"),
        idle: values.duration("mail.idle"),
        letters_per_connection: values.count("mail.per_connection"),
        certificates: values.some_text("mail.certificates").map(PathBuf::from),
    }
}

fn password(values: &Values) -> &str {
    values.get("mail.password").text()
}

/// Checks that what is on can work, and that no password goes through the net in the clear.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    let way = values.get("mail.transport").text();
    match values.some_text("mail.from").map(str::parse::<Mailbox>) {
        Some(Err(error)) => refuse("mail.from", &error.to_string()),
        None if way != "off" => refuse("mail.from", "must name the sender of mail"),
        _ => {}
    }
    if way == "smtp" && values.some_text("mail.host").is_none() {
        refuse("mail.host", "must name the mail server");
    }
    if values.some_text("mail.user").is_some() == password(values).is_empty() {
        refuse("mail.user", "needs mail.password, and the other way round");
    }
    let is_here = matches!(values.get("mail.host").text(), "localhost" | "127.0.0.1" | "::1");
    if values.some_text("mail.user").is_some() && values.get("mail.tls").text() == "none" && !is_here {
        refuse("mail.tls", "would send mail.password in the clear to another machine");
    }
    if !(Duration::from_secs(1)..=LONGEST_TIMEOUT).contains(&values.duration("mail.timeout")) {
        refuse("mail.timeout", "must be between 1s and 9m");
    }
}

//! One letter, and how it is written: RFC 5322 headers, RFC 2047 words, RFC 2045 parts.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::MultiPart;
use lettre::message::header::{HeaderName, HeaderValue};

use crate::{Mailbox, Settings};

/// Most characters of a subject; readers show fewer.
const MAX_SUBJECT: usize = 240;

/// What is to be written to whom.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The Message-ID without brackets: `x@domain`. The same for each try, so that a reader shows the letter once.
    pub id: String,
    /// Whom people see as the sender; the address stays ours.
    pub from_name: Option<String>,
    /// Who reads it.
    pub to: Mailbox,
    /// What it is about.
    pub subject: String,
    /// The part in plain text.
    pub text: String,
    /// The part in HTML, whole.
    pub html: String,
    /// When it was written, in ms; `None`: now.
    pub at: Option<i64>,
    /// The id of the thread that it belongs to, without brackets.
    pub thread: Option<String>,
    /// The list that it comes from.
    pub list: Option<List>,
    /// Further fields: names that begin with `X-`, and texts.
    pub fields: Vec<(&'static str, String)>,
}

/// What a reader sorts by, and can leave with one click. Sources: RFC 2919, RFC 2369, RFC 8058.
#[derive(Clone, Debug)]
pub struct List {
    /// `tools.alice.git.example.org`
    pub id: String,
    /// For people.
    pub name: String,
    /// The URL that a POST leaves the list at; `None`: it cannot be left so.
    pub leave: Option<String>,
}

/// Why a letter cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("writing a letter")]
pub struct EncodeError(#[from] lettre::error::Error);

impl Letter {
    /// Makes a letter of its own: of no thread, from no list.
    pub fn new(
        id: impl Into<String>,
        to: Mailbox,
        subject: impl Into<String>,
        text: impl Into<String>,
        html: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            from_name: None,
            to,
            subject: subject.into(),
            text: text.into(),
            html: html.into(),
            at: None,
            thread: None,
            list: None,
            fields: Vec::new(),
        }
    }

    /// Writes the letter: lines end with CR LF, all bytes are ASCII.
    ///
    /// # Errors
    /// When it has no sender or receiver, which the types rule out.
    pub fn encode(&self, settings: &Settings) -> Result<Vec<u8>, EncodeError> {
        let mut from = settings.from.inner();
        if let Some(name) = &self.from_name {
            from.name = Some(on_one_line(name));
        }
        let at = match self.at.and_then(|ms| u64::try_from(ms).ok()) {
            Some(ms) => SystemTime::UNIX_EPOCH + Duration::from_millis(ms),
            None => SystemTime::now(),
        };
        let subject: String = on_one_line(&self.subject).chars().take(MAX_SUBJECT).collect();
        let mut builder = Message::builder()
            .from(from)
            .to(self.to.inner())
            .subject(subject)
            .date(at)
            .message_id(Some(bracketed(&self.id)));
        if let Some(thread) = &self.thread {
            builder = builder.in_reply_to(bracketed(thread)).references(bracketed(thread));
        }
        for (name, value) in self.list.iter().flat_map(list_fields) {
            builder = builder.raw_header(HeaderValue::new(name, value));
        }
        // Neither answered by machines nor mistaken for a person's. Source: RFC 3834.
        for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")] {
            builder =
                builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
        }
        for (name, value) in &self.fields {
            let value = HeaderValue::new(HeaderName::new_from_ascii_str(name), on_one_line(value));
            builder = builder.raw_header(value);
        }
        let parts = MultiPart::alternative_plain_html(self.text.clone(), self.html.clone());
        Ok(builder.multipart(parts)?.formatted())
    }
}

fn list_fields(list: &List) -> Vec<(HeaderName, String)> {
    let List { id, name, leave } = list;
    let mut fields = vec![
        (HeaderName::new_from_ascii_str("List-Id"), format!("{} <{}>", on_one_line(name), on_one_word(id))),
        (HeaderName::new_from_ascii_str("Precedence"), "list".to_owned()),
    ];
    if let Some(leave) = leave {
        let one_click = "List-Unsubscribe=One-Click".to_owned();
        fields
            .push((HeaderName::new_from_ascii_str("List-Unsubscribe"), format!("<{}>", on_one_word(leave))));
        fields.push((HeaderName::new_from_ascii_str("List-Unsubscribe-Post"), one_click));
    }
    fields
}

fn bracketed(id: &str) -> String {
    format!("<{}>", on_one_word(id))
}

/// Makes a text fit for a header: whatever could end a line, or hide in one, is a space.
pub(crate) fn on_one_line(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let shown: String = text.chars().map(|c| if odd(c) { ' ' } else { c }).collect();
    shown.trim().to_owned()
}

/// Makes a text fit for a place between brackets.
fn on_one_word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && !"<>".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Letter, List};
    use crate::{Settings, Transport};

    fn settings() -> Settings {
        Settings { from: "Hakata <hakata@git.example.org>".parse().unwrap(), transport: Transport::Log }
    }

    fn letter() -> Letter {
        Letter::new("1.2@git.example.org", "bob@example.org".parse().unwrap(), "s", "t", "<p>h</p>")
    }

    fn encoded(letter: &Letter) -> String {
        String::from_utf8(letter.encode(&settings()).unwrap()).unwrap()
    }

    /// The lines of the head, unfolded.
    fn head(text: &str) -> Vec<String> {
        let head = text.split("\r\n\r\n").next().unwrap();
        head.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn no_text_ends_a_header() {
        let evil = "x\r\nBcc: eve@example.org\r\n\r\nhello\u{2028}\u{85}\0\u{1b}[2J";
        let mut to: crate::Mailbox = "bob@example.org".parse().unwrap();
        to.name = evil.to_owned();
        let list =
            List { id: evil.to_owned(), name: evil.to_owned(), leave: Some(format!("https://x/{evil}")) };
        let letter = Letter {
            id: evil.to_owned(),
            from_name: Some(evil.to_owned()),
            to,
            subject: evil.to_owned(),
            thread: Some(evil.to_owned()),
            list: Some(list),
            fields: vec![("X-Hakata-Actor", evil.to_owned())],
            ..letter()
        };
        let text = encoded(&letter);
        assert!(
            text.bytes().all(|byte| byte.is_ascii() && (byte >= b' ' || b"\r\n\t".contains(&byte))),
            "{text}"
        );
        let lines = head(&text);
        assert!(!lines.iter().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{lines:#?}");
        for field in ["From", "To", "Subject", "Message-ID", "List-Id", "X-Hakata-Actor"] {
            let n = lines.iter().filter(|line| line.starts_with(&format!("{field}: "))).count();
            assert_eq!(n, 1, "{field} is there once: {lines:#?}");
        }
    }

    #[test]
    fn lines_are_short_whatever_the_language() {
        let letter = Letter {
            subject: "[alice/tools] アリスさんが main に変更をプッシュしました。".repeat(4),
            from_name: Some("山田 太郎 (営業第二部・福岡支店)".repeat(3)),
            text: "長い本文です。".repeat(300),
            html: format!("<p>{}</p>", "長い本文です。".repeat(300)),
            ..letter()
        };
        let text = encoded(&letter);
        let longest = text.split("\r\n").map(str::len).max().unwrap();
        assert!(longest <= 78, "{longest}");
        assert!(text.is_ascii());
    }

    #[test]
    fn lists_can_be_left_with_one_click() {
        let leave = format!("https://git.example.org/-/mail/mute/{}", "a".repeat(60));
        let (id, name) = ("tools.alice.git.example.org".to_owned(), "alice/tools".to_owned());
        let list = List { id, name, leave: Some(leave.clone()) };
        let lines = head(&encoded(&Letter { list: Some(list.clone()), ..letter() }));
        for wanted in [
            "List-Id: alice/tools <tools.alice.git.example.org>".to_owned(),
            format!("List-Unsubscribe: <{leave}>"),
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click".to_owned(),
            "Precedence: list".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
        ] {
            assert!(lines.contains(&wanted), "{wanted} is missing from {lines:#?}");
        }
        let alone = head(&encoded(&letter()));
        assert!(!alone.iter().any(|line| line.starts_with("List-")), "{alone:#?}");
    }
}

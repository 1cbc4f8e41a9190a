//! What a key may hold, and how it is read from text and from TOML.

use crate::config::routes;
use hakata_rpc::{Canary, Route};
use hakata_runtime::units::{ByteSize, Span};
use hakata_service::listener::Address;
use std::collections::BTreeMap;
use std::fmt;
use toml::de::DeValue;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Any text; empty means "not set".
    Text,
    /// A path in the file system; empty means "not set".
    Path,
    /// `ADDRESS:PORT`, `unix:PATH`, or `off`.
    Address,
    /// A whole number within bounds.
    Count { least: u64, most: u64 },
    /// A whole number within bounds, or `auto`: taken from the machine.
    AutoCount { least: u64, most: u64 },
    /// A size with a unit.
    Size,
    /// A time with a unit.
    Span,
    /// `true` or `false`.
    Flag,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A list of texts; separated by commas where only text can be written.
    List,
    /// A table from operations to routes; `diff=grpc, blame=msgpack` where only text can be written.
    Routes,
    /// A table from operations to shares of another route; `diff=grpc:5` where only text can be written.
    Canaries,
}

/// A value read for a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Of [`Kind::Text`], [`Kind::Path`] and [`Kind::Choice`].
    Text(String),
    /// Of [`Kind::Address`]; `None` is `off`.
    Address(Option<Address>),
    /// Of [`Kind::Count`] and [`Kind::AutoCount`]; `None` is `auto`.
    Count(Option<u64>),
    /// Of [`Kind::Size`].
    Size(ByteSize),
    /// Of [`Kind::Span`].
    Span(Span),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::List`].
    List(Vec<String>),
    /// Of [`Kind::Routes`].
    Routes(BTreeMap<String, Route>),
    /// Of [`Kind::Canaries`].
    Canaries(BTreeMap<String, Canary>),
}

impl Kind {
    /// Reads a value from a flag, a variable, a default, or a TOML string.
    pub(crate) fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text | Self::Path => Ok(Value::Text(text.to_owned())),
            Self::Address if text == "off" => Ok(Value::Address(None)),
            Self::Address => text
                .parse()
                .map(|address| Value::Address(Some(address)))
                .map_err(|_| format!("{text:?} is not {}", self.wanted())),
            Self::AutoCount { .. } if text == "auto" => Ok(Value::Count(None)),
            Self::Count { least, most } | Self::AutoCount { least, most } => {
                let count = text.parse().map_err(|_| format!("{text:?} is not {}", self.wanted()))?;
                bounded(count, least, most)
            }
            Self::Size => text.parse().map(Value::Size).map_err(|error| error.to_string()),
            Self::Span => text.parse().map(Value::Span).map_err(|error| error.to_string()),
            Self::Flag => match text {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => Err(format!("{text:?} is not true or false")),
            },
            Self::Choice(words) => match words.contains(&text) {
                true => Ok(Value::Text(text.to_owned())),
                false => Err(format!("{text:?} is not one of {}", words.join(", "))),
            },
            Self::List => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Value::List(parts.map(str::to_owned).collect()))
            }
            Self::Routes => routes::parse(text, routes::route).map(Value::Routes),
            Self::Canaries => routes::parse(text, routes::canary).map(Value::Canaries),
        }
    }

    /// Reads a value from a TOML file.
    pub(crate) fn parse_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        match (self, value) {
            (Self::List, DeValue::Array(items)) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
                let list: Option<Vec<String>> = texts.collect();
                list.map(Value::List).ok_or_else(|| "every item of the list must be a string".to_owned())
            }
            (Self::List, _) => Err(format!("wants a list of strings, not {}", article(value.type_str()))),
            (Self::Count { least, most } | Self::AutoCount { least, most }, DeValue::Integer(number)) => {
                let count = u64::from_str_radix(number.as_str(), number.radix());
                bounded(count.map_err(|_| format!("wants {}", self.wanted()))?, least, most)
            }
            (Self::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Self::Flag, _) => Err(format!("wants true or false, not {}", article(value.type_str()))),
            (_, DeValue::String(text)) => self.parse(text),
            _ => Err(format!("wants {}, not {}", self.wanted(), article(value.type_str()))),
        }
    }

    /// Says in a few words what is wanted.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "ADDRESS:PORT, unix:PATH or off".to_owned(),
            Self::Count { least, most } => format!("a number from {least} to {most}"),
            Self::AutoCount { least, most } => format!("a number from {least} to {most}, or auto"),
            Self::Size => "a size such as 64KiB or 5GiB".to_owned(),
            Self::Span => "a time such as 250ms, 30s or 1h".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List => "a list of strings".to_owned(),
            Self::Routes => "a table such as { diff = \"grpc\" }".to_owned(),
            Self::Canaries => "a table such as { diff = { to = \"grpc\", percent = 5 } }".to_owned(),
        }
    }
}

impl Value {
    /// Tells the text of a text, path or choice; empty for anything else.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }
}

/// Writes the value as a TOML value.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Address(Some(address)) => write!(f, "\"{address}\""),
            Self::Address(None) => f.write_str("\"off\""),
            Self::Count(Some(count)) => write!(f, "{count}"),
            Self::Count(None) => f.write_str("\"auto\""),
            Self::Size(size) => write!(f, "\"{size}\""),
            Self::Span(span) => write!(f, "\"{span}\""),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Routes(routes) => routes::write(f, routes, |to| format!("\"{to}\"")),
            Self::Canaries(canaries) => routes::write(f, canaries, |canary| {
                format!("{{ to = \"{}\", percent = {} }}", canary.to, canary.percent)
            }),
        }
    }
}

fn bounded(count: u64, least: u64, most: u64) -> Result<Value, String> {
    match (least..=most).contains(&count) {
        true => Ok(Value::Count(Some(count))),
        false => Err(format!("{count} is not between {least} and {most}")),
    }
}

fn article(kind: &str) -> String {
    match kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => format!("an {kind}"),
        false => format!("a {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: Kind = Kind::AutoCount { least: 1, most: 9 };

    #[test]
    fn text_is_read_by_kind_and_printed_back() {
        for (kind, text, shown) in [
            (Kind::Text, "a\"b", r#"'a"b'"#),
            (Kind::Address, "127.0.0.1:0", "\"127.0.0.1:0\""),
            (Kind::Address, "off", "\"off\""),
            (COUNT, "9", "9"),
            (COUNT, "auto", "\"auto\""),
            (Kind::Size, "1024KiB", "\"1MiB\""),
            (Kind::Span, "90s", "\"1m30s\""),
            (Kind::Flag, "true", "true"),
            (Kind::Choice(&["text", "json"]), "json", "\"json\""),
            (Kind::List, "a, b,", "[\"a\", \"b\"]"),
            (Kind::Routes, "", "{}"),
            (
                Kind::Routes,
                "ref.get_ref=grpc, diff=local",
                "{ diff = \"local\", \"ref.get_ref\" = \"grpc\" }",
            ),
            (Kind::Canaries, "diff=grpc:5", "{ diff = { to = \"grpc\", percent = 5 } }"),
        ] {
            assert_eq!(kind.parse(text).unwrap().to_string(), shown, "{text}");
        }
        for (kind, text) in [
            (Kind::Address, "example.org"),
            (COUNT, "0"),
            (COUNT, "10"),
            (COUNT, "-1"),
            (Kind::Count { least: 0, most: 1 }, "auto"),
            (Kind::Size, "5"),
            (Kind::Span, "soon"),
            (Kind::Flag, "yes"),
            (Kind::Choice(&["text", "json"]), "xml"),
            (Kind::Routes, "diff"),
            (Kind::Routes, "diff=pigeon"),
            (Kind::Canaries, "diff=grpc"),
            (Kind::Canaries, "diff=grpc:101"),
        ] {
            assert!(kind.parse(text).is_err(), "{text} must be refused as {}", kind.wanted());
        }
    }
}

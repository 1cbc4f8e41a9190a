//! Tables from names of operations to routes, as text and as TOML.

use hakata_rpc::{Canary, Route};
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where in a file something stands, and what is wrong with it.
pub(super) type Wrong = (usize, String);

/// A table that was read: each entry with its place in the file.
pub(super) type Entries<T> = BTreeMap<String, (T, usize)>;

/// What an entry holds.
pub(super) trait Entry: Sized {
    /// Reads it, or answers that it is a table of further entries: `ref.get_ref` may be written as a table in a table.
    fn read(value: &DeValue<'_>) -> Read<Self>;
}

/// What came of reading an entry.
pub(super) enum Read<T> {
    Value(T),
    Deeper,
    Wrong(String),
}

/// Reads `name=value, …`.
pub(super) fn parse<T>(
    text: &str,
    value: impl Fn(&str) -> Result<T, String>,
) -> Result<BTreeMap<String, T>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let entry = |part: &str| {
        let (name, text) = part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=ROUTE"))?;
        Ok((name.trim().to_owned(), value(text.trim())?))
    };
    parts.map(entry).collect()
}

/// Reads `grpc`.
pub(super) fn route(text: &str) -> Result<Route, String> {
    text.parse().map_err(|error: hakata_rpc::route::ParseRouteError| error.to_string())
}

/// Reads `grpc:5`.
pub(super) fn canary(text: &str) -> Result<Canary, String> {
    let wanted = || format!("{text:?} is not ROUTE:PERCENT");
    let (to, percent) = text.split_once(':').ok_or_else(wanted)?;
    Ok(Canary { to: route(to)?, percent: bounded(percent.parse().map_err(|_| wanted())?)? })
}

fn bounded(percent: u64) -> Result<u8, String> {
    let small = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
    small.ok_or_else(|| format!("{percent} percent is more than all"))
}

/// Reads a table of a file; goes on past what is wrong.
pub(super) fn read<T: Entry>(value: &Spanned<DeValue<'_>>, wrong: &mut Vec<Wrong>) -> Entries<T> {
    let mut entries = Entries::new();
    match value.get_ref() {
        DeValue::Table(table) => read_into("", table, &mut entries, wrong),
        other => wrong.push((value.span().start, format!("wants a table, not {}", other.type_str()))),
    }
    entries
}

fn read_into<T: Entry>(before: &str, table: &DeTable<'_>, entries: &mut Entries<T>, wrong: &mut Vec<Wrong>) {
    for (key, value) in table {
        let name = format!("{before}{}", key.get_ref());
        let at = key.span().start;
        match (T::read(value.get_ref()), value.get_ref()) {
            (Read::Value(value), _) => drop(entries.insert(name, (value, at))),
            (Read::Deeper, DeValue::Table(inner)) => read_into(&format!("{name}."), inner, entries, wrong),
            (Read::Deeper, _) => wrong.push((at, format!("{name} is no table"))),
            (Read::Wrong(what), _) => wrong.push((at, format!("{name}: {what}"))),
        }
    }
}

impl Entry for Route {
    fn read(value: &DeValue<'_>) -> Read<Self> {
        match value {
            DeValue::String(text) => route(text).map_or_else(Read::Wrong, Read::Value),
            DeValue::Table(_) => Read::Deeper,
            other => Read::Wrong(format!("wants the name of a route, not {}", other.type_str())),
        }
    }
}

impl Entry for Canary {
    fn read(value: &DeValue<'_>) -> Read<Self> {
        let DeValue::Table(table) = value else {
            return Read::Wrong("wants { to = ROUTE, percent = NUMBER }".to_owned());
        };
        if !table.iter().any(|(key, _)| matches!(key.get_ref().as_ref(), "to" | "percent")) {
            return Read::Deeper;
        }
        canary_of(table).map_or_else(Read::Wrong, Read::Value)
    }
}

fn canary_of(table: &DeTable<'_>) -> Result<Canary, String> {
    let (mut to, mut percent) = (None, None);
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("to", DeValue::String(text)) => to = Some(route(text)?),
            ("percent", DeValue::Integer(number)) => {
                let number = u64::from_str_radix(number.as_str(), number.radix());
                percent = Some(bounded(number.map_err(|_| "percent is no number".to_owned())?)?);
            }
            ("to" | "percent", other) => {
                return Err(format!("{} is not {}", key.get_ref(), other.type_str()));
            }
            (other, _) => return Err(format!("{other:?} is neither to nor percent")),
        }
    }
    match (to, percent) {
        (Some(to), Some(percent)) => Ok(Canary { to, percent }),
        _ => Err("wants both to and percent".to_owned()),
    }
}

/// Writes an inline table.
pub(super) fn write<T>(
    f: &mut fmt::Formatter<'_>,
    entries: &BTreeMap<String, T>,
    shown: impl Fn(&T) -> String,
) -> fmt::Result {
    let is_bare = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = |name: &String| if is_bare(name) { name.clone() } else { format!("\"{name}\"") };
    let entries: Vec<_> =
        entries.iter().map(|(key, value)| format!("{} = {}", name(key), shown(value))).collect();
    match entries.is_empty() {
        true => f.write_str("{}"),
        false => write!(f, "{{ {} }}", entries.join(", ")),
    }
}

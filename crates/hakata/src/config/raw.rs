//! Reads every source into one map of values, and keeps going past problems so that all are reported together.

use crate::config::keys::{self, Key};
use crate::config::routes::{self, Entries, Entry};
use crate::config::value::{Kind, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where values come from besides the defaults, weakest first.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The file's path and text.
    pub(crate) file: Option<(PathBuf, String)>,
    /// All environment variables of the process; those that are not ours are passed over.
    pub(crate) environment: Vec<(String, String)>,
    /// Key, value, and the flag that gave it.
    pub(crate) flags: Vec<Setting>,
}

/// A key set on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// `section.name`.
    pub(crate) key: String,
    /// The value as written.
    pub(crate) value: String,
    /// The flag, for messages: `--http`.
    pub(crate) flag: &'static str,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    /// The table of keys.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// Where it stands.
    pub(crate) origin: Origin,
    /// What is wrong there.
    pub(crate) message: String,
}

/// The strongest value of every key.
#[derive(Debug)]
pub(crate) struct Values {
    by_key: BTreeMap<&'static str, (Value, Origin)>,
    /// Where entries of tables stand in the file.
    entries: BTreeMap<(&'static str, String), Origin>,
}

impl Values {
    /// Reads flags over environment over file over defaults.
    ///
    /// # Errors
    /// Everything that is wrong in any source, in the order of the sources.
    pub(crate) fn read(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let mut values = Self { by_key: BTreeMap::new(), entries: BTreeMap::new() };
        let mut problems = Vec::new();
        for key in keys::all() {
            let value = key.kind.parse(key.default);
            values.put(key, value, Origin::Default, &mut problems);
        }
        if let Some((path, text)) = &sources.file {
            values.read_file(path, text, &mut problems);
        }
        values.read_environment(&sources.environment, &mut problems);
        for Setting { key, value, flag } in &sources.flags {
            values.read_text(key, value, Origin::Flag(flag), &mut problems);
        }
        match problems.is_empty() {
            true => Ok(values),
            false => Err(problems),
        }
    }

    /// Gives the value of a key of the table.
    pub(crate) fn get(&self, name: &'static str) -> &Value {
        &self.by_key.get(name).expect("every key of the table is filled by its default").0
    }

    /// Tells where the value of a key came from.
    pub(crate) fn origin(&self, name: &'static str) -> &Origin {
        &self.by_key.get(name).expect("every key of the table is filled by its default").1
    }

    /// Tells where an entry of a table came from.
    pub(crate) fn entry_origin(&self, name: &'static str, entry: &str) -> &Origin {
        self.entries.get(&(name, entry.to_owned())).unwrap_or_else(|| self.origin(name))
    }

    fn put(&mut self, key: &Key, value: Result<Value, String>, origin: Origin, problems: &mut Vec<Problem>) {
        self.entries.retain(|(name, _), _| *name != key.name);
        match value {
            Ok(value) => drop(self.by_key.insert(key.name, (value, origin))),
            Err(message) => problems.push(Problem { origin, message: format!("{}: {message}", key.name) }),
        }
    }

    fn read_text(&mut self, name: &str, text: &str, origin: Origin, problems: &mut Vec<Problem>) {
        match keys::find(name) {
            Some(key) => self.put(key, key.kind.parse(text), origin, problems),
            None => problems
                .push(Problem { origin, message: unknown("key", name, keys::all().map(|key| key.name)) }),
        }
    }

    fn read_environment(&mut self, environment: &[(String, String)], problems: &mut Vec<Problem>) {
        for (variable, text) in environment {
            let Some(tail) = variable.strip_prefix("HAKATA_").filter(|tail| tail.contains("__")) else {
                continue;
            };
            let name = tail.replace("__", ".").to_ascii_lowercase();
            let origin = Origin::Environment(variable.clone());
            match name.strip_suffix("_file").and_then(keys::find).filter(|key| key.secret) {
                Some(key) => {
                    let read = std::fs::read_to_string(text).map(|secret| secret.trim_end().to_owned());
                    let value = read.map_err(|error| format!("reading {text}: {error}"));
                    self.put(key, value.and_then(|secret| key.kind.parse(&secret)), origin, problems);
                }
                None => self.read_text(&name, text, origin, problems),
            }
        }
    }

    fn read_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let at = |offset: usize| Origin::File(path.to_owned(), line_of(text, offset));
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            problems.push(Problem { origin: at(offset), message: error.message().to_owned() });
        }
        for (section, table) in document.get_ref() {
            let name: &str = section.get_ref();
            let origin = at(section.span().start);
            match table.get_ref() {
                _ if name.contains('.') || !keys::sections().any(|known| known == name) => {
                    problems.push(Problem { origin, message: unknown("table", name, keys::sections()) });
                }
                DeValue::Table(entries) => self.read_section(name, entries, &at, problems),
                _ => problems.push(Problem { origin, message: format!("{name} must be a table: [{name}]") }),
            }
        }
    }

    fn read_section(
        &mut self,
        section: &str,
        entries: &DeTable<'_>,
        at: &impl Fn(usize) -> Origin,
        problems: &mut Vec<Problem>,
    ) {
        let mut entries: Vec<(usize, &str, &Spanned<DeValue<'_>>)> =
            entries.iter().map(|(key, value)| (key.span().start, key.get_ref().as_ref(), value)).collect();
        entries.sort_by_key(|(offset, ..)| *offset);
        for (offset, name, value) in entries {
            let full = format!("{section}.{name}");
            match (keys::find(&full), value.get_ref()) {
                (Some(key), _) => self.put_toml(key, value, (at, offset), problems),
                (None, DeValue::Table(entries)) if keys::sections().any(|known| known == full) => {
                    self.read_section(&full, entries, at, problems);
                }
                (None, _) => {
                    let known = keys::all().map(|key| key.name).chain(keys::sections());
                    problems.push(Problem { origin: at(offset), message: unknown("key", &full, known) });
                }
            }
        }
    }

    fn put_toml(
        &mut self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
        (at, offset): (&impl Fn(usize) -> Origin, usize),
        problems: &mut Vec<Problem>,
    ) {
        match key.kind {
            Kind::Routes => self.put_table(key, value, (at, offset), Value::Routes, problems),
            Kind::Canaries => self.put_table(key, value, (at, offset), Value::Canaries, problems),
            kind => self.put(key, kind.parse_toml(value.get_ref()), at(offset), problems),
        }
    }

    fn put_table<T: Entry>(
        &mut self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
        (at, offset): (&impl Fn(usize) -> Origin, usize),
        make: impl Fn(BTreeMap<String, T>) -> Value,
        problems: &mut Vec<Problem>,
    ) {
        let mut wrong = Vec::new();
        let entries: Entries<T> = routes::read(value, &mut wrong);
        let wrong = wrong.into_iter().map(|(offset, what)| {
            let message = format!("{}: {what}", key.name);
            Problem { origin: at(offset), message }
        });
        problems.extend(wrong);
        let places: Vec<_> = entries.iter().map(|(name, (_, offset))| (name.clone(), at(*offset))).collect();
        let table = entries.into_iter().map(|(name, (value, _))| (name, value)).collect();
        self.put(key, Ok(make(table)), at(offset), problems);
        self.entries.extend(places.into_iter().map(|(name, origin)| ((key.name, name), origin)));
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// Says that a name is not known, and which known one is nearest to it.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut message = format!("unknown {what} {name}");
    if let Some(near) = nearest(name, known) {
        message.push_str(&format!(" (did you mean {near}?)"));
    }
    message
}

/// Finds the known name with the fewest edits, if few enough to be a slip.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.len() / 3).clamp(1, 6);
    let measured = known.map(|candidate| (distance(name, candidate), candidate));
    measured.filter(|(edits, _)| *edits <= most).min().map(|(_, candidate)| candidate)
}

/// Counts the single-letter edits between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str) -> Sources {
        Sources { file: Some((PathBuf::from("h.toml"), text.to_owned())), ..Sources::default() }
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let mut sources = with_file("[http]\naddress = \"127.0.0.1:1\"\n[log]\nformat = \"json\"\n");
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        sources.environment =
            vec![variable("HAKATA_HTTP__ADDRESS", "127.0.0.1:2"), variable("HAKATA_PORT", "x")];
        let values = Values::read(&sources).unwrap();
        assert_eq!(values.get("http.address").to_string(), "\"127.0.0.1:2\"");
        assert_eq!(values.get("log.format").text(), "json");
        assert_eq!(values.origin("log.format").to_string(), "h.toml:4");
        assert_eq!(*values.origin("ssh.address"), Origin::Default);
        sources.flags =
            vec![Setting { key: "http.address".into(), value: "127.0.0.1:3".into(), flag: "--http" }];
        let values = Values::read(&sources).unwrap();
        assert_eq!(values.get("http.address").to_string(), "\"127.0.0.1:3\"");
        assert_eq!(values.origin("http.address").to_string(), "flag --http");
    }

    #[test]
    fn all_problems_are_reported_with_their_lines() {
        let mut sources = with_file(
            "[htp]\n\n[http]\nadress = \"127.0.0.1:1\"\naddress = 3\n[limits]\npack_size = \"2 parsecs\"\n[log]\nformat = \"json\"\nformat = \"text\"\n",
        );
        sources.environment = vec![("HAKATA_SSH__ADRESS".to_owned(), "x".to_owned())];
        let problems: Vec<String> =
            Values::read(&sources).unwrap_err().iter().map(ToString::to_string).collect();
        let text = problems.join("\n");
        for wanted in [
            "h.toml:1: unknown table htp (did you mean http?)",
            "h.toml:4: unknown key http.adress (did you mean http.address?)",
            "h.toml:5: http.address: wants ADDRESS:PORT, unix:PATH or off, not an integer",
            "h.toml:7: limits.pack_size: no known unit",
            "h.toml:10: duplicate key",
            "environment HAKATA_SSH__ADRESS: unknown key ssh.adress (did you mean ssh.address?)",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing from\n{text}");
        }
        assert_eq!(problems.len(), 6, "{text}");
    }

    #[test]
    fn a_secret_may_come_from_a_file_named_in_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://u:p@db/hakata\n").unwrap();
        let variable = ("HAKATA_DATABASE__URL_FILE".to_owned(), file.path().to_str().unwrap().to_owned());
        let values = Values::read(&Sources { environment: vec![variable], ..Sources::default() }).unwrap();
        assert_eq!(values.get("database.url").text(), "postgres://u:p@db/hakata");
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in
            [("", "abc", 3), ("http", "htp", 1), ("kitten", "sitting", 3), ("same", "same", 0)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}

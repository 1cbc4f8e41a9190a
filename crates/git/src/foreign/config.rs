//! What a foreign repository says about itself: its `config` and `description`.

use std::path::Path;

use gix::config::File;
use hakata_names::ObjectFormat;

use super::{ForeignError, refs};

/// Longest description that is kept, in characters: what the column holds.
const MAX_DESCRIPTION: usize = 1_000;

/// How git's own text begins when nobody wrote another.
const UNNAMED: &str = "Unnamed repository";

/// Reads `config`, by a parser that follows no includes.
pub(super) fn read(path: &Path) -> Result<File, ForeignError> {
    let odd = |what| ForeignError::NotARepository { path: path.to_owned(), what };
    let config = refs::read_file(&path.join("config"))?.unwrap_or_default();
    let metadata = gix::config::file::Metadata::api();
    File::from_bytes_no_includes(&config, metadata, gix::config::file::init::Options::default())
        .map_err(|_| odd("its config cannot be read"))
}

/// Reads the format of its objects; refuses refs in a format that we do not read.
pub(super) fn format(path: &Path, config: &File) -> Result<ObjectFormat, ForeignError> {
    let odd = |what| ForeignError::NotARepository { path: path.to_owned(), what };
    if let Some(storage) = config.string("extensions.refStorage")
        && storage.as_slice() != b"files"
    {
        let storage = hakata_names::escape_controls(&storage);
        return Err(ForeignError::RefStorage { path: path.to_owned(), storage });
    }
    match config.string("extensions.objectFormat") {
        None => Ok(ObjectFormat::Sha1),
        Some(name) => std::str::from_utf8(&name)
            .ok()
            .and_then(|name| ObjectFormat::from_name(&name.to_ascii_lowercase()))
            .ok_or_else(|| odd("its object format is unknown")),
    }
}

/// Reads the line about the repository, as gitweb finds it: its file `description`, else `gitweb.description`. One that
/// cannot be read is none: it is not worth an import.
pub(super) fn description(path: &Path, config: &File) -> String {
    let file = refs::read_file(&path.join("description")).ok().flatten().unwrap_or_default();
    let line = one_line(&file);
    if !line.is_empty() && !line.starts_with(UNNAMED) {
        return line;
    }
    config.string("gitweb.description").map(|text| one_line(&text)).unwrap_or_default()
}

/// Reads the name that GitLab wrote.
pub(super) fn full_path(config: &File) -> Option<String> {
    let name = config.string("gitlab.fullpath")?;
    std::str::from_utf8(&name).ok().map(str::to_owned)
}

/// Joins words of several lines, without control characters.
fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_DESCRIPTION).collect()
}

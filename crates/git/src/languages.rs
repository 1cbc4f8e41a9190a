//! Which language a file is written in, by its name and, where names are not enough, its first lines.
//!
//! The names and colours are those that people know from other hosts. Only languages that programs or pages are written
//! in are here; data and prose count for nothing.

mod paths;
mod table;

pub(crate) use paths::{is_documentation, is_generated, is_vendored};
use table::{AMBIGUOUS, LANGUAGES};

/// A language.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name.
    pub name: &'static str,
    /// The colour that it is drawn in: `#dea584`.
    pub color: &'static str,
    /// Ends of file names, behind the last dot, in lower case.
    extensions: &'static [&'static str],
    /// Whole file names.
    names: &'static [&'static str],
    /// Programs behind `#!`.
    interpreters: &'static [&'static str],
}

/// What a file name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByName {
    /// The language.
    Known(&'static Language),
    /// The content must tell.
    Ask,
    /// It is nothing that counts.
    Nothing,
}

/// Bytes at the beginning of a file that are looked at.
pub(crate) const HEAD_BYTES: usize = 8 << 10;

/// Finds a language by its name, upper and lower case alike; dashes stand for spaces, as in attributes.
pub(crate) fn find(name: &str) -> Option<&'static Language> {
    let name = name.replace('-', " ");
    LANGUAGES.iter().find(|language| language.name.replace('-', " ").eq_ignore_ascii_case(&name))
}

/// Tells a language by the name of a file, without its directory.
pub(crate) fn by_name(file: &[u8]) -> ByName {
    let Ok(file) = std::str::from_utf8(file) else { return ByName::Nothing };
    if let Some(language) = LANGUAGES.iter().find(|language| language.names.contains(&file)) {
        return ByName::Known(language);
    }
    let Some((_, extension)) = file.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        // Programs without an extension begin with `#!`; hidden files are settings.
        return if file.starts_with('.') { ByName::Nothing } else { ByName::Ask };
    };
    let extension = extension.to_ascii_lowercase();
    if AMBIGUOUS.iter().any(|(ambiguous, _)| *ambiguous == extension) {
        return ByName::Ask;
    }
    let found = LANGUAGES.iter().find(|language| language.extensions.contains(&extension.as_str()));
    found.map_or(ByName::Nothing, ByName::Known)
}

/// Tells a language by the name and the first bytes of a file.
pub(crate) fn by_content(file: &[u8], head: &[u8]) -> Option<&'static Language> {
    if head.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let extension = std::str::from_utf8(file).ok()?.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let hints = AMBIGUOUS.iter().find(|(ambiguous, _)| Some(*ambiguous) == extension.as_deref());
    match hints {
        Some((_, hints)) => {
            let is_hinted = |hint: &&table::Hint| hint.signs.iter().any(|sign| text.contains(sign));
            let hinted =
                hints.iter().find(is_hinted).or_else(|| hints.iter().find(|hint| hint.signs.is_empty()));
            find(hinted?.language)
        }
        None => interpreted(text.lines().next()?),
    }
}

/// Reads `#!/usr/bin/env -S python3.11 -u`.
fn interpreted(line: &str) -> Option<&'static Language> {
    let mut words = line.strip_prefix("#!")?.split_ascii_whitespace();
    let mut program = words.next()?.rsplit('/').next()?;
    if program == "env" {
        program = words.find(|word| !word.starts_with('-') && !word.contains('='))?.rsplit('/').next()?;
    }
    let bare =
        program.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == '-');
    LANGUAGES
        .iter()
        .find(|language| language.interpreters.iter().any(|known| *known == program || *known == bare))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::table::{AMBIGUOUS, LANGUAGES};
    use super::{ByName, by_content, by_name, find};

    fn told(file: &str, head: &str) -> Option<&'static str> {
        match by_name(file.as_bytes()) {
            ByName::Known(language) => Some(language.name),
            ByName::Ask => by_content(file.as_bytes(), head.as_bytes()).map(|language| language.name),
            ByName::Nothing => None,
        }
    }

    #[test]
    fn names_and_content_tell_languages() {
        for (file, head, language) in [
            ("main.rs", "", Some("Rust")),
            ("A.JAVA", "", Some("Java")),
            ("Makefile", "", Some("Makefile")),
            ("a.tar.gz", "", None),
            ("README.md", "", None),
            ("data.json", "", None),
            (".profile", "#!/bin/sh", None),
            ("x.h", "int x;\n", Some("C")),
            ("x.h", "namespace a {\nclass B\n", Some("C++")),
            ("x.h", "@interface A : NSObject\n", Some("Objective-C")),
            ("x.m", "#import <Foundation/Foundation.h>\n", Some("Objective-C")),
            ("x.m", "function y = f(x)\n", Some("MATLAB")),
            ("x.ts", "<?xml version=\"1.0\"?><TS>", None),
            ("x.ts", "export const a = 1;\n", Some("TypeScript")),
            ("run", "#!/usr/bin/env -S python3.11 -u\n", Some("Python")),
            ("run", "#!/bin/bash\n", Some("Shell")),
            ("run", "#!/usr/bin/perl -w\n", Some("Perl")),
            ("run", "\u{0}#!/bin/sh\n", None),
            ("LICENSE", "MIT\n", None),
        ] {
            assert_eq!(told(file, head), language, "{file}: {head:?}");
        }
        assert_eq!(find("objective-c++").map(|language| language.name), Some("Objective-C++"));
        assert_eq!(find("common lisp"), find("Common-Lisp"));
    }

    #[test]
    fn the_table_is_in_order() {
        let mut seen = BTreeSet::new();
        for language in LANGUAGES {
            let is_color = |color: &str| color.len() == 7 && color.starts_with('#');
            assert!(is_color(language.color), "{}", language.name);
            for word in language.extensions.iter().chain(language.names) {
                assert!(seen.insert(*word), "{word} is said of two languages");
            }
        }
        for (extension, hints) in AMBIGUOUS {
            assert!(!seen.contains(extension), "{extension} is ambiguous");
            assert!(hints.iter().all(|hint| hint.language.is_empty() || find(hint.language).is_some()));
        }
        let names: BTreeSet<_> = LANGUAGES.iter().map(|language| language.name).collect();
        assert_eq!(names.len(), LANGUAGES.len());
    }
}

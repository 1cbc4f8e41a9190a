//! Writes the table of keys for people: the commented file, the help, the reference, and the values in force.

use crate::config::keys::{self, Key, SECTIONS};
use crate::config::raw::Values;
use crate::output::Table;
use serde_json::json;
use std::fmt::Write;

/// What stands for a secret that is set.
const HIDDEN: &str = "\"(hidden)\"";

/// Makes the commented file of `hakata config init`: every key with its default, commented out.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# Configuration of Hakata. Every line that is commented out shows a default.\n\
         # A key section.name is also read from the variable HAKATA_SECTION__NAME, which wins over this file.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(text, "\n# {about}\n[{section}]\n");
        for key in keys::all().filter(|key| key.section() == section) {
            let _ = writeln!(text, "# {}\n# {} = {}", key.doc, key.short_name(), default_of(key));
        }
    }
    text
}

/// Makes `docs/configuration.md`.
pub(crate) fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Made by `hakata reference configuration`; a test fails when this page is stale. -->\n\n\
         Hakata runs without a configuration file. `hakata config init` writes one with every key commented out,\n\
         `hakata config check` names every problem with its line, and `hakata config show --origin` prints the values\n\
         in force and where each came from. A flag wins over an environment variable, that over the file, that over the\n\
         default. The file is the one of `--config`, else of `HAKATA_CONFIG`, else `hakata.toml` in the data directory.\n\
         Any key can be set by `--set section.name=value`. Keys marked *secret* can be read from a file named by the\n\
         variable with `_FILE` at its end.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(
            text,
            "\n## [{section}]\n\n{about}\n\n| key | default | variable | what |\n|---|---|---|---|\n"
        );
        for key in keys::all().filter(|key| key.section() == section) {
            let secret = if key.secret { " *Secret.*" } else { "" };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | `{}` | {} Takes {}.{secret} |",
                key.short_name(),
                default_of(key),
                key.variable(),
                key.doc,
                key.kind.wanted(),
            );
        }
    }
    text
}

/// Explains one key, one section, or lists all keys.
///
/// # Errors
/// The nearest key when nothing has that name.
pub(crate) fn help(name: Option<&str>) -> Result<Table, Option<&'static str>> {
    let wanted = |key: &&Key| name.is_none_or(|name| key.name == name || key.section() == name);
    let mut table = Table::new(["key", "default", "takes", "what"]);
    for key in keys::all().filter(wanted) {
        let cells = [key.name.to_owned(), default_of(key), key.kind.wanted(), key.doc.to_owned()];
        let variable = key.variable();
        let object = json!({
            "key": cells[0], "default": cells[1], "takes": cells[2], "what": cells[3], "variable": variable,
        });
        table.push(cells, object);
    }
    match (table.is_empty(), name) {
        (true, Some(name)) => {
            let names = keys::all().map(|key| key.name).chain(keys::sections());
            Err(crate::config::raw::nearest(name, names))
        }
        _ => Ok(table),
    }
}

/// Lists the values in force and where each came from; secrets are hidden.
pub(crate) fn values(values: &Values) -> Table {
    let mut table = Table::new(["key", "value", "origin"]);
    for key in keys::all() {
        let value = values.get(key.name);
        let shown =
            if key.secret && !value.text().is_empty() { HIDDEN.to_owned() } else { value.to_string() };
        let cells = [key.name.to_owned(), shown, values.origin(key.name).to_string()];
        let object = json!({ "key": cells[0], "value": cells[1], "origin": cells[2] });
        table.push(cells, object);
    }
    table
}

fn default_of(key: &Key) -> String {
    key.kind.parse(key.default).map_or_else(|_| key.default.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::Sources;

    #[test]
    fn the_reference_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == reference(), "write it anew: hakata reference configuration > docs/configuration.md");
    }

    #[test]
    fn the_template_is_a_valid_file_with_and_without_its_comments() {
        let read = |text: String| {
            Values::read(&Sources { file: Some(("t.toml".into(), text)), ..Sources::default() })
        };
        read(template()).unwrap();
        let uncommented: Vec<String> = template()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.split(" = ").next().is_some_and(|name| !name.contains(' ')) => {
                    rest.to_owned()
                }
                _ => line.to_owned(),
            })
            .collect();
        let values = read(uncommented.join("\n")).unwrap();
        for key in keys::all() {
            assert_ne!(values.origin(key.name).to_string(), "default", "{} is set by the template", key.name);
        }
    }

    #[test]
    fn secrets_are_hidden_and_unknown_keys_have_a_near_one() {
        let environment = vec![("HAKATA_DATABASE__URL".to_owned(), "postgres://u:sesame@h/d".to_owned())];
        let read = Values::read(&Sources { environment, ..Sources::default() }).unwrap();
        assert!(!values(&read).to_string().contains("sesame"));
        assert_eq!(help(Some("http.adress")).unwrap_err(), Some("http.address"));
        assert_eq!(help(Some("http.address")).unwrap().len(), 1);
        assert!(help(Some("ssh")).unwrap().len() > 2);
    }
}

//! Words that the house does not use for names.

use super::Finding;
use super::source::Source;

/// Beginnings of function names that say nothing.
const FUNCTIONS: [&str; 3] = ["handle_", "process_", "do_"];

/// Endings of type names that say nothing.
const TYPES: [&str; 5] = ["Manager", "Helper", "Info", "Data", "Util"];

/// Names that would be banned were they not the field's own: the v2 command `object-info`.
const GITS_OWN: [&str; 1] = ["ObjectInfo"];

/// Checks the names that a file declares.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.owner != "xtask") {
        for (number, line) in source.lines() {
            if let Some(word) = banned(line) {
                let rule = format!("`{word}` says nothing: name what it does or is");
                findings.push(Finding::new(format!("{}:{number}", source.path), rule));
            }
        }
    }
    findings
}

/// Finds a banned name that `line` declares.
fn banned(line: &str) -> Option<String> {
    let function = declared(line, "fn ").filter(|name| FUNCTIONS.iter().any(|word| name.starts_with(word)));
    // An indented `type` belongs to somebody else's trait.
    let keywords = if line.starts_with(' ') {
        &["struct ", "enum ", "trait "][..]
    } else {
        &["struct ", "enum ", "trait ", "type "]
    };
    let kind = keywords.iter().find_map(|keyword| declared(line, keyword));
    function
        .or_else(|| kind.filter(|name| TYPES.iter().any(|word| name.ends_with(word))))
        .filter(|name| !GITS_OWN.contains(&name.as_str()))
}

/// The name behind a keyword that begins a declaration.
fn declared(line: &str, keyword: &str) -> Option<String> {
    let line = line.trim_start();
    let mut rest = line;
    for prefix in ["pub ", "pub(crate) ", "pub(super) ", "async ", "const "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    let name = rest.strip_prefix(keyword)?;
    Some(name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

#[cfg(test)]
mod tests {
    use super::banned;

    #[test]
    fn empty_words_are_found_in_declarations_only() {
        assert_eq!(banned("    pub(crate) async fn handle_push(&self) {"), Some("handle_push".to_owned()));
        assert_eq!(banned("pub struct LockManager;"), Some("LockManager".to_owned()));
        assert_eq!(banned("    self.handle_push();"), None);
        assert_eq!(banned("fn push() -> Result<()> {"), None);
    }
}

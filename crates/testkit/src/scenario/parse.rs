//! From text to steps.

use anyhow::{Context, Result, bail, ensure};

/// A parsed scenario file.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// What is varied: `transport`, `version`, `format`.
    pub axes: Vec<String>,
    /// Whether it also runs on PostgreSQL and MariaDB.
    pub databases: bool,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One line of a scenario.
#[derive(Clone, Debug)]
pub struct Step {
    /// 1-based line number.
    pub line: usize,
    /// Whether the line begins with `!`: the command must fail, the text must be missing.
    pub negated: bool,
    /// The verb and its arguments, quotes removed, variables not yet replaced.
    pub words: Vec<String>,
}

/// Parses a scenario.
///
/// # Errors
/// For an unclosed quote, an unknown axis, or a file without steps.
pub fn parse(text: &str) -> Result<Scenario> {
    let mut scenario = Scenario::default();
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        let mut words = split(line).with_context(|| format!("line {line_number}"))?;
        let negated = words.first().is_some_and(|word| word == "!");
        if negated {
            words.remove(0);
        }
        match words.first().map(String::as_str) {
            None => {}
            Some("matrix") => {
                scenario.axes = axes(&words[1..]).with_context(|| format!("line {line_number}"))?
            }
            Some("databases") => scenario.databases = true,
            Some(_) => scenario.steps.push(Step { line: line_number, negated, words }),
        }
    }
    ensure!(!scenario.steps.is_empty(), "a scenario needs steps");
    Ok(scenario)
}

fn axes(words: &[String]) -> Result<Vec<String>> {
    for word in words {
        ensure!(matches!(word.as_str(), "transport" | "version" | "format"), "no axis {word}");
    }
    Ok(words.to_vec())
}

/// Splits a line into words: blanks separate, single and double quotes join, `#` at a word's start ends the line.
fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        bail!("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn words_quotes_and_comments() {
        let scenario =
            parse("# c\nmatrix transport\n\n! git a push 'x y' \"\" $URL/a # tail\nstdout 'a # b'\n");
        let scenario = scenario.expect("well formed");
        assert_eq!(scenario.axes, ["transport"]);
        assert_eq!(scenario.steps[0].words, ["git", "a", "push", "x y", "", "$URL/a"]);
        assert!(scenario.steps[0].negated && scenario.steps[0].line == 4);
        assert_eq!(scenario.steps[1].words, ["stdout", "a # b"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            parse("git 'a").is_err() && parse("matrix moon\nserver").is_err() && parse("# nothing").is_err()
        );
    }
}

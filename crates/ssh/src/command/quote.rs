//! The quoting that git's clients use for the one argument of a server program.

/// Undoes git's quoting of one whole argument.
///
/// Git writes `'…'` and leaves the quotes only for `\'` and `\!`, so these three forms are all there is; `None` for
/// everything else, text after the argument included. Source: `quote.c` of git.
pub(super) fn unquote(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix('\'')?;
    let mut argument = String::with_capacity(rest.len());
    loop {
        let (inside, after) = rest.split_once('\'')?;
        argument.push_str(inside);
        if after.is_empty() {
            return Some(argument);
        }
        let escaped = after.strip_prefix('\\')?;
        let character = escaped.chars().next().filter(|c| matches!(c, '\'' | '!'))?;
        argument.push(character);
        rest = escaped[1..].strip_prefix('\'')?;
    }
}

/// Writes an argument as git does; the inverse of [`unquote`], for its tests.
#[cfg(test)]
pub(super) fn quote(argument: &str) -> String {
    let mut text = String::from("'");
    for character in argument.chars() {
        if matches!(character, '\'' | '!') {
            text.extend(["'\\", character.encode_utf8(&mut [0; 4]), "'"]);
        } else {
            text.push(character);
        }
    }
    text.push('\'');
    text
}

//! Messages of commits and tags, as git cleans them.

/// Takes away whitespace at the ends of lines, empty lines at both ends, and all but one of several empty lines; ends
/// what is left with a line end. Source: git-stripspace(1).
pub fn clean(message: &[u8]) -> Vec<u8> {
    let is_space = |byte: &u8| b" \t\n\r".contains(byte);
    let mut out = Vec::with_capacity(message.len() + 1);
    let mut is_apart = false;
    for line in message.split(|byte| *byte == b'\n') {
        let end = line.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
        if end == 0 {
            is_apart = !out.is_empty();
            continue;
        }
        if std::mem::take(&mut is_apart) {
            out.push(b'\n');
        }
        out.extend_from_slice(&line[..end]);
        out.push(b'\n');
    }
    out
}

//! Commit messages: encoding, subject, trailers.

/// A line at the end of a message such as `Signed-off-by: A <a@example.org>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// What stands before the colon.
    pub key: Vec<u8>,
    /// What stands behind it, lines joined.
    pub value: Vec<u8>,
}

/// Lines that git itself writes make a block of trailers of a paragraph that has other lines too.
const GENERATED: [&[u8]; 2] = [b"Signed-off-by: ", b"(cherry picked from commit "];

/// Decodes a text; without an encoding it is UTF-8.
pub(super) fn decode(bytes: &[u8], encoding: Option<&[u8]>) -> String {
    let Some(label) = encoding else { return String::from_utf8_lossy(bytes).into_owned() };
    // The web's rules take this for windows-1252.
    if [&b"iso-8859-1"[..], b"iso8859-1", b"latin1", b"latin-1"].contains(&&*label.to_ascii_lowercase()) {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    let encoding = encoding_rs::Encoding::for_label(label).unwrap_or(encoding_rs::UTF_8);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// Joins the first paragraph on one line.
pub(super) fn subject(message: &[u8]) -> Vec<u8> {
    let lines = lines(message).map(<[u8]>::trim_ascii_end).skip_while(|line| line.is_empty());
    let paragraph: Vec<&[u8]> = lines.take_while(|line| !line.is_empty()).collect();
    paragraph.join(&b' ')
}

/// Finds the trailers of a message. Source: `find_trailer_block_start` of git.
pub(super) fn trailers(message: &[u8]) -> Vec<Trailer> {
    let lines: Vec<&[u8]> = lines(message).collect();
    let mut found: Vec<Trailer> = Vec::new();
    let mut follows = false;
    for line in &lines[block_start(&lines)..] {
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            if let Some(trailer) = found.last_mut().filter(|_| follows && !is_blank(line)) {
                trailer.value.push(b' ');
                trailer.value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        let colon = separator(line).filter(|at| *at > 0);
        follows = colon.is_some();
        if let Some(at) = colon {
            let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
            found.push(Trailer { key: key.to_vec(), value: value.to_vec() });
        }
    }
    found
}

/// Finds the first line of the last paragraph, if it consists of trailers; the end otherwise.
fn block_start(lines: &[&[u8]]) -> usize {
    let comment = |line: &[u8]| line.first() == Some(&b'#');
    let title = lines.iter().position(|line| !comment(line) && is_blank(line)).unwrap_or(lines.len());
    let (mut n_trailers, mut n_others, mut n_continued) = (0_usize, 0_usize, 0_usize);
    let (mut generated, mut only_spaces) = (false, true);
    for (at, line) in lines.iter().enumerate().skip(title).rev() {
        if comment(line) {
            n_others += std::mem::take(&mut n_continued);
            continue;
        }
        if is_blank(line) {
            if only_spaces {
                continue;
            }
            n_others += n_continued;
            let is_block = generated && n_trailers * 3 >= n_others || n_trailers > 0 && n_others == 0;
            return if is_block { at + 1 } else { lines.len() };
        }
        only_spaces = false;
        if GENERATED.iter().any(|prefix| line.starts_with(prefix)) {
            (generated, n_continued) = (true, 0);
            n_trailers += 1;
        } else if line[0].is_ascii_whitespace() {
            n_continued += 1;
        } else if separator(line).is_some_and(|at| at > 0) {
            n_trailers += 1;
            n_continued = 0;
        } else {
            n_others += 1 + std::mem::take(&mut n_continued);
        }
    }
    lines.len()
}

/// Finds the colon behind a word of letters, digits and dashes.
fn separator(line: &[u8]) -> Option<usize> {
    let mut is_spaced = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b':' => return Some(at),
            b'-' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if !is_spaced => {}
            b' ' | b'\t' if at > 0 => is_spaced = true,
            _ => return None,
        }
    }
    None
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Splits into lines; a line end at the end of the text starts no further line.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

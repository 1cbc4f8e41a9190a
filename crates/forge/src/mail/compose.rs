//! One content, written as plain text and as HTML.

use std::fmt::Write as _;

/// Most bytes of a line that others wrote, such as the subject of a commit.
const MAX_LINE: usize = 400;

/// What a letter says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph of one line.
    Line(String),
    /// Lines of one kind, each with a short code before it.
    Items(Vec<(String, String)>),
}

/// What stands below a line at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Footer {
    /// Why the reader is told.
    pub(super) because: String,
    /// The words before the link, and the link.
    pub(super) leave: Option<(String, String)>,
}

/// Writes the part in plain text.
pub(super) fn text(blocks: &[Block], footer: &Footer) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Heading(words) | Block::Line(words) => {
                let _ = write!(text, "{}\n\n", on_one_line(words));
            }
            Block::Items(items) => {
                for (code, words) in items {
                    let (code, words) = (on_one_line(code), on_one_line(words));
                    let _ = writeln!(text, "{}", format!("  {code} {words}").trim_end());
                }
                text.push('\n');
            }
        }
    }
    // What follows is a signature to readers. Source: RFC 3676, section 4.3.
    let _ = writeln!(text, "-- \n{}", footer.because);
    if let Some((words, link)) = &footer.leave {
        let _ = writeln!(text, "{words} {link}");
    }
    text
}

/// Writes the part in HTML: without styles of its own, scripts, or anything that is fetched.
pub(super) fn html(language: &str, blocks: &[Block], footer: &Footer) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head><meta charset=\"utf-8\"></head>\n<body>\n"
    );
    for block in blocks {
        let _ = match block {
            Block::Heading(words) => writeln!(html, "<h3>{}</h3>", escaped(words)),
            Block::Line(words) => writeln!(html, "<p>{}</p>", escaped(words)),
            Block::Items(items) => {
                html.push_str("<ul>\n");
                for (code, words) in items {
                    let _ = match code.as_str() {
                        "" => writeln!(html, "<li>{}</li>", escaped(words)),
                        _ => writeln!(html, "<li><code>{}</code> {}</li>", escaped(code), escaped(words)),
                    };
                }
                writeln!(html, "</ul>")
            }
        };
    }
    let _ = write!(html, "<hr>\n<p><small>{}", escaped(&footer.because));
    if let Some((words, link)) = &footer.leave {
        let link = escaped(link);
        let _ = write!(html, "<br>\n{} <a href=\"{link}\">{link}</a>", escaped(words));
    }
    html.push_str("</small></p>\n</body>\n</html>\n");
    html
}

/// Cuts what others wrote to one line of some length; whatever could end it is a space.
fn on_one_line(text: &str) -> String {
    let mut end = text.len().min(MAX_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in on_one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Block, Footer, html, text};

    #[test]
    fn nothing_that_others_wrote_becomes_markup_or_another_line() {
        let evil = "<script>alert('x')</script>\r\n-- \r\n\"&".to_owned();
        let blocks = [
            Block::Heading(evil.clone()),
            Block::Line(evil.clone()),
            Block::Items(vec![(evil.clone(), evil.clone()), (String::new(), "ok".to_owned())]),
        ];
        let footer =
            Footer { because: evil.clone(), leave: Some((evil.clone(), format!("https://x/{evil}"))) };
        let html = html("en", &blocks, &footer);
        assert!(!html.contains("<script") && !html.contains("\r"), "{html}");
        assert_eq!(html.matches("href=\"").count(), 1);
        let text = text(&blocks, &Footer { because: "b".to_owned(), leave: None });
        assert_eq!(text.lines().filter(|line| line.trim_end() == "--").count(), 1, "one signature: {text}");
        assert!(text.ends_with("  ok\n\n-- \nb\n"), "{text:?}");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = text(&[Block::Line("あ".repeat(1_000))], &Footer::default());
        assert!(text.lines().next().unwrap().chars().all(|c| c == 'あ'));
        assert!(text.len() < 500);
    }
}

//! What a commit's message says about numbered things: `fixes #12`, `see #7`.

use hakata_store::commits::Mention;

/// Words that close what follows them, in any case of their letters.
const CLOSING: [&str; 9] =
    ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];

/// Most numbers of one message.
const MAX_MENTIONS: usize = 100;

/// The greatest number that every reader of JSON holds exactly.
const MAX_NUMBER: i64 = (1 << 53) - 1;

/// Finds the numbers that a message mentions, each once; one that is closed anywhere is closed.
pub(super) fn mentions(message: &str) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    for (at, _) in message.match_indices('#') {
        let Some(number) = number_at(&message[at + 1..]) else { continue };
        let before = &message[..at];
        if before.chars().next_back().is_some_and(is_word) {
            continue;
        }
        let keyword = if is_closed_by(before) { "closes" } else { "mentions" };
        match found.iter().position(|known| known.number == number) {
            Some(known) if keyword == "closes" => found[known].keyword = keyword,
            Some(_) => {}
            None if found.len() < MAX_MENTIONS => found.push(Mention { number, keyword }),
            None => break,
        }
    }
    found
}

/// Reads a number that is a word of its own and neither zero nor written with zeros before it.
fn number_at(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.starts_with('0') || rest.chars().next().is_some_and(is_word) {
        return None;
    }
    digits.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number))
}

/// Whether a text ends in a closing word: `Fixes `, `fix: `.
fn is_closed_by(before: &str) -> bool {
    let words = before.trim_end_matches([' ', '\t']);
    if words.len() == before.len() {
        return false;
    }
    let words = words.strip_suffix(':').unwrap_or(words);
    let word = words.rsplit(|c: char| !is_word(c)).next().unwrap_or("");
    CLOSING.iter().any(|closing| closing.eq_ignore_ascii_case(word))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn numbers_are_closed_and_mentioned() {
        for (message, wanted) in [
            ("fixes #12", "12 closes"),
            ("Fix: #1, closes #2 and see #3", "1 closes 2 closes 3 mentions"),
            ("#7\n\nRESOLVED\t#7", "7 closes"),
            ("closes #7, as #7 says", "7 closes"),
            ("prefixes #4", "4 mentions"),
            ("fixes#5 (#6)", "6 mentions"),
            ("#0 #012 #a #1a issue#8 ## #", ""),
            ("#9007199254740991 #9007199254740992 #99999999999999999999", "9007199254740991 mentions"),
            ("バグ修正 fixes #3。", "3 closes"),
            ("", ""),
        ] {
            let found: Vec<String> =
                mentions(message).iter().map(|m| format!("{} {}", m.number, m.keyword)).collect();
            assert_eq!(found.join(" "), wanted, "{message:?}");
        }
    }

    #[test]
    fn a_flood_is_bounded() {
        let flood: String = (1..10_000).map(|n| format!("#{n} ")).collect();
        assert_eq!(mentions(&flood).len(), 100);
    }
}
